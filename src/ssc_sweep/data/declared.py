"""What a config declares about the columns of a table: types, and checks that the names exist."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator

from ssc_sweep.data.cells import Code
from ssc_sweep.data.cohort import Column, Kind, Role
from ssc_sweep.data.columns import Covariate
from ssc_sweep.errors import UserError
from ssc_sweep.schema import checked


def by_column(value: object, prefix: str = "") -> object:
    """Flatten a mapping by column to one level: the config nests column names with dots, such as a.b."""
    if not isinstance(value, Mapping):
        return value
    flat: dict[str, object] = {}
    for key, inner in value.items():
        below = by_column(inner, f"{prefix}{key}.")
        flat |= below if isinstance(inner, Mapping) and isinstance(below, dict) else {f"{prefix}{key}": inner}
    return flat


KindName = Literal[tuple(kind.value for kind in Kind)]  # type: ignore[valid-type]
RoleName = Literal[tuple(role.name.lower() for role in Role)]  # type: ignore[valid-type]
CodeOrCodes = list[Code] | Code
Kinds = Annotated[dict[str, KindName], BeforeValidator(by_column)]  # type: ignore[valid-type]
Roles = Annotated[dict[str, RoleName], BeforeValidator(by_column)]  # type: ignore[valid-type]
Codes = Annotated[dict[str, CodeOrCodes], BeforeValidator(by_column)]


@dataclass(frozen=True)
class Declared:
    """What is declared of columns, by name: kinds, roles, values that are gaps, and values that may be."""

    kinds: dict[str, Kind]
    roles: dict[str, Role]
    missing: dict[str, list[Code]]
    codes: dict[str, list[Code]]

    def column(self, name: str, read: Covariate) -> tuple[Column, list[Code]]:
        """Return the description of a covariate, and its declared codes that no row holds."""
        held, absent = read.codes(self.codes.get(name, []))
        gaps = bool(np.isnan(read.x).any())
        return Column(name, self.roles.get(name, Role.BASELINE), read.kind, read.levels, gaps, held), absent


Given = Mapping[str, Any] | None


def declared(kinds: Given, roles: Given, missing: Given, codes: Given) -> Declared:
    """Check what is declared for each column. A Kind or Role counts as its name.

    Raises:
        UserError: a declaration is not allowed.
    """
    return Declared(
        {name: Kind(kind) for name, kind in _checked("kinds", KindName, kinds).items()},
        {name: Role[role.upper()] for name, role in _checked("roles", RoleName, roles).items()},
        *(
            {name: value if isinstance(value, list) else [value] for name, value in found.items()}
            for found in (_checked("missing", CodeOrCodes, missing), _checked("codes", CodeOrCodes, codes))
        ),
    )


def _checked(key: str, annotation: Any, given: Given) -> dict[str, Any]:
    flat = by_column({} if given is None else given)
    assert isinstance(flat, dict)
    return {called: checked(f"dataset.{key}.{called}", annotation, _name(value)) for called, value in flat.items()}


def _name(value: object) -> object:
    if isinstance(value, Role):
        return value.name.lower()
    return value.value if isinstance(value, StrEnum) else value


def check_names(
    known: Sequence[str], name: str, treatment: str, outcomes: Sequence[str], others: Mapping[str, Iterable[str]]
) -> None:
    """Raise UserError if a name is unknown, or used for two things."""
    check_known(name, "treatment", [treatment], known)
    if not outcomes:
        raise UserError("dataset.outcome names no column: give one, or several as [a,b].")
    check_known(name, "outcome", outcomes, known)
    if treatment in outcomes:
        raise UserError(f"dataset.treatment={treatment} is also an outcome: allowed is another column.")
    if len(set(outcomes)) < len(outcomes):
        raise UserError(f"dataset.outcome={list(outcomes)} names a column twice.")
    for key, named in others.items():
        check_known(name, key, named, known)
    for called in {treatment, *outcomes} & set(others["drop"]):
        raise UserError(f"dataset.drop={called} is the treatment or an outcome: allowed are other columns.")
    if "" in known and "" not in others["drop"]:
        raise UserError(
            f"{name} has a column without a name, number {known.index('') + 1}, perhaps its row numbers: give it one, "
            "or drop it: \"dataset.drop=['']\"."
        )


def check_known(name: str, key: str, named: Iterable[str], known: Sequence[str]) -> None:
    """Raise UserError if a name is not among the known ones."""
    for called in named:
        if called not in known:
            close = difflib.get_close_matches(called, known, n=1)
            hint = f"Did you mean '{close[0]}'? " if close else ""
            some = ", ".join(known[:12]) + (f" and {len(known) - 12} more" if len(known) > 12 else "")
            raise UserError(f"dataset.{key}: {name} has no column '{called}' for that. {hint}It has {some}.")
