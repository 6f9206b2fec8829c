"""Who works on which trial, and which trials were left behind.

A process names itself in the trials it works on, and the place it works in: machine and study folder.

In its own place it holds a lock on a file of its name for as long as it lives. The system gives the lock up when the
process ends, however it ends: so a trial whose owner's lock is free was left behind, and whoever notices takes it up.

Other places see a number in the storage that the owner counts up every BEAT_S. Whoever watches it by his own clock -
never by another machine's - takes an owner whose number has stood still for DEAD_S for dead.
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
        """`shared`: whether other places may work on the study; without, its storage lies in this very folder."""
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
        """Write into the trial that it is this process's."""
        trial.set_user_attr("owner", self.name)
        trial.set_user_attr("place", self.place)

    def finds_lost(self, trial: FrozenTrial) -> bool:
        """Whether nobody works on this running trial any more. Ask again and again: some answers take DEAD_S."""
        owner, place = trial.user_attrs.get("owner"), trial.user_attrs.get("place")
        if owner == self.name:
            return False
        if not self.shared or place == self.place:
            # A trial of this place is named after its owner before the folder's lock is released.
            return owner is None or not self._works_beside(owner)
        beat = None if owner is None else self.study.user_attrs.get(BEAT + owner)
        return self._unchanged(trial.number, (owner, beat)) >= DEAD_S

    def _works_beside(self, owner: str) -> bool:
        """Whether this owner, of the same study folder, lives."""
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
        """For how long this sign of a trial's owner has been seen unchanged, s."""
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
                # The next beat makes up for one that a busy storage refuses; one that is gone ends the search itself.
                continue


def _place(folder: StudyFolder) -> str:
    """Machine and study folder, and a word of the folder's own: machines in containers may have the same name."""
    path = folder.path / ".place"
    with locked(folder.lock):
        if not path.exists():
            write_text(path, uuid.uuid4().hex)
    return f"{socket.gethostname()}:{folder.path.resolve()}:{path.read_text()}"
