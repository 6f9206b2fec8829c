"""The rows of a stack: the data splits of R runs as tensors with a leading run axis."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ssc_sweep.data.splitting import HIDDEN, DataSplit, Rows
from ssc_sweep.models.contract import Batch
from ssc_sweep.streams import stream


@dataclass(frozen=True)
class StackRows:
    """Training and validation rows of R runs; validation treatments are all visible."""

    train: Batch
    val: Batch


def _batch(rows: Sequence[Rows], dtype: torch.dtype, device: torch.device) -> Batch:
    t_seen = np.stack([r.t_seen for r in rows])
    return Batch(
        x=torch.from_numpy(np.stack([r.x for r in rows])).to(device, dtype),
        t=torch.from_numpy(t_seen).to(device),
        y=torch.from_numpy(np.stack([r.y for r in rows])).to(device, dtype),
        any_hidden=bool((t_seen == HIDDEN).any()),
    )


def assemble(splits: Sequence[DataSplit], dtype: torch.dtype, device: torch.device) -> StackRows:
    """Put the data of R runs side by side; all must have the same shapes."""
    return StackRows(
        train=_batch([s.train for s in splits], dtype, device), val=_batch([s.val for s in splits], dtype, device)
    )


def draw_rows(batch: Batch, seeds: Sequence[int], size: int) -> Batch:
    """For each run, `size` rows drawn from its stream "probe", or all where there are no more."""
    n = batch.x.shape[1]
    if n <= size:
        return batch
    drawn = np.stack([stream(seed, "probe").permutation(n)[:size] for seed in seeds])
    return _take(batch, torch.from_numpy(drawn).to(batch.x.device))


def extremes(batch: Batch) -> Batch:
    """Two rows for each run that hold the smallest and the largest value of every column; treatments do not matter."""
    x, y = (torch.stack(torch.aminmax(each, dim=1), dim=1) for each in (batch.x, batch.y))
    return replace(batch, x=x, t=batch.t[:, :2], y=y)


def _take(batch: Batch, rows: torch.Tensor) -> Batch:
    """For each run, its rows at the positions `rows`, (R, m)."""
    runs = torch.arange(len(rows), device=rows.device).unsqueeze(1)
    return replace(batch, x=batch.x[runs, rows], t=batch.t[runs, rows], y=batch.y[runs, rows])


class Batches:
    """The batches of each epoch: every run walks through its rows in an order of its own stream, anew each epoch."""

    def __init__(self, train: Batch, seeds: Sequence[int], size: int, drop_last: bool) -> None:
        self.train, self.size = train, size
        self.draws = [stream(seed, "batches") for seed in seeds]
        rows = train.x.shape[1]
        stop = rows - rows % size if drop_last else rows
        self.starts = range(0, stop, size)

    def epoch(self) -> Iterator[Batch]:
        """Yield the batches of the next epoch; the last one may be smaller."""
        rows = self.train.x.shape[1]
        order = torch.from_numpy(np.stack([draw.permutation(rows) for draw in self.draws])).to(self.train.x.device)
        shuffled = _take(self.train, order)
        for start in self.starts:
            part = slice(start, start + self.size)
            x, t, y = shuffled.x[:, part], shuffled.t[:, part], shuffled.y[:, part]
            yield Batch(x, t, y, self.train.any_hidden, last=start == self.starts[-1])
