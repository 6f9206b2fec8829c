"""Record the training of a stack: history rows for each run, and the first step at which it became NaN or Inf.

A run's history has one row for each of the first FIRST_STEPS steps and one for each epoch, or a single one of kind
"solved" if its model is solved. Most of it is free: tensors that a step makes anyway are kept and reduced once per
epoch. The model's own probes and the predictions for validation rows are computed between steps, without drawing from
a training stream, so a probed run equals an unprobed one bit for bit.

Columns: kind (step | epoch | solved), epoch, step; then for each objective
    <objective>.<part>            mean over rows and steps of a part of the loss
    <objective>.<part>_sd _min _max      over the rows of a batch (sd: averaged over steps), for parts that have rows
    <objective>.gradient_norm[.<module>]        before clipping, mean over steps
    <objective>.clipped_norm[.<module>]         after clipping
    <objective>.clipped_share                   share of steps that were clipped
then the model's own probes, declared in its `probes` (probes by row, such as ll_x, use `loop.EPOCH_ROWS` training rows
drawn for the run in the row of an epoch, and the batch in the row of a step within an epoch), and val_rmse,
val_accuracy, val_clamped (share of predictions at the model's clamp): on validation rows drawn for the run,
`loop.STEP_ROWS` after a step and `loop.EPOCH_ROWS` after an epoch; on all after the last epoch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from ssc_sweep.data.cohort import Floats
from ssc_sweep.models.contract import Loss
from ssc_sweep.models.steady import mean_and_sd

Row = dict[str, str | int | float]
FIRST_STEPS = 50


@dataclass(frozen=True)
class Bad:
    """The first NaN or Inf of a run: the step, counted from 1, and the tensor."""

    step: int
    tensor: str


@dataclass(frozen=True)
class _Step:
    """The records of one step: tensors by name, (R,) or (R, B), and gradient norms by parameter, (R, P)."""

    tensors: dict[str, Tensor]
    norms: dict[str, Tensor]
    probes: dict[str, Tensor]


@dataclass
class History:
    """Collects the probes of a stack of R runs.

    Args:
        limit: norm to which gradients are clipped.
        modules: for each objective, the module that each of its parameters belongs to.
    """

    runs: int
    limit: float
    modules: dict[str, list[str]]
    rows: list[list[Row]] = field(init=False)
    bad: list[Bad | None] = field(init=False)
    step: int = 0
    # Indices of parameters without a gradient in any step so far, by objective.
    unused: dict[str, set[int]] = field(default_factory=dict)
    stopped: int | None = None  # the epoch after which training was stopped early
    closed: int = 0  # epochs
    _steps: list[_Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rows = [[] for _ in range(self.runs)]
        self.bad = [None] * self.runs

    @property
    def wants_probes(self) -> bool:
        """Return whether the last step gets its own row."""
        return self.step <= FIRST_STEPS

    @property
    def all_bad(self) -> bool:
        return all(bad is not None for bad in self.bad)

    def newest(self, name: str) -> list[float | None]:
        """Return this column of each run's newest row; None for a run that is bad or lacks it."""
        values = [rows[-1].get(name) if bad is None else None for rows, bad in zip(self.rows, self.bad, strict=True)]
        return [float(value) if isinstance(value, float) else None for value in values]

    def begin_step(self) -> None:
        self.step += 1
        self._steps.append(_Step({}, {}, {}))

    def record(self, objective: str, loss: Loss, norms: Tensor) -> None:
        """Record one objective of the step: its loss, and gradient norms before clipping by parameter, (R, P)."""
        step = self._steps[-1]
        step.tensors.update({f"{objective}.{name}": part for name, part in loss.parts.items()})
        step.tensors[f"{objective}.loss"] = loss.total.detach()
        step.norms[objective] = norms

    def without_gradient(self, objective: str, parameters: set[int]) -> None:
        """Record which parameters, by index, had no gradient in this step."""
        self.unused[objective] = self.unused.get(objective, parameters) & parameters

    def probe(self, found: Mapping[str, Tensor | Floats]) -> None:
        """Record what was measured after the last step: the model's own probes, validation scores."""
        self._steps[-1].probes.update({name: torch.as_tensor(values) for name, values in found.items()})

    def close_epoch(self, epoch: int) -> None:
        """Reduce the steps since the last call to rows. A run's history ends before its first bad step."""
        steps, first = self._steps, self.step - len(self._steps) + 1
        self._steps, self.closed = [], epoch
        columns = _reduce([step.tensors for step in steps])
        for objective, modules in self.modules.items():
            norms = torch.stack([step.norms[objective] for step in steps]).double().cpu().numpy()
            columns |= _norm_columns(objective, modules, norms, self.limit)
        probed = [i for i, step in enumerate(steps) if step.probes and first + i <= FIRST_STEPS]
        after_steps, after_epoch = _reduce([steps[i].probes for i in probed]), _reduce([steps[-1].probes])
        for run in range(self.runs):
            if self.bad[run] is not None:
                continue
            mine = {name: values[:, run] for name, values in columns.items()}
            self.bad[run] = _first_bad(mine, first)
            good = len(steps) if self.bad[run] is None else self.bad[run].step - first  # type: ignore[union-attr]
            for k, i in enumerate(probed):
                if i < good:
                    found = {name: float(values[k, run]) for name, values in after_steps.items()}
                    one = {name: float(values[i]) for name, values in mine.items()}
                    self.rows[run].append({"kind": "step", "epoch": epoch, "step": first + i, **one, **found})
            if good:
                row = {name: _over_steps(name, values[:good]) for name, values in mine.items()}
                # A run that became bad within the epoch was not probed at its last good step.
                found = {name: float(values[0, run]) for name, values in after_epoch.items()}
                row |= found if good == len(steps) else {}
                self.rows[run].append({"kind": "epoch", "epoch": epoch, "step": first + good - 1, **row})

    def broken_off(self) -> None:
        """Reduce the steps before the one that raised, as those of an epoch: the rows end there."""
        if self._steps:
            self._steps.pop()
            self.step -= 1
        if self._steps:
            self.close_epoch(self.closed + 1)

    def solved(self, found: Mapping[str, Tensor]) -> None:
        """Give each run the only row of a solved model, with the model's own probes."""
        columns = _reduce([{name: torch.as_tensor(values) for name, values in found.items()}])
        for run in range(self.runs):
            mine = {name: float(values[0, run]) for name, values in columns.items()}
            self.rows[run].append({"kind": "solved", "epoch": 0, "step": 0, **mine})

    def measured(self, found: dict[str, Floats], final: bool) -> None:
        """Add validation scores, (R,) each, to the newest row of every run that is still good.

        A run with a NaN or Inf prediction has no scores; after the last epoch (`final`) it becomes bad.
        """
        for run in range(self.runs):
            if self.bad[run] is not None:
                continue
            scores = {name: float(values[run]) for name, values in found.items()}
            if np.isfinite(list(scores.values())).all():
                self.rows[run][-1].update(scores)
            elif final:
                self.bad[run] = Bad(self.step, "prediction")


