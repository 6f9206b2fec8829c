"""Keep training even if standard output or error is closed, full or gone.

A failure to print is noted, and reported at the end of the command. A pipe on standard output whose reader has left is
different: it ends a command silently, as in `--help | head`.
"""

import io
import os
import sys
from typing import Any, TextIO


class _Patient(io.FileIO):
    """Standard output or error that ignores failed writes."""

    lost: OSError | None = None
    left = False  # the reader of a pipe

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if isinstance(error, BrokenPipeError) and self.fileno() == 1:
                self.left = True
                raise
            self.lost = error
            return memoryview(data).nbytes


_taken: dict[int, _Patient] = {}  # by file number


def make_patient() -> None:
    """Make this process's standard output and error accept everything that is printed.

    If one of them is closed, the null device takes its number: otherwise the next file to be opened would, and would
    receive what is printed. A character that a terminal cannot show, such as a table line, becomes a question mark.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
    sys.stdout = _patient(sys.stdout, sys.__stdout__, 1)
    sys.stderr = _patient(sys.stderr, sys.__stderr__, 2)


def _patient(stream: TextIO | None, own: TextIO | None, number: int) -> TextIO:
    if stream is not own:  # a test or a notebook has put it there
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
        assert stream is not None
        return stream
    _taken[number] = raw = _Patient(number, "w", closefd=False)
    given: dict[str, Any] = {"encoding": "utf-8", "write_through": False}
    if isinstance(stream, io.TextIOWrapper):
        stream.flush()
        given = {
            "encoding": stream.encoding, "line_buffering": stream.line_buffering,
            "write_through": stream.write_through,
        }  # fmt: skip
    # PYTHONUNBUFFERED: write everything at once.
    buffer: Any = raw if given["write_through"] else io.BufferedWriter(raw)
    return io.TextIOWrapper(buffer, errors="replace", **given)


def discard() -> None:
    """Discard what is still printed: the reader has closed the pipe, as in `--help | head`."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def reader_left() -> bool:
    """Return whether nobody reads standard output, a pipe, any more."""
    return 1 in _taken and _taken[1].left


def lost() -> str | None:
    """Return why something could not be printed on standard output; None: nothing was lost."""
    if 1 not in _taken or (error := _taken[1].lost) is None:
        return None
    return error.strerror or str(error)
