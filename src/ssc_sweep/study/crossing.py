"""Factors of a hypothesis, crossed: every combination of their levels is an arm."""

import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ssc_sweep.errors import UserError

# Factor -> level -> overrides. The first level belongs to the control and has none.
Factors = Mapping[str, Mapping[str, Mapping[str, Any]]]
# (factor, level) where an arm differs from the control, in the order of the factors.
Levels = tuple[tuple[str, str], ...]

MOST_CELLS = 1024
NAME = re.compile(r"[\w.+-]+")


@dataclass(frozen=True)
class Changed:
    """An arm of a crossing.

    Attributes:
        levels: where it differs from the control.
        overrides: of all these levels.
    """

    levels: Levels
    overrides: dict[str, Any]


def cross(factors: Factors) -> list[Changed]:
    """Return all combinations of levels but the control (all first levels); the last factor varies fastest.

    >>> factors = {"batch": {"b10": {}, "b32": {"batch": "b32"}}, "lr": {"5e-4": {}, "1e-4": {"optimizer.lr": 1e-4}}}
    >>> [levels_text(arm.levels) for arm in cross(factors)]
    ['lr=1e-4', 'batch=b32', 'batch=b32, lr=1e-4']
    """
    cells = []
    for choice in itertools.product(*(levels.items() for levels in factors.values())):
        named = tuple((factor, level) for factor, (level, overrides) in zip(factors, choice, strict=True) if overrides)
        cells.append(Changed(named, {key: value for _, changes in choice for key, value in changes.items()}))
    return cells[1:]


def check_factors(name: str, factors: Factors) -> None:
    """Check the factors of a hypothesis.

    Raises:
        UserError: a factor has fewer than two levels; its first level has overrides; another level has none or repeats
            an earlier one; two factors set one key; a name is invalid; there are too many cells.
    """
    cells = math.prod(map(len, factors.values()))
    if cells > MOST_CELLS:
        raise UserError(
            f"hypothesis {name}: its factors have {cells:,} combinations of levels: allowed are {MOST_CELLS:,}. "
            "Leave a factor or some levels out."
        )
    owners: dict[str, str] = {}
    for factor, levels in factors.items():
        _check_factor(name, factor, levels)
        for key in dict.fromkeys(key.lstrip("+~") for changes in levels.values() for key in changes):
            if owners.setdefault(key, factor) != factor:
                raise UserError(
                    f"hypothesis {name}: the factors {owners[key]} and {factor} both set {key}: a combination of their "
                    "levels can have one value. Make them one factor."
                )


def _check_factor(name: str, factor: str, levels: Mapping[str, Mapping[str, Any]]) -> None:
    wrong = next((word for word in (factor, *levels) if not NAME.fullmatch(word)), None)
    if wrong is not None:
        raise UserError(
            f"hypothesis {name}: '{wrong}' is no name of a factor or level: allowed are letters, digits and . _ + -"
        )
    if len(levels) < 2:
        has = f"one level, {next(iter(levels))}" if levels else "no level"
        raise UserError(
            f"hypothesis {name}: factor {factor} has {has}: a factor compares two or more. Add a level, or leave the "
            "factor out."
        )
    (first, none), *rest = levels.items()
    if none:
        raise UserError(
            f"hypothesis {name}: {first}, the first level of factor {factor}, is the control's and takes no overrides: "
            f"write {first}: {{}}, and set what all arms share beside hypothesis."
        )
    before = {first: none}
    for level, changes in rest:
        same = next((other for other, theirs in before.items() if theirs == changes), None)
        if same is not None:
            raise UserError(
                f"hypothesis {name}: factor {factor} has the overrides of level {same} again in {level}: remove one of "
                "them."
            )
        before[level] = changes


def levels_text(levels: Levels) -> str:
    """Return a combination of levels for display: "batch=b32, lr=1e-4"."""
    return ", ".join(f"{factor}={level}" for factor, level in levels)
