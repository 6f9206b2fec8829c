"""Files are written beside their place and moved there in one step: whoever reads one finds it whole."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from ssc_sweep.errors import CannotWrite


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file under another name in the same folder, then move it to `path` in one step.

    Raises:
        UserError: the folder cannot be made or written.
    """
    beside = path.with_name(f".{path.name}.{_host()}.{os.getpid()}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(beside)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def _host() -> str:
    return socket.gethostname().replace(".", "-")


def remove_leftovers(folder: Path) -> None:
    """Remove what processes of this machine that are no more have left half-written in this folder."""
    for path in folder.glob(f".*.{_host()}.*"):
        pid = path.name.rpartition(".")[2]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            path.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in one line that a file cannot be written.

    Raises:
        CannotWrite: what stands inside raised an OSError.
    """
    try:
        yield
    except OSError as error:
        raise CannotWrite(
            f"cannot write {path}: {error.strerror or error}. Choose another folder with outputs=<folder>."
        ) from error


def write_text(path: Path, text: str) -> None:
    write_file(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    write_file(path, lambda beside: beside.write_bytes(content))
