"""Who works on which trial, and which trials were left behind.

A process holds a lock on a file of its own for as long as it lives, and names that file in the trials it works on.
The system gives the lock up when the process ends, however it ends: so a trial whose owner's lock is free was left
behind, and whoever notices goes on with it.
"""

import fcntl
import socket
import uuid
from datetime import datetime, timedelta
from typing import IO

from optuna.trial import FrozenTrial

from ssc_sweep.study.folder import StudyFolder


class Owner:
    """This process as the owner of trials. Trials name it, and the place it works in: machine and study folder."""

    def __init__(self, folder: StudyFolder) -> None:
        self.place = f"{socket.gethostname()}:{folder.path.resolve()}"
        self.folder = folder.path / ".owners"
        self.name = uuid.uuid4().hex
        self.folder.mkdir(exist_ok=True)
        self._file: IO[str] = (self.folder / self.name).open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def close(self) -> None:
        (self.folder / self.name).unlink()
        self._file.close()

    def works_beside(self, trial: FrozenTrial) -> bool:
        """Whether the trial is being trained by another living process in this study folder."""
        owner = trial.user_attrs.get("owner", "")
        path = self.folder / owner
        if owner == self.name or not path.is_file():
            return False
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        path.unlink(missing_ok=True)
        return False

    def finds_lost(self, trial: FrozenTrial, kept_here: bool) -> bool:
        """Whether a running trial was left behind in this place. With `kept_here` there is no other place."""
        place = trial.user_attrs.get("place")
        if place is None and not kept_here:
            # A trial is named after its owner as soon as it is asked for; another machine may be just there.
            begun = trial.datetime_start
            return begun is not None and datetime.now() - begun > timedelta(minutes=1)
        return (kept_here or place == self.place) and not self.works_beside(trial)
