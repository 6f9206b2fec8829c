"""Findings that cannot be made or written: what is known is printed, one line says what is wrong, exit code 1."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ssc_sweep.findings import report
from ssc_sweep.findings.__main__ import main as rebuild
from ssc_sweep.findings.drawing import plots
from tests.command import REPORTED, TINY, Command, make_command
from tests.study.misbehaving import failing

command = pytest.fixture(make_command)


def in_the_way(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir()


@pytest.mark.parametrize("name", ["report.html", "summary.csv", "verdicts.csv", "figures/arms-seeds.svg"])
def test_a_file_that_cannot_be_written(command: Command, name: str) -> None:
    in_the_way(command.folder / "outputs/s" / name)
    ended = command("-m", *REPORTED, "seeds=2")
    assert ended.code == 1
    assert "2 runs: 2 finished" in ended.out
    assert ended.err.splitlines()[-1].startswith("error: the runs are there, their report is not: cannot write")
    assert "Traceback" not in ended.err and command.done() == ["control/seed=0", "control/seed=1"]
    (command.folder / "outputs/s" / name).rmdir()
    assert command("-m", *REPORTED, "seeds=2").code == 0


def test_findings_that_fail_in_an_unknown_way(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours is no success: it is raised, with its traceback."""

    def fails(*_: object) -> str:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(report, "render", fails)
    with pytest.raises(ZeroDivisionError):
        command("-m", *REPORTED, "seeds=2")


def test_runs_that_failed_and_findings_that_failed_are_both_named(command: Command) -> None:
    in_the_way(command.folder / "outputs/s/report.html")
    ended = command("-m", *REPORTED, *failing("Raises"), "seed=0,1")
    assert ended.code == 1
    errors = [line for line in ended.err.splitlines() if line.startswith("error:")]
    assert len(errors) == 2 and "their report is not" in errors[0] and "1 of 2 runs failed" in errors[1]


def test_a_study_that_is_removed_while_it_trains(command: Command) -> None:
    ended = command("-m", *REPORTED, *failing("Removes"), "seed=0,1")
    assert ended.code == 1
    assert ended.err.splitlines()[-1].startswith("error: outputs/s/study.yaml is gone")


@pytest.mark.parametrize("module", ["ssc_sweep", "ssc_sweep.findings"])
def test_figures_do_not_depend_on_settings_of_the_user(command: Command, module: str) -> None:
    """An unknown backend, a matplotlibrc in the folder and one of the user's own, a terminal without signs."""
    assert command("-m", *REPORTED, "seeds=2").code == 0
    study = command.folder / "outputs/s"
    before = {path.name: path.read_bytes() for path in (study / "figures").iterdir()}
    shutil.rmtree(study / "figures")
    (command.folder / "matplotlibrc").write_text("font.size: 30\naxes.formatter.use_locale: True\nbackend: nosuch\n")
    own = {"MPLBACKEND": "nosuch", "MATPLOTLIBRC": str(command.folder), "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    words = ["-m", *REPORTED, "seeds=2"] if module == "ssc_sweep" else [str(study)]
    call = [sys.executable, "-m", module, *words]
    kept = {key: value for key, value in os.environ.items() if key != "HYDRA_FULL_ERROR"}
    ended = subprocess.run(call, cwd=command.folder, env=kept | own, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert {path.name: path.read_bytes() for path in (study / "figures").iterdir()} == before


def test_a_style_of_the_process_is_left_as_it_was() -> None:
    import matplotlib as mpl

    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        figure = plots.forest([("a", 1.0, 0.5, 1.5, False)], "effect")
        (axes,) = figure.axes
        assert axes.get_facecolor() == (1, 1, 1, 1) and axes.xaxis.label.get_size() == 11
        assert mpl.rcParams["font.size"] == 30


def test_a_foreign_index_is_not_overwritten(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    for study in ("a", "b"):
        assert command("-m", *TINY, "seeds=1", f"study={study}").code == 0
    outputs = command.folder / "outputs"
    folders = [str(outputs / "a"), str(outputs / "b")]
    (outputs / "index.html").write_text("my own")
    assert rebuild(folders) == 1
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and "index.html was not made by ssc_sweep" in said.err and said.out == ""
    assert (outputs / "index.html").read_text() == "my own"
    (outputs / "index.html").unlink()
    assert rebuild(folders) == rebuild(folders) == 0


def test_a_report_is_made_again_only_where_what_it_shows_has_changed(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("-m", *REPORTED, "hypothesis=lr")
    page = command.folder / "outputs/s/report.html"
    drawn: list[object] = []
    draw = report.draw
    monkeypatch.setattr(report, "draw", lambda study: drawn.append(study) or draw(study))
    shown = [command(*words, "seeds=2").out, command(*words, "seeds=2").out]
    assert shown[0] == shown[1] and len(drawn) == 1
    assert command(*words, "seeds=3").code == 0 and len(drawn) == 2
    tables = {path: path.read_bytes() for path in (page.with_name("verdicts.csv"), page.with_name("summary.csv"))}
    for path, content in tables.items():
        path.write_bytes(content[:100])
        assert command(*words, "seeds=3").code == 0 and path.read_bytes() == content
    assert len(drawn) == 2
    for damage in (page.unlink, lambda: os.truncate(page, 5000), lambda: shutil.rmtree(page.parent / "figures")):
        damage()
        assert command(*words, "seeds=3").code == 0
        assert page.read_text().endswith("</html>") and (page.parent / "figures").is_dir()
    assert len(drawn) == 5
    (page.parent / "control/seed=0/history.csv").write_text("kind,ep")
    assert command(*words, "seeds=3").code == 1 and len(drawn) == 6, "a run that cannot be read is left out of it"


def test_an_index_makes_only_reports_that_are_not_there(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for study, more in (("a", TINY), ("b", REPORTED)):
        assert command("-m", *more, "hypothesis=lr", "seeds=2", f"study={study}").code == 0
    drawn: list[str] = []
    draw = report.draw
    monkeypatch.setattr(report, "draw", lambda study: drawn.append(study.folder.path.name) or draw(study))
    assert rebuild([str(command.folder / "outputs")]) == 0 and drawn == ["a"]
    assert rebuild([str(command.folder / "outputs/b")]) == 0 and drawn == ["a", "b"], "a study by itself is made anew"
    index = (command.folder / "outputs/index.html").read_text()
    assert "a/report.html" in index and "b/report.html" in index
