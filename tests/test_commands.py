"""Every command of README.md and docs/ runs. One that no row below knows fails its test.

| a command that begins with | how it runs here | why so |
|---|---|---|
| python -m ssc_sweep -m | dry_run=true; one seed for seeds=N, the first point of each grid, two arms | it takes hours |
| the same, experiment=search | one trial of one seed, with a target that nothing meets | a search knows no dry_run |
| the same, storage=postgresql:// | the address is parsed; the search has its own search.db | there is no server here |
| the same, experiment=best | dry_run=true, on a tiny search of that name | |
| python -m ssc_sweep | trains: one epoch, narrow, 100 rows of NHEFS | ten epochs on all rows take seconds |
| ... --help, --cfg, -sc | as it stands | |
| python -m ssc_sweep.audit | on 100 rows of NHEFS | all of them take seconds |
| python -m ssc_sweep.findings | as it stands, on a tiny study of that name | |
| ... .findings.failure_map | the same; --write writes beside the studies | it would replace the package's own file |
| python make_clinic.py | as it stands | |
| python -m tests... | imported: it has a main, and reads words if there are any | minutes to an hour |
| make | make -n: every program of the recipe is there | it would install, train or test everything |
| pip install | the extra is declared | no test needs the network |
| optuna-dashboard | the storage opens and holds the search; the extra is declared | it is a server |
| git clone, cd | not at all | the address is the reader's |

Every arm of every hypothesis trains in tests/test_conf.py, and the experiments in tests/test_experiments.py.
"""

import importlib
import importlib.util
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
import yaml
from sqlalchemy.engine import make_url

from ssc_sweep.__main__ import main
from ssc_sweep.audit.__main__ import main as audit
from ssc_sweep.findings import failure_map
from ssc_sweep.findings.__main__ import command as findings
from ssc_sweep.study import preview, sweeper
from tests.command import TINY, Command, make_command
from tests.documents import PAGES, ROOT, Shown, commands, files

command = pytest.fixture(make_command)
SHOWN = commands()
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
MY_TABLE = ("dataset.path=my.csv", "dataset.treatment=dose", "dataset.outcome=weight")  # `...` in a command
FEW_ARMS = 2
SEARCH = (
    "dataset=synthetic", "dataset.rows=300", "model.width=8", "epochs=1", "workers=0", "report=false", "n_trials=1",
    "hydra.sweeper.seeds_per_trial=1", "hydra.sweeper.confirm_best=1", "rule.alpha=0.4",
)  # fmt: skip


def my_csv() -> pd.DataFrame:
    """A table with every column that the documents name."""
    draw, rows = np.random.default_rng(0), 140
    frame = pd.DataFrame({"dose": draw.integers(0, 2, rows), "weight": draw.normal(3, 8, rows).round(2)})
    frame["weight (kg)"] = frame["weight"]
    for name in ("age", "age in years", "blood.pressure"):
        frame[name] = draw.normal(50, 10, rows).round(1)
    for name in ("pica", "hbp"):
        frame[name] = draw.choice([0, 1, 2], rows)  # 2: not asked
    for name in ("id", "my id"):
        frame[name] = range(rows)
    return frame


