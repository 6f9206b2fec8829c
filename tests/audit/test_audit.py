"""python -m ssc_sweep.audit: what is printed, what is written, what is refused."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ssc_sweep.audit import forecast
from ssc_sweep.audit.__main__ import main
from ssc_sweep.audit.definitions import BY_NAME
from ssc_sweep.audit.page import MARK
from tests.audit.coefficients import CONTENT, fitted
from tests.command import Command, Ended
from tests.documents import ROOT, files

FIVE = {"pica", "diabetes", "hbpmed", "boweltrouble", "hbp"}
TABLE = ("dataset=csv", "dataset.path=my.csv", "dataset.treatment=t", "dataset.outcome=y")
N = 120


@pytest.fixture(params=[200])
def command(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    return Command(tmp_path, monkeypatch, capsys, main, request.param)


def frame(n: int = N) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": draw.integers(20, 80, n),
            "bmi": draw.normal(25, 4, n),
            "town": draw.choice(["a", "b"], n),
            "t": np.arange(n) % 2,
            "y": draw.normal(size=n),
        }
    )


def of_table(command: Command, table: pd.DataFrame, *words: str) -> Ended:
    table.to_csv(command.folder / "my.csv", index=False)
    return command(*TABLE, *words)


def test_torch_is_not_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from ssc_sweep.audit.__main__ import main; sys.argv[1:] = ['format=json']; main(); "
        "print([name for name in ('torch', 'sklearn', 'scipy', 'matplotlib') if name in sys.modules], file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ended.stderr == "[]\n"
    assert json.loads(ended.stdout)["characteristics"]["max_z"] == pytest.approx(25, abs=0.1)


@pytest.mark.parametrize("command", [80, 120], indirect=True)
@pytest.mark.parametrize("words", [(), ("split=shuffled",), ("dataset_size=n100",)])
def test_a_line_a_finding_and_no_line_too_long(command: Command, words: tuple[str, ...]) -> None:
    ended = command(*words)
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert max(map(len, lines)) <= command.width
    found = json.loads(command(*words, "format=json").out)["findings"]
    assert all(sum(line.startswith(f"  {one['what']}") for line in lines) == 1 for one in found)
    order = [line for line in lines if line in ("severe", "warning", "note")]
    assert order == [word for word in ("severe", "warning", "note") if word in order]


def test_nhefs_in_file_order(command: Command) -> None:
    ended = command("dataset=nhefs", "split=file_order")
    assert ended.out.startswith("nhefs, file order: 783 rows train, 783 validate, 65 columns\n")
    line = next(line for line in ended.out.splitlines() if "code for missing?" in line)
    assert all(name in line for name in FIVE) and "0% -> 98%" in line
    assert "page: outputs/audit/nhefs-file_order/audit.html\n" in ended.out


def test_audits_of_different_rows_have_pages_of_their_own(command: Command) -> None:
    for words in (
        (), ("split=file_order",), ("split=shuffled",), ("dataset_size=n100",), ("dataset_size=n100", "split=shuffled"),
        ("covariates=confounders", "page=null"), ("dataset=nsw",), ("dataset=black_politicians",),
    ):  # fmt: skip
        assert command(*words).code == 0
    assert {Path(name).parent.name for name in command.files()} == {
        "nhefs-file_order", "nhefs-shuffled", "nhefs-100_rows", "nhefs-100_rows,split=shuffled",
        "nhefs-file_order,covariates=confounders", "nsw-file_order", "black_politicians-file_order",
    }  # fmt: skip


def test_two_names_of_one_file_have_pages_of_their_own(command: Command) -> None:
    (command.folder / "mine/dataset").mkdir(parents=True)
    pd.DataFrame({"t": [0, 1] * 20, "y": range(40), "a": [1, 2, 3, 5] * 10}).to_csv(command.folder / "clinic.csv")
    for name in ("clinic", "other"):
        text = "defaults: [csv, _self_]\npath: clinic.csv\ntreatment: t\noutcome: y\n"
        (command.folder / f"mine/dataset/{name}.yaml").write_text(text)
        assert command("--config-dir", "mine", f"dataset={name}").code == 0
    folders = {path.parent.name for path in command.folder.rglob("audit.html")}
    assert folders == {"clinic-file_order", "clinic-file_order,dataset=other"}


def test_the_audit_of_the_first_study_is_as_shown(command: Command) -> None:
    page = ROOT / "docs" / "FIRST_STUDY.md"
    for name, text in files(page).items():
        (command.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (command.folder / name).write_text(text)
    subprocess.run([sys.executable, "make_clinic.py"], cwd=command.folder, check=True)
    ended = replace(command, width=110)("--config-dir", "mine", "dataset=clinic")
    shown = "\n".join(line.rstrip() for line in ended.out.rstrip().split("\n"))
    assert f"```\n{shown}\n```" in page.read_text(encoding="utf-8")


def test_json_is_all_there_is_on_stdout(command: Command) -> None:
    ended = command("covariates=confounders", "format=json")
    found = json.loads(ended.out)
    assert set(found) == {"audit", "characteristics", "findings", "columns", "notes", "model", "p_fail", "reasons"}
    assert 0 < found["p_fail"] < 1
    assert list(found["characteristics"]) == [*dict.fromkeys(found["characteristics"])]
    assert set(found["characteristics"]) == set(BY_NAME)
    assert len(found["columns"]) == 9 and found["columns"][0]["name"] == "sex"
    assert command.files() == ["outputs/audit/nhefs-file_order,covariates=confounders/audit.html"]


def test_with_coefficients_there_is_a_forecast(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    models = {"flow_ssc": CONTENT["models"]["flow"]}  # type: ignore[index]
    fitted(tmp_path / "f.yaml", CONTENT | {"models": models})
    monkeypatch.setattr(forecast, "COEFFICIENTS", tmp_path / "f.yaml")
    found = json.loads(command("format=json").out)
    assert 0.9 < found["p_fail"] <= 1 and found["reasons"][0].startswith("max_z 25:")
    assert "flow_ssc fails with probability" in command().out
    assert "p_fail" not in json.loads(command("model=linear", "format=json").out)


def test_a_model_that_never_failed_has_no_forecast(command: Command) -> None:
    assert "p_fail" in json.loads(command("model=flow_ssc", "format=json").out)
    assert "p_fail" not in json.loads(command("model=linear", "format=json").out)


def test_the_page(command: Command) -> None:
    command("page=here/a.html")
    assert command.files() == ["here/a.html"]
    page = (command.folder / "here/a.html").read_text(encoding="utf-8")
    assert MARK in page and "default-src 'none'" in page
    assert re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page) == [] and "http:" not in page and "https:" not in page
    names = re.findall(r"<figure>\s*<strong>(.*?)</strong>", page)
    assert len(names) == 65 and set(names[:5]) == FIVE
    assert all(f"<code>{name}</code>" in page for name in BY_NAME)
    assert page.index('class="finding severe"') < page.index('class="finding warning"')


def test_a_hostile_name_is_text(command: Command) -> None:
    table = frame().assign(**{"<script>alert(1)</script>": np.arange(N)}).replace({"town": {"a": "<b>&"}})
    assert of_table(command, table).code == 0
    page = next(command.folder.rglob("audit.html")).read_text()
    assert "<script" not in page and "&lt;script&gt;" in page and "<b>" not in page


def test_a_page_of_ones_own_is_kept(command: Command) -> None:
    (command.folder / "mine.html").write_text("mine")
    ended = command("page=mine.html")
    assert ended.code == 2 and "was not made by ssc_sweep" in ended.err and ended.out == ""
    assert (command.folder / "mine.html").read_text() == "mine"
    assert command("page=.").code == 2


def test_a_page_again_is_written_again(command: Command) -> None:
    assert [command("covariates=confounders").code for _ in range(2)] == [0, 0]


REFUSED = {
    "format=xml": ["format=xml", "table | json"],
    "formt=json": ["formt is unknown", "Did you mean format?"],
    "page=''": ["page"],
    "-m": ["leave -m out"],
    "hypothesis=lr": ["hypothesis=lr", "one split"],
    "split=[file_order,shuffled]": ["a run takes one split"],
    "dataset=clinic": ["dataset=clinic is unknown"],
    "split=sorted": ["split=sorted is unknown", "shuffled"],
    "split.validation_share=2": ["split.validation_share=2", "< 1"],
    "dataset_size.rows=5000": ["dataset_size.rows=5000"],
    "dataset=csv": ["dataset.path"],
    "dataset=csv dataset.path=no.csv dataset.treatment=t dataset.outcome=y": ["there is no file"],
    "dataset=own dataset._target_=mine.load": ["not admitted"],
    "--nope": ["--nope is no option"],
    "nonsense": ["nonsense is no override"],
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_is_refused(command: Command, words: str) -> None:
    ended = command(*words.split())
    assert ended.code == 2 and ended.out == ""
    assert ended.err.startswith("error: ") and ended.err.count("\n") == 1, ended.err
    assert all(part in ended.err for part in REFUSED[words]), ended.err
    assert command.files() == []


def test_help_and_config_measure_nothing(command: Command) -> None:
    for word in ("--help", "--cfg=job"):
        ended = command(word)
        assert ended.code == 0 and "format: table" in ended.out
    assert command.files() == []


def test_outputs_that_cannot_be_written(command: Command) -> None:
    (command.folder / "file").write_text("")
    ended = command("outputs=file", "covariates=confounders")
    assert ended.code == 2 and "cannot write" in ended.err and "nhefs, file order" in ended.out


@pytest.mark.parametrize("words", [("labels=half_mcar",), ("split=shuffled", "seed=3"), ("split.test_share=0.2",)])
def test_it_takes_what_a_run_takes(command: Command, words: tuple[str, ...]) -> None:
    assert command("dataset=synthetic", *words).code == 0


# -- broken and hostile tables


def bad(name: str) -> pd.DataFrame:
    """A table with one thing wrong."""
    table, draw = frame(), np.random.default_rng(1)
    changes = {
        "a column without a value": {"gone": np.nan},
        "a column without a value in training": {"late": np.where(np.arange(N) < N // 2, np.nan, 1.0 * np.arange(N))},
        "an infinity": {"inf": np.where(np.arange(N) == 3, np.inf, 0.5)},
        "values whose squares are too large": {"huge": draw.normal(size=N) * 1e200},
        "text": {"name": [f"person {i}" for i in range(N)]},
        "dates": {"day": [f"2020-{1 + i // 28:02d}-{1 + i % 28:02d}" for i in range(N)]},
        "an outcome of text": {"y": "high"},
        "an outcome without a value": {"y": np.nan},
        "an infinite outcome": {"y": np.inf},
        "an outcome too large": {"y": np.where(np.arange(N) == 3, 1e200, draw.normal(size=N))},
        "a constant outcome": {"y": 1.0},
        "a constant treatment": {"t": 1},
        "a continuous treatment": {"t": draw.normal(size=N)},
        "no treatment": {"t": np.nan},
        "a treatment that only validation has": {"t": (np.arange(N) >= N // 2).astype(int)},
        "more columns than rows": {f"c{j}": draw.normal(size=N) for j in range(2 * N)},
    }
    return pd.concat(
        [table.drop(columns=[*changes[name]], errors="ignore"), pd.DataFrame(changes[name], index=table.index)], axis=1
    )


BAD = {
    "a column without a value": "column gone of my.csv has no value",
    "a column without a value in training": "column late of my.csv has no value in the rows that train",
    "an infinity": "holds an infinity in 1 row",
    "values whose squares are too large": "column huge of my.csv holds values of size",
    "text": "column name of my.csv holds text",
    "dates": "column day of my.csv holds dates",
    "an outcome of text": "outcome y of my.csv holds text",
    "an outcome without a value": "outcome y of my.csv has no value",
    "an infinite outcome": "outcome y of my.csv holds an infinity",
    "an outcome too large": "outcome y of my.csv holds values of size 1e+200",
    "a constant outcome": "there is nothing to predict",
    "a constant treatment": "has one value, 1",
    "a continuous treatment": "120 distinct values",
    "no treatment": "has no value in the rows with an outcome",
    "a treatment that only validation has": "0 visible training rows",
    "more columns than rows": "243 covariates and only 120 rows",
}


@pytest.mark.parametrize("name", BAD)
def test_a_broken_table_is_audited_as_far_as_it_goes(command: Command, name: str) -> None:
    """The line that a run is refused with, and the numbers of the columns that are left."""
    ended = of_table(command, bad(name), "format=json")
    assert (ended.code, ended.err) == (0, ""), ended.err
    found = json.loads(ended.out)
    assert found["findings"][0]["severity"] == "refused"
    assert any(BAD[name] in one["what"] for one in found["findings"])
    assert {"age", "bmi", "town"} <= {one["name"] for one in found["columns"]}
    assert not {"y", "t"} & {one["name"] for one in found["columns"]}
    assert found["characteristics"]["rows_train"] == N / 2 and found["characteristics"]["max_z"] > 1
    shown = command(*TABLE)
    assert shown.code == 0 and "refused by training" in shown.out and BAD[name][:20] in shown.out


def test_names_that_occur_twice(command: Command) -> None:
    table = frame()
    twice = pd.concat([table, table[["age"]]], axis=1)
    ended = of_table(command, twice, "format=json")
    found = json.loads(ended.out)
    assert [one["name"] for one in found["columns"]] == ["bmi", "town"]
    assert "2 columns named 'age'" in found["findings"][0]["what"]


def test_a_table_of_constants(command: Command) -> None:
    found = json.loads(of_table(command, frame().assign(age=1, bmi=2.0, town="a"), "format=json").out)
    assert {one["kind"] for one in found["findings"]} == {"same"}


NOTHING = {
    "all missing": (frame().astype(object).map(lambda _: np.nan), "no column that can be used"),
    "one row": (frame(1), "1 to train and 0 to validate"),
    "three rows": (frame(3), "1 to train and 2 to validate"),
    "no row": (frame(0), "a header and no rows"),
    "no covariate": (frame()[["t", "y"]], "no column that can be used"),
    "the treatment twice": (pd.concat([frame(), frame()[["t"]]], axis=1), "columns named 't'"),
}


@pytest.mark.parametrize("name", NOTHING)
def test_a_table_of_which_nothing_can_be_said(command: Command, name: str) -> None:
    table, said = NOTHING[name]
    ended = of_table(command, table)
    assert (ended.code, ended.out) == (2, "") and ended.err.count("\n") == 1 and said in ended.err, ended.err


@pytest.mark.parametrize(
    "content", [b"", b"\x00\x01\xff" * 99, b"a,t,y\n1,2\n1,2,3\n", b"PAR1 cut off", b't,y\n"1,2\n']
)
def test_a_file_that_is_no_table(command: Command, content: bytes) -> None:
    (command.folder / "my.csv").write_bytes(content)
    ended = command(*TABLE)
    assert (ended.code, ended.out) == (2, "") and ended.err.count("\n") == 1, ended.err


def test_ten_thousand_columns(command: Command) -> None:
    draw = np.random.default_rng(0)
    table = pd.DataFrame(draw.normal(size=(40, 10_000)).round(3), columns=[f"c{j}" for j in range(10_000)])
    table = table.assign(t=np.arange(40) % 2, y=draw.normal(size=40))
    ended = of_table(command, table)
    assert (ended.code, ended.err) == (0, "")
    assert "10,000 columns" in ended.out and "0.002 training rows a column" in ended.out
    assert os.path.getsize(next(command.folder.rglob("audit.html"))) < 1_000_000
