"""What a search has beyond hydra-optuna-sweeper: see conf/experiment/search.yaml."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from ssc_sweep.errors import UserError
from ssc_sweep.schema import Names, Section, checked

# Trials have the seeds 0, 1, ...; each confirmation has its own from a multiple of 1000 on. As neither has more than
# 900, no choice was made by the seeds 900 to 999.
SEEDS_APART, MOST_SEEDS = 1000, 900
# The numbers of metrics.json that a search can optimise. Scores on test rows are excluded: no choice may use them.
OBJECTIVES = (
    "rmse", "accuracy", "auroc", "log_loss", "brier", "nll", "seconds", "steps", "parameters", "covariates",
    "rows_train",
)  # fmt: skip


class Settings(Section):
    """The values of `hydra.sweeper` that hydra-optuna-sweeper does not know."""

    seeds_per_trial: int = Field(ge=1, le=MOST_SEEDS, description="0, 1, ...: every trial has the same ones")
    score: Literal["mean"] | Annotated[float, Field(ge=0.5, le=1)] = Field(
        description="score of a trial: the mean over its seeds, or this quantile of their RMSE"
    )
    objectives: Names = Field(description="rmse first, then others of metrics.json")
    confirm_best: int = Field(ge=1, le=1000, description="trials that are confirmed on fresh seeds at the end")
    confirm_seeds: int = Field(ge=2, le=MOST_SEEDS, description="most fresh seeds of a trial that is confirmed")
    stop_at_target: bool = Field(description="end as soon as a trial is confirmed to hold the target")
    time_budget_s: float | None = Field(gt=0, description="seconds after which no further trial begins; null: no limit")
    prune: bool = Field(description="stop trials that are worse after an epoch than nine tenths of the others")

    @property
    def seeds(self) -> tuple[int, ...]:
        """Return the seeds of every trial."""
        return tuple(range(self.seeds_per_trial))

    def described(self) -> dict[str, Any]:
        """Return what must be the same in every trial of a study, as JSON."""
        return {"seeds_per_trial": self.seeds_per_trial, "score": self.score, "objectives": list(self.objectives)}

    def check(self, n_trials: object, n_jobs: object, directions: Sequence[str]) -> None:
        """Check what depends on other values of the sweeper.

        Raises:
            UserError: one is out of bounds.
        """
        checked("n_trials", Annotated[int, Field(ge=1, le=1_000_000)], n_trials)
        checked("hydra.sweeper.n_jobs", Annotated[int, Field(ge=1, le=1000)], n_jobs)
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
