"""What is recorded while a stack trains: one history row a run and epoch, and the first step that turned bad.

Recording keeps references to tensors that the step made anyway and reduces them once an epoch; measuring on the
validation rows happens between epochs. Neither touches a training stream, so a probed run equals an unprobed one.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ssc_sweep.data.cohort import Floats
from ssc_sweep.models.contract import Loss
from ssc_sweep.training.measure import Predictions

Row = dict[str, float | int]
NORM = "gradient_norm"


@dataclass(frozen=True)
class Bad:
    """The first NaN or Inf of a run: step counted from 1, and the tensor it was seen in."""

    step: int
    tensor: str


@dataclass
class History:
    """Collects the probes of a stack of R runs whose gradients are clipped to the norm `limit`."""

    runs: int
    limit: float
    rows: list[list[Row]] = field(init=False)
    bad: list[Bad | None] = field(init=False)
    step: int = 0
    _pending: list[dict[str, Tensor]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rows = [[] for _ in range(self.runs)]
        self.bad = [None] * self.runs

    def record(self, objective: str, loss: Loss, norm: Tensor) -> None:
        """Note one objective of the step that is under way: its loss and its gradient norm before clipping, (R,)."""
        if not self._pending or f"{objective}.loss" in self._pending[-1]:
            self._pending.append({})
        named = {"loss": loss.total.detach(), **loss.parts, NORM: norm}
        self._pending[-1].update({f"{objective}.{name}": tensor for name, tensor in named.items()})

    def close_epoch(self, epoch: int) -> None:
        """Reduce the steps since the last call to one row a run. Steps from a run's first bad one on are left out."""
        done, steps = self.step, len(self._pending)
        pieces = {name: [p[name] for p in self._pending] for name in self._pending[0]}
        means = {name: _per_step(tensors, "mean") for name, tensors in pieces.items()}
        spreads = {name: _per_step(tensors, "sd") for name, tensors in pieces.items() if tensors[0].ndim > 1}
        self.step += steps
        self._pending = []
        for run in range(self.runs):
            if self.bad[run] is None:
                self.bad[run] = _first_bad({name: values[:, run] for name, values in means.items()}, done)
            bad = self.bad[run]
            good = steps if bad is None else max(0, bad.step - 1 - done)
            if good == 0:
                continue
            row: Row = {"epoch": epoch, "step": done + good}
            row |= {name: float(values[:good, run].mean()) for name, values in means.items()}
            row |= {f"{name}_sd": float(values[:good, run].mean()) for name, values in spreads.items()}
            row |= {
                name.replace(NORM, "clipped_share"): float((values[:good, run] > self.limit).mean())
                for name, values in means.items()
                if name.endswith(NORM)
            }
            self.rows[run].append(row)

    def measured(self, predictions: Predictions, y: Floats, t: np.ndarray) -> None:
        """Add validation scores to the newest row of every run that is still good; a NaN or Inf ends its history."""
        for run in range(self.runs):
            if self.bad[run] is None:
                scores = predictions.scores(run, y[run], t[run])
                if not np.isfinite(list(scores.values())).all():
                    self.bad[run] = Bad(self.step, "prediction")
                else:
                    self.rows[run][-1] |= {f"val_{name}": value for name, value in scores.items()}

    @property
    def all_bad(self) -> bool:
        return all(bad is not None for bad in self.bad)


def _per_step(tensors: list[Tensor], what: str) -> Floats:
    """(steps, R) from one tensor a step, (R,) or (R, B): the mean over rows, or their standard deviation."""
    reduced = [
        tensor if tensor.ndim == 1 else tensor.mean(dim=1) if what == "mean" else tensor.std(dim=1, correction=0)
        for tensor in tensors
    ]
    return torch.stack(reduced).double().cpu().numpy()


def _first_bad(steps: dict[str, Floats], done: int) -> Bad | None:
    """Find the first step at which any of the named series (steps,) is not finite."""
    first: Bad | None = None
    for name, values in steps.items():
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad) and (first is None or done + int(bad[0]) + 1 < first.step):
            first = Bad(step=done + int(bad[0]) + 1, tensor=name)
    return first
