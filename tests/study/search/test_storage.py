"""Storages: which one is the folder's own, what is shown of a password, one that cannot be written or goes away."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.exceptions import StorageInternalError

from ssc_sweep.errors import StorageLost, UserError
from ssc_sweep.study.folder import StudyFolder
from ssc_sweep.study.plan import without_password
from ssc_sweep.study.search import storage
from ssc_sweep.study.search.storage import address, kept_in, open_storage, shared_address
from tests.command import Command, make_command
from tests.study.search.small import EASY, IMPOSSIBLE, SMALL, load

command = pytest.fixture(make_command)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://user@host/base", "postgresql://user@host/base"),
        ("postgresql://user@host:5432/base", "postgresql://user@host:5432/base"),
        ("storage=postgresql://user:p:w@rd@host:5432/base", "storage=postgresql://user:***@host:5432/base"),
        ("postgresql://host/base?user=me&password=pw&sslmode=on", "postgresql://host/base?user=me&password=***&sslmode=on"),
        ("postgresql://host:1/base?PassWord=p@w", "postgresql://host:1/base?PassWord=***"),
        ("postgresql://user:pw@host/base?sslpassword=other", "postgresql://user:***@host/base?sslpassword=***"),
        ("journal:/shared/mine.log", "journal:/shared/mine.log"),
        ("optimizer.lr=1e-3", "optimizer.lr=1e-3"),
    ],
)  # fmt: skip
def test_a_password_is_not_shown(text: str, shown: str) -> None:
    assert without_password(text) == shown


def test_the_folders_own_file_is_shared_with_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = StudyFolder(Path("outputs/s"))
    assert shared_address(None, folder) is None
    assert shared_address("sqlite:///outputs/s/search.db", folder) is None
    assert shared_address(f"sqlite:///{tmp_path}/outputs/s/search.db", folder) is None
    for other in ("sqlite:///outputs/s/other.db", "sqlite:///search.db", "journal:outputs/s/search.db"):
        assert shared_address(other, folder) == other


@pytest.mark.parametrize("wrong", [5, True, "", "mine.db"])
def test_what_is_no_address_is_refused(wrong: object) -> None:
    with pytest.raises(UserError, match="is no address"):
        shared_address(wrong, StudyFolder(Path("outputs/s")))


def test_a_search_stays_where_it_is_kept(command: Command) -> None:
    """The folder has a copy of a search that is kept elsewhere, for the report; no other search may go on in it."""
    journal = "storage=journal:j.log"
    assert command(*SMALL, IMPOSSIBLE, "n_trials=2", journal).code == 1
    own = command(*SMALL, IMPOSSIBLE, "n_trials=4")
    assert own.code == 2 and "study=s is kept in journal:j.log" in own.err
    assert command(*SMALL, IMPOSSIBLE, "n_trials=3", journal).code == 1
    assert len(load(command.folder).trials) == 3


def test_a_search_does_not_leave_its_folder(command: Command) -> None:
    assert command(*SMALL, IMPOSSIBLE, "n_trials=2").code == 1
    elsewhere = command(*SMALL, IMPOSSIBLE, "n_trials=4", "storage=journal:j.log")
    assert elsewhere.code == 2 and "is kept in its own outputs/s/search.db" in elsewhere.err
    assert len(load(command.folder).trials) == 2 and not (command.folder / "j.log").exists()


def test_a_storage_that_cannot_be_written(command: Command) -> None:
    optuna.create_study(study_name="other", storage=f"sqlite:///{command.folder}/shared.db")
    ended = command(
        *SMALL, IMPOSSIBLE, "n_trials=2", f"storage='sqlite:///file:{command.folder}/shared.db?mode=ro&uri=true'"
    )
    assert ended.code == 2 and len(ended.err.splitlines()) == 1
    assert "cannot be written: (sqlite3.OperationalError) attempt to write a readonly database" in ended.err


@pytest.mark.parametrize(
    ("storage", "error"),
    [
        ("postgresql://me:secret@host/base", StorageInternalError("gone")),
        ("journal:d/j.log", FileNotFoundError(2, "No such file or directory", "d/j.log.lock")),
    ],
)
def test_a_storage_that_goes_away_is_named(storage: str, error: Exception) -> None:
    with (
        pytest.raises(StorageLost, match=r"was lost .* the same command goes on") as raised,
        kept_in(storage, StudyFolder(Path("outputs/s"))),
    ):
        raise error
    assert "secret" not in str(raised.value)


def test_another_file_is_not_taken_for_the_storage() -> None:
    with pytest.raises(OSError, match="No space left"), kept_in("journal:d/j.log", StudyFolder(Path("outputs/s"))):
        raise OSError(28, "No space left on device", "outputs/s/trial=0000/seed=0/metrics.json")


def test_a_storage_that_goes_away_ends_the_search(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise StorageInternalError("no connection")

    monkeypatch.setattr(optuna.Study, "tell", gone)
    ended = command(*SMALL, IMPOSSIBLE, "n_trials=2")
    assert ended.code == 1 and "outputs/s/search.db was lost" in ended.err.splitlines()[-1]


def test_a_search_is_kept_in_its_own_folder_whatever_its_path(command: Command) -> None:
    for name in ("A", "B"):
        ended = command(*SMALL, EASY, "n_trials=2", f'outputs="x/which? 50%41 #{{1}}/{name}"')
        assert ended.code == 0, ended.err
        assert "2 complete" in ended.out
    files = [path.relative_to(command.folder / "x").parts for path in command.folder.rglob("search.db")]
    assert sorted(files) == [("which? 50%41 #{1}", name, "s", "search.db") for name in ("A", "B")]


@pytest.mark.parametrize("how", [shutil.copytree, shutil.move])
def test_a_search_goes_on_in_a_folder_of_another_name(command: Command, how: Callable[..., object]) -> None:
    assert command(*SMALL, IMPOSSIBLE, "n_trials=2").code == 1
    how(command.folder / "outputs/s", command.folder / "outputs/other")
    ended = command(*SMALL, IMPOSSIBLE, "n_trials=3", "study=other")
    assert ended.code == 1 and "n_trials=3 trials are done" in ended.err
    file = address(command.folder / "outputs/other/search.db")
    assert optuna.get_all_study_names(file) == ["s"]
    assert len(optuna.load_study(study_name="s", storage=file).trials) == 3


def test_a_locked_file_is_waited_for_and_never_given_up(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command(*SMALL, IMPOSSIBLE, "n_trials=2").code == 1
    monkeypatch.setattr(storage, "WAIT_S", 1)
    code = (
        "import sqlite3, sys; c = sqlite3.connect('outputs/s/search.db', isolation_level=None)\n"
        "c.execute('BEGIN EXCLUSIVE'); print('locked', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code], cwd=command.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin is not None and holder.stdout is not None
    try:
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(UserError) as raised:
            open_storage(None, StudyFolder(command.folder / "outputs/s"))
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()
    assert "search.db is locked by" in str(raised.value) and "waited 1 s" in str(raised.value)
    assert "remove" not in str(raised.value)
