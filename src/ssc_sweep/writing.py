"""Write files so that readers always find them complete, and name folders after any text.

A file is written beside its place and moved there in one step.
"""

import hashlib
import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from ssc_sweep.errors import CannotWrite, UserError

MARK = '<meta name="generator" content="ssc_sweep">'  # in every page that we write


# Most file systems allow folder names of 255 bytes.
LONGEST_NAME = 200


def folder_name(overrides: Sequence[str]) -> str:
    """Return a name for these overrides that is unique and safe on every file system."""
    text = ",".join(overrides)
    safe = re.sub(r"[^\w.,=+-]", "_", text)
    if safe == text and len(safe.encode()) <= LONGEST_NAME:
        return safe
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{safe.encode()[:LONGEST_NAME].decode(errors='ignore')}_{digest}"


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


def settle(folder: Path) -> None:
    """Wait until the disk has the names of the files in this folder, before what they replace is removed.

    Raises:
        UserError: the folder cannot be written.
    """
    with writing(folder):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _host() -> str:
    return socket.gethostname().replace(".", "-")


def remove_leftovers(folder: Path) -> None:
    """Remove half-written files in this folder of processes of this machine that have ended."""
    for path in folder.glob(f".*.{_host()}.*"):
        pid = path.name.rpartition(".")[2]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            path.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError into a one-line error.

    Raises:
        CannotWrite: the block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        raise CannotWrite(
            f"cannot write {path}: {error.strerror or error}. Choose another folder with outputs=<folder>."
        ) from error


def check_ours(page: Path, instead: str) -> None:
    """Check that a page may be written here.

    Args:
        instead: advice if a file that we did not write is in its place.

    Raises:
        UserError: there is such a file, or a folder, or this cannot be determined.
    """
    try:
        if page.is_dir():
            raise UserError(f"{page} is a folder: {instead}.")
        ours = not page.is_file() or MARK.encode() in page.read_bytes()[:2000]
    except OSError as error:
        raise UserError(f"{page} cannot be used: {error.strerror or error}; {instead}.") from error
    if not ours:
        raise UserError(f"{page} was not made by ssc_sweep, and is not overwritten: {instead}.")


def write_text(path: Path, text: str) -> None:
    write_file(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    write_file(path, lambda beside: beside.write_bytes(content))


def leads_out(name: str) -> bool:
    """Return whether a folder of this name may lie outside its parent.

    >>> leads_out("mine/second"), leads_out("../mine"), leads_out("/mine")
    (False, True, True)
    """
    return Path(name).is_absolute() or ".." in Path(name).parts
