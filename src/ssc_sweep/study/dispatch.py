"""Send stacks to the workers, follow them, and handle runs that fail, get lost or belong to another process."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ssc_sweep.errors import CannotWrite
from ssc_sweep.progress import say
from ssc_sweep.study.board import Place, board
from ssc_sweep.study.channel import Reader
from ssc_sweep.study.folder import RunFolder
from ssc_sweep.study.job import GoOn, Job, Outcome, Stack, Status, ended
from ssc_sweep.study.record import write_failure
from ssc_sweep.study.workers import Crew, Lost, Sent
from ssc_sweep.writing import remove_leftovers

LOOK_S = 0.01  # between two checks of the stacks that are being trained
RELEASED_S = 1.0  # the system may tell that a process is dead shortly before it releases its locks
HELD_S = 1.0  # between two checks of runs that another process trains


@dataclass
class _Flying:
    stack: Stack
    sent: Sent
    reader: Reader
    sends: int


class Dispatch:
    """Trains stacks and keeps how their runs ended, by folder."""

    def __init__(
        self,
        crew: Crew,
        advance: Callable[[int, int, int], None],
        decide: GoOn | None = None,
        enough: int | None = None,
        kept: Callable[[Job, Outcome], None] | None = None,
    ) -> None:
        """Set up a dispatch.

        Args:
            crew: the workers that train.
            advance: called with how many (epochs, runs, failed runs) have ended, each summed over runs.
            decide: may stop a stack between two epochs.
            enough: number of failures after which nothing more is begun; None: no limit.
            kept: called with every outcome as it arrives.
        """
        self.crew, self.advance, self.decide, self.enough, self.kept = crew, advance, decide, enough, kept
        self.outcomes: dict[RunFolder, Outcome] = {}
        self.failures = 0
        self._waiting: deque[tuple[Stack, int]] = deque()
        self._flying: list[_Flying] = []
        self._held: list[tuple[Stack, Job]] = []
        self._sent = 0
        self._begun: list[Stack] = []

    def train(self, stacks: Sequence[Stack]) -> None:
        """Train all stacks. After `enough` failures, end those that are being trained.

        Raises:
            UserError: a folder cannot be written; finished runs stay.
        """
        self._waiting.extend((stack, 0) for stack in stacks)
        looked = time.monotonic()
        with ExitStack() as at_the_end, ExitStack() as broken_off:
            study = stacks[0].jobs[0].study if stacks else None
            place = at_the_end.enter_context(board(study)) if study and self.crew.apart else None
            at_the_end.callback(self.crew.tidy)
            broken_off.callback(self._tidy_sent)
            broken_off.callback(self.crew.stop)  # called first
            while (self._waiting or self._flying or self._held) and not self._enough():
                self._send(place)
                self._look()
                if self._held and time.monotonic() - looked > HELD_S:
                    looked = time.monotonic()
                    self._look_at_held()
                if self._flying or self._held:
                    time.sleep(LOOK_S * max(1, len(self._flying) / 4))  # check thousands of tasks less often
            if not self._enough():
                broken_off.pop_all()

    def _tidy_sent(self) -> None:
        """Remove what workers that were killed have left behind."""
        jobs = [job for stack in reversed(self._begun) for job in stack.jobs]  # those that are still trained first
        left = [job.folder for job in jobs]
        until = time.monotonic() + RELEASED_S
        # Why the study was broken off counts more than what cannot be removed.
        while left and time.monotonic() < until:
            for folder in left:
                with suppress(CannotWrite, OSError):
                    folder.tidy()
                if time.monotonic() > until:
                    break
            left = [folder for folder in left if folder.lock.exists()]
            time.sleep(LOOK_S if left else 0)
        for study in dict.fromkeys(job.study for job in jobs):
            with suppress(OSError):
                remove_leftovers(study.tables)

    def _send(self, board: Path | None) -> None:
        free = self.crew.slots - len(self._flying)
        batch = [self._waiting.popleft() for _ in range(min(free, len(self._waiting)))]
        if not batch:
            return
        stacks = [self._placed(stack, board) for stack, _ in batch]
        self._begun += stacks
        for stack, (_, sends), one in zip(stacks, batch, self.crew.send(stacks), strict=True):
            self._flying.append(_Flying(stack, one, Reader(stack), sends + 1))

    def _placed(self, stack: Stack, board: Path | None) -> Stack:
        """Give the stack a new place on the board, so that messages from an earlier attempt are not read."""
        if board is None:
            return stack
        self._sent += 1
        return replace(stack, place=Place(board / str(self._sent)))

    def _enough(self) -> bool:
        return self.enough is not None and self.failures >= self.enough

    def _look(self) -> None:
        for one in list(self._flying):
            self.advance(one.reader.advanced(), 0, 0)
            one.reader.answer(self.decide)
            if one.sent.over():
                self._flying.remove(one)
                self.advance(-one.reader.epochs * len(one.stack.jobs), 0, 0)  # ended stacks are counted as a whole
                try:
                    outcomes = one.sent.outcomes()
                except Lost as lost:
                    self._send_again(one, str(lost))
                else:
                    self._note(one.stack, outcomes)
                if one.stack.place is not None:
                    one.stack.place.clear()

    def _note(self, stack: Stack, outcomes: Sequence[Outcome]) -> None:
        held = []
        for job, outcome in zip(stack.jobs, outcomes, strict=True):
            if outcome.status is Status.HELD:
                held.append((stack, job))
                continue
            self.outcomes[job.folder] = outcome
            failed = int(outcome.status is Status.FAILED)
            self.failures += failed
            self.advance(stack.epochs, 1, failed)
            if self.kept is not None:
                self.kept(job, outcome)
        if held and not self._held:
            say([f"{held[0][1].folder.holder()} trains some of these runs; waiting for them."])
        self._held += held

    def _send_again(self, one: _Flying, why: str) -> None:
        """Note what a lost stack has finished, and send the rest again: as one stack, or run by run."""
        done = [(job, ended(job)) for job in one.stack.jobs]
        over = [(job, outcome) for job, outcome in done if outcome is not None and outcome.status is not Status.FAILED]
        for job, _ in over:
            job.folder.tidy()
        self._note(replace(one.stack, jobs=tuple(job for job, _ in over)), [outcome for _, outcome in over])
        rest = [job for job in one.stack.jobs if job.folder not in self.outcomes]
        if not rest:
            return
        if one.sends <= self.crew.resends:
            self._waiting.append((replace(one.stack, jobs=tuple(rest)), one.sends))
        elif len(rest) > 1 or one.sends == 1:
            self._waiting.extend((replace(one.stack, jobs=(job,)), one.sends) for job in rest)
        else:
            self._give_up(one.stack, rest[0], why)

    def _give_up(self, stack: Stack, job: Job, why: str) -> None:
        lock = job.folder.claim()
        if lock is None:
            self._note(replace(stack, jobs=(job,)), [Outcome(Status.HELD, {})])
            return
        outcome = ended(job)
        if outcome is not None and outcome.status is not Status.FAILED:  # another process has trained it since
            job.folder.release(lock)
            self._note(replace(stack, jobs=(job,)), [outcome])
            return
        trace = "" if stack.place is None else _read(stack.place.crash)
        write_failure(job, f"{trace}\nProcessLost: {why}\n" if trace else f"ProcessLost: {why}\n")
        job.folder.release(lock)
        self._note(replace(stack, jobs=(job,)), [Outcome(Status.FAILED, {}, f"ProcessLost: {why}")])

    def _look_at_held(self) -> None:
        """Note held runs that have ended, and queue those that no process trains any more."""
        held, self._held = self._held, []
        for stack, job in held:
            lock = job.folder.claim()
            if lock is None:
                self._held.append((stack, job))
                continue
            job.folder.release(lock)
            outcome = ended(job)
            if outcome is not None:
                self._note(replace(stack, jobs=(job,)), [outcome])
            else:
                self._waiting.append((replace(stack, jobs=(job,)), 0))


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except FileNotFoundError:
        return ""
