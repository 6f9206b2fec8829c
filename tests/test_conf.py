"""Every YAML in conf/, found by looking: it says what it is, it is listed by --help, and it trains."""

from pathlib import Path

import pytest

from ssc_sweep.config import conf_dir
from tests.command import TINY, Command, make_command

command = pytest.fixture(make_command)
CONF = conf_dir()
CHOICES = sorted(path for path in CONF.glob("*/*.yaml") if path.parent.name != "hydra")
# These want something of the user's own; tests/test_docs.py and tests/test_csv.py have it.
OF_YOUR_OWN = ("model/own", "dataset/own")
TRAINED = [
    path
    for path in CHOICES
    if path.parent.name not in ("hypothesis", "experiment")
    and path.relative_to(CONF).with_suffix("").as_posix() not in OF_YOUR_OWN
    # Public tables: each is loaded and split in tests/data/test_packaged.py, one of them trains.
    and "  - packaged\n" not in path.read_text(encoding="utf-8")
]
# Rows enough for dataset_size=n100 and batch=b64.
SMALL = [word for word in TINY if not word.startswith(("dataset", "batch"))]
ROOM = ["dataset.rows=140"]


def name(path: Path) -> str:
    return path.relative_to(CONF).with_suffix("").as_posix()


@pytest.mark.parametrize("path", [*CHOICES, CONF / "config.yaml"], ids=name)
def test_a_yaml_starts_by_saying_what_it_is(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ") and len(first) > 10


def test_every_choice_is_listed_by_help(command: Command) -> None:
    text = command("--help").out
    for group in {path.parent for path in CHOICES}:
        listed = ", ".join(sorted(path.stem for path in group.glob("*.yaml")))
        assert f"{group.name}: {listed}\n" in text


@pytest.mark.parametrize("path", TRAINED, ids=name)
def test_a_choice_trains(command: Command, path: Path) -> None:
    group, choice = path.parent.name, path.stem
    data = [] if group == "dataset" and choice != "synthetic" else ["dataset=synthetic", *ROOM]
    if path.stem == "csv":
        rows = [f"{i % 2},{i % 7},{i % 5}" for i in range(140)]
        (command.folder / "my.csv").write_text("\n".join(["dose,weight,age", *rows]))
        data = ["dataset.path=my.csv", "dataset.treatment=dose", "dataset.outcome=weight"]
    if path.stem == "packaged":
        file = "causaldata/nsw_mixtape/nsw_mixtape.dta"
        data = [f"dataset.file={file}", "dataset.treatment=treat", "dataset.outcome=re78", "dataset.drop=[data_id]"]
    if group == "case":
        data = ["dataset=planted"]
    size = [] if group == "batch" else ["batch.size=32"]
    width = [] if group in ("model", "case") else ["model.width=8"]
    rest = [word for word in SMALL if not word.startswith("model")]
    ended = command(*rest, *data, f"{group}={choice}", *size, *width)
    if group == "search_space":  # what a search varies; one run is told so
        assert ended.code == 2 and "experiment=search" in ended.err, ended.err
        return
    assert ended.code == 0, ended.err
    assert len(command.done()) == 1 and "RMSE" in ended.out


def test_every_hypothesis_trains(command: Command) -> None:
    names = {path.stem for path in CHOICES if path.parent.name == "hypothesis"}
    ended = command("-m", *SMALL, "dataset=synthetic", *ROOM, "seeds=1", "hypothesis=glob(*)")
    assert ended.code == 0, ended.err
    assert {path.split("/")[0] for path in command.done()} == {"control", *names}
