"""Train stacks in worker processes of this machine, or in this process. On clusters: `slurm_and_ray`.

Each worker is a pool of one process (concurrent.futures). A pool of several breaks as a whole when one of its processes
is killed, and loses what the others were training; here a dead worker costs only its own stack, and is replaced.
Workers are forked from a server that has loaded torch (multiprocessing's forkserver), so they start within milliseconds
and share its memory. A worker ends when the process that started it ends, however that happens.
"""

import atexit
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait
from typing import Protocol

import psutil

from ssc_sweep import stop
from ssc_sweep.study.channel import Direct
from ssc_sweep.study.job import GoOn, Outcome, Stack

PRELOADED = ["ssc_sweep.__main__", "ssc_sweep.study.execute"]
SERVER = "multiprocessing.forkserver"  # stands in the command line of the server
if any(word.startswith(f"from {SERVER} import main") for word in sys.orig_argv):
    # This is the server, which ends when the command has ended, also by SIGKILL. It frees nothing, see `stop.end_fast`.
    atexit.register(os._exit, 0)
# glibc reads this when a process starts. With pages of 2 MB instead of 4 KB, Linux and the processor look up addresses
# less often, which costs most on virtual machines: `python -m tests.bench.pages`.
TUNABLES, HUGE_PAGES = "GLIBC_TUNABLES", "glibc.malloc.hugetlb"


class Lost(Exception):
    """The worker that trained a stack has died; the message says what is known."""


class Sent(Protocol):
    """A stack that is being trained."""

    def over(self) -> bool:
        """Return whether it has ended or got lost."""

    def outcomes(self) -> list[Outcome]:
        """Return how its runs ended.

        Raises:
            Lost: that is not known; the folders say which runs are finished.
            UserError: a folder cannot be written.
        """


class Crew(Protocol):
    """The workers that train stacks.

    Attributes:
        slots: how many stacks are trained at the same time.
        resends: how often a lost stack is sent again as it is, before its runs are tried one by one.
        asks: whether a stack can ask whether to go on.
        apart: whether other processes train, and report on a board.
    """

    slots: int
    resends: int
    asks: bool
    apart: bool

    def send(self, stacks: Sequence[Stack]) -> list[Sent]:
        """Begin to train these stacks, at most one per free slot."""

    def stop(self) -> None:
        """End all training at once."""

    def tidy(self) -> None:
        """Remove everything but logs, after all stacks have ended."""


@contextmanager
def _spared() -> Iterator[None]:
    """Make processes started inside ignore Ctrl-C, which goes to all processes of a terminal."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    try:
        # It must outlive this process, also when the terminal is closed: it ignores SIGINT and SIGTERM by itself, and
        # keeps the mask that it starts with. Started inside, it would unblock Ctrl-C again.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _huge_pages() -> Iterator[None]:
    """Make processes started inside use huge pages where Linux gives them to who asks; the user's word counts more."""
    before = os.environ.get(TUNABLES)
    if HUGE_PAGES not in (before or ""):
        os.environ[TUNABLES] = f"{before}:{HUGE_PAGES}=1" if before else f"{HUGE_PAGES}=1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[TUNABLES]
        else:
            os.environ[TUNABLES] = before


