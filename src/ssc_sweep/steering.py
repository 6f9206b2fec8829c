"""The keys of a config that steer a study and change no run: where its runs lie, how they are trained, when it ends."""

from typing import Literal, Self

from omegaconf import DictConfig, OmegaConf
from pydantic import Field

from ssc_sweep.schema import Count, Section

AUTO = "auto"
Seeds = Literal["auto"] | Count  # per arm; auto: as many as needed
MANY = 100  # a study of more runs keeps no weights by default


class _Steering(Section):
    @classmethod
    def of(cls, cfg: DictConfig) -> Self:
        """Read these keys of a composed config.

        Raises:
            UserError: a value is out of bounds.
        """
        return cls.read({key: OmegaConf.select(cfg, key) for key in cls.model_fields})


class Running(_Steering):
    """How runs are trained, which does not change their results."""

    workers: int | None = Field(
        ge=0, description="processes that train, one thread each; null: one a core; 0: this process, with all threads"
    )
    memory_budget: float | None = Field(
        gt=0, le=1e6, description="GiB that all workers may take; null: half of what is free"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(description="auto: cuda where there is one")
    retry: Literal["failed"] | None = Field(description="failed: train failed runs once more; null: they stay failed")
    fail_fast: bool = Field(description="begin nothing more once a run has failed")
    max_failures: int | None = Field(ge=1, description="begin nothing more once this many runs have failed")
    save_weights: Literal["all", "best", "none"] | None = Field(
        description=f"best: of each arm's best run; null: all up to {MANY} runs, else none"
    )
    report: bool = Field(description="also write report.html and figures when the study has ended; false: the tables")
    dry_run: bool = Field(description="say what would be trained, and train nothing")

    @property
    def enough(self) -> int | None:
        """Return the number of failures that ends a study."""
        return 1 if self.fail_fast else self.max_failures

    def weights(self, runs: int) -> str:
        """Return which runs' weights are kept in a study of this many runs."""
        return self.save_weights or ("all" if runs <= MANY else "none")


class Limits(_Steering):
    """What ends a study that adds seeds or trials by itself."""

    max_seeds: int = Field(ge=1, le=1_000_000, description="most seeds that an arm gets under seeds=auto")
    time_budget_s: float | None = Field(gt=0, description="seconds after which no further round or trial begins")
    first_seed: int = Field(ge=0, description="seeds are this one and those after it")


# Keys that have one value for the whole study.
ONE_FOR_ALL = (
    "study", "outputs", "seeds", "target", "rule", "scores", "effects", "admit", *Limits.model_fields,
    *Running.model_fields,
)  # fmt: skip
# These, choices that set other keys, the name of an arm, and the keys that a search or an audit has besides.
STUDY_KEYS = (
    *ONE_FOR_ALL, "hydra", "hypothesis", "experiment", "search_space", "arm", "n_trials", "storage", "format", "page",
)  # fmt: skip


def changes_a_run(key: str) -> bool:
    """Return whether the runs of a study may differ in this key. The study itself sets the seed of each."""
    return key.lstrip("+~").split(".")[0] not in (*STUDY_KEYS, "seed")
