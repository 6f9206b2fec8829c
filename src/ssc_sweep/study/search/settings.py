"""What a search has beyond hydra-optuna-sweeper: see conf/experiment/search.yaml."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ssc_sweep.bounds import ABOVE_ZERO, bounded, whole
from ssc_sweep.errors import UserError

# Trials have the seeds 0, 1, ...; each confirmation as many of its own from a multiple of 1000 on. As neither has more
# than 900, those from 900 to 999 have decided nothing.
SEEDS_APART, MOST_SEEDS = 1000, 900
# The numbers of metrics.json that a search can be about.
OBJECTIVES = ("rmse", "accuracy", "nll", "seconds", "steps", "parameters", "covariates", "rows_train")


@dataclass(frozen=True)
class Settings:
    """The values of `hydra.sweeper` that hydra-optuna-sweeper does not know."""

    seeds_per_trial: int
    score: str | float
    objectives: tuple[str, ...]
    confirm_best: int
    confirm_seeds: int
    stop_at_target: bool
    time_budget_s: float | None
    prune: bool

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of every trial."""
        return tuple(range(self.seeds_per_trial))

    def described(self) -> dict[str, Any]:
        """What must be the same in every trial of a study, as JSON."""
        return {"seeds_per_trial": self.seeds_per_trial, "score": self.score, "objectives": list(self.objectives)}

    def check(self, n_trials: object, n_jobs: object, directions: Sequence[str]) -> None:
        """Check the bounds of the sweeper's values.

        Raises:
            UserError: one is out of bounds.
        """
        bounded("n_trials", n_trials, whole(1, 1_000_000))
        bounded("hydra.sweeper.n_jobs", n_jobs, whole(1, 1000))
        bounded("hydra.sweeper.seeds_per_trial", self.seeds_per_trial, whole(1, MOST_SEEDS))
        bounded("hydra.sweeper.confirm_best", self.confirm_best, whole(1, 1000))
        bounded("hydra.sweeper.confirm_seeds", self.confirm_seeds, whole(2, MOST_SEEDS))
        bounded("time_budget_s", self.time_budget_s, ABOVE_ZERO, null="no limit")
        how = self.score
        if how != "mean" and not (isinstance(how, int | float) and 0.5 <= how <= 1):
            raise UserError(f"hydra.sweeper.score={how} is unknown: allowed is mean, or a share from 0.5 to 1.")
        unknown = [name for name in self.objectives if name not in OBJECTIVES]
        if unknown:
            raise UserError(
                f"hydra.sweeper.objectives={list(self.objectives)}: {unknown[0]} is unknown, allowed is "
                f"{' | '.join(OBJECTIVES)}."
            )
        if self.objectives[:1] != ("rmse",) or len(self.objectives) != len(directions) or directions[0] != "minimize":
            raise UserError(
                f"hydra.sweeper.objectives={list(self.objectives)} with direction={list(directions)}: allowed is rmse "
                "first, minimized, and one direction an objective."
            )
