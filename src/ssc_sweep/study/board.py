"""The board: a folder in the study's, through which a command and the stacks that it has sent exchange messages.

It is removed when the command ends. If the command was killed, the next start removes it: its lock is free then,
whatever machine and process number the command had.
"""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from ssc_sweep.study.folder import StudyFolder, locked
from ssc_sweep.writing import writing

BOARDS = ".board-*"


@dataclass(frozen=True)
class Place:
    """The files of one stack on the board."""

    stem: Path

    @property
    def progress(self) -> Path:
        """How many epochs have ended."""
        return self.stem.with_suffix(".progress")

    @property
    def question(self) -> Path:
        """What the stack asks after an epoch."""
        return self.stem.with_suffix(".question")

    @property
    def answer(self) -> Path:
        return self.stem.with_suffix(".answer")

    @property
    def crash(self) -> Path:
        """Where the stack's process was when it crashed."""
        return self.stem.with_suffix(".crash")

    def clear(self) -> None:
        """Remove these files, and half-written ones beside them that a killed process left."""
        for pattern in (f"{self.stem.name}.*", f".{self.stem.name}.*"):
            for path in self.stem.parent.glob(pattern):
                path.unlink(missing_ok=True)


@contextmanager
def board(study: StudyFolder) -> Iterator[Path]:
    """Make a board for this process, and remove it at the end.

    Raises:
        CannotWrite: the study's folder cannot be written.
    """
    path = study.path / BOARDS.replace("*", uuid.uuid4().hex)
    lock = FileLock(path / "lock")
    with locked(study.plan_lock), writing(path):  # so that no process takes it for an abandoned one
        path.mkdir(parents=True)
        lock.acquire()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)  # a task that was not stopped may still write here
        lock.release()


def remove_boards(study: StudyFolder) -> None:
    """Remove the boards of commands that have ended; the caller must hold the lock of the study's plan."""
    for path in study.path.glob(BOARDS):
        lock = FileLock(path / "lock", blocking=False)
        try:
            lock.acquire()
        except Timeout:
            continue
        shutil.rmtree(path, ignore_errors=True)
        lock.release()
