"""Layers with a leading member axis M: M small networks of equal shape, evaluated with one batched product.

M is the number of runs R, or R times the number of such networks in a run; members are ordered run after run.
Weights start as in torch.nn.Linear, U(-1/sqrt(d_in), 1/sqrt(d_in)), each member from its own generator, so that a
member starts the same in any stack. They are made in float64; `Model.to` converts them to the precision of the run, so
that a float32 run and a float64 run of one seed start at the same point.

A member's numbers are the same bits in any stack: see `ssc_sweep.models.steady`.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ssc_sweep.models.steady import mean_and_sd, once, product, steady
from ssc_sweep.streams import stream

Draws = Sequence[np.random.Generator]
# One bound for all weights, or one for each output.
Bound = float | NDArray[np.float64]
# Smallest scale to divide by.
FLOOR = 1e-6


def uniform(draws: Draws, shape: tuple[int, ...], bound: Bound) -> nn.Parameter:
    """Return a parameter (M, *shape), member m drawn from U(-bound, bound) by draws[m]."""
    values = np.stack([draw.uniform(-bound, bound, shape) for draw in draws])
    return nn.Parameter(torch.from_numpy(values))


class StackedLinear(nn.Module):
    """(M, B, d_in) -> (M, B, d_out): x W + b for each member."""

    def __init__(self, d_in: int, d_out: int, draws: Draws, bound: Bound | None = None) -> None:
        super().__init__()
        bound = (1 / max(d_in, 1)) ** 0.5 if bound is None else bound
        self.weight = uniform(draws, (d_in, d_out), bound)
        self.bias = uniform(draws, (1, d_out), bound)

    def forward(self, x: Tensor) -> Tensor:
        return product(self.bias, x, self.weight)


class MLP(nn.Module):
    """Linear layers of the given widths with ReLU between them: (M, B, widths[0]) -> (M, B, widths[-1]).

    Args:
        last: bound of the last layer's initial weights; None: as in any layer.
    """

    def __init__(self, widths: Sequence[int], draws: Draws, last: Bound | None = None) -> None:
        super().__init__()
        bounds = [*[None] * (len(widths) - 2), last]
        self.layers = nn.ModuleList(
            StackedLinear(d_in, d_out, draws, bound)
            for (d_in, d_out), bound in zip(pairwise(widths), bounds, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        return self.layers[-1](x)


class ResidualBlock(nn.Module):
    """h + g * W2 relu(W1 relu(h)), with g = 1 if there is no gate.

    W2 starts in U(-1e-3, 1e-3): a new block is close to the identity (nflows' ResidualBlock).
    """

    def __init__(self, width: int, draws: Draws) -> None:
        super().__init__()
        self.first = StackedLinear(width, width, draws)
        self.second = StackedLinear(width, width, draws, bound=1e-3)

    def forward(self, h: Tensor, gate: Tensor | None) -> Tensor:
        update = self.second(torch.relu(self.first(torch.relu(h))))
        return h + (update if gate is None else gate * update)


class ResidualNet(nn.Module):
    """Linear, two residual blocks, linear: (M, B, d_in) and context (M, B, d_context) -> (M, B, d_out).

    The context is appended to the input, and a sigmoid of a linear map of it gates each block (nflows' ResidualNet).
    One product computes all that depends on the context. Input or context may have no columns; no context, no gates.
    """

    def __init__(self, d_in: int, d_context: int, width: int, d_out: int, draws: Draws) -> None:
        super().__init__()
        first, gate = max(d_in + d_context, 1) ** -0.5, max(d_context, 1) ** -0.5
        bounds = np.repeat([first, gate, gate] if d_context else [first], width)
        self.width = width
        self.context = StackedLinear(d_context, len(bounds), draws, bounds)
        self.input = uniform(draws, (d_in, width), first) if d_in else None
        self.blocks = nn.ModuleList(ResidualBlock(width, draws) for _ in range(2))
        self.last = StackedLinear(width, d_out, draws)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        h, *gates = self.context(context).split(self.width, dim=-1)
        if self.input is not None:
            h = product(h, x, self.input)
        for block, gate in zip(self.blocks, gates or [None, None], strict=True):
            h = block(h, None if gate is None else steady(torch.sigmoid, gate))
        return self.last(h)


class Standard(nn.Module):
    """y -> (y - mean) / sd of the training rows of each run, or just y. Shapes (R, B, d); mean and sd (R, 1, d)."""

    mean: Tensor
    sd: Tensor

    def __init__(self, runs: int, d: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(runs, 1, d, dtype=torch.float64))
        self.register_buffer("sd", torch.ones(runs, 1, d, dtype=torch.float64))
        self.raw_sd = self.sd

    def fit(self, rows: Tensor, applied: bool) -> None:
        """Take mean and sd from these rows (R, n, d); if not `applied`, use them only for the spread."""
        mean, sd = shift_and_scale(rows)
        self.raw_sd = sd.expand_as(self.sd)
        if applied:
            self.mean.copy_(mean)
            self.sd.copy_(sd)

    def normalise(self, rows: Tensor) -> Tensor:
        return (rows - self.mean) / self.sd

    def restore(self, rows: Tensor) -> Tensor:
        """Inverse of `normalise`."""
        return rows * self.sd + self.mean

    def spread(self, rows: Tensor) -> Tensor:
        """Sd of the training rows after `normalise`, in the precision of `rows`: (R, 1, d)."""
        return (self.raw_sd / self.sd).to(rows)


class Noise:
    """Random numbers for each run from its own stream: the same in any stack and in either precision.

    Args:
        name: of the stream.
        scale: standard deviation of what `add` adds.
    """

    def __init__(self, seeds: Sequence[int], name: str, scale: float) -> None:
        self.draws, self.scale = [stream(seed, name) for seed in seeds], scale

    def add(self, rows: Tensor, spread: Tensor, copies: int) -> list[Tensor]:
        """(R, B, d) -> copies, each with its own normal noise of sd `scale` times `spread`, (R, 1, d)."""
        if self.scale == 0:
            return [rows] * copies
        drawn = np.empty((len(self.draws), copies, *rows.shape[1:]), dtype=np.float32)
        for run, draw in enumerate(self.draws):
            draw.standard_normal(out=drawn[run], dtype=np.float32)
        noise = torch.from_numpy(drawn).to(rows).mul_((self.scale * spread).unsqueeze(1))
        return list((noise + rows.unsqueeze(1)).unbind(1))

    def uniform(self, like: Tensor, d: int) -> Tensor:
        """(R, B, d) uniform numbers in (-1, 1) for rows like these (R, B, ...)."""
        drawn = np.empty((len(self.draws), like.shape[1], d), dtype=np.float32)
        for run, draw in enumerate(self.draws):
            draw.random(out=drawn[run], dtype=np.float32)
        return torch.from_numpy(drawn).to(like).mul_(2).sub_(1)


def normal_log_prob(y: Tensor, mean: Tensor, sd: Tensor) -> Tensor:
    """Log density of independent normal outcomes: (R, B, d_y), three that broadcast -> (R, B)."""
    return (-0.5 * ((y - mean) / sd).square() - sd.log() - 0.5 * math.log(2 * math.pi)).sum(dim=-1)


def normal_quantiles(mean: Tensor, sd: Tensor, levels: Tensor) -> Tensor:
    """Quantiles of normal outcomes: (R, B, d_y), sd that broadcasts, (Q,) -> (R, B, d_y, Q)."""
    return mean.unsqueeze(-1) + sd.unsqueeze(-1) * torch.special.ndtri(levels.to(mean))


def shift_and_scale(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, at least FLOOR, of each column of rows (R, n, d).

    Each (R, 1, d), or (1, 1, d) if all runs share the rows.
    """
    mean, sd = mean_and_sd(rows, dim=1)
    return mean, sd.clamp(min=FLOOR)


class RunningStats(nn.Module):
    """Shift and scale of d columns for each run: the mean and population standard deviation (floor 1e-6).

    s <- s + m (batch - s) with m = `momentum`; the first batch replaces s. A run with precomputed statistics takes them
    once from all training rows, and m = 0 from then on. A run with `unit` gives scale 1 to a column that is constant
    among all training rows.

    Shapes: shift, scale (R, 1, d). Momentum (R,); `precomputed`, `unit` (R,) bools; `unit` defaults to no run.
    """

    shift: Tensor
    scale: Tensor
    momentum: Tensor

    def __init__(
        self, d: int, momentum: Sequence[float], precomputed: Sequence[bool], unit: Sequence[bool] | None = None
    ) -> None:
        super().__init__()
        runs = len(momentum)
        self.unit = torch.tensor(unit or [False] * runs).view(runs, 1, 1)
        # Columns (R, 1, d) with scale 1, known after all training rows have been seen; None: there are none.
        self.held: Tensor | None = None
        self.register_buffer("shift", torch.zeros(runs, 1, d, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(runs, 1, d, dtype=torch.float64))
        running = [0.0 if fixed else m for m, fixed in zip(momentum, precomputed, strict=True)]
        self.register_buffer("momentum", torch.tensor(running, dtype=torch.float64).view(runs, 1, 1), persistent=False)
        self.fresh = True
        self.whole = self.shift, self.scale

    def precompute(self, rows: Tensor) -> None:
        """Take the statistics from all rows (R, n, d); a running average restarts at its first batch."""
        if self.unit.any():
            shared = once(rows)
            same = shared.amin(dim=1, keepdim=True) == shared.amax(dim=1, keepdim=True)
            constant = same & self.unit.to(rows.device)
            self.held = constant if constant.any() else None
        shift, scale = self._of(rows)
        self.whole = shift.expand_as(self.shift), scale.expand_as(self.scale)
        self.shift.copy_(self.whole[0])
        self.scale.copy_(self.whole[1])
        self.fresh = True

    def update(self, batch: Tensor) -> None:
        """Move the running statistics towards those of the batch (R, B, d)."""
        weight = (self.momentum > 0).to(self.momentum) if self.fresh else self.momentum
        shift, scale = self._of(batch)
        self.shift.lerp_(shift, weight)
        self.scale.lerp_(scale, weight)
        self.fresh = False

    def _of(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        shift, scale = shift_and_scale(rows)
        return shift, scale if self.held is None else scale.masked_fill(self.held, 1.0)

    def distance(self) -> tuple[Tensor, Tensor]:
        """Distance of (shift, scale) from those of all training rows, in these rows' standard deviations: (R,) each.

        Root mean square over columns.
        """
        shift, scale = self.whole
        gaps = torch.stack([(self.shift - shift) / scale, (self.scale - scale) / scale])
        off_shift, off_scale = gaps.square().mean(dim=(2, 3)).sqrt()
        return off_shift, off_scale

    def normalise(self, rows: Tensor) -> Tensor:
        """(rows - shift) / scale."""
        return (rows - self.shift) / self.scale

    def restore(self, rows: Tensor) -> Tensor:
        """Inverse of `normalise`."""
        return rows * self.scale + self.shift
