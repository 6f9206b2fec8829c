"""Files are written beside their place and moved there in one step: whoever reads one finds it whole."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from ssc_sweep.errors import CannotWrite, UserError

MARK = '<meta name="generator" content="ssc_sweep">'  # what every page of ours holds


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


def check_ours(page: Path, instead: str) -> None:
    """Check that a page of ours may be written here.

    Args:
        instead: what to do where a file that we have not made is in its place.

    Raises:
        UserError: there is one, or a folder, or this cannot be found out.
    """
    try:
        if page.is_dir():
            raise UserError(f"{page} is a folder: give a file in it, such as {page / 'audit.html'}.")
        ours = not page.is_file() or MARK.encode() in page.read_bytes()[:2000]
    except OSError as error:
        raise UserError(f"{page} cannot be used: {error.strerror or error}; {instead}.") from error
    if not ours:
        raise UserError(f"{page} was not made by ssc_sweep, and is not overwritten: {instead}.")


def write_text(path: Path, text: str) -> None:
    write_file(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    write_file(path, lambda beside: beside.write_bytes(content))
