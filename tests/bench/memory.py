"""What memory the rows of a stack take: python -m tests.bench.memory [rows], about two minutes for a million rows.

Runs that differ in nothing but their seed train on the same rows. Each line is a process of its own: a cohort of 50
covariates, its split and one epoch of mean_teacher, through the real loop. The last column is what R runs take beyond
one run; a copy of the rows for each would take R - 1 times the third column.
"""

import resource
import subprocess
import sys
from functools import partial

import torch
from hydra import compose, initialize_config_dir

from ssc_sweep.config import check, conf_dir
from ssc_sweep.data.source import Data
from ssc_sweep.models.choice import choose
from ssc_sweep.models.contract import Sizes
from ssc_sweep.study.prepare import optimizer_of
from ssc_sweep.training.loop import Schedule, train
from ssc_sweep.training.stack import assemble

COLUMNS, STACKS = 50, (1, 16)


def peak(rows: int, runs: int) -> float:
    """Train in this process and return its peak resident memory, MiB."""
    words = [
        *("model=mean_teacher", "model.width=16", "dataset=synthetic", f"dataset.rows={rows}"),
        *(f"dataset.d_x={COLUMNS}", "batch.size=4096", "epochs=1"),
    ]
    with initialize_config_dir(str(conf_dir())):
        config = check(compose("config", words))
    data = Data()
    splits = [data.split(config.with_seed(seed)) for seed in range(runs)]
    model = choose(config.model).build(Sizes(COLUMNS, 1, 2), list(range(runs)), [config.stats_mode] * runs)
    optimizer = partial(optimizer_of(config.optimizer), lr=[1e-3] * runs, weight_decay=[0.0] * runs)
    schedule = Schedule(1, config.batch.size, False, 1.0, probes=True)
    stack = assemble(splits, torch.float32, torch.device("cpu"))
    train(model.to(torch.float32), stack, optimizer, schedule, lambda: None)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(rows: int) -> None:
    copy = rows * (COLUMNS + 2) * 4 / 2**20
    print(f"{'runs':>6}{'peak, MiB':>12}{'rows of one run, MiB':>24}{'beyond one run, MiB':>24}")
    alone = 0.0
    for runs in STACKS:
        command = [sys.executable, "-m", "tests.bench.memory", str(rows), str(runs)]
        found = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        alone = alone or found
        print(f"{runs:>6}{found:>12.0f}{copy:>24.0f}{found - alone:>24.0f}")


if __name__ == "__main__":
    arguments = [int(word) for word in sys.argv[1:]]
    if len(arguments) == 2:
        print(peak(*arguments))
    else:
        main(*arguments or [1_000_000])
