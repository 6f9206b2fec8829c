"""Run the command line inside the test's own process: a second a study instead of four."""

import contextlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ssc_sweep.__main__ import main
from ssc_sweep.steering import Running
from ssc_sweep.study.conduct import ThisMachine, conduct
from ssc_sweep.study.job import Job, Outcome

# A study that takes a moment: 30 training rows, three updates, no worker processes, no figures.
TINY = (
    "dataset=synthetic", "dataset.rows=60", "epochs=1", "batch.size=10", "model.width=8", "study=s", "workers=0",
    "report=false",
)  # fmt: skip
REPORTED = (*TINY[:-1], "report=true")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Command:
    """Call it with the words after `python -m ssc_sweep`; it runs in `folder`, a fresh one."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    program: Callable[[], None] = main
    width: int = 200

    def __call__(self, *words: str) -> Ended:
        with self.monkeypatch.context() as patch:
            patch.chdir(self.folder)
            patch.setattr(sys, "argv", ["ssc_sweep", *words])
            patch.setenv("COLUMNS", str(self.width))
            # `main` sets it, and a user who sets it asks for tracebacks.
            patch.delenv("HYDRA_FULL_ERROR", raising=False)
            code = 0
            try:
                self.program()
            except SystemExit as end:
                code = int(end.code or 0)
            finally:
                shown = self.capsys.readouterr()
        return Ended(code, shown.out, shown.err)

    def done(self) -> list[str]:
        """Folders of the finished runs, relative to the study "s"."""
        study = self.folder / "outputs" / "s"
        return sorted(path.parent.relative_to(study).as_posix() for path in study.glob("**/DONE"))

    def files(self) -> list[str]:
        """Every file below the folder."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())


def make_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """A fixture, once a test file says `command = pytest.fixture(make_command)`."""
    return Command(tmp_path, monkeypatch, capsys)


def run_here(folder: Path, *words: str) -> tuple[int, str]:
    """(exit code, what stood on stderr) of a command in this process, also for fixtures that many tests share."""
    out, err, before, argv = io.StringIO(), io.StringIO(), Path.cwd(), sys.argv
    code = 0
    os.chdir(folder)
    sys.argv = ["ssc_sweep", *words]
    os.environ.pop("HYDRA_FULL_ERROR", None)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        os.chdir(before)
        sys.argv = argv
    return code, err.getvalue()


def refused(command: Command, words: Sequence[str], said: Sequence[str]) -> None:
    """Check the whole contract of a refusal: one line with all of `said`, exit code 2, nothing written."""
    before = command.files()
    ended = command(*words)
    assert ended.err.startswith("error: ") and ended.err.endswith("\n") and ended.err.count("\n") == 1, ended.err
    for part in said:
        assert part in ended.err, ended.err
    assert ended.code == 2
    assert ended.out == ""
    assert command.files() == before


def running(**values: Any) -> Running:
    """How runs are trained, with these values instead of the defaults: in the test's own process."""
    defaults: dict[str, Any] = dict.fromkeys(Running.model_fields)
    defaults |= {"workers": 0, "device": "cpu", "fail_fast": False, "report": True, "dry_run": False}
    return Running(**defaults | values)


def execute(jobs: Sequence[Job], **values: Any) -> list[Outcome]:
    """Train jobs and return how each ended."""
    outcomes = conduct(jobs, running(**values), ThisMachine(), lambda _: None, quiet=True)
    return [outcome for outcome in outcomes if outcome is not None]
