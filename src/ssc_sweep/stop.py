"""Ctrl-C, SIGTERM and SIGHUP end a command once, at a place where it can be left.

The first of them raises `Stopped`, so that whoever has sent work takes it back. An import is not broken off, for
torch's native code does not survive it: the command waits a moment for its end, and then ends on the spot, as by
SIGKILL, which costs nothing that is finished. Signals that follow - a second Ctrl-C, or a shell that tells every
process - change nothing for PATIENCE_S; a command that has not ended by then ends on the spot too.
"""

import os
import signal
import time
from collections.abc import Callable
from types import FrameType, TracebackType

PATIENCE_S = 5.0
IMPORT_S = 2.0  # at most, for the end of an import
SAID = "stopped. What is finished stays; the same command with study=<its folder> goes on."
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AGAIN_S = 0.05  # between two looks whether an import is over

# What is done before the command ends on the spot. It must take no time.
at_once: list[Callable[[], None]] = []

_begun = False
_asked: tuple[float, int] | None = None  # when the command was told to stop, and by which signal
_raised = False


class Stopped(KeyboardInterrupt):
    """The command has been told to stop, by this signal."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


def listen() -> None:
    """Answer the signals from now on, but for those that whoever started this process has it ignore, as nohup does."""
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _answer)


class Command:
    """A command that may be told to stop: with it, `Stopped` comes out of it whatever else was raised on the way.

    A library that puts things in order after an exception may raise another one over it.
    """

    def __enter__(self) -> None:
        global _begun, _asked, _raised
        _begun, _asked, _raised = True, None, False
        listen()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if _raised and _asked is not None and error is not None and not isinstance(error, Stopped):
            raise Stopped(_asked[1]) from error


def listen_no_more() -> None:
    """Leave the signals unanswered: the process is about to end, and has nobody who could answer."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def _answer(number: int, frame: FrameType | None) -> None:
    global _asked, _raised
    if _asked is None:
        _asked = time.monotonic(), number
    since, first = _asked
    waited = time.monotonic() - since
    if not _begun or (not _raised and waited > IMPORT_S) or waited > PATIENCE_S:
        os.write(2, f"\n{SAID}\n".encode())
        for work in at_once:
            work()
        os._exit(128 + first)
    elif _raised:
        return
    elif _importing(frame):
        signal.signal(signal.SIGALRM, _answer)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
    else:
        _raised = True
        raise Stopped(first)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False