def _reduce(steps: Sequence[dict[str, Tensor]]) -> dict[str, Floats]:
    """Return name -> (steps, R). A tensor by row, (R, B), becomes separate columns of mean, sd, min and max."""
    columns: dict[str, Floats] = {}
    for name in steps[0] if steps else ():
        series = [step[name] for step in steps]
        # Reduce steps of one shape together; the last batch of an epoch may be smaller.
        parts = [torch.stack(list(same)) for _, same in groupby(series, key=lambda values: values.shape)]
        if series[0].ndim == 1:
            columns[name] = _cat(parts)
            continue
        means, sds = zip(*(mean_and_sd(values, dim=2) for values in parts), strict=True)
        columns[name] = _cat([values.squeeze(2) for values in means])
        columns[f"{name}_sd"] = _cat([values.squeeze(2) for values in sds])
        columns[f"{name}_min"] = _cat([values.amin(dim=2) for values in parts])
        columns[f"{name}_max"] = _cat([values.amax(dim=2) for values in parts])
    return columns


def _cat(parts: Sequence[Tensor]) -> Floats:
    return torch.cat(list(parts)).double().cpu().numpy()


def _norm_columns(objective: str, modules: Sequence[str], norms: Floats, limit: float) -> dict[str, Floats]:
    """Gradient norms (steps, R, P) -> columns (steps, R): in total and by module, before and after clipping."""
    square, owner = norms**2, np.array(modules)
    total = np.sqrt(square.sum(axis=2))
    factor = np.minimum(1.0, limit / np.maximum(total, np.finfo(np.float64).tiny))
    # np.compress keeps a run's norms contiguous, so they are summed in the same order for any number of runs.
    mine = {m: np.compress(owner == m, square, axis=2) for m in dict.fromkeys(modules)}
    parts = {"": total} | {f".{m}": np.sqrt(of_module.sum(axis=2)) for m, of_module in mine.items()}
    columns = {f"{objective}.gradient_norm{name}": norm for name, norm in parts.items()}
    with np.errstate(invalid="ignore"):  # a run whose norm is infinite has diverged, and is recorded as such
        columns |= {f"{objective}.clipped_norm{name}": norm * factor for name, norm in parts.items()}
    columns[f"{objective}.clipped_share"] = (total > limit).astype(np.float64)
    return columns


def _over_steps(name: str, values: Floats) -> float:
    """Return one number for the steps of an epoch: the extreme of extremes, the mean of everything else."""
    if name.endswith("_min"):
        return float(values.min())
    return float(values.max() if name.endswith("_max") else values.mean())


def _first_bad(columns: dict[str, Floats], first: int) -> Bad | None:
    """Find the first step at which any series (steps,) is not finite; `first` is the number of their first step."""
    found: Bad | None = None
    for name, values in columns.items():
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad) and (found is None or first + int(bad[0]) < found.step):
            found = Bad(first + int(bad[0]), name)
    return found
