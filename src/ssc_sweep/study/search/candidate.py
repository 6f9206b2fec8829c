"""A candidate: a trial that is confirmed on data that chose nothing, fresh seeds and the test rows.

A fresh seed works if its RMSE is below the target on the validation rows, and on the test rows if there are any.
Seeds are added until a confidence sequence shows that the share of seeds that work is above `rule.works_share` (the
candidate holds) or below it (it does not), or until no seeds are left (open).

Error rate. A trial is chosen by the trials' seeds on validation rows. Its fresh seeds are trained after that choice and
used by no trial, so each works with the same probability q, however many trials it was chosen from. The sequence at
level a ever excludes q with probability at most a (see `verdicts.share`), so looking and stopping at any time is
allowed. The k-th candidate of a search has the level

    a_k = alpha / (k (k + 1)),        a_1 + a_2 + ... = alpha,

so that, by the union bound, no candidate of the whole search is judged wrongly with probability at least 1 - alpha,
however many there are. k is fixed before the candidate's first fresh seed.

q is a share of seeds on these rows. As no trial was scored on the test rows, choosing does not make it too optimistic.
Without test rows (split.test_share=0) it is a share on the rows that chose the trial.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ssc_sweep.errors import UserError
from ssc_sweep.study.search.settings import SEEDS_APART
from ssc_sweep.verdicts.evidence import Works
from ssc_sweep.verdicts.rule import Rule
from ssc_sweep.verdicts.share import growing_interval

Values = tuple[float | None, ...]
LISTS = ("seeds", "rmse", "failed", "missing")
HOLDS = {Works.YES: "holds", Works.OPEN: "open", Works.NO: "does not hold"}
BEST_FIRST = {answer: i for i, answer in enumerate(HOLDS)}


def fresh_seeds(trial: int, count: int) -> tuple[int, ...]:
    """Return the seeds that confirm a trial: no trial and no other confirmation uses them."""
    first = SEEDS_APART * (trial + 1)
    return tuple(range(first, first + count))


@dataclass(frozen=True)
class Candidate:
    """The results of a trial's fresh seeds. RMSE in the outcome's unit; None for a seed that has none.

    Attributes:
        trial: its number.
        place: k, from 1 on; 0 in a search of a version that did not count candidates.
        seeds: that count: they finished, diverged, or did not fit their data.
        rmse: of each of them on the validation rows.
        test_rmse: the same on the test rows; None where there are no test rows.
        failed: seeds that raised or were killed. They do not count, as the machine may be the cause.
        missing: seeds that counted but have no RMSE, as their runs are gone or left out; only in findings.
    """

    trial: int
    place: int
    seeds: tuple[int, ...] = ()
    rmse: Values = ()
    test_rmse: Values | None = None
    failed: tuple[int, ...] = ()
    missing: tuple[int, ...] = ()

    @property
    def begun(self) -> int:
        """Return the number of fresh seeds that have been begun."""
        return len(self.seeds) + len(self.failed)

    @property
    def broken(self) -> bool:
        """Return whether most of its seeds fail, so that more would tell nothing."""
        return len(self.failed) > len(self.seeds)

    @property
    def worse(self) -> dict[int, float]:
        """Return seed -> the larger RMSE of validation and test rows, which decides; NaN if it has none."""
        test = self.rmse if self.test_rmse is None else self.test_rmse
        pairs = zip(self.seeds, self.rmse, test, strict=True)
        return {seed: math.nan if a is None or b is None else max(a, b) for seed, a, b in pairs}

    def as_json(self) -> dict[str, Any]:
        """Return what a storage keeps."""
        lists = {name: list(getattr(self, name)) for name in LISTS}
        return {"place": self.place, "test_rmse": None if self.test_rmse is None else list(self.test_rmse), **lists}


def from_json(trial: int, kept: Mapping[str, Any] | list[float | None]) -> Candidate:
    """Read what a storage has kept; a version without test rows and places kept a list of RMSE."""
    if isinstance(kept, list):
        return Candidate(trial, 0, fresh_seeds(trial, len(kept)), tuple(kept))
    test = kept["test_rmse"]
    seeds, rmse, failed, missing = (tuple(kept[name]) for name in LISTS)
    return Candidate(trial, kept["place"], seeds, rmse, None if test is None else tuple(test), failed, missing)


def level_of(place: int, rule: Rule) -> float:
    """Return a_k, the probability that the k-th candidate of a search is judged wrongly."""
    return rule.alpha / (place * (place + 1))


def fewest(level: float, share: float, works: bool) -> int:
    """Return the fewest seeds that, if all or none work, tell their share from `share`."""
    n = 1
    while True:
        low, high = growing_interval(np.full(n, works), level)
        if low > share or high < share:
            return n
        n += 1


def check_seeds(confirm_seeds: int, rule: Rule) -> None:
    """Check that the first candidate can be shown to hold.

    Raises:
        UserError: it has too few seeds.
    """
    needed = fewest(level_of(1, rule), rule.works_share, works=True)
    if confirm_seeds < needed:
        raise UserError(
            f"hydra.sweeper.confirm_seeds={confirm_seeds} is too few to confirm anything: at rule.works_share="
            f"{rule.works_share:g} and rule.alpha={rule.alpha:g} it takes at least {needed} seeds that all work. Allow "
            "more: 100 suit the rule as it comes."
        )
