"""What a trial is worth: the score of its seeds, read from their folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ssc_sweep.errors import UserError
from ssc_sweep.study.folder import RunFolder


@dataclass(frozen=True)
class Seeds:
    """How the runs of one configuration ended.

    Attributes:
        rmse: one a seed, in the outcome's unit; None where a run has none.
        metrics: of each run that came to its end.
        reason: why there is no score; None where every seed has an RMSE.
    """

    rmse: tuple[float | None, ...]
    metrics: tuple[dict[str, Any], ...]
    reason: str | None


def read_seeds(folders: Sequence[RunFolder]) -> Seeds:
    """Read the runs of one configuration; a seed that failed or diverged is named, never turned into a number."""
    rmse: list[float | None] = []
    metrics, reasons = [], []
    for folder in folders:
        value = None
        if folder.done.exists():
            metrics.append(folder.read_metrics())
            value = metrics[-1]["rmse"]
            if value is None:
                reasons.append(f"{folder.path.name} {metrics[-1]['status']}")
        elif folder.failed.exists():
            reasons.append(f"{folder.path.name} failed: {folder.failed.read_text().strip().splitlines()[-1]}")
        else:
            reasons.append(f"{folder.path.name} was not trained")
        rmse.append(value)
    return Seeds(tuple(rmse), tuple(metrics), "; ".join(reasons) or None)


def score(seeds: Seeds, objectives: Sequence[str], how: str | float, maximised: Sequence[bool]) -> list[float]:
    """One number an objective: the mean over seeds, or the quantile on the bad side.

    Raises:
        UserError: a run has no such metric.
    """
    values = []
    for name, up in zip(objectives, maximised, strict=True):
        missing = [m for m in seeds.metrics if not isinstance(m.get(name), int | float)]
        if missing:
            numbers = [key for key, value in missing[0].items() if isinstance(value, int | float)]
            raise UserError(f"objectives: a run has no number {name}: allowed is {', '.join(numbers)}.")
        column = [float(m[name]) for m in seeds.metrics]
        if isinstance(how, str):
            values.append(float(np.mean(column)))
        else:
            values.append(float(np.quantile(column, 1 - how if up else how)))
    return values


def works(rmse: Sequence[float | None], target: float, share: float) -> bool:
    """Whether a configuration holds: every run has an RMSE, their mean and at least `share` of them lie below."""
    values = [value for value in rmse if value is not None]
    if len(values) < len(rmse) or not values:
        return False
    below = sum(value < target for value in values)
    return float(np.mean(values)) < target and below >= share * len(rmse)
