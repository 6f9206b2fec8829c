"""The Optuna storage of a search."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from ssc_sweep.errors import StorageLost, UserError
from ssc_sweep.study.folder import StudyFolder, locked
from ssc_sweep.study.plan import without_password
from ssc_sweep.study.search.worst_tenth import WorstTenth
from ssc_sweep.writing import write_file

DATABASE = "search.db"
WAIT_S = 20  # for another process that writes search.db
# Attribute of a study in search.db that is a copy: where the original is kept.
COPY_OF = "copy_of"
# What a storage raises if it is busy or lost in the middle of a search.
UNREACHABLE = (OSError, SQLAlchemyError, StorageInternalError)

ALLOWED = (
    "Allowed is null for a file in the study's folder, postgresql://user@host/database, sqlite:///file, or "
    "journal:file."
)


def shared_address(storage: object, folder: StudyFolder) -> str | None:
    """Return the address of a storage that other places may share; None for search.db in the study's folder.

    Raises:
        UserError: it is no valid address.
    """
    if storage is None:
        return None
    if not isinstance(storage, str) or not (storage.startswith("journal:") or "://" in storage):
        raise UserError(f"storage={storage} is no address. {ALLOWED}")
    file = storage.partition("sqlite:///")[2].partition("?")[0]
    if storage.startswith("sqlite:") and file in ("", ":memory:"):
        raise UserError(f"storage={storage} is gone when the search ends, and could not go on. {ALLOWED}")
    own = bool(file) and Path(file).resolve() == (folder.path / DATABASE).resolve()
    return None if own else storage


def address(file: Path) -> str:
    """Return the address of an SQLite file, whatever characters its path has."""
    return URL.create("sqlite", database=str(file.resolve())).render_as_string()


def open_storage(storage: str | None, folder: StudyFolder) -> BaseStorage:
    """Open the storage: an address that Optuna knows, journal:<file>, or search.db in the study's folder.

    Raises:
        UserError: it cannot be reached.
    """
    url = storage or address(folder.path / DATABASE)
    shown = without_password(url)
    try:
        if url.startswith("journal:"):
            return JournalStorage(JournalFileBackend(url.removeprefix("journal:")))
        if storage is None:
            return RDBStorage(url, engine_kwargs={"connect_args": {"timeout": WAIT_S}})
        return optuna.storages.get_storage(url)
    except ImportError as error:
        ours = url.partition("://")[0] in ("postgresql", "postgresql+psycopg")
        advice = "pip install 'ssc_sweep[postgres]'." if ours else f"install it, or choose another. {ALLOWED}"
        raise UserError(f"storage={shown} needs a driver that is not installed: {advice}") from error
    except (OSError, SQLAlchemyError, ValueError) as error:
        reason = _reason(error)
        if storage is None and "locked" in reason:
            raise UserError(
                f"{folder.path / DATABASE} is locked by {_holder(folder.path / DATABASE)}; waited {WAIT_S} s. Start "
                "again when that one has ended."
            ) from error
        if storage is None:
            raise UserError(
                f"{folder.path / DATABASE} cannot be used: {reason}. Bring it back from a copy, or choose another "
                "study=<name>."
            ) from error
        raise UserError(f"storage={shown} cannot be reached: {reason}. {ALLOWED}") from error


def _holder(file: Path) -> str:
    """Return which process holds a lock on this file, if the system tells: Linux does."""
    table = Path("/proc/locks")
    if not table.exists():
        return "another process"
    inode = str(file.stat().st_ino)
    # 1: POSIX  ADVISORY  WRITE 18088 fe:00:3033620 0 EOF
    locks = [line.split() for line in table.read_text().splitlines()]
    holders = [words[-4] for words in locks if len(words) >= 8 and words[-3].rpartition(":")[2] == inode]
    own = str(os.getpid())
    for process in holders:
        if process not in (own, "0"):  # 0: a process of another container
            return f"process {process}"
    return "another process"


def open_study(
    storage: str | None, folder: StudyFolder, named: str | None, sampler: BaseSampler, described: dict[str, Any]
) -> optuna.Study:
    """Create the study, or load it and check that it is the search described.

    Args:
        named: its name in the storage; None: the name of the study in its search.db, or of its folder.

    Raises:
        UserError: the storage cannot be reached, or holds another search of this name.
    """
    folder.make()
    with locked(folder.lock):
        own = open_storage(None, folder) if storage is None or (folder.path / DATABASE).exists() else None
        if own is not None:
            _check_place(storage, folder, own)
        try:
            # A study stays the same if its folder is renamed.
            here = [] if own is None else optuna.get_all_study_names(own)
            study = optuna.create_study(
                study_name=named or (here[0] if len(here) == 1 else folder.path.name),
                storage=own if storage is None else open_storage(storage, folder),
                sampler=sampler,
                pruner=WorstTenth(),
                directions=described["directions"],
                load_if_exists=True,
            )
        except UNREACHABLE as error:
            raise UserError(f"storage={_shown(storage, folder)} cannot be written: {_reason(error)}.") from error
        before = study.user_attrs.get("search")
        if before is None and not study.get_trials(deepcopy=False):
            study.set_user_attr("search", described)
            return study
    if before is not None and not before.get("rule", {}).get("sequential"):
        raise UserError(
            f"study={folder.path.name} was begun by a version that confirmed on a fixed number of seeds, and counted. "
            "Its report can be read; to search on, choose another study=<name>."
        )
    changed = [key for key, value in described.items() if before is None or before.get(key) != value]
    if changed:
        raise UserError(
            f"study={folder.path.name} belongs to another search: its {changed[0]} differs. "
            "Choose another study=<name>, or give the search as it was."
        )
    # This seed has proposed its first points before.
    sampler.reseed_rng()
    return study


def _check_place(storage: str | None, folder: StudyFolder, own: BaseStorage) -> None:
    """Check that this folder's study, whose search.db is `own`, uses the same storage as before."""
    path = folder.path / DATABASE
    study = next(iter(optuna.get_all_study_summaries(own)), None)
    kept = None if study is None else study.user_attrs.get(COPY_OF)
    if kept is not None and storage is None:
        raise UserError(
            f"study={folder.path.name} is kept in {kept}, {path} is a copy of it: give its storage=, or choose another "
            "study=<name>."
        )
    if study is not None and kept is None and storage is not None:
        raise UserError(
            f"study={folder.path.name} is kept in its own {path}: leave out storage={without_password(storage)}, or "
            "choose another study=<name>."
        )


