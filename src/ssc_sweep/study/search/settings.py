"""What a search has beyond hydra-optuna-sweeper."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from ssc_sweep.errors import UserError
from ssc_sweep.schema import Section, checked

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

    seeds_per_trial: int = Field(default=5, ge=1, le=MOST_SEEDS, description="0, 1, ...: every trial has the same ones")
    score: Literal["mean"] | Annotated[float, Field(ge=0.5, le=1)] = Field(
        default="mean",
        description="of a trial's seeds; a number such as 0.8: the RMSE below which that share of them lies",
    )
    objectives: Annotated[tuple[Literal[OBJECTIVES], ...], Field(strict=False)] = Field(  # type: ignore[valid-type]
        default=("rmse",),
        description="rmse first; several with direction: [minimize, minimize]. `seconds` is a stack's time divided by "
        "its runs: it depends on the neighbours of a run",
    )
    confirm_best: int = Field(
        default=3, ge=1, le=1000, description="trials that are confirmed when the search ends without one that holds"
    )
    confirm_seeds: int = Field(
        default=100,
        ge=2,
        le=MOST_SEEDS,
        description="most fresh seeds of a confirmed trial: they are added in rounds, until the share of those that "
        "work is shown to lie above or below rule.works_share, or so many are spent",
    )
    stop_at_target: bool = Field(
        default=True,
        description="end as soon as a trial is shown to hold the target; several objectives go on to the end",
    )
    prune: bool = Field(
        default=True,
        description="stop trials that are worse after an epoch than nine tenths of the others; needs probes",
    )

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
        if self.objectives[:1] != ("rmse",) or len(self.objectives) != len(directions) or directions[0] != "minimize":
            raise UserError(
                f"hydra.sweeper.objectives={list(self.objectives)} with direction={list(directions)}: allowed is rmse "
                "first, minimized, and one direction an objective."
            )
