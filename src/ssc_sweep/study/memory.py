"""How much memory a stack takes, and how much there is: what the size of stacks is cut to."""

import resource
from collections.abc import Sequence
from pathlib import Path

import psutil
from torch import Tensor

from ssc_sweep.config import RunConfig
from ssc_sweep.data.splitting import DataSplit, same_rows_for_all_seeds
from ssc_sweep.training.measure import ROWS_AT_ONCE
from ssc_sweep.training.stack import SHUFFLED_AT_ONCE

# Fitted to the measured peaks of eleven kinds of stack: `python -m tests.bench.peak`. Copies of the weights (gradients
# and moments come one after another, the first memory to be freed is used again); numbers that are alive for each
# output of a layer and row that is measured; what any stack takes.
COPIES, ACTIVE, ANY_STACK = 2.8, 0.8, 15 * 2**20


def bytes_of_a_number(config: RunConfig) -> int:
    return 8 if config.precision.dtype == "float64" else 4


def of_stack(
    config: RunConfig, data: DataSplit, parameters: Sequence[Tensor], every_treatment: bool
) -> tuple[int, int]:
    """Bytes that (each run of a stack, all of its runs together) take.

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
    # As they were split, in double precision, and as the model has them.
    loaded = rows * (8 + size)
    each, once = size * (weights * COPIES + active), ANY_STACK
    each += size * min(shuffled, SHUFFLED_AT_ONCE)
    if same_rows_for_all_seeds(config):
        once += loaded
    else:
        each += loaded
    return int(each), int(once)


def free_memory() -> int:
    """Bytes that this process and those it starts can still take: of the machine, its control group, their limit."""
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
