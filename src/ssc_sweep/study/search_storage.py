"""Where a search is kept: its Optuna storage, and the locks by which processes share one study folder.

A process holds a lock on a file of its own for as long as it lives, and names that file in the trials it works on.
The system gives the lock up when the process ends, however it ends: so a trial whose owner's lock is free was left
behind, and whoever notices goes on with it.
"""

import fcntl
import socket
import uuid
from datetime import datetime, timedelta
from typing import IO, Any

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError

from ssc_sweep.errors import UserError
from ssc_sweep.study.folder import StudyFolder, locked
from ssc_sweep.study.plan import without_password

DATABASE = "search.db"


def open_storage(storage: str | None, folder: StudyFolder) -> BaseStorage:
    """Open the storage: an address that Optuna knows, journal:<file>, or search.db in the study's folder.

    Raises:
        UserError: it cannot be reached.
    """
    url = storage or f"sqlite:///{(folder.path / DATABASE).resolve()}"
    shown = without_password(url)
    try:
        if url.startswith("journal:"):
            return JournalStorage(JournalFileBackend(url.removeprefix("journal:")))
        return optuna.storages.get_storage(url)
    except ImportError as error:
        raise UserError(
            f"storage={shown} needs a driver that is not installed: pip install 'ssc_sweep[postgres]'."
        ) from error
    except (OSError, SQLAlchemyError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"storage={shown} cannot be reached: {reason}. Allowed is null for a file in the study's folder, "
            "postgresql://user@host/database, sqlite:///file, or journal:file."
        ) from error


def open_study(
    storage: str | None, folder: StudyFolder, name: str, sampler: BaseSampler, described: dict[str, Any]
) -> optuna.Study:
    """Create the study, or load it and make sure that it is the search described.

    Raises:
        UserError: the storage cannot be reached, or holds another search of this name.
    """
    folder.make()
    with locked(folder.lock):
        study = optuna.create_study(
            study_name=name,
            storage=open_storage(storage, folder),
            sampler=sampler,
            directions=described["directions"],
            load_if_exists=True,
        )
        before = study.user_attrs.get("search")
        if before is None and not study.get_trials(deepcopy=False):
            study.set_user_attr("search", described)
            return study
    changed = [key for key, value in described.items() if before is None or before.get(key) != value]
    if changed:
        raise UserError(
            f"study={folder.path.name} belongs to another search: its {changed[0]} differs. "
            "Choose another study=<name>, or give the search as it was."
        )
    # Its first points were proposed before, by this very seed.
    sampler.reseed_rng()
    return study


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


def copy_to_folder(study: optuna.Study, folder: StudyFolder) -> None:
    """Put a copy of a study that is kept elsewhere into search.db of its folder, where the report reads it."""
    target = folder.path / DATABASE
    beside = folder.path / f".{DATABASE}.{uuid.uuid4().hex}"
    storage = RDBStorage(f"sqlite:///{beside.resolve()}")
    optuna.copy_study(
        from_study_name=study.study_name,
        from_storage=study._storage,
        to_storage=storage,
        to_study_name=study.study_name,
    )
    storage.engine.dispose()
    beside.replace(target)
