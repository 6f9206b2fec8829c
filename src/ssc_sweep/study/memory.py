"""How much memory a stack takes and how much is free, to limit the size of stacks."""

import resource
from collections.abc import Sequence
from pathlib import Path

import psutil
from torch import Tensor

from ssc_sweep.config import RunConfig
from ssc_sweep.data.splitting import DataSplit, same_rows_for_all_seeds
from ssc_sweep.training.measure import ROWS_AT_ONCE
from ssc_sweep.training.stack import SHUFFLED_AT_ONCE

# Fitted to the measured peaks of eleven kinds of stack: `python -m tests.bench.peak`. In order: copies of the weights
# (gradients and moments are made one after another and reuse freed memory); numbers alive for each layer output and
# measured row; the fixed part of any stack.
COPIES, ACTIVE, ANY_STACK = 2.8, 0.8, 15 * 2**20


def bytes_of_a_number(config: RunConfig) -> int:
    return 8 if config.precision.dtype == "float64" else 4


def of_stack(
    config: RunConfig, data: DataSplit, parameters: Sequence[Tensor], every_treatment: bool
) -> tuple[int, int]:
    """Return the bytes taken by (each run of a stack, all of its runs together).

    Args:
        parameters: those of a model of one run.
        every_treatment: see `Predictor.every_treatment`.
    """
    size = bytes_of_a_number(config)
    weights = sum(p.numel() for p in parameters)
    outputs = sum(p.numel() // p.shape[-2] for p in parameters if p.ndim > 1 and p.shape[-2] > 1)
    passes = len(data.cohort.treatments) if every_treatment else 1
    active = outputs * max(config.batch.size, min(ROWS_AT_ONCE, len(data.val.t))) * passes * ACTIVE
    columns = data.train.x.shape[1] + data.train.y.shape[1] + 1
    rows = sum(len(part.t) for part in (data.train, data.val, data.test) if part is not None) * columns
    shuffled = len(data.train.t) * columns
    # Rows as they were split, in double precision, and as the model has them.
    loaded = rows * (8 + size)
    each, once = size * (weights * COPIES + active), ANY_STACK
    each += size * min(shuffled, SHUFFLED_AT_ONCE)
    if same_rows_for_all_seeds(config):
        once += loaded
    else:
        each += loaded
    return int(each), int(once)


def free_memory() -> int:
    """Return the bytes that this process and its children can still take: machine, control group and own limit."""
    free = [psutil.virtual_memory().available]
    group = Path("/sys/fs/cgroup")
    limit, used = (_number(group / name) for name in ("memory.max", "memory.current"))
    if limit is not None and used is not None:
        free.append(max(0, limit - used))
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        free.append(max(0, soft - psutil.Process().memory_info().vms))
    return min(free)


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None
