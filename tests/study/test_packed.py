"""Tables of finished runs: the same bytes and verdicts as folders, and nothing is lost whenever a process dies."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ssc_sweep.findings.__main__ import main as findings
from ssc_sweep.study import execute as module
from ssc_sweep.study import packed
from ssc_sweep.study.folder import RunFolder, StudyFolder
from tests.command import REPORTED, TINY, Command, Ended, make_command
from tests.processes import Forked, Started, begin, python_path
from tests.study.misbehaving import failing

command = pytest.fixture(make_command)
LR = ("-m", *TINY, "hypothesis=lr", "seeds=6", "save_weights=none")
TABLES = "run_files=tables"


def grid(seeds: int = 4, files: str | None = "tables", weights: str = "none") -> list[str]:
    """A study of a control alone."""
    words = ["-m", *TINY, f"seed=range(0,{seeds})", f"save_weights={weights}"]
    return words if files is None else [*words, f"run_files={files}"]


def forget() -> None:
    """What a process knows of tables goes: the next command is a new process."""
    packed.KNOWN.clear()
    packed.whole.cache_clear()


@pytest.fixture(autouse=True)
def new_process() -> Iterator[None]:
    forget()
    yield
    forget()


def study_of(command: Command) -> StudyFolder:
    return StudyFolder(command.folder / "outputs/s")


def tables(command: Command) -> list[Path]:
    return sorted(study_of(command).tables.glob("*"))


def runs(command: Command) -> pd.DataFrame:
    """All tables, as a user may read them."""
    return pd.concat([pd.read_parquet(path) for path in tables(command)])


def folders(command: Command) -> list[str]:
    study = study_of(command).path
    return sorted(path.relative_to(study).as_posix() for path in study.glob("**/seed=*"))


def untrained(command: Command, monkeypatch: pytest.MonkeyPatch, *words: str) -> Ended:
    """The command in a new process that must train nothing."""

    def no_training(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    forget()
    with monkeypatch.context() as patch:
        patch.setattr(module, "train", no_training)
        return command(*words)


def without_time(metrics: bytes) -> dict[str, Any]:
    return {key: value for key, value in json.loads(metrics).items() if key != "seconds"}


def test_a_table_has_the_bytes_that_folders_have_and_so_have_the_findings(command: Command) -> None:
    assert command(*LR, "run_files=folders").code == 0
    shutil.move(command.folder / "outputs", command.folder / "before")
    before = StudyFolder(command.folder / "before/s")
    ended = command(*LR, TABLES)
    assert ended.code == 0 and "18 runs: 18 finished" in ended.out, ended.err
    assert folders(command) == [] and tables(command)
    study = study_of(command)
    study.look()
    assert len(study.runs()) == len(before.runs()) == len(runs(command)) == 18
    for one, other in zip(study.runs(), before.runs(), strict=True):
        assert one.path.relative_to(study.path) == other.path.relative_to(before.path)
        for name in ("config", "overrides", "history", "predictions"):
            assert one.read(getattr(one, name)) == other.read(getattr(other, name))
        assert without_time(one.read(one.metrics)) == without_time(other.read(other.metrics))
        assert one.has(one.done) and not one.has(one.failed)
    assert (study.path / "verdicts.csv").read_bytes() == (before.path / "verdicts.csv").read_bytes()
    summaries = [pd.read_csv(folder.summary).drop(columns="seconds") for folder in (study, before)]
    pd.testing.assert_frame_equal(*summaries, check_exact=True)


def test_the_same_command_trains_only_what_is_new(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command(*grid()).code == 0
    before = [path.read_bytes() for path in tables(command)]
    ended = untrained(command, monkeypatch, *grid())
    assert ended.code == 0 and "4 of 4 runs have ended before" in ended.err, ended.err
    assert [path.read_bytes() for path in tables(command)] == before and folders(command) == []
    forget()
    assert command(*grid(6)).code == 0
    assert sorted(runs(command)["seed"]) == [0, 1, 2, 3, 4, 5]
    # Other runs of the study may lie in folders.
    forget()
    ended = command(*grid(7, "folders"))
    assert ended.code == 0 and "7 runs: 7 finished" in ended.out and command.done() == ["control/seed=6"], ended.err


def test_folders_of_an_earlier_command_are_packed(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command(*grid(files="folders")).code == 0
    before = {run.path.name: run.metrics.read_bytes() for run in study_of(command).runs()}
    (study_of(command).path / "control/seed=0/notes.txt").write_text("mine")
    assert untrained(command, monkeypatch, *grid()).code == 0
    assert folders(command) == ["control/seed=0"], "no file of the user's is removed"
    assert {f"seed={row['seed']}": row["metrics.json"] for row in runs(command).to_dict("records")} == before


def test_seeds_are_added_to_packed_runs_until_all_is_answered(command: Command) -> None:
    words = ("-m", *TINY, "hypothesis=lr", "target=0.1", "max_seeds=16")
    assert command(*words, "run_files=folders").code == 0
    verdicts = study_of(command).path / "verdicts.csv"
    before, done = verdicts.read_bytes(), len(command.done())
    shutil.rmtree(command.folder / "outputs")
    forget()
    assert command(*words, TABLES, "save_weights=none").code == 0
    assert verdicts.read_bytes() == before and folders(command) == [] and len(runs(command)) == done


@pytest.mark.parametrize("dies", ["write_file", "release", "_remove_if_empty"])
def test_a_kill_at_any_moment_loses_nothing(command: Command, monkeypatch: pytest.MonkeyPatch, dies: str) -> None:
    """Before the table has its name, between the table and the first folder, and after a folder's files have gone."""
    where = "ssc_sweep.study.record" if dies == "write_file" else "ssc_sweep.study.folder.RunFolder"
    code = (
        f"import os, {'ssc_sweep.study.record'}, ssc_sweep.study.folder; from ssc_sweep.__main__ import main\n"
        f"was = {where}.{dies}\n"
        f"def dying(*given):\n"
        f"    if '{dies}' != 'write_file' or given[0].suffix == '.parquet': os._exit(9)\n"
        f"    return was(*given)\n"
        f"{where}.{dies} = dying\nmain()"
    )
    call = [sys.executable, "-c", code, *grid()]
    env = {"PYTHONPATH": python_path(), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    assert subprocess.run(call, cwd=command.folder, env=env, capture_output=True).returncode == 9
    assert len(tables(command)) == (dies != "write_file") and len(folders(command)) == 4
    forget()
    assert findings([str(study_of(command).path)]) == 0
    assert pd.read_csv(study_of(command).summary)["status"].tolist() == ["finished"] * 4
    ended = untrained(command, monkeypatch, *grid())
    assert ended.code == 0 and "4 runs: 4 finished" in ended.out, ended.err
    assert sorted(runs(command)["seed"]) == [0, 1, 2, 3]
    assert [name for name in folders(command) if list((study_of(command).path / name).iterdir())] == []
    assert [path for path in command.folder.rglob(".*") if path.is_file()] == [], "no leftovers"


def test_a_truncated_table_is_named_and_no_run_is_passed_over(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*grid()).code == 0
    (table,) = tables(command)
    whole = table.read_bytes()
    table.write_bytes(whole[: len(whole) // 2])
    forget()
    ended = command(*grid())
    assert ended.code == 2 and ended.err.count("\n") == 1, ended.err
    assert f"outputs/s/tables/{table.name} is damaged" in ended.err and "remove it" in ended.err
    forget()
    assert findings([str(study_of(command).path)]) == 1
    shown = capsys.readouterr().err
    assert f"tables/{table.name} is damaged" in shown and shown.count("\n") == 1
    assert f"{table.name} is damaged" in (study_of(command).path / "report.html").read_text()
    table.unlink()
    forget()
    ended = command(*grid())
    assert ended.code == 0 and sorted(runs(command)["seed"]) == [0, 1, 2, 3], ended.err


def test_a_changed_byte_leaves_its_runs_out(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(*grid()).code == 0
    (table,) = tables(command)
    content = bytearray(table.read_bytes())
    content[len(content) // 2] ^= 1
    table.write_bytes(content)
    forget()
    assert command(*grid()).code == 2
    assert findings([str(study_of(command).path)]) == 1
    assert "4 of 4 runs are left out" in capsys.readouterr().err
    assert pd.read_csv(study_of(command).summary)["rmse"].isna().all()


def test_a_failed_run_keeps_its_folder_until_it_is_tried_again(command: Command) -> None:
    words = (*grid(), *failing("Raises"))
    ended = command(*words)
    assert ended.code == 1 and "1 of 4 runs failed" in ended.err
    (folder,) = folders(command)
    assert folder.endswith("/seed=1") and (study_of(command).path / folder / "FAILED").is_file()
    assert sorted(runs(command)["seed"]) == [0, 2, 3]
    forget()
    ended = command(*words)
    assert ended.code == 1 and "1 of 4 runs failed" in ended.err, "it stays failed"


def test_retry_packs_what_has_failed(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object, **__: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(module, "train", no_memory)
        assert command(*grid()).code == 1
    assert len(folders(command)) == 4 and tables(command) == []
    forget()
    assert command(*grid(), "retry=failed").code == 0
    assert folders(command) == [] and sorted(runs(command)["seed"]) == [0, 1, 2, 3]


def test_a_packed_run_of_another_config_is_refused(command: Command) -> None:
    assert command(*TINY, "arm=mine", TABLES, "save_weights=none").code == 0
    forget()
    ended = command(*TINY, "arm=mine", "epochs=2", TABLES)
    assert ended.code == 2 and "another config" in ended.err and "remove outputs/s/tables/" in ended.err, ended.err
    forget()
    ended = command(*TINY, "arm=mine", "epochs=2", "seed=1")
    assert ended.code == 2 and "an arm has one config" in ended.err, ended.err


def test_two_commands_share_a_study_and_train_each_run_once(tmp_path: Path, command: Command) -> None:
    words = ("-m", *TINY, "epochs=6", "dataset.rows=200", "seed=range(0,24)", "save_weights=none")
    assert command(*words, f"outputs={tmp_path}/alone").code == 0
    processes = [Forked(tmp_path, *words, TABLES) for _ in range(2)]
    for process in processes:
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0 and "24 runs: 24 finished" in out, err
    assert sorted(runs(command)["seed"]) == list(range(24)) and folders(command) == []

    def numbers(outputs: str) -> pd.DataFrame:
        return pd.read_csv(tmp_path / outputs / "s/summary.csv").drop(columns=["seconds", "stack", "overrides"])

    pd.testing.assert_frame_equal(numbers("outputs"), numbers("alone"), check_exact=True)


def test_a_run_that_was_packed_before_it_was_claimed_is_not_trained(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another command packs the runs after this one has checked them."""
    train = module.run_stack

    def late(*given: Any) -> Any:
        process = Forked(command.folder, *grid())
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        monkeypatch.setattr(module, "train", None)
        return train(*given)

    monkeypatch.setattr(module, "run_stack", late)
    ended = command(*grid())
    assert ended.code == 0 and "4 runs: 4 finished" in ended.out, ended.err
    assert folders(command) == [] and len(runs(command)) == 4


LOCAL = ("hydra/launcher=stack_slurm", "hydra.launcher.tasks=2", "hydra.launcher.cluster=local")
RAY = ("hydra/launcher=stack_ray", "hydra.launcher.tasks=2")


JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


# joblib starts no processes from one that is forked.
@pytest.mark.parametrize(("words", "start"), [(LOCAL, Forked), (RAY, Forked), (JOBLIB, begin)])
def test_every_launcher_packs(
    tmp_path: Path, command: Command, words: tuple[str, ...], start: Callable[..., Started]
) -> None:
    kept = []
    for _ in range(2):
        process = start(tmp_path, *(word for word in grid() if word != "workers=0"), *words)
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0 and "4 runs: 4 finished" in out, err
        assert sorted(runs(command)["seed"]) == [0, 1, 2, 3] and folders(command) == []
        kept.append(tables(command))
    assert kept[0] == kept[1], "the second time trains nothing"


def test_weights_stay_in_the_folder_of_their_run(command: Command) -> None:
    for seeds in ("range(0,3)", "range(0,5)"):
        forget()
        assert command("-m", *TINY, f"seed={seeds}", "save_weights=best", TABLES).code == 0
    (model,) = study_of(command).path.glob("**/model.safetensors")
    rmse = {row["seed"]: json.loads(row["metrics.json"])["rmse"] for row in runs(command).to_dict("records")}
    assert len(rmse) == 5 and model.parent.name == f"seed={min(rmse, key=rmse.__getitem__)}"
    assert folders(command) == [f"control/{model.parent.name}"] and list(model.parent.iterdir()) == [model]


def test_a_dry_run_says_how_files_are_kept(command: Command) -> None:
    assert "run_files=tables: 1 file, one a stack" in command(*grid(), "dry_run=true").out
    assert "run_files=folders: 28 files, 7 a run" in command(*grid(files=None), "dry_run=true").out
    assert "and up to 4 of weights" in command(*grid(weights="all"), "dry_run=true").out
    assert command.files() == []


def test_a_study_of_many_runs_has_tables_by_default(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssc_sweep.steering.MOST_FOLDERS", 3)
    assert command(*grid(files=None)).code == 0
    assert folders(command) == [] and len(runs(command)) == 4


def test_a_search_refuses_tables(command: Command) -> None:
    ended = command("-m", "experiment=search", *TINY, TABLES)
    assert ended.code == 2 and "run_files=tables: a search reads the folders of its runs" in ended.err


def test_a_folder_can_be_had_back(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("-m", *REPORTED, "seed=range(0,4)", "save_weights=none", TABLES).code == 0
    study = str(study_of(command).path)
    page = (study_of(command).path / "report.html").read_text()
    assert "python -m ssc_sweep.findings outputs/s unpack=control/seed=2" in page
    forget()
    assert findings([study, "unpack=control/seed=2"]) == 0
    assert capsys.readouterr().out == f"{study}/control/seed=2\n"
    run = RunFolder(study_of(command).path / "control/seed=2")
    row = runs(command).set_index("seed").loc[2]
    assert {path.name: path.read_bytes() for path in run.path.iterdir()} == {n: row[n] for n in packed.FILES}
    forget()
    assert command(*grid()).code == 0 and folders(command) == ["control/seed=2"], "it stays"
    for words, said in (
        ((study, "unpack=control/seed=9"), "lies in no table: there is no such run"),
        ((study, "unpack=../s/control"), "lies in no table"),
    ):
        assert findings(words) == 2
        assert said in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        findings(["unpack=control/seed=2"])
    assert end.value.code == 2 and "takes the folder of a study" in capsys.readouterr().err


def altered(command: Command, **columns: pa.Array) -> Path:
    """The only table, with columns of somebody else's."""
    (path,) = tables(command)
    table = pq.read_table(path)
    for name, column in columns.items():
        table = table.set_column(table.column_names.index(name.replace("_", ".")), name.replace("_", "."), column)
    pq.write_table(table, path)
    forget()
    return path


@pytest.mark.parametrize(
    "columns",
    [
        {"arm": pa.array(["../../evil", "control"])},
        {"arm": pa.array(["/tmp/evil", "control"])},
        {"arm": pa.array([1, 2])},
        {"seed": pa.array(["../x", "0"])},
        {"seed": pa.array([0, None])},
        {"metrics_json": pa.array([b"{}", None])},
        {"metrics_json": pa.array(["{}", "{}"])},
    ],
)
def test_a_table_of_somebody_elses_is_damaged(
    command: Command, capsys: pytest.CaptureFixture[str], columns: dict[str, pa.Array]
) -> None:
    assert command(*grid(2)).code == 0
    path = altered(command, **columns)
    ended = command(*grid(2))
    (line,) = ended.err.strip().splitlines()
    assert ended.code == 2 and path.name in line and "is damaged" in line, ended.err
    assert findings([str(study_of(command).path), "unpack=../../evil/seed=0"]) in (1, 2)
    assert not (command.folder / "evil").exists() and "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("moment", ["has", "read"])
def test_a_run_that_is_packed_while_it_is_read_is_found(command: Command, moment: str) -> None:
    """Another process writes the table and removes the folder between a look and a question."""
    assert command(*grid(2, "folders")).code == 0
    study = study_of(command)
    study.look()
    run = study.run("control", 0)
    expected = run.read(run.metrics)
    process = Forked(command.folder, *grid(2))
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0 and not run.path.exists(), err
    if moment == "has":
        assert run.has(run.done) and not run.has(run.failed)
    assert run.read(run.metrics) == expected
    with pytest.raises(FileNotFoundError):
        run.read(run.failed)


def test_a_study_inside_another_has_its_own_tables(command: Command) -> None:
    for name in ("s", "s/inner"):
        words = [word for word in grid(2) if not word.startswith("study=")]
        assert command(*words, f"study={name}").code == 0
    outer, inner = study_of(command), StudyFolder(study_of(command).path / "inner")
    forget()
    for one in (outer, inner):
        one.look()
        assert sorted(packed.packed_in(one.path)) == [one.path / "control/seed=0", one.path / "control/seed=1"]
    for path in outer.tables.glob("*"):
        path.unlink()
    outer.look()
    assert packed.packed_in(outer.path) == [] and len(packed.packed_in(inner.path)) == 2
