"""Show what a command would train: dry_run=true. Trains a few steps of each kind of run to time it; keeps nothing."""

import time
from collections.abc import Sequence
from dataclasses import replace

import torch
from rich.console import Console

from ssc_sweep.config import RunConfig
from ssc_sweep.data.source import Data
from ssc_sweep.data.splitting import DataSplit
from ssc_sweep.lines import counted, tell
from ssc_sweep.progress import passing
from ssc_sweep.study.cut import Part
from ssc_sweep.study.job import Job, Status
from ssc_sweep.study.packed import FILES
from ssc_sweep.study.prepare import Group, Prepared
from ssc_sweep.study.trainer import dtype_of, make_trainer
from ssc_sweep.terminal_table import TableColumn, TableRow, TerminalTable
from ssc_sweep.training.history import FIRST_STEPS
from ssc_sweep.training.loop import subnormals_are_zero, train
from ssc_sweep.training.stack import StackRows, assemble

COUNTED = ("runs", "finished", "failed", "to train")
TIMED_RUNS, TIMED_STEPS = 4, 10
# Bytes of a run's folder besides its weights: per step and epoch in history.csv, per row predicted, and for the small
# files. Measured on finished runs.
HISTORY_ROW, PREDICTED_ROW, SMALL_FILES = 600, 45, 5_000


def show(
    jobs: Sequence[Job], prepared: Prepared, parts: Sequence[Part], workers: int, device: str, packs: bool
) -> None:
    """Print arms, runs, stacks, what has been done already, expected time and disk space."""
    console = Console()
    rows = []
    arms: dict[str, list[int]] = {}
    for index, job in enumerate(jobs):
        arms.setdefault(job.folder.path.parent.relative_to(job.study.path).as_posix(), []).append(index)
    for arm, members in arms.items():
        found = [prepared.ended[i].status for i in members if i in prepared.ended]
        failed = sum(status is Status.FAILED for status in found)
        counts = len(members), len(found) - failed, failed, len(members) - len(found)
        rows.append(TableRow(arm, [f"{count:,}" for count in counts]))
    console.print(TerminalTable("", "arm", [TableColumn(name) for name in COUNTED], [rows]))
    to_do = sum(len(group.jobs) for group in prepared.groups)
    tell(f"{counted(len(jobs), 'run')}: {to_do} to train, {len(prepared.ended)} have ended before")
    if not to_do:
        return
    sizes = sorted((len(part.jobs) for part in parts), reverse=True)
    who = "one stack at a time" if workers == 1 else f"{workers} workers"
    largest = max(part.bytes for part in parts) / 2**20
    each = f"{sizes[-1]} to " * (sizes[0] > sizes[-1]) + counted(sizes[0], "run")
    tell(f"{counted(len(parts), 'stack')} of {each} on {device}, {who}; memory of the largest: {largest:.0f} MiB")
    seconds = sum(training_seconds(jobs, group) for group in passing(prepared.groups, "kinds of runs timed"))
    time_left = _duration(seconds / workers)
    tell(f"about {time_left} of training (a few steps were timed), {_disk(jobs, prepared) / 2**20:.0f} MiB on disk")
    tell(_files(jobs, prepared, len(parts), packs))
    tell("dry_run=true: nothing was written and nothing trained.")


def _files(jobs: Sequence[Job], prepared: Prepared, stacks: int, packs: bool) -> str:
    """Return how many files the runs to train will have, and whether these are folders or tables."""
    weights = sum(jobs[index].weights for group in prepared.groups for index in group.jobs)
    beside = f", and up to {weights:,} of weights" if weights else ""
    if packs:
        return f"run_files=tables: {counted(stacks, 'file')}, one a stack{beside}"
    runs = sum(len(group.jobs) for group in prepared.groups)
    return f"run_files=folders: {len(FILES) * runs:,} files, {len(FILES)} a run{beside}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def training_seconds(jobs: Sequence[Job], group: Group) -> float:
    """Return the time that one thread needs for all runs of a group, from the first steps of a few of them."""
    some = [jobs[i].config for i in group.jobs[: 1 if group.alone else TIMED_RUNS]]
    data = Data()
    splits = [data.split(config) for config in some]
    size = some[0].batch.size
    rows = assemble(splits, dtype_of(some[0]), torch.device("cpu"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    few, more = (_timed(some, splits[0], rows, steps * size) for steps in (TIMED_STEPS, 2 * TIMED_STEPS))
    torch.set_num_threads(threads)
    step = max(0.0, more - few) / TIMED_STEPS
    measured = max(0.0, few - TIMED_STEPS * step) * group.rows_val / min(TIMED_STEPS * size, group.rows_val)
    return (step * group.steps + measured) * len(group.jobs) / len(some)


def _timed(some: Sequence[RunConfig], data: DataSplit, rows: StackRows, n: int) -> float:
    """Return the seconds that a stack takes to train once on its first n rows, and to be measured on as many."""
    parts = (replace(part, x=part.x[:, :n], t=part.t[:, :n], y=part.y[:, :n]) for part in (rows.train, rows.val))
    trainer = make_trainer(some, data, torch.device("cpu"))
    once = replace(trainer.schedule, epochs=1, drop_last=False, probes=False)
    start = time.perf_counter()
    with subnormals_are_zero():
        train(trainer.model, StackRows(*parts), trainer.make_optimizer, once, lambda: None)
    return time.perf_counter() - start


def _disk(jobs: Sequence[Job], prepared: Prepared) -> float:
    total = 0.0
    for group in prepared.groups:
        config = jobs[group.jobs[0]].config
        rows = config.epochs + (min(FIRST_STEPS, group.steps) if config.probes else 0)
        each = SMALL_FILES + HISTORY_ROW * rows + PREDICTED_ROW * group.rows_val
        each += group.weights if jobs[group.jobs[0]].weights else 0
        total += each * len(group.jobs)
    return total
