"""Addresses of storages: which one is the folder's own, and what is shown of a password."""

from pathlib import Path

import pytest

from ssc_sweep.errors import UserError
from ssc_sweep.study.folder import StudyFolder
from ssc_sweep.study.plan import without_password
from ssc_sweep.study.search.storage import shared_address


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
