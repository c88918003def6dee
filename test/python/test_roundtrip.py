"""What goes through a message comes back equal, for any value: by bus, as an answer, and through a nested message.

Equal means, for a value that a message can hold: the same type and value, but that a tuple is a list, a bytearray and a
memoryview are bytes, and a subclass is what it derives from. NaN equals NaN, and 0.0 is not -0.0.
"""

import math

import pytest

pytest.importorskip("hypothesis")
from hypothesis import given, settings
from hypothesis import strategies as values

SCALARS = values.one_of(
    values.none(),
    values.booleans(),
    values.integers(-(2**63), 2**64 - 1),
    values.floats(),
    values.text(values.characters(exclude_categories=["Cs"])),
    values.binary(max_size=40),
    values.binary(max_size=40).map(bytearray),
    values.binary(max_size=40).map(memoryview),
)
KEYS = values.text(values.characters(exclude_categories=["Cs"]), max_size=70)  # longer ones are not kept as keys
DOCUMENTS = values.recursive(
    SCALARS,
    lambda inner: values.one_of(
        values.lists(inner), values.lists(inner).map(tuple), values.dictionaries(KEYS, inner)
    ),
    max_leaves=60,
)
MANY = settings(max_examples=400, deadline=None, database=None)


def arrived(value):
    """What a receiver should get."""
    if isinstance(value, (list, tuple)):
        return [arrived(item) for item in value]
    if isinstance(value, dict):
        return {key: arrived(item) for key, item in value.items()}
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    return value


def same(one, other):
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return (math.isnan(one) and math.isnan(other)) or (one == other and math.copysign(1, one) == math.copysign(1, other))
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return one == other


def is_binary(value):
    """Bytes by themselves are a binary message."""
    return isinstance(value, (bytes, bytearray, memoryview))


@pytest.fixture(scope="module")
def sent(bus):
    got = []
    with bus.subscribe("roundtrip.value", got.append, delivery="direct"):

        def send(value):
            bus.publish("roundtrip.value", value)
            return got.pop()

        yield send


@pytest.fixture(scope="module")
def asked(bus):
    with bus.respond("roundtrip.echo", lambda value: value):
        yield lambda value: bus.request("roundtrip.echo", value, timeout=30)


@MANY
@given(value=DOCUMENTS)
def test_what_is_published_arrives(sent, value):
    got = sent(value)
    if is_binary(value):
        got = bytes(got.data)
    assert same(got, arrived(value)), got


@MANY
@given(value=DOCUMENTS)
def test_what_is_asked_comes_back(asked, value):
    got = asked(value)
    if is_binary(value):
        got = bytes(got.data)
    assert same(got, arrived(value)), got


@MANY
@given(value=DOCUMENTS)
def test_what_arrived_arrives_again(sent, value):
    """And nothing changes with the second time."""
    first = sent({"in": value})
    assert same(sent(first), first)
