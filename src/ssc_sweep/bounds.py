"""What a value of a config may be: the test, and the words for it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ssc_sweep.errors import UserError


@dataclass(frozen=True)
class Bounds:
    """Values that `admits` takes, and in `words` which those are."""

    words: str
    admits: Callable[[object], bool]


def number(words: str, holds: Callable[[float], bool]) -> Bounds:
    """Finite numbers for which `holds`."""
    return Bounds(words, lambda value: _is_number(value) and holds(value))  # type: ignore[arg-type]


def whole(low: int, high: int | None = None) -> Bounds:
    """Whole numbers from `low`, to `high` where there is one."""
    words = f"a whole number >= {low}" if high is None else f"a whole number from {low} to {high}"
    top = math.inf if high is None else high
    return Bounds(words, lambda value: isinstance(value, int) and _is_number(value) and low <= value <= top)


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of more than 300 digits
        return False


ANY_NUMBER = number("a number", lambda _: True)
ABOVE_ZERO = number("a number > 0", lambda value: value > 0)
NOT_NEGATIVE = number("a number >= 0", lambda value: value >= 0)
SHARE = number("a share between 0 and 1, both excluded", lambda value: 0 < value < 1)
SHARE_OR_NONE = number("a share of at least 0 and below 1", lambda value: 0 <= value < 1)
SHARE_OR_ALL = number("a share above 0 and at most 1", lambda value: 0 < value <= 1)
ANY_SHARE = number("a share from 0 to 1", lambda value: 0 <= value <= 1)
FLAG = Bounds("true or false", lambda value: isinstance(value, bool))


def bounded(key: str, value: object, bounds: Bounds, null: str = "") -> None:
    """Check a value.

    Args:
        null: what null means, where it is allowed as well.

    Raises:
        UserError: it is out of bounds; the line names key, value and bounds.
    """
    if value is None and null:
        return
    if not bounds.admits(value):
        shown = "null" if value is None else value
        also = f", or null for {null}" if null else ""
        raise UserError(f"{key}={shown} is out of bounds: allowed is {bounds.words}{also}.")


def bounded_arguments(group: str, arguments: Mapping[str, object], bounds: Mapping[str, Bounds]) -> None:
    """Check the arguments of a group that have bounds.

    Raises:
        UserError: one is out of its bounds.
    """
    for name, value in arguments.items():
        if name in bounds:
            bounded(f"{group}.{name}", value, bounds[name])
