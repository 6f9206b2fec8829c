"""The rows of a stack: the data splits of R runs, as tensors with a leading run axis."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ssc_sweep.data.cohort import HIDDEN
from ssc_sweep.data.splitting import DataSplit, Rows
from ssc_sweep.models.contract import Batch
from ssc_sweep.models.steady import once
from ssc_sweep.streams import stream

# How much of an epoch is shuffled at once, in numbers over all runs: 64 MB in single precision.
SHUFFLED_AT_ONCE = 2**24


@dataclass(frozen=True)
class StackRows:
    """Training, validation and test rows of R runs; test is None if no rows were held back.

    Rows that all runs share are stored once: their run axis has stride 0.
    """

    train: Batch
    val: Batch
    test: Batch | None = None


def _stacked(arrays: Sequence[np.ndarray], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Stack (n, ...) of each run into (R, n, ...)."""
    if all(array is arrays[0] for array in arrays):
        # Always copy: a model may write into its rows, and the next stack may have the same ones.
        return (
            torch.from_numpy(arrays[0]).to(device, dtype, copy=True).unsqueeze(0).expand(len(arrays), *arrays[0].shape)
        )
    # One run after another, so that the double-precision rows of all need not be in memory at once.
    stacked = torch.empty((len(arrays), *arrays[0].shape), dtype=dtype, device=device)
    for run, array in enumerate(arrays):
        stacked[run].copy_(torch.from_numpy(array))
    return stacked


def _batch(rows: Sequence[Rows], seen: bool, dtype: torch.dtype, device: torch.device) -> Batch:
    """Make a batch of all rows: with the treatments that a model may see if `seen`, else with all known ones."""
    t = [r.t_seen if seen else r.t for r in rows]
    return Batch(
        x=_stacked([r.x for r in rows], dtype, device),
        t=_stacked(t, torch.int64, device),
        y=_stacked([r.y for r in rows], dtype, device),
        any_hidden=any(bool((mine == HIDDEN).any()) for mine in t),
    )


def assemble(splits: Sequence[DataSplit], dtype: torch.dtype, device: torch.device) -> StackRows:
    """Stack the data of R runs; all must have the same shapes."""
    tests = [s.test for s in splits if s.test is not None]
    train = _batch([s.train for s in splits], True, dtype, device)
    row = torch.arange(train.t.shape[1], device=device).expand(len(splits), -1)
    return StackRows(
        train=replace(train, row=row),
        val=_batch([s.val for s in splits], False, dtype, device),
        test=_batch(tests, False, dtype, device) if tests else None,
    )


def draw_rows(batch: Batch, seeds: Sequence[int], size: int) -> Batch:
    """Draw `size` rows for each run from its stream "probe", or all if there are no more."""
    n = batch.x.shape[1]
    if n <= size:
        return batch
    drawn = np.stack([stream(seed, "probe").permutation(n)[:size] for seed in seeds])
    return _take(batch, torch.from_numpy(drawn).to(batch.x.device))


def extremes(batch: Batch) -> Batch:
    """Return two rows for each run: the smallest and the largest value of every column; treatments do not matter."""
    x, y = (_extremes(each) for each in (batch.x, batch.y))
    return replace(batch, x=x, t=batch.t[:, :2], y=y)


def _extremes(values: torch.Tensor) -> torch.Tensor:
    """(R, n, d) -> (R, 2, d): smallest and largest value of every column."""
    return torch.stack(torch.aminmax(once(values), dim=1), dim=1).expand(len(values), -1, -1)


def _take(batch: Batch, rows: torch.Tensor) -> Batch:
    """Return each run's rows at the positions `rows`, (R, m)."""
    runs = torch.arange(len(rows), device=rows.device).unsqueeze(1)
    row = None if batch.row is None else batch.row[runs, rows]
    return replace(batch, x=batch.x[runs, rows], t=batch.t[runs, rows], y=batch.y[runs, rows], row=row)


class Batches:
    """The batches of each epoch: each run's rows in a new order, drawn from its own stream."""

    def __init__(self, train: Batch, seeds: Sequence[int], size: int, drop_last: bool) -> None:
        self.train, self.size = train, size
        self.draws = [stream(seed, "batches") for seed in seeds]
        rows = train.x.shape[1]
        stop = rows - rows % size if drop_last else rows
        self.starts = range(0, stop, size)

    def epoch(self) -> Iterator[Batch]:
        """Yield the batches of the next epoch; the last one may be smaller."""
        rows, size = self.train.x.shape[1], self.size
        order = torch.from_numpy(np.stack([draw.permutation(rows) for draw in self.draws])).to(self.train.x.device)
        # Shuffle small data at once, which is fastest; large data some batches at a time.
        row = len(order) * (self.train.x.shape[2] + self.train.y.shape[2] + 1)
        portion = max(1, SHUFFLED_AT_ONCE // (row * size)) * size
        for first in range(0, self.starts.stop, portion):
            shuffled = _take(self.train, order[:, first : first + portion])
            for start in range(0, min(portion, self.starts.stop - first), size):
                part = slice(start, min(start + size, self.starts.stop - first))
                x, t, y = shuffled.x[:, part], shuffled.t[:, part], shuffled.y[:, part]
                taken = order[:, first + part.start : first + part.stop]
                yield Batch(x, t, y, self.train.any_hidden, last=first + start == self.starts[-1], row=taken)
