"""Folders of runs and studies: whole or not there, never overwritten, names that hold on every file system."""

from pathlib import Path

import pytest

from ssc_sweep.errors import UserError
from ssc_sweep.study.folder import RunFolder, StudyFolder, read_yaml, write_json, write_yaml
from ssc_sweep.writing import LONGEST_NAME, folder_name, write_file, write_text


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"

    def break_off(beside: Path) -> None:
        beside.write_text("half of i")
        assert not path.exists()
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        write_file(path, break_off)
    assert not path.exists()
    write_text(path, "whole")
    with pytest.raises(RuntimeError):
        write_file(path, break_off_later)
    assert path.read_text() == "whole"


def break_off_later(beside: Path) -> None:
    beside.write_text("half of i")
    raise RuntimeError("power cut")


def test_a_place_that_cannot_be_written_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write .*file.below.x: Not a directory.*outputs=<folder>"):
        write_text(tmp_path / "file" / "below" / "x", "text")


def test_yaml_comes_back_as_it_was(tmp_path: Path) -> None:
    content = {"a": 1e-5, "b": None, "claim": "it: is ü", "arms": [{"optimizer.lr": 1e-4}]}
    write_yaml(tmp_path / "x.yaml", content)
    assert read_yaml(tmp_path / "x.yaml") == content


def test_json_refuses_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"rmse": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_done_counts_only_with_the_same_config(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "control" / "seed=0")
    write_yaml(folder.config, {"epochs": 1})
    assert not folder.is_done(lambda: {"epochs": 1}), "begun is not done"
    folder.done.touch()
    assert folder.is_done(lambda: {"epochs": 1})
    with pytest.raises(UserError, match=r"another config.*study=<name>"):
        folder.is_done(lambda: {"epochs": 2})


@pytest.mark.parametrize("damage", ["a: [1", "just words", None])
def test_a_config_that_cannot_be_read_is_named(tmp_path: Path, damage: str | None) -> None:
    folder = RunFolder(tmp_path / "control" / "seed=0")
    write_text(folder.done, "")
    if damage is not None:
        write_text(folder.config, damage)
    with pytest.raises(UserError, match=r"seed=0/config.yaml of an earlier run cannot be read.*Remove the folder"):
        folder.is_done(lambda: {"epochs": 1})


def test_a_study_lists_every_run_that_began_or_ended(tmp_path: Path) -> None:
    study = StudyFolder(tmp_path)
    for arm, seed, name in (("control", 0, "DONE"), ("lr/a", 1, "FAILED"), ("x=1/lr/a", 0, "config.yaml")):
        folder = study.run(arm, seed)
        write_text(folder.path / name, "")
    assert [run.path.relative_to(tmp_path).as_posix() for run in study.runs()] == [
        "control/seed=0",
        "lr/a/seed=1",
        "x=1/lr/a/seed=0",
    ]


def test_one_walk_finds_every_folder_of_a_run_and_follows_no_link(tmp_path: Path) -> None:
    study = StudyFolder(tmp_path / "study")
    for name in ("control/seed=0/DONE", "deep/er/x=1/config.yaml", "empty/seed=file"):
        write_text(study.path / name, "")
    (study.path / "empty" / "seed=9").mkdir(parents=True)
    (study.path / "elsewhere").mkdir()
    (study.path / "elsewhere" / "seed=3").symlink_to(study.path / "control", target_is_directory=True)
    (study.path / "linked").symlink_to(study.path / "control", target_is_directory=True)
    found = [run.path.relative_to(study.path).as_posix() for run in study.runs()]
    assert found == ["control/seed=0", "deep/er/x=1", "elsewhere/seed=3", "empty/seed=9"]
    assert StudyFolder(tmp_path / "nothing").runs() == []


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["optimizer.lr=1e-4"], "optimizer.lr=1e-4"),
        (["optimizer.lr=1e-4", "batch=b10"], "optimizer.lr=1e-4,batch=b10"),
        (["+a.b=-1.5"], "+a.b=-1.5"),
    ],
)
def test_plain_overrides_are_their_own_folder_name(overrides: list[str], name: str) -> None:
    assert folder_name(overrides) == name


@pytest.mark.parametrize("value", ["a/b", "../../etc", "with space", "it's", "[1,2]", "{a:1}", "ü" * 150, "v" * 5000])
def test_odd_values_make_one_short_safe_name(tmp_path: Path, value: str) -> None:
    name = folder_name([f"key={value}"])
    assert len(name.encode()) <= 255 and Path(name).name == name and name not in (".", "..")
    (tmp_path / name).mkdir()
    assert name.startswith("key=")


def test_names_that_look_alike_stay_apart() -> None:
    values = ["a/b", "a_b", "a b", "a:b", "v" * 5000 + "1", "v" * 5000 + "2"]
    assert len({folder_name([f"key={value}"]) for value in values}) == len(values)
    assert LONGEST_NAME < 255
