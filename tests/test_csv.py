"""dataset=csv on the command line: a table of the user's own, from the file to the run's folder."""

import csv
import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from ssc_sweep.data.source import Data
from ssc_sweep.fingerprint import sha256
from ssc_sweep.study.record import outcome_columns
from tests.bench.load import measured
from tests.command import Command, make_command, refused
from tests.conftest import MakeConfig

command = pytest.fixture(make_command)

ROWS = 80
FIT = ("epochs=1", "batch.size=10", "model.width=8", "study=s", "workers=0", "report=false")
WORDS = ("dataset=csv", "dataset.path=my.csv", "dataset.treatment=dose", "dataset.outcome=weight", *FIT)


def table() -> pd.DataFrame:
    """Eighty rows: pica has the code 2 from the 41st on, and so has town a level, c, that the first half lacks."""
    draw, half = np.random.default_rng(0), np.arange(ROWS) < ROWS // 2
    frame = pd.DataFrame(
        {
            "id": [f"person {i}" for i in range(ROWS)],
            "age": draw.integers(20, 70, ROWS),
            "pica": np.where(half, draw.integers(0, 2, ROWS), 2),
            "town": np.where(half, draw.choice(["a", "b"], ROWS), "c"),
            "dose": np.resize(["drug", "none"], ROWS),
            "weight": draw.normal(3, 8, ROWS).round(2),
        }
    )
    frame.loc[::11, "dose"] = ""
    frame.loc[[3, 50], "weight"] = np.nan
    # Every tenth answer is a 2 in the first half too, so that the rows that train have a gap to fit an indicator to.
    frame.loc[::10, "pica"] = 2
    return frame


@pytest.fixture
def my_csv(command: Command) -> Path:
    file = command.folder / "my.csv"
    table().to_csv(file, index=False)
    return file


def one(command: Command, name: str, study: str = "s") -> Path:
    (found,) = (command.folder / "outputs" / study).glob(f"**/{name}")
    return found