@pytest.fixture
def place(command: Command, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Command]:
    """A folder with the reader's own files, word for word; where a page has a file of the same name, its own."""
    own = request.node.callspec.params["shown"].pages[0]
    for page in [*(page for page in PAGES if page != own), own]:
        for name, text in files(page).items():
            file = command.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    my_csv().to_csv(command.folder / "my.csv", index=False)
    with monkeypatch.context() as patch:
        patch.chdir(command.folder)
        for script in command.folder.glob("make_*.py"):
            runpy.run_path(str(script))
    monkeypatch.syspath_prepend(str(command.folder))
    yield command
    for path in command.folder.glob("my_*.py"):
        sys.modules.pop(path.stem, None)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a search that found something."""
    folder = tmp_path_factory.mktemp("searched")
    words = ["-m", "experiment=search", "study=mine", *SEARCH, "target=1000", "rule.works_share=0.1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["ssc_sweep", *words, "hydra.sweeper.confirm_seeds=4"])
        main()
    return folder / "outputs" / "mine"


def study(place: Command, words: list[str], request: pytest.FixtureRequest) -> None:
    """A study, as far as it can be seen without training it."""
    if "experiment=best" in words:
        shutil.copytree(request.getfixturevalue("searched"), place.folder / "outputs" / "mine")
    patch = place.monkeypatch
    patch.setattr(preview, "training_seconds", lambda *_: 1.0)
    patch.setattr(sweeper, "points_of", lambda *given: points_of(*given)[:1])
    patch.setattr(sweeper, "arms_at", few_arms)
    before = place.files()
    seeds = ["seeds=1"] if any(word.startswith("seeds=") for word in words) else []
    ended = place(*words, *seeds, "dry_run=true")
    assert ended.code == 0, ended.err
    assert "dry_run=true: nothing was written and nothing trained." in ended.out
    assert place.files() == before


points_of, arms_at = sweeper.points_of, sweeper.arms_at


def few_arms(*given: Any) -> list[Any]:
    """The control and the first arms at a point."""
    return arms_at(*given)[: 1 + FEW_ARMS]


def search(place: Command, words: list[str], _: pytest.FixtureRequest) -> None:
    """A search of one trial."""
    at = {word.split("://")[0]: word for word in words if "://" in word}
    assert not at or make_url(at["storage=postgresql"].partition("=")[2]).drivername == "postgresql"
    words = [word.replace("journal:/shared/", f"journal:{place.folder}/") for word in words if "://" not in word]
    ended = place(*words, *SEARCH, "target=1e-6")  # a few fresh seeds show that it is missed
    assert ended.code in (0, 1) and "Traceback" not in ended.err, ended.err
    assert list(place.folder.glob("outputs/*/trial=0000/seed=0/DONE"))


def run(place: Command, words: list[str], _: pytest.FixtureRequest) -> None:
    """One run, tiny."""
    asked = {word.partition("=")[0] for word in words}
    tiny = ["epochs=1", "report=false"]
    tiny += [] if asked & {"model", "model._target_"} else ["model.width=8"]
    tiny += [] if asked & {"dataset", "dataset._target_"} else ["dataset_size=n100"]
    ended = place(*words, *tiny)
    assert ended.code == 0 and "RMSE" in ended.out, ended.err


def as_it_stands(place: Command, words: list[str], _: pytest.FixtureRequest) -> None:
    ended = place(*words)
    assert ended.code == 0 and ended.out, ended.err


def look(place: Command, words: list[str], _: pytest.FixtureRequest) -> None:
    """An audit."""
    small = [] if "dataset=csv" in words else ["dataset_size=n100"]
    ended = replace(place, program=audit)(*words, *small)
    assert ended.code == 0, ended.err
    assert ('"p_fail"' if "format=json" in words else "forecast: ") in ended.out


def rebuild(place: Command, words: list[str], _: pytest.FixtureRequest) -> None:
    """The findings of a tiny study under the name in the command."""
    tiny = [word for word in TINY if not word.startswith("study=")]
    studies, unpacked = words, [word.removeprefix("unpack=") for word in words if word.startswith("unpack=")]
    if unpacked:
        studies, tiny = words[:1], [*tiny, "run_files=tables", "save_weights=none"]
    for path in map(Path, studies):
        assert place("-m", "hypothesis=ema", "seeds=1", *tiny, f"study={path.name}").code == 0
    ended = replace(place, program=findings)(*words)
    made = [f"{run}/DONE" for run in unpacked] or ["report.html"]
    assert ended.code == 0 and all((place.folder / words[0] / name).is_file() for name in made), ended.err


def fit(place: Command, words: list[str], _: pytest.FixtureRequest) -> None:
    """The forecast, fitted to tiny studies under the names in the command."""
    coefficients = place.folder / "forecast.yaml"
    place.monkeypatch.setattr(failure_map, "COEFFICIENTS", coefficients)
    tiny = [word for word in TINY if not word.startswith(("study=", "model."))]
    for path in (Path(word) for word in words if not word.startswith("--")):
        assert place("-m", "model=linear,mean", "probes=false", *tiny, f"study={path.name}").code == 0
    ended = replace(place, program=lambda: sys.exit(failure_map.main(sys.argv[1:])))(*words)
    assert ended.code == 0, ended.err
    assert " ".join(words) in yaml.safe_load(coefficients.read_text())["command"]


def write_table(place: Command, words: list[str], _: pytest.FixtureRequest) -> None:
    """A script of a page that writes a table."""
    (name,) = words
    assert (place.folder / name).with_suffix(".csv").name.replace("make_", "") in place.files()


def has_main(name: str, words: list[str]) -> None:
    """A program of tests/: it is there, and reads the words that are given to it."""
    module = importlib.import_module(name)
    assert callable(module.main)
    assert not words or "sys.argv" in Path(str(module.__file__)).read_text(encoding="utf-8"), words


def program_of_tests(_: Command, words: list[str], __: pytest.FixtureRequest) -> None:
    has_main(words[0], words[1:])


def make(_: Command, words: list[str], __: pytest.FixtureRequest) -> None:
    """Every line of the recipe begins with a program that is there; one of ours is a command of the documents."""
    # A make that runs these tests tells the inner one to name its folder too; this one is to be like one of its own.
    free = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    ran = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, check=True, env=free)
    lines = [line for line in ran.stdout.splitlines() if ".venv/installed" not in line and "-m venv" not in line]
    assert lines
    for line in lines:
        program, *rest = (word for word in line.split() if not re.match(r"\w+=", word) or word.startswith("-"))
        path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        assert shutil.which(Path(program).name, path=path), line
        if rest[:1] == ["-m"] and rest[1].startswith("tests."):
            has_main(rest[1], rest[2:])
        elif rest[:1] == ["-m"] and rest[1] == "ssc_sweep":
            assert f"python {line.split(maxsplit=1)[1]}" in [shown.text for shown in SHOWN], line
        elif rest[:1] == ["-m"]:
            assert importlib.util.find_spec(rest[1]), line


def installs(_: Command, words: list[str], __: pytest.FixtureRequest) -> None:
    """The package, or an extra of it, which test_an_extra_is_declared knows."""
    assert words == ["."] or words[0].startswith("ssc_sweep[")


def dashboard(place: Command, words: list[str], request: pytest.FixtureRequest) -> None:
    shutil.copytree(request.getfixturevalue("searched"), place.folder / "outputs" / "mine")
    assert any(word.startswith("optuna-dashboard") for word in EXTRAS["dashboard"])
    place.monkeypatch.chdir(place.folder)
    (address,) = words
    assert optuna.get_all_study_names(address)


def not_at_all(*_: object) -> None:
    """The address is the reader's."""


