"""What stands in messages for values that are not JSON's own: times, paths, numbers of other libraries and the like."""

import dataclasses
import datetime
import enum
import math
import numbers
import os
import sys
from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """What goes into a message for `value`; NotImplemented: nothing does.

    A converter's last resort: it has dealt with what is dict, list, tuple, str, int, float, bool, None or bytes before.
    """
    if isinstance(value, type):
        return NotImplemented
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (datetime.date, datetime.time)):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if _is(value, "decimal", "Decimal") or _is(value, "uuid", "UUID"):
        return str(value)
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Rational):
        real = float(value)
        return real if real == value or math.isnan(real) else NotImplemented  # no silent loss of digits
    return NotImplemented


def _is(value: Any, module: str, name: str) -> bool:
    """Whether it is of that class, whose module somebody has imported in that case."""
    known = getattr(sys.modules.get(module), name, None)
    return known is not None and isinstance(value, known)
