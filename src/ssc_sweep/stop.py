"""How a command ends: Ctrl-C, SIGTERM and SIGHUP end it once, at a safe point; then the process exits at once.

The first signal raises `Stopped`, so that senders of work can cancel it. An import is not interrupted, as torch's
native code does not survive that: the command waits up to IMPORT_S for its end, and otherwise ends at once, as by
SIGKILL, which loses nothing that is finished. Further signals - a second Ctrl-C, or a shell that signals every
process - are ignored for PATIENCE_S; after that they end the command at once too.
"""

import atexit
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import NoReturn

from ssc_sweep import output
from ssc_sweep.errors import go_on
from ssc_sweep.lines import tell_error

PATIENCE_S = 5.0
IMPORT_S = 2.0  # longest wait for the end of an import
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AGAIN_S = 0.05  # between two checks whether an import is over

# Called before the process ends. Must take next to no time.
at_once: list[Callable[[], None]] = []

_begun = False
_asked: tuple[float, int] | None = None  # when the command was told to stop, and by which signal
_raised = False
_code: int | None = None  # with which `run` ends the process


class Stopped(KeyboardInterrupt):
    """This signal has told the command to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


def listen() -> None:
    """Handle the signals from now on, except those that the parent process made this one ignore, as nohup does."""
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _answer)


class Command:
    """A command that may be told to stop: then the `with` block raises `Stopped`, whatever else was raised meanwhile.

    A library that cleans up after an exception may raise another one over it.
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
    """Block the signals: the process is about to end, and can no longer handle them. An alarm may still be set."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (*SIGNALS, signal.SIGALRM))


def said() -> str:
    """Return the line of a command that was stopped."""
    return f"stopped. {go_on()}"


def end_fast() -> None:
    """Let `run` skip what Python does last: to free every object, one by one.

    With torch loaded that takes a tenth of a second, and many seconds where memory is slow; the system frees the
    memory of a process that has ended at once. Call it before other imports: what is registered first is called last,
    after what libraries do at the end.
    """
    atexit.register(_end_at_once)


def run(main: Callable[[], int | None], at_last: Callable[[], None] = lambda: None) -> NoReturn:
    """Run a command and end the process with its exit code: what `main` returns (None: 0) or passes to sys.exit.

    If what it printed could not be written to standard output, 0 becomes 1. If the reader of its pipe has left, as in
    `--help | head`, the exit code is that of SIGPIPE. Any other exception is a bug; Python shows its traceback.

    Args:
        at_last: called once all is printed, and after a bug too.
    """
    global _code
    output.make_patient()
    try:
        code = _returned(main)
        sys.stdout.flush()
    except BrokenPipeError:
        if not output.reader_left():
            raise  # another pipe
        output.discard()
        code = 128 + signal.SIGPIPE
    finally:
        at_last()
    if code == 0 and (why := output.lost()) is not None:
        tell_error(f"what was printed could not be written to standard output: {why}.")
        code = 1
    _code = code
    sys.exit(code)


def _returned(main: Callable[[], int | None]) -> int:
    try:
        return main() or 0
    except SystemExit as ended:
        if not isinstance(ended.code, int | None):
            raise  # text, which Python prints
        return ended.code or 0


def _end_at_once() -> None:
    if _code is None:  # `run` did not come to its end
        return
    for work in at_once:
        work()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(_code)


def _answer(number: int, frame: FrameType | None) -> None:
    global _asked, _raised
    if _asked is None:
        _asked = time.monotonic(), number
    since, first = _asked
    waited = time.monotonic() - since
    if not _begun or (not _raised and waited > IMPORT_S) or waited > PATIENCE_S:
        shown = b"\x1b[?25h" if os.isatty(2) else b""  # a bar may have hidden the cursor
        os.write(2, shown + f"\n{said()}\n".encode())
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