Way = Callable[[Command, list[str], pytest.FixtureRequest], None]
# The first that fits runs a command, with the words behind.
WAYS: list[tuple[str, Way]] = [
    (r"python -m ssc_sweep (?=.*(--help|--cfg))", as_it_stands),
    (r"ssc_sweep (?=-sc )", as_it_stands),
    (r"python -m ssc_sweep (?=.*experiment=search\b)", search),
    (r"python -m ssc_sweep (?=(.* )?-m )", study),
    (r"python -m ssc_sweep(?![.\w])", run),
    (r"python -m ssc_sweep\.audit\b", look),
    (r"python -m ssc_sweep\.findings(?![.\w])", rebuild),
    (r"python -m ssc_sweep\.findings\.failure_map\b", fit),
    (r"python (?=make_)", write_table),
    (r"python -m (?=tests\.)", program_of_tests),
    (r"make\b", make),
    (r"pip install\b", installs),
    (r"optuna-dashboard\b", dashboard),
    (r"(git clone|cd)\b", not_at_all),
]


def test_there_are_commands_and_every_way_has_one() -> None:
    assert len(SHOWN) > 80
    unused = [pattern for pattern, _ in WAYS if not any(re.match(pattern, inner(shown)) for shown in SHOWN)]
    assert not unused


def inner(shown: Shown) -> str:
    """The command inside eval "$(...)"."""
    found = re.fullmatch(r'eval "\$\((.*)\)"', shown.text)
    return found[1] if found else shown.text


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: shown.text)
def test_a_command_runs(place: Command, shown: Shown, request: pytest.FixtureRequest) -> None:
    text = inner(shown)
    for pattern, way in WAYS:
        if found := re.match(pattern, text):
            words = Shown(text[found.end() :]).words
            return way(place, [new for word in words for new in (MY_TABLE if word == "..." else (word,))], request)
    pytest.fail(f"{shown.pages[0].name} has a command that nothing here knows how to run: {shown.text}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_an_extra_is_declared(page: Path) -> None:
    assert set(re.findall(r"ssc_sweep\[(\w+)\]", page.read_text(encoding="utf-8"))) <= set(EXTRAS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_file_of_the_repository_is_shown_as_it_is(page: Path) -> None:
    for name, text in files(page).items():
        if name.startswith("conf/"):
            assert yaml.safe_load(text) == yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