@pytest.mark.usefixtures("my_csv")
def test_a_table_trains(command: Command) -> None:
    ended = command(
        *WORDS, "dataset.drop=[id]", "dataset.missing.pica=[2]", "dataset.roles.age=confounder", "dataset.unit=kg",
        "dataset.kinds.age=number",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert "kg" in ended.out and "town: up to 39 measured rows have a level that no training row has" in ended.err
    metrics = json.loads(one(command, "metrics.json").read_text())
    # age, pica, town=a, town=b, "pica is missing".
    assert metrics["covariates"] == 5
    assert (metrics["rows_train"], metrics["rows_val"], metrics["rows_without_outcome"]) == (39, 39, 2)
    assert metrics["rows_val_known"] == 39 - 4  # rows 44, 55, 66 and 77
    # Rows 0 to 39 train but for row 3, which has no outcome; 40 to 79 validate but for row 50, and all have town=c.
    assert metrics["unseen_levels"] == {"town": 39}
    dataset = yaml.safe_load(one(command, "config.yaml").read_text())["dataset"]
    assert dataset["missing"] == {"pica": [2]} and dataset["path"] == "my.csv"
    assert dataset["sha256"] == sha256(str(command.folder / "my.csv"))
    predictions = pd.read_csv(one(command, "predictions.csv"))
    assert list(predictions) == ["row", "t", "p(t=0)", "p(t=1)", "weight", "weight_predicted"]


def test_parquet_is_read_as_csv_is(command: Command, my_csv: Path) -> None:
    frame = pd.read_csv(my_csv)
    frame.to_parquet(command.folder / "my.parquet")
    for path in ("my.csv", "my.parquet"):
        assert command(*WORDS, f"dataset.path={path}", "dataset.drop=[id]", f"study={path[3:]}").code == 0
    one_, other = (json.loads(one(command, "metrics.json", study).read_text()) for study in ("csv", "parquet"))
    assert one_["rmse"] == other["rmse"] and one_["covariates"] == other["covariates"]


@pytest.mark.usefixtures("my_csv")
def test_a_sweep_over_codes(command: Command) -> None:
    words = [*WORDS, "dataset.drop=[id]", "target=100"]
    assert command("-m", *words, "dataset.missing.pica=[2],[]").code == 0
    configs = [yaml.safe_load(file.read_text()) for file in (command.folder / "outputs").glob("**/config.yaml")]
    assert sorted(config["dataset"]["missing"]["pica"] for config in configs) == [[], [2]]


@pytest.mark.usefixtures("my_csv")
def test_a_hypothesis_whose_arms_declare_columns(command: Command) -> None:
    folder = command.folder / "mine" / "hypothesis"
    folder.mkdir(parents=True)
    arms = "[{dataset.missing.pica: [2]}, {dataset.kinds.pica: category, dataset.roles.age: confounder}]"
    (folder / "pica.yaml").write_text(f"{{letter: G, claim: c, expect: improves, arms: {arms}}}")
    words = ["-m", "--config-dir", "mine", *WORDS, "dataset.drop=[id]", "target=100", "hypothesis=pica", "seeds=2"]
    ended = command(*words)
    assert ended.code == 0, ended.err
    assert len(command.done()) == 6


@pytest.mark.usefixtures("my_csv")
def test_a_search_keeps_and_varies_what_is_declared(command: Command) -> None:
    ended = command(
        "-m", "experiment=search", *WORDS, "dataset.drop=[id]", "dataset.kinds.town=category", "batch=b10",
        "dataset.missing.pica=[2],[]", "n_trials=2", "hydra.sweeper.seeds_per_trial=1", "hydra.sweeper.confirm_seeds=2",
        "target=1000", "hydra.sweeper.n_jobs=1", "precision=float32", "stats_mode=precomputed", "rule.works_share=0.1",
        "rule.alpha=0.4",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    overrides = yaml.safe_load((command.folder / "outputs" / "s" / "best.yaml").read_text())["overrides"]
    assert "dataset.kinds.town=category" in overrides
    again = command("experiment=best", "study=s")
    assert again.code == 0, again.err


def test_names_that_no_command_line_can_take_stand_in_a_yaml(command: Command, my_csv: Path) -> None:
    pd.read_csv(my_csv).rename(columns={"age": "age in years", "pica": "eats.clay"}).to_csv(my_csv, index=False)
    folder = command.folder / "mine" / "dataset"
    folder.mkdir(parents=True)
    (folder / "clay.yaml").write_text(
        "defaults: [csv, _self_]\npath: my.csv\ntreatment: dose\noutcome: weight\ndrop: [id]\n"
        "roles: {age in years: confounder}\nmissing: {eats.clay: [2]}\n"
    )
    ended = command("--config-dir", "mine", "dataset=clay", *FIT, "dataset.kinds.eats.clay=category", "target=null")
    assert ended.code == 0, ended.err
    dataset = yaml.safe_load(one(command, "config.yaml").read_text())["dataset"]
    assert dataset["roles"] == {"age in years": "confounder"}


@pytest.mark.usefixtures("my_csv")
def test_a_function_of_your_own_makes_the_same_run(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The function and the YAML of docs/DATA.md, word for word."""
    text = (Path(__file__).parents[1] / "docs" / "DATA.md").read_text()
    (source,), nodes = (re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL) for kind in ("python", "yaml"))
    (node,) = (one for one in nodes if "my_tables" in one)
    (command.folder / "my_tables.py").write_text(source)
    (command.folder / "mine" / "dataset").mkdir(parents=True)
    (command.folder / "mine" / "dataset" / "my_table.yaml").write_text(node)
    (command.folder / "hashed_tables.py").write_text(source.replace("path: str", "path: str, sha256: str | None"))
    hashed = node.replace("my_tables", "hashed_tables") + "sha256: null\n"
    (command.folder / "mine" / "dataset" / "hashed.yaml").write_text(hashed)
    monkeypatch.syspath_prepend(command.folder)
    try:
        for study in ("my_table", "hashed"):
            words = ["--config-dir", "mine", f"dataset={study}", "admit=[my_tables,hashed_tables]"]
            ended = command(*words, *FIT, f"study={study}")
            assert ended.code == 0, ended.err
    finally:
        for name in ("my_tables", "hashed_tables"):
            sys.modules.pop(name, None)
    dataset = yaml.safe_load(one(command, "config.yaml", "hashed").read_text())["dataset"]
    assert dataset["sha256"] == sha256(str(command.folder / "my.csv"))
    assert command(*WORDS, "dataset.drop=[id]", "dataset.missing.pica=[2]", "dataset.unit=kg").code == 0
    assert one(command, "predictions.csv", "my_table").read_text() == one(command, "predictions.csv").read_text()


def test_a_changed_file_is_another_run(command: Command, my_csv: Path) -> None:
    words = [*WORDS, "dataset.drop=[id]", "arm=a"]
    assert command(*words).code == 0
    assert command(*words).code == 0
    before = sha256(str(my_csv))
    frame = pd.read_csv(my_csv)
    frame.loc[0, "age"] += 1
    frame.to_csv(my_csv, index=False)
    assert command.done() == ["a/seed=0"]
    refused(command, words, ["finished run of another config", "study=<name>"])
    refused(command, [*words, f"dataset.sha256={before}"], ["is not the file that dataset.sha256=", before])
    assert command(*words, f"dataset.sha256={sha256(str(my_csv))}", "study=t").code == 0


def test_paths_start_where_the_command_is_typed(
    command: Command, my_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (command.folder / "data").mkdir()
    my_csv.rename(command.folder / "data" / "my.csv")
    monkeypatch.setenv("HOME", str(command.folder))
    for i, path in enumerate(
        ("data/my.csv", "./data/../data/my.csv", "'~/data/my.csv'", "~/data/my.csv", command.folder / "data/my.csv")
    ):
        ended = command(*WORDS, f"dataset.path={path}", "dataset.drop=[id]", f"study=s{i}")
        assert ended.code == 0, ended.err
    refused(command, WORDS, ["dataset.path=my.csv: there is no file", str(command.folder / "my.csv")])


# Words after WORDS -> what the line must say.
BAD = {
    "dataset.path=nope.csv": ["dataset.path=nope.csv", "there is no file"],
    "dataset.path=.": ["dataset.path=. is a folder"],
    "dataset.path=null": ["dataset.path=null", "text"],
    "dataset.treatment=dosis": ["dataset.treatment", "'dosis'", "Did you mean 'dose'?"],
    "dataset.treatment=age": ["treatment age of my.csv", "continuous treatment is not supported"],
    "dataset.treatment=weight": ["dataset.treatment=weight is also an outcome"],
    "dataset.outcome=nope": ["dataset.outcome", "'nope'", "id, age, pica"],
    "dataset.outcome=town": ["outcome town of my.csv holds text, such as 'b'"],
    "dataset.outcome=[weight,dose]": ["dataset.treatment=dose is also an outcome"],
    "dataset.outcome=3": ["dataset.outcome=3", "text"],
    "": ["column id of my.csv holds text with 78 distinct values", "dataset.drop=[id]"],
    "dataset.drop=[id,nope]": ["dataset.drop", "'nope'"],
    "dataset.drop=id": ["dataset.drop=id", "a list", "Write dataset.drop=[id]"],
    "dataset.kinds.age=boolean": ["dataset.kinds.age=boolean is out of bounds", "number | yes_no | category"],
    "dataset.roles.age=confunder": ["dataset.roles.age=confunder", "Did you mean confounder?"],
    "dataset.delimiter=;": ["dataset.delimiter=;", "comma | semicolon | tab | pipe"],
    "dataset.delimiter=": ["dataset.delimiter=''", "semicolon", "shell keeps ;"],
    "dataset.kinds.agee=number": ["dataset.kinds", "Did you mean 'age'?"],
    "dataset.kinds.age=numeric": ["dataset.kinds", "number | yes_no | category"],
    "dataset.roles.age=cause": ["dataset.roles", "confounder | baseline | after"],
    "dataset.roles.agee=after": ["dataset.roles", "Did you mean 'age'?"],
    "dataset.missing.agee=[2]": ["dataset.missing", "Did you mean 'age'?"],
    "dataset.missing.age=null": ["dataset.missing"],
    "dataset.kind.age=number": ["dataset.kind.age is unknown"],
    "dataset.delimiter=semicolon": ["separated by ','", "dataset.delimiter=comma"],
    "dataset.delimiter=dot": ["dataset.delimiter=dot", "comma | semicolon | tab | pipe"],
    "dataset.encoding=utf-99": ["dataset.encoding=utf-99 is unknown"],
    "dataset.sha256=abc": ["is not the file that dataset.sha256=abc means"],
}


@pytest.mark.usefixtures("my_csv")
@pytest.mark.parametrize(("words", "said"), BAD.items(), ids=BAD)
def test_bad_words(command: Command, words: str, said: list[str]) -> None:
    refused(command, [*WORDS, *words.split()], said)


FILES = {
    "empty": (b"", ["my.csv is empty"]),
    "header only": (b"dose,weight,age\n", ["a header and no rows"]),
    "ragged": (b"dose,weight,age\n0,1,2\n1,2\n", ["2 cells in line 3"]),
    "doubled": (b"dose,weight,dose\n0,1,2\n1,2,3\n", ["two columns named 'dose'"]),
    "no name": (b",dose,weight\n0,0,1\n1,1,2\n", ["a column without a name", "dataset.drop=['']"]),
    "constant outcome": (b"dose,weight,age\n0,1,2\n1,1,3\n", ["outcome weight of my.csv is 1 in every row"]),
    "one treatment": (b"dose,weight,age\n0,1,2\n0,2,3\n", ["treatment dose of my.csv has one value, 0"]),
    "infinity": (b"dose,weight,age\n0,1,inf\n1,2,3\n", ["column age of my.csv holds an infinity"]),
    "wide": (b"dose,weight,a,b,c\n0,1,2,3,4\n1,2,3,4,5\n", ["3 covariates and only 2 rows", "dataset.drop"]),
    "latin-1": ("dose,weight,é\n0,1,2\n".encode("latin-1"), ["not written in utf-8", "dataset.encoding="]),
    "semicolons": (b"dose;weight;age\n0;1;2\n", ["separated by ';'", "dataset.delimiter=semicolon"]),
    "parquet": (b"PAR1 cut off", ["damaged or cut off Parquet"]),
    "few rows": (b"dose,weight,age\n0,1,2\n1,2,3\n0,3,3\n", ["leaves 1 to train"]),
}


@pytest.mark.parametrize("name", FILES)
def test_bad_files(command: Command, name: str) -> None:
    content, said = FILES[name]
    (command.folder / "my.csv").write_bytes(content)
    refused(command, WORDS, said)
    refused(command, ["-m", *WORDS, "seeds=2"], said)


SPACES = {
    "dataset.roles.age in years=confounder": "'dataset.roles={age in years: confounder}'",
    "dataset.kinds.age in years=number": "'dataset.kinds={age in years: number}'",
    "dataset.missing.age (y)=[2]": "'dataset.missing={age (y): [2]}'",
    "dataset.outcome=weight; kg": "'dataset.outcome=\"weight; kg\"'",
}


@pytest.mark.usefixtures("my_csv")
@pytest.mark.parametrize(("word", "said"), SPACES.items())
def test_a_name_with_spaces_is_shown_as_it_must_be_typed(command: Command, word: str, said: str) -> None:
    refused(command, [*WORDS, word], [word, said])
    assert "Exception" not in command(*WORDS, word).err


def test_names_with_spaces_on_the_command_line(command: Command, my_csv: Path) -> None:
    pd.read_csv(my_csv).rename(columns={"age": "age in years"}).to_csv(my_csv, index=False)
    words = ("dataset.drop=[id]", "dataset.roles={age in years: confounder}", "dataset.kinds={age in years: number}")
    ended = command(*WORDS, *words)
    assert ended.code == 0, ended.err
    dataset = yaml.safe_load(one(command, "config.yaml").read_text())["dataset"]
    assert dataset["roles"] == {"age in years": "confounder"}


def test_nothing_is_said_of_the_table(command: Command) -> None:
    refused(command, ["dataset=csv"], ["dataset.outcome is missing", "dataset.path=<...>", "dataset.treatment=<...>"])


@pytest.mark.parametrize(
    "outcomes", [["t"], ["row"], ["p(t=0)", "b"], ["b", "b_predicted"], ["b_predicted"], ["y[t]", "t"]]
)
def test_outcomes_named_like_columns_of_ours(command: Command, outcomes: list[str]) -> None:
    """predictions.csv keeps them apart, and the findings believe the runs."""
    frame = table()[["age", "dose", "weight"]].dropna()
    frame[outcomes] = np.random.default_rng(1).normal(size=(len(frame), len(outcomes)))
    frame.drop(columns="weight").to_csv(command.folder / "my.csv", index=False)
    named = "[" + ",".join(f'"{name}"' for name in outcomes) + "]"
    ended = command("-m", *WORDS, f"dataset.outcome={named}", "seeds=2", "target=100", "model.samples=5")
    assert ended.code == 0 and "left out" not in ended.out + ended.err, ended.err
    with next((command.folder / "outputs").glob("**/predictions.csv")).open() as file:
        header = next(csv.reader(file))
    assert len(set(header)) == len(header) == 4 + 2 * len(outcomes)
    assert header[4::2] == outcome_columns(outcomes)
    summary = pd.read_csv(command.folder / "outputs" / "s" / "summary.csv")
    assert (summary["status"] == "finished").all() and len(summary) == 2


def test_a_cohort_is_read_once_for_runs_that_share_it(my_csv: Path, make_config: MakeConfig) -> None:
    words = [
        "dataset=csv",
        f"dataset.path={my_csv}",
        "dataset.treatment=dose",
        "dataset.outcome=weight",
        "dataset.drop=[id]",
    ]
    data = Data()
    one_, other = (data.cohort(make_config(*words, f"seed={seed}").dataset) for seed in (0, 1))
    assert one_ is other
    assert one_.notes[0].startswith(f"{my_csv}: 80 rows, 2 without an outcome left out, 8 with an unknown treatment")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_benchmark_runs(kind: str) -> None:
    assert f"{kind}, 2,000 x 12" in measured(2_000, 12, kind)
