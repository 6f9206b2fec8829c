"""A cohort: the rows of one study, as covariates X, treatment T and outcome Y, with what is known of each column."""

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from ssc_sweep.errors import DoesNotFit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Role(StrEnum):
    """What a covariate is to the question "what does T do to Y?". The values are the words shown to people."""

    CONFOUNDER = "confounder"
    BASELINE = "measured before treatment"
    AFTER = "measured after treatment"
    OUTCOME_LEAK = "holds the outcome"
    TREATMENT_LEAK = "holds the treatment"
    DUPLICATE = "computed from another column"
    IDENTIFIER = "identifier or constant"


# Which roles each choice of the config group `covariates` keeps.
KEPT: dict[str, frozenset[Role]] = {
    "all": frozenset(Role),
    "baseline": frozenset({Role.CONFOUNDER, Role.BASELINE}),
    "confounders": frozenset({Role.CONFOUNDER}),
}


@dataclass(frozen=True)
class Cohort:
    """n rows in the order of their source.

    Attributes:
        x: covariates, shape (n, d_x); NaN where a value is missing.
        t: treatment, shape (n,), codes 0 ... K-1 into `treatments`.
        y: outcomes, shape (n, d_y), in `unit`; none missing.
        roles: name of each covariate -> its role, in the order of the columns of x.
        treatments: the K names of the treatments.
        outcomes: the d_y names of the outcomes.
        unit: unit of the outcomes, e.g. "kg".
    """

    name: str
    x: Floats
    t: Ints
    y: Floats
    roles: dict[str, Role]
    treatments: tuple[str, ...]
    outcomes: tuple[str, ...]
    unit: str

    def __post_init__(self) -> None:
        rows = len(self.t)
        assert self.x.shape == (rows, len(self.roles)), (self.x.shape, rows, len(self.roles))
        assert self.y.shape == (rows, len(self.outcomes)), (self.y.shape, rows, len(self.outcomes))
        assert not np.isnan(self.y).any(), "rows without an outcome are dropped when a cohort is made"
        assert rows == 0 or (self.t.min() >= 0 and self.t.max() < len(self.treatments))

    def take(self, rows: Ints) -> "Cohort":
        """Return the cohort of these rows, in this order."""
        return replace(self, x=self.x[rows], t=self.t[rows], y=self.y[rows])

    def keep(self, choice: str) -> "Cohort":
        """Return the cohort with only the covariates whose role `choice` (a key of KEPT) admits.

        Raises:
            DoesNotFit: `choice` leaves no covariate.
        """
        kept = [role in KEPT[choice] for role in self.roles.values()]
        if not any(kept):
            raise DoesNotFit(
                f"covariates={choice} keeps no column of {self.name}: it has only the roles "
                f"{', '.join(sorted(set(self.roles.values())))}. Use covariates=all or give its columns other roles."
            )
        names = [name for name, keep in zip(self.roles, kept, strict=True) if keep]
        return replace(self, x=self.x[:, kept], roles={name: self.roles[name] for name in names})