def start_server() -> None:
    """Begin to load torch in the server that workers are forked from, while this process goes on."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
    with _spared(), _huge_pages():
        forkserver.ensure_running()
    if end_server not in stop.at_once:
        stop.at_once.append(end_server)


def end_server() -> None:
    """End the server, whatever it is doing: a worker that it started now would have no work."""
    for child in psutil.Process().children():
        with suppress(psutil.Error, ChildProcessError):
            if SERVER in " ".join(child.cmdline()):
                child.kill()
                # WNOWAIT: multiprocessing reaps it when it starts the server again.
                os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)


class _Worker:
    """One process."""

    def __init__(self, threads: int) -> None:
        self.pool = ProcessPoolExecutor(
            1, multiprocessing.get_context("forkserver"), initializer=_begin, initargs=(threads,)
        )
        with _spared(), _huge_pages():  # restarts the server if it was killed
            self.pid: Future[int] = self.pool.submit(os.getpid)

    def end(self) -> None:
        """End the process at once; no file is half-written under its final name."""
        with suppress(BrokenProcessPool, ProcessLookupError):  # it has ended
            os.kill(self.pid.result(), signal.SIGKILL)

    def kill(self) -> None:
        """End the process and wait until it is gone."""
        self.end()
        self.pool.shutdown(wait=True, cancel_futures=True)


class _Local:
    """A stack in a worker."""

    def __init__(
        self, worker: _Worker, future: "Future[list[Outcome]]", give_back: Callable[[_Worker, bool], None]
    ) -> None:
        self.worker, self.future, self.give_back = worker, future, give_back

    def over(self) -> bool:
        return self.future.done()

    def outcomes(self) -> list[Outcome]:
        try:
            found = self.future.result()
        except BrokenProcessPool as error:
            self.give_back(self.worker, False)
            raise Lost("the process that trained it was killed, ran out of memory or crashed") from error
        self.give_back(self.worker, True)
        return found


class Workers:
    """Processes of this machine, started when first needed and then kept."""

    resends = 0
    asks = True
    apart = True

    def __init__(self, slots: int, threads: int = 1) -> None:
        self.slots, self.threads = slots, threads
        self._idle: list[_Worker] = []
        self._all: list[_Worker] = []
        start_server()

    def send(self, stacks: Sequence[Stack]) -> list[Sent]:
        return [self._send(stack) for stack in stacks]

    def _send(self, stack: Stack) -> Sent:
        # Imported here: the parent need not load what workers need.
        from ssc_sweep.study.execute import run_stack

        while True:
            worker = self._idle.pop() if self._idle else self._start()
            try:
                return _Local(worker, worker.pool.submit(run_stack, stack), self._give_back)
            except BrokenProcessPool:  # it was killed while idle
                self._give_back(worker, False)

    def _start(self) -> _Worker:
        worker = _Worker(self.threads)
        self._all.append(worker)
        return worker

    def _give_back(self, worker: _Worker, whole: bool) -> None:
        if whole:
            self._idle.append(worker)
        else:
            self._all.remove(worker)
            worker.kill()

    def stop(self) -> None:
        if not all(worker.pid.done() for worker in self._all):
            end_server()
        # All at once: a process takes a moment to end.
        for worker in self._all:
            worker.end()
        for worker in self._all:
            worker.kill()
        self._all, self._idle = [], []

    def tidy(self) -> None:
        pass  # they are kept for the next stacks


_hired: list[Workers] = []


def hire(slots: int) -> Workers:
    """Return worker processes of this machine, kept for later stacks of this command."""
    if not _hired or _hired[-1].slots != slots:
        _hired.append(Workers(slots))
    return _hired[-1]


def dismiss() -> None:
    """End the workers that this process has hired. Who calls `hire` must see to it that this is called."""
    for workers in _hired:
        workers.stop()
    _hired.clear()


def _begin(threads: int) -> None:
    """Set up a worker. Ctrl-C goes to all processes of a terminal, and only the parent handles it."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


class _Here:
    """A stack that has been trained already."""

    def __init__(self, outcomes: list[Outcome]) -> None:
        self.found = outcomes

    def over(self) -> bool:
        return True

    def outcomes(self) -> list[Outcome]:
        return self.found


class ThisProcess:
    """Trains a stack at once, in the process that sends it, with all of its threads."""

    slots = 1
    resends = 0
    asks = False
    apart = False

    def __init__(self, advance: Callable[[int], None], decide: GoOn | None) -> None:
        self.advance, self.decide = advance, decide

    def send(self, stacks: Sequence[Stack]) -> list[Sent]:
        from ssc_sweep.study.execute import run_stack

        sent: list[Sent] = []
        for stack in stacks:
            channel = Direct(stack, self.advance, self.decide)
            sent.append(_Here(run_stack(stack, channel)))
            self.advance(-channel.epochs * len(stack.jobs))  # the sender counts ended stacks
        return sent

    def stop(self) -> None:
        pass

    def tidy(self) -> None:
        pass
