"""Track which process owns which trial, and which trials were abandoned.

A process writes its name into the trials it works on, and its place: machine and study folder.

In its own place it holds a lock on a file of its name while it lives. The system releases the lock when the process
ends, however it ends. So a trial whose owner's lock is free was abandoned, and another process may take it over.

Processes in other places watch a number in the storage that the owner increments every BEAT_S. An owner whose number
has not changed for DEAD_S, by the watching process's own clock, counts as dead.
"""

import socket
import threading
import time
import uuid

import optuna
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, Trial

from ssc_sweep.study.folder import StudyFolder, locked
from ssc_sweep.study.search.storage import UNREACHABLE
from ssc_sweep.writing import write_text

BEAT_S = 10.0
DEAD_S = 60.0
BEAT = "beat:"


class Owner:
    """This process as the owner of trials."""

    def __init__(self, folder: StudyFolder, study: optuna.Study, shared: bool) -> None:
        """Set `shared` if other places may work on the study; if not, its storage is in this folder."""
        self.study, self.shared = study, shared
        self.place = _place(folder)
        self.name = uuid.uuid4().hex
        self.folder = folder.path / ".owners"
        self.folder.mkdir(exist_ok=True)
        self._lock = FileLock(self.folder / self.name)
        self._lock.acquire()
        self._seen: dict[int, tuple[object, float]] = {}
        self._closed = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)
        if shared:
            study.set_user_attr(BEAT + self.name, 0)
            self._heart.start()

    def close(self) -> None:
        self._closed.set()
        if self.shared:
            self._heart.join(BEAT_S)
        (self.folder / self.name).unlink()
        self._lock.release()

    def claim(self, trial: Trial) -> None:
        """Mark the trial as owned by this process."""
        trial.set_user_attr("owner", self.name)
        trial.set_user_attr("place", self.place)

    def finds_lost(self, trial: FrozenTrial) -> bool:
        """Return whether no process works on this running trial any more. Ask repeatedly: some answers take DEAD_S."""
        owner, place = trial.user_attrs.get("owner"), trial.user_attrs.get("place")
        if owner == self.name:
            return False
        if not self.shared or place == self.place:
            # A trial of this place is named after its owner before the folder's lock is released.
            return owner is None or not self._works_beside(owner)
        beat = None if owner is None else self.study.user_attrs.get(BEAT + owner)
        return self._unchanged(trial.number, (owner, beat)) >= DEAD_S

    def _works_beside(self, owner: str) -> bool:
        """Return whether this owner, of the same study folder, is alive."""
        path = self.folder / owner
        if not path.is_file():
            return False
        lock = FileLock(path, blocking=False)
        try:
            lock.acquire()
        except Timeout:
            return True
        path.unlink(missing_ok=True)
        lock.release()
        return False

    def _unchanged(self, trial: int, sign: object) -> float:
        """Return for how long (s) this heartbeat of a trial's owner has not changed."""
        now = time.monotonic()
        before, since = self._seen.get(trial, (sign, now))
        self._seen[trial] = (sign, since if before == sign else now)
        return now - self._seen[trial][1]

    def _beat(self) -> None:
        count = 0
        while not self._closed.wait(BEAT_S):
            count += 1
            try:
                self.study.set_user_attr(BEAT + self.name, count)
            except UNREACHABLE:
                # The next beat makes up for one that a busy storage refuses; a lost storage ends the search anyway.
                continue


def _place(folder: StudyFolder) -> str:
    """Return machine, study folder and an ID kept in the folder: containers may have the same machine name."""
    path = folder.path / ".place"
    with locked(folder.lock):
        if not path.exists():
            write_text(path, uuid.uuid4().hex)
    return f"{socket.gethostname()}:{folder.path.resolve()}:{path.read_text()}"
