"""What Python's values become in messages, and what comes back: the rules of docs/guides/plugin-authors.md."""

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import math
import pathlib
import types
import uuid

import pytest

np = pytest.importorskip("numpy")


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Point:
    x: int
    tags: list


class Deep(enum.Enum):
    POINT = Point(1, ["a"])


Pair = collections.namedtuple("Pair", "first second")


class Odd(dict):
    def items(self):
        return [("other", 1)]


@pytest.fixture
def through(bus, inbox):
    """What a handler gets for a payload."""
    got = inbox("conversion.value")

    def send(payload):
        bus.publish("conversion.value", payload)
        return got.get()

    return send


UTC = datetime.timezone.utc


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (Color.RED, "red"),
        (Level.HIGH, 3),
        (Deep.POINT, {"x": 1, "tags": ["a"]}),
        (datetime.datetime(2026, 1, 2, 3, 4, 5, 600, UTC), "2026-01-02T03:04:05.000600+00:00"),
        (datetime.datetime(2026, 1, 2), "2026-01-02T00:00:00"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (datetime.time(3, 4), "03:04:00"),
        (datetime.timedelta(minutes=1, microseconds=1), 60.000001),
        (decimal.Decimal("1.10"), "1.10"),
        (decimal.Decimal("NaN"), "NaN"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (pathlib.PurePosixPath("/a/ü"), "/a/ü"),
        (Point(1, [Point(2, []), Color.RED]), {"x": 1, "tags": [{"x": 2, "tags": []}, "red"]}),
        (Pair(1, "b"), [1, "b"]),
        (types.MappingProxyType({"a": (1,)}), {"a": [1]}),
        (collections.ChainMap({"a": 1}, {"a": 2, "b": 3}), {"a": 1, "b": 3}),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (Odd(a=1), {"other": 1}),
        (np.float16(0.5), 0.5),
        (np.float32(0.1), 0.10000000149011612),
        (np.float64(0.1), 0.1),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.int8(-3), -3),
        (np.bool_(True), True),
        (np.str_("text"), "text"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_stands_for_a_value(through, value, arrives):
    assert through([value]) == [arrives]
    assert through({"a": value}) == {"a": arrives}
    assert type(through([value])[0]) is type(arrives)


def test_an_OrderedDict_keeps_its_own_order(through):
    ordered = collections.OrderedDict(a=1, b=2, c=3)
    ordered.move_to_end("a")
    assert list(through(ordered)) == ["b", "c", "a"]


def test_numpys_nan_and_infinity_arrive(through):
    first, second = through([np.float32("nan"), np.float64("-inf")])
    assert math.isnan(first)
    assert second == -math.inf


class Endless(enum.Enum):
    SELF = 1

    @property
    def value(self):
        return self


class Refusing:
    def __fspath__(self):
        raise OSError("no such path today")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (fractions.Fraction(1, 3), "Fraction does not go into JSON"),
        (1j, "complex does not go into JSON"),
        (np.complex64(1j), "complex64 does not go into JSON"),
        (np.longdouble(1) / 3, "longdouble does not go into JSON"),
        (Point, "type does not go into JSON"),
        ({1}, "set does not go into JSON"),
        (frozenset(), "frozenset does not go into JSON"),
        (iter([]), "list_iterator does not go into JSON"),
        (np.zeros(2), r"x\.tolist\(\)"),
        (Refusing(), "no such path today"),
        (Endless.SELF, "nested deeper than 200"),
        (types.MappingProxyType({1: 2}), r"a key must be str, not int \(1\)"),
        (-(2**63) - 1, "int outside 64 bits"),
        (2**64, "int outside 64 bits"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_counterpart_is_refused_with_its_place(bus, value, reason):
    with pytest.raises(TypeError, match=rf'message\["a"\]\[2\].*{reason}'):
        bus.publish("conversion.refused", {"a": [0, 1, value]})


class Twice(dict):
    def items(self):
        return [("a", b"bytes"), ("b", 1), ("a", 2)]


def test_of_a_key_that_comes_twice_the_last_value_counts(through):
    assert through(Twice()) == {"a": 2, "b": 1}


def test_dataclasses_may_be_nested_as_deep_as_lists(through, bus):
    deep, lists = Point(0, []), []
    for _ in range(198):
        deep = Point(deep, [])
    for _ in range(199):
        lists = [lists]
    through(lists)
    arrived = through(deep)
    for _ in range(198):
        arrived = arrived["x"]
    assert arrived == {"x": 0, "tags": []}
    with pytest.raises(TypeError, match="nested deeper than 200"):
        bus.publish("conversion.refused", Point(Point(deep, []), []))


class Clearing:
    """Empties the dict that it is in while it is asked for its number."""

    def __init__(self, container):
        self.container = container

    def __index__(self):
        self.container.clear()
        return 2**70  # refused: the error names its key


def test_a_dict_that_changes_while_it_is_converted_harms_nothing(bus):
    for _ in range(100):
        changing = {}
        changing["".join(["key", "Z" * 100])] = Clearing(changing)
        with pytest.raises(TypeError, match=r'message\["keyZ{100}"\]: int outside 64 bits'):
            bus.publish("conversion.changing", changing)
