"""A job is a run to be trained, an outcome how it ended. Kept apart from `execute`, which needs torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from omegaconf import DictConfig

from ssc_sweep.config import STUDY_KEYS, RunConfig, check
from ssc_sweep.study.folder import RunFolder
from ssc_sweep.study.hypothesis import folder_name
from ssc_sweep.study.plan import study_folder

CONTROL = "control"


class Status(StrEnum):
    """How a run ended. The values are the words in metrics.json and the report."""

    FINISHED = "finished"
    DIVERGED = "diverged"
    FAILED = "failed"


@dataclass(frozen=True)
class Job:
    """A run to be trained: its config, its folder, and the overrides that made the config."""

    config: RunConfig
    folder: RunFolder
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """How a job ended: metrics where it finished or diverged, the error where it failed."""

    status: Status
    metrics: dict[str, Any]
    error: Exception | None = None

    @property
    def value(self) -> float:
        """RMSE as a search minimises it: NaN for a run that diverged, never a number that could win."""
        rmse = self.metrics["rmse"]
        return float("nan") if rmse is None else float(rmse)


def make_job(cfg: DictConfig, overrides: Sequence[str]) -> Job:
    """Make the job of a composed config; `overrides` are those that composed it.

    Where no sweeper has named the arm, its folder is named after the overrides.

    Raises:
        UserError: the config is wrong.
    """
    steering = tuple(f"{key}=" for key in (*STUDY_KEYS, "seed"))
    changes = [text for text in overrides if not text.startswith(steering)]
    arm = cfg.arm or (folder_name(changes) if changes else CONTROL)
    return Job(check(cfg), study_folder(cfg.outputs, cfg.study).run(arm, cfg.seed), tuple(overrides))
