"""How long the spline of flow takes beside zuko's: python -m tests.bench.spline, some seconds.

One value and gradient of the negative log density for 16 runs of 10 rows, single precision: knots from the numbers of a
network, z and its log slope. zuko's transform knows batches of any shape, so that it needs no vmap over the runs; both
are timed. They take turns in one process; printed are medians.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from zuko.transforms import MonotonicRQSTransform

from ssc_sweep.models.spline import forward, knots, number

RUNS, ROWS, BINS, BOUND, ROUNDS, TIMES = 16, 10, 8, 4.0, 9, 100


def native(raw: Tensor, u: Tensor) -> Tensor:
    z, log_slope = forward(u, knots(raw, BINS, BOUND))
    return 0.5 * z.square() - log_slope


def zuko(raw: Tensor, u: Tensor) -> Tensor:
    widths, heights, slopes = raw[..., 1:-1].split([BINS, BINS, BINS - 1], dim=-1)
    z, log_slope = MonotonicRQSTransform(widths, heights, slopes, bound=BOUND).call_and_ladj(u)
    return 0.5 * z.square() - log_slope


def zuko_by_vmap(raw: Tensor, u: Tensor) -> Tensor:
    return torch.func.vmap(zuko)(raw, u)


def milliseconds(density: Callable[[Tensor, Tensor], Tensor], raw: Tensor, u: Tensor) -> float:
    start = time.perf_counter()
    for _ in range(TIMES):
        torch.autograd.grad(density(raw, u).sum(), raw)
    return 1e3 * (time.perf_counter() - start) / TIMES


def main() -> None:
    torch.set_num_threads(1)
    draw = torch.Generator().manual_seed(0)
    raw = torch.randn(RUNS, ROWS, 1, number(BINS), generator=draw).requires_grad_()
    u = torch.randn(RUNS, ROWS, 1, generator=draw)
    ways = (native, zuko, zuko_by_vmap)
    rounds = [[milliseconds(way, raw, u) for way in ways] for _ in range(ROUNDS)]
    print(f"{RUNS} runs of {ROWS} rows, one thread{'ms':>8}{'of native':>12}")
    for i, way in enumerate(ways):
        ratio = statistics.median(times[i] / times[0] for times in rounds)
        print(f"{way.__name__:<31}{statistics.median(times[i] for times in rounds):>8.2f}{ratio:>11.2f}x")


if __name__ == "__main__":
    main()
