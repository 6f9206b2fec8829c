"""The short form of `make faults`, and property tests: whatever the words or the table, one line or a result."""

import contextlib
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ssc_sweep.errors import UserError
from ssc_sweep.findings.reading.collect import read
from ssc_sweep.study.folder import StudyFolder
from tests import faults
from tests.command import TINY, Command, make_command, run_here
from tests.processes import Forked

command = pytest.fixture(make_command)
LONG = int(os.environ.get("SSC_SWEEP_EXAMPLES", "0"))
FUZZ = settings(
    max_examples=LONG or 15, deadline=None, derandomize=not LONG, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip


@pytest.mark.parametrize(("times", "more"), [(2, ()), (1, (faults.TABLES,))], ids=["folders", "tables"])
def test_killed_and_started_again_it_is_the_same_study(tmp_path: Path, times: int, more: tuple[str, ...]) -> None:
    """The command itself, then a worker; of the study in tables a worker."""
    runs = ("epochs=4", "seed=range(0,5)", "optimizer.lr=1e-4,1e-3", "report=false")
    faults.kills(tmp_path, times, random.Random(7), *more, runs=runs, run=run_here, start=Forked)


def test_a_cut_file_is_noticed_or_made_again(tmp_path: Path) -> None:
    """The long form cuts the files of four runs."""
    faults.damage(tmp_path, ("epochs=2", "seed=0", "report=false"), run=run_here)


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    faults.disks(tmp_path, "report=false", run=run_here)


def test_starts_and_stops_leave_nothing(tmp_path: Path) -> None:
    faults.starts(tmp_path, 2, random.Random(3))


ROOM = """
import resource, psutil
import ssc_sweep.findings.print_study, ssc_sweep.findings.report, ssc_sweep.study.execute
from ssc_sweep.__main__ import main
resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + 400 * 2**20,) * 2)
main()
"""


def test_a_stack_that_does_not_fit_into_memory_is_cut(tmp_path: Path) -> None:
    """Sixteen runs that fit one by one, in 400 MB of address space beside what a process takes that has torch."""
    words = ("-m", "model.width=512", "seed=range(0,16)", "epochs=1", "dataset_size=n100", "study=s", "workers=0")
    ended = subprocess.run(
        [sys.executable, "-c", ROOM, *words, "save_weights=none", "report=false"], cwd=tmp_path, text=True,
        capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert len(list(tmp_path.rglob("DONE"))) == 16
    assert pd.read_csv(tmp_path / "outputs/s/summary.csv")["stack"].max() < 16


def test_a_run_that_cannot_be_written_down_fails_alone(command: Command) -> None:
    ended = command("-m", *TINY, "dataset.effect=1e300,3.0", "seeds=2")
    assert ended.code in (0, 1) and "Traceback" not in ended.err, ended.err
    assert len(command.done()) + len(list(command.folder.rglob("FAILED"))) == 4


KEYS = [
    "epochs",
    "seed",
    "batch",
    "batch.size",
    "model",
    "model.width",
    "optimizer.lr",
    "clip_norm",
    "split",
    "target",
    "split.validation_share",
    "split.test_share",
    "dataset.rows",
    "labels",
    "labels.hidden_share",
    "rule.alpha",
    "seeds",
    "study",
    "arm",
    "memory_budget",
    "retry",
    "save_weights",
    "max_failures",
    "fail_fast",
    "device",
    "dry_run",
    "scaling.rare_share",
    "precision",
    "stats_mode",
    "probes",
    "effects",
    "hypothesis",
    "experiment",
    "nothing",
    "hydra",
]
VALUES = [
    "null",
    "true",
    "-1",
    "0",
    "1",
    "2",
    "0.5",
    "1e-3",
    "nan",
    "inf",
    "''",
    "'x'",
    "[1]",
    "[]",
    "{a:1}",
    "${x}",
    "${oc.env:NONE}",
    "../x",
    "a/b",
    "é",
    "glob(*)",
    "range(1,3)",
    "range(5,1)",
    "1,2",
    "x=y",
    "lr",
    "b10",
    "full",
    "cpu",
    "best",
    "failed",
    "@file",
    "~",
    "null,1",
    "choice(1,2)",
    "interval(1,2)",
    "float32",
    "ema",
    "linear",
]
VALUES += ["", "'x y'", "a" * 300]
WORDS = st.lists(
    st.builds(lambda sign, key, value: f"{sign}{key}={value}", st.sampled_from(["", "", "", "+", "++", "~"]),
              st.sampled_from(KEYS), st.sampled_from(VALUES)),
    min_size=1, max_size=3,
)  # fmt: skip


@FUZZ
@given(words=WORDS, many=st.booleans())
def test_property_any_words_train_or_are_refused_in_one_line(words: list[str], many: bool) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        code, err = run_here(folder, *(["-m"] if many else []), *TINY, *words)
        assert code in (0, 1, 2), err
        assert "Traceback" not in err, err
        if code == 2:
            errors = [line for line in err.splitlines() if line.startswith("error: ")]
            assert len(errors) == 1 and err.splitlines()[-1] == errors[0], err
            assert not list(folder.rglob("study.yaml")), "refused before anything is written"


CELL = st.sampled_from(
    [*["1", "2.5", "-3", "NA", "x", "ü", "1e400", "nan", "true", "2020-01-01", "0x1"], "", '"a,b"', " 7 ", '"']
)
COLUMN = st.sampled_from(["dose", "weight", "age", "a b", "", "t", "row", "é"])


@FUZZ
@given(
    header=st.lists(
        st.sampled_from(["dose", "weight", "age", "a b", "", "dose", "t", "row", "é"]), min_size=1, max_size=5
    ),
    rows=st.lists(st.lists(CELL, max_size=6), max_size=40),
    noise=st.binary(max_size=20),
)
def test_property_any_table_is_read_or_refused_in_one_line(
    header: list[str], rows: list[list[str]], noise: bytes
) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        text = "\n".join([",".join(header), *(",".join(row) for row in rows)])
        (folder / "my.csv").write_bytes(text.encode() + (b"" if LONG and noise else noise))
        words = [
            "dataset=csv",
            "dataset.path=my.csv",
            "dataset.treatment=dose",
            "dataset.outcome=weight",
            "batch.size=2",
        ]
        code, err = run_here(folder, *words, "model=linear", "study=s", "workers=0")
        assert code in (0, 2) and "Traceback" not in err, err
        if code == 2:
            assert len([line for line in err.splitlines() if line.startswith("error: ")]) == 1, err


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    code, err = run_here(folder, "-m", *TINY, "seeds=2")
    assert code == 0, err
    return folder / "outputs/s"


@FUZZ
@given(data=st.data(), junk=st.binary(max_size=60))
def test_property_any_damage_is_read_past(study: Path, data: st.DataObject, junk: bytes) -> None:
    files = sorted(path for path in study.rglob("*") if path.is_file() and path.suffix in (".csv", ".json", ".yaml"))
    path = data.draw(st.sampled_from(files))
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:at] + junk + (whole[at:] if data.draw(st.booleans()) else b""))
    try:
        with contextlib.suppress(UserError):
            read(StudyFolder(study))
    finally:
        path.write_bytes(whole)
