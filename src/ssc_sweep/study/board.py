"""Where the stacks that a command has sent, and the command, leave word for each other: a folder inside the study's.

It goes with the command. One whose command was killed goes at the next start: its lock is free then, whichever machine
and whichever number that process had.
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
        """How many epochs have come to an end."""
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
        """Where the stack's process was when the machine ended it."""
        return self.stem.with_suffix(".crash")

    def clear(self) -> None:
        """Remove them, and what a process that was killed has left half-written beside them."""
        for pattern in (f"{self.stem.name}.*", f".{self.stem.name}.*"):
            for path in self.stem.parent.glob(pattern):
                path.unlink(missing_ok=True)


@contextmanager
def board(study: StudyFolder) -> Iterator[Path]:
    """A board for this process.

    Raises:
        CannotWrite: the study's folder cannot be written.
    """
    path = study.path / BOARDS.replace("*", uuid.uuid4().hex)
    lock = FileLock(path / "lock")
    with locked(study.plan_lock), writing(path):  # nobody takes it for one that was left
        path.mkdir(parents=True)
        lock.acquire()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)  # a task that nobody has stopped may still write here
        lock.release()


def remove_boards(study: StudyFolder) -> None:
    """Remove the boards of commands that are no more; whoever calls it holds the lock of the study's plan."""
    for path in study.path.glob(BOARDS):
        lock = FileLock(path / "lock", blocking=False)
        try:
            lock.acquire()
        except Timeout:
            continue
        shutil.rmtree(path, ignore_errors=True)
        lock.release()
