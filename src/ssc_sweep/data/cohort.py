"""A cohort: the rows of one study as covariates X, treatment T and outcome Y, with a description of each column."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from ssc_sweep.errors import DoesNotFit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# A treatment that the source does not know, or that a model must not see.
HIDDEN = -1


class Role(StrEnum):
    """The role of a covariate in the question "what does T do to Y?". The values are the words shown to users."""

    CONFOUNDER = "confounder"
    BASELINE = "measured before treatment"
    AFTER = "measured after treatment"
    OUTCOME_LEAK = "holds the outcome"
    TREATMENT_LEAK = "holds the treatment"
    DUPLICATE = "computed from another column"
    IDENTIFIER = "identifier or constant"


class Kind(StrEnum):
    """How to read the values of a column."""

    NUMBER = "number"
    YES_NO = "yes_no"
    CATEGORY = "category"


# Which roles each choice of the config group `covariates` keeps.
KEPT: dict[str, frozenset[Role]] = {
    "all": frozenset(Role),
    "baseline": frozenset({Role.CONFOUNDER, Role.BASELINE}),
    "confounders": frozenset({Role.CONFOUNDER}),
}


@dataclass(frozen=True)
class Column:
    """The description of a covariate.

    Attributes:
        kind: a number is standardised, a category becomes indicators, yes/no stays 0/1.
        levels: names of the codes 0 ... L-1 of a category; empty for other kinds.
        indicator: whether a gap also sets its own indicator.
        codes: values that may mean a gap, as in `x`: `scaling.codes` says how they are read.
    """

    name: str
    role: Role
    kind: Kind = Kind.NUMBER
    levels: tuple[str, ...] = ()
    indicator: bool = False
    codes: tuple[float, ...] = ()


@dataclass(frozen=True)
class Adjustment:
    """How covariates enter the classical models of treatment and outcome; those not named enter as numbers.

    Attributes:
        squared: number columns that also enter squared.
        categories: columns that enter as indicators of their values.
        modifiers: columns whose product with the treatment enters the outcome model of standardisation and AIPW: a
            category with all its indicators, a squared column without its square.
    """

    squared: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    modifiers: tuple[str, ...] = ()

    def among(self, names: Collection[str]) -> "Adjustment":
        """Return the adjustment restricted to these columns."""
        kept = ([name for name in part if name in names] for part in (self.squared, self.categories, self.modifiers))
        return Adjustment(*map(tuple, kept))


@dataclass(frozen=True)
class Cohort:
    """n rows in the order of their source.

    Arrays may be given as lists, and treatments also as whole floats (NaN: unknown), bools, or names in `treatments`;
    they are stored as codes.

    Attributes:
        x: covariates, shape (n, d_x); a category's codes, NaN where a value is missing.
        t: treatment, shape (n,), codes 0 ... K-1 into `treatments`, HIDDEN where the source does not know it.
        y: outcomes, shape (n, d_y), in `unit`; none missing.
        columns: one per column of x.
        treatments: the K names of the treatments.
        outcomes: the d_y names of the outcomes.
        unit: unit of the outcomes, e.g. "kg"; "" for none.
        dropped: rows of the source that have no outcome and were left out.
        effect: effect of a step from treatment k to k + 1 on every outcome, if known (synthetic data).
        notes: lines for the user on how the source was read.
    """

    name: str
    x: Floats
    t: Ints
    y: Floats
    columns: tuple[Column, ...]
    treatments: tuple[str, ...]
    outcomes: tuple[str, ...]
    unit: str
    dropped: int = 0
    effect: float | None = None
    adjustment: Adjustment = field(default_factory=Adjustment)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("x", "y"):
            values = np.asarray(getattr(self, name))
            self._demand(values.dtype.kind in "fiub", f"{name} has dtype {values.dtype}, not numbers")
            object.__setattr__(self, name, values.astype(np.float64, copy=False))
        object.__setattr__(self, "t", self._codes(np.asarray(self.t)))
        rows, columns = len(self.t), len(self.columns)
        self._demand(self.x.shape == (rows, columns), f"x has shape {self.x.shape}, not ({rows}, {columns})")
        self._demand(
            self.y.shape == (rows, len(self.outcomes)),
            f"y has shape {self.y.shape}, not ({rows}, {len(self.outcomes)})",
        )
        self._demand(bool(np.isfinite(self.y).all()), "y has gaps or infinities: leave out rows without an outcome")
        self._demand(not np.isinf(self.x).any(), "x has infinities: allowed are numbers, and NaN for a gap")
        names = [column.name for column in self.columns]
        self._demand(len(set(names)) == columns, "two columns have one name")
        inside = rows == 0 or (self.t.min() >= HIDDEN and self.t.max() < len(self.treatments))
        self._demand(inside, f"t has codes outside 0 to {len(self.treatments) - 1} ({HIDDEN}: unknown)")

    def _codes(self, t: np.ndarray) -> Ints:
        """Return treatments as int64 codes."""
        self._demand(t.ndim == 1, f"t has shape {t.shape}, not (rows,)")
        if t.dtype.kind in "iub":
            return t.astype(np.int64, copy=False)
        if t.dtype.kind == "f":
            gaps = np.isnan(t)
            whole = bool((gaps | (t == np.round(t))).all()) and not np.isinf(t).any()
            self._demand(whole, "t holds numbers that are no codes, such as 0.5")
            return np.where(gaps, HIDDEN, t).astype(np.int64)
        codes = {name: code for code, name in enumerate(self.treatments)} | {None: HIDDEN, "": HIDDEN}
        # NaN, a gap in data frames, does not even equal itself.
        words = [None if value != value else value for value in t.tolist()]
        strange = next((word for word in words if word not in codes), None)
        self._demand(strange is None, f"t holds {strange!r}, which is not among its treatments {self.treatments}")
        return np.array([codes[word] for word in words], dtype=np.int64)

    def _demand(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise DoesNotFit(f"the data set {self.name} is no cohort: {otherwise}. `table.cohort_of` makes one.")

    @property
    def names(self) -> list[str]:
        """Return the names of the covariates."""
        return [column.name for column in self.columns]

    @property
    def leaks(self) -> dict[str, str]:
        """Return the covariates that contain the outcome or the treatment, with a phrase for what each does."""
        return {c.name: str(c.role) for c in self.columns if c.role in (Role.OUTCOME_LEAK, Role.TREATMENT_LEAK)}

    def take(self, rows: Ints) -> "Cohort":
        """Return the cohort of these rows, in this order."""
        return replace(self, x=self.x[rows], t=self.t[rows], y=self.y[rows])

    def holds_code(self) -> npt.NDArray[np.bool_]:
        """Return which cells hold a declared code of their column: (n, d_x)."""
        found = np.zeros(self.x.shape, dtype=np.bool_)
        for j, column in enumerate(self.columns):
            if column.codes:
                found[:, j] = np.isin(self.x[:, j], column.codes)
        return found

    def codes_as_gaps(self) -> "Cohort":
        """Return the cohort with NaN for every declared code, and an indicator for the gaps of those columns."""
        columns = tuple(replace(column, indicator=True) if column.codes else column for column in self.columns)
        return replace(self, x=np.where(self.holds_code(), np.nan, self.x), columns=columns)

    def keep(self, choice: str) -> "Cohort":
        """Return the cohort with only the covariates whose role `choice` (a key of KEPT) admits.

        Raises:
            DoesNotFit: `choice` leaves no covariate.
        """
        kept = [column.role in KEPT[choice] for column in self.columns]
        if all(kept) and kept:
            return self
        if not any(kept):
            raise DoesNotFit(
                f"covariates={choice} keeps no column of {self.name}: it has only the roles "
                f"{', '.join(sorted({column.role for column in self.columns})) or 'none'}. Use covariates=all, or give "
                "its columns other roles, as in dataset.roles.age=confounder."
            )
        columns = tuple(column for column, keep in zip(self.columns, kept, strict=True) if keep)
        return replace(self, x=self.x[:, kept], columns=columns)
