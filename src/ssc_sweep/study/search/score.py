"""Score a trial by its seeds, read from their folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ssc_sweep.errors import reason_in
from ssc_sweep.schema import admits
from ssc_sweep.study.folder import RunFolder
from ssc_sweep.study.job import Status


@dataclass(frozen=True)
class Seeds:
    """How the runs of one configuration ended.

    Attributes:
        rmse: per seed, in the outcome's unit; None if a run has none.
        metrics: of each run that ended.
        reason: why there is no score; None if every seed has an RMSE.
        pruned: whether the only reason is that the trial was stopped early.
    """

    rmse: tuple[float | None, ...]
    metrics: tuple[dict[str, Any], ...]
    reason: str | None
    pruned: bool


def read_seeds(folders: Sequence[RunFolder], objectives: Sequence[str]) -> Seeds:
    """Read the runs of one configuration.

    A seed that failed, diverged or lacks an objective is named in the reason, never turned into a number.
    """
    rmse: list[float | None] = []
    metrics, reasons = [], []
    for folder in folders:
        value = None
        if folder.has(folder.done):
            metrics.append(folder.read_metrics())
            value = metrics[-1]["rmse"]
            if value is None:
                reasons.append(f"{folder.path.name} {metrics[-1]['status']}")
            reasons += [
                f"metrics.json has no number {o}" for o in objectives[1:] if not admits(float, metrics[-1].get(o))
            ]
        elif folder.has(folder.failed):
            reasons.append(f"{folder.path.name} failed: {reason_in(folder.read_trace())}")
        else:
            reasons.append(f"{folder.path.name} was not trained")
        rmse.append(value)
    pruned = bool(reasons) and all(reason.endswith(Status.PRUNED) for reason in reasons)
    return Seeds(tuple(rmse), tuple(metrics), "; ".join(reasons) or None, pruned)


def score(seeds: Seeds, objectives: Sequence[str], how: str | float, directions: Sequence[str]) -> list[float]:
    """Return one number per objective: the mean over seeds, or the quantile on its bad side."""
    assert seeds.reason is None
    values = []
    for name, direction in zip(objectives, directions, strict=True):
        column = [float(metrics[name]) for metrics in seeds.metrics]
        values.append(over_seeds(column, how, direction))
    return values


def over_seeds(values: Sequence[float], how: str | float, direction: str = "minimize") -> float:
    """Return one number for the seeds of a trial: their mean, or the quantile `how` on the bad side.

    Four seeds work and one does not. The mean hides which; the quantile 0.75 is the worst of the best four.

    >>> over_seeds([5, 6, 7, 8, 40], "mean"), over_seeds([5, 6, 7, 8, 40], 0.75)
    (13.2, 8.0)
    """
    if isinstance(how, str):
        return float(np.mean(values))
    return float(np.quantile(values, how if direction == "minimize" else 1 - how))


def works(rmse: Sequence[float | None], target: float, share: float) -> bool:
    """Return whether a configuration holds by the older, counting rule: every run has an RMSE, and their mean and at
    least `share` of them are below the target."""
    values = [value for value in rmse if value is not None]
    if len(values) < len(rmse) or not values:
        return False
    below = sum(value < target for value in values)
    return float(np.mean(values)) < target and below >= share * len(rmse)
