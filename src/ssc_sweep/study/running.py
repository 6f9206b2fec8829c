"""How the runs of a study are trained: by which workers, in how much memory, and what happens when one fails."""

from dataclasses import dataclass
from typing import Literal

from omegaconf import DictConfig, OmegaConf
from pydantic import Field

from ssc_sweep.schema import Count, Section

GIB = 2**30
AUTO = "auto"
Seeds = Literal["auto"] | Count  # per arm; auto: as many as needed
MOST_FOLDERS = 10_000  # a command of more runs keeps tables by default
MANY = 100  # a study of more runs keeps no weights by default


class Running(Section):
    """Config keys that change how runs are trained, but not their results."""

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
    run_files: Literal["folders", "tables"] | None = Field(
        description="folders: one a run; tables: one file a stack, into which its finished runs go; null: folders up "
        f"to {MOST_FOLDERS:,} runs in a command, else tables"
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

    def files(self, runs: int) -> str:
        """Return how the files of a command of this many runs are kept."""
        return self.run_files or ("folders" if runs <= MOST_FOLDERS else "tables")


@dataclass
class Tally:
    """How many runs of a command have failed, over all rounds of seeds and batches of a search."""

    failures: int = 0


class Limits(Section):
    """What ends a study that adds seeds by itself."""

    max_seeds: int = Field(ge=1, le=1_000_000, description="most seeds that an arm gets under seeds=auto")
    time_budget_s: float | None = Field(gt=0, description="seconds after which no further round or trial begins")
    first_seed: int = Field(ge=0, description="seeds are this one and those after it")


def read_limits(cfg: DictConfig) -> Limits:
    """Read the keys of a composed config that limit a study.

    Raises:
        UserError: a value is out of bounds.
    """
    return Limits.read({key: OmegaConf.select(cfg, key) for key in Limits.model_fields})


KEYS = tuple(Running.model_fields)


def read_running(cfg: DictConfig) -> Running:
    """Read the keys of a composed config that say how to train.

    Raises:
        UserError: a value is out of bounds.
    """
    return Running.read({key: OmegaConf.select(cfg, key) for key in KEYS})