@contextmanager
def kept_in(storage: str | None, folder: StudyFolder) -> Iterator[None]:
    """Turn errors of a storage during a search into StorageLost.

    Raises:
        StorageLost: the storage was lost meanwhile.
    """
    try:
        yield
    except UNREACHABLE as error:
        journal = storage is not None and storage.startswith("journal:")
        if isinstance(error, OSError) and not (journal and str(error.filename).startswith(str(storage)[8:])):
            raise  # for example of a run's folder
        raise StorageLost(
            f"storage={_shown(storage, folder)} was lost in the middle of the search: {_reason(error)}. Once it is "
            "back, the same command goes on where it was."
        ) from error


def _shown(storage: str | None, folder: StudyFolder) -> str:
    return without_password(storage or str(folder.path / DATABASE))


def _reason(error: Exception) -> str:
    """Return the first line of the error; SQLAlchemy's own if Optuna only wrapped it."""
    said = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    return without_password(str(said).splitlines()[0]).rstrip(".")


def copy_to_folder(study: optuna.Study, folder: StudyFolder, kept: str) -> None:
    """Copy a study that is `kept` elsewhere into search.db of its folder, where the report reads it."""

    def copy(beside: Path) -> None:
        storage = RDBStorage(address(beside))
        optuna.copy_study(
            from_study_name=study.study_name,
            from_storage=study._storage,
            to_storage=storage,
            to_study_name=study.study_name,
        )
        optuna.load_study(study_name=study.study_name, storage=storage).set_user_attr(COPY_OF, without_password(kept))
        storage.engine.dispose()

    write_file(folder.path / DATABASE, copy)
