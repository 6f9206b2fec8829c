"""Check jobs, cut them into stacks, have these trained, keep the weights that are wanted, and return the outcomes."""

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from ssc_sweep import admission
from ssc_sweep.progress import passing, progress_bar, say
from ssc_sweep.steering import Running
from ssc_sweep.study import packed
from ssc_sweep.study.cut import cut
from ssc_sweep.study.dispatch import Dispatch
from ssc_sweep.study.folder import RunFolder
from ssc_sweep.study.job import GoOn, Job, Outcome, Stack, Status, Tally
from ssc_sweep.study.memory import free_memory
from ssc_sweep.study.prepare import Prepared, prepare
from ssc_sweep.study.preview import show
from ssc_sweep.study.record import write_table
from ssc_sweep.study.trainer import chosen_device
from ssc_sweep.study.workers import Crew, ThisProcess, hire

GIB = 2**30
A_TABLE = 16  # runs of a table that is made of folders: about a stack


class Site(Protocol):
    """Where stacks are trained.

    Attributes:
        elsewhere: whether other machines train, even a single run; each finds out which devices it has.
    """

    @property
    def elsewhere(self) -> bool: ...

    def hire(self, slots: int) -> Crew:
        """Return the workers that train at most `slots` stacks at the same time.

        Raises:
            UserError: there are none to be had.
        """

    def show(self, stacks: int) -> None:
        """Print what else a dry run says about this many stacks."""


class ThisMachine:
    """Worker processes of this machine, kept for later stacks of the command."""

    elsewhere = False

    def hire(self, slots: int) -> Crew:
        return hire(slots)

    def show(self, stacks: int) -> None:
        pass


def conduct(
    jobs: Sequence[Job],
    running: Running,
    site: Site,
    begin: Callable[[Prepared], None],
    decide: GoOn | None = None,
    tally: Tally | None = None,
    quiet: bool = False,
) -> list[Outcome | None]:
    """Train every job that has not ended yet. Return how each ended, in order; None: not begun after too many failures.

    Args:
        jobs: with distinct folders.
        site: where they are trained. With workers=0 this process trains them.
        begin: called when every job has been checked, before anything is written or trained.
        decide: may stop a stack between two epochs; its runs are then pruned. Needs probes=true.
        tally: failures of the command so far; None: a single run, which this process trains with all threads.
        quiet: show no progress.

    Raises:
        UserError: a config does not fit its data, or a folder cannot be used or written.
    """
    keeps, packs = running.weights(len(jobs)), running.files(len(jobs)) == "tables"
    jobs = [replace(job, weights=keeps != "none", retry=running.retry is not None) for job in jobs]
    prepared = prepare(jobs)
    device = running.device if site.elsewhere else chosen_device(running.device)
    to_do = sum(len(group.jobs) for group in prepared.groups)
    # Train each run of a study with one thread, even the last one, so that its result does not change.
    alone = to_do == 0 or (not site.elsewhere and (tally is None or running.workers == 0))
    tally = tally or Tally()
    workers = 1 if alone else slots(running, device)
    budget = free_memory() / 2 if running.memory_budget is None else running.memory_budget * GIB
    arms = [str(job.folder.path.parent) for job in jobs]
    parts = cut(prepared.groups, arms, workers, int(budget / workers), device, decide is not None)
    if running.dry_run:
        say(prepared.notes)
        show(jobs, prepared, parts, workers, device, packs)
        site.show(len(parts))
        return [None] * len(jobs)
    crew = None if alone else site.hire(workers)  # before anything is written: it may fail
    begin(prepared)
    for index in prepared.ended:
        jobs[index].folder.tidy()
    if packs:
        _pack([jobs[index] for index, one in prepared.ended.items() if one.status is not Status.FAILED])
    best = _Best() if keeps == "best" else None
    if best is not None:
        for index, outcome in prepared.ended.items():
            best(jobs[index], outcome)
    enough = None if running.enough is None else running.enough - tally.failures
    with progress_bar(len(jobs), sum(job.config.epochs for job in jobs), quiet) as advance:
        failed = sum(one.status is Status.FAILED for one in prepared.ended.values())
        advance(sum(jobs[index].config.epochs for index in prepared.ended), len(prepared.ended), failed)
        crew = crew or ThisProcess(lambda epochs: advance(epochs, 0, 0), decide)
        asks = decide is not None and crew.asks
        of_all: dict[str, Any] = {"device": device, "asks": asks, "admitted": admission.admitted(), "packs": packs}
        stacks = [Stack(tuple(jobs[i] for i in part.jobs), **of_all) for part in parts]
        dispatch = Dispatch(crew, advance, decide, enough, best)
        dispatch.train(stacks)
    tally.failures += dispatch.failures
    outcomes = {jobs[index].folder: outcome for index, outcome in prepared.ended.items()} | dispatch.outcomes
    return [outcomes.get(job.folder) for job in jobs]


def slots(running: Running, device: str) -> int:
    """Return how many stacks are trained at the same time."""
    if device == "cuda":
        return 1
    # Imported here, so that a command that trains nothing need not load it.
    from joblib import cpu_count

    return int(running.workers or cpu_count())


def _pack(ended: Sequence[Job]) -> None:
    """Gather finished runs that lie in folders: of a command that was killed, or kept folders."""
    loose = [job for job in ended if packed.find(job.folder.path) is None]
    for start in passing(range(0, len(loose), A_TABLE), "tables written"):
        with ExitStack() as claims:
            mine = []
            for job in loose[start : start + A_TABLE]:
                if (lock := job.folder.claim()) is not None:
                    claims.callback(job.folder.release, lock)
                    mine.append(job.folder)
            loose[start].study.look()  # another process may have packed some before they were claimed
            write_table(loose[start].study, mine)


class _Best:
    """Keeps the weights of each arm's best run; removes all others, also those of earlier commands and rounds."""

    def __init__(self) -> None:
        self.best: dict[Path, tuple[float, RunFolder]] = {}

    def __call__(self, job: Job, outcome: Outcome) -> None:
        arm = job.folder.path.parent
        if arm not in self.best:
            for path in sorted(arm.glob(f"*/{job.folder.model.name}")):
                before = RunFolder(path.parent)
                if before.has(before.done):
                    metrics = before.read_metrics()
                    self._weigh(arm, before, Outcome(Status(metrics["status"]), metrics))
        self._weigh(arm, job.folder, outcome)

    def _weigh(self, arm: Path, folder: RunFolder, outcome: Outcome) -> None:
        rmse = outcome.value if outcome.status is Status.FINISHED else math.inf
        best = self.best.get(arm)
        if best is None or rmse < best[0]:
            self.best[arm] = (rmse, folder)
            if best is not None:
                best[1].remove_model()
        elif folder != best[1]:
            folder.remove_model()
