"""Worker processes: every failure costs its own run, and what is stopped goes on."""

import json
import os
import platform
import signal
import socket
import time
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir

from ssc_sweep import stop
from ssc_sweep.config import conf_dir
from ssc_sweep.study.folder import RunFolder
from ssc_sweep.study.job import Stack, Status, make_job
from ssc_sweep.study.workers import Workers
from tests.command import TINY, Command, make_command
from tests.processes import Forked, begin, of_session, wait_for
from tests.study.misbehaving import failing

command = pytest.fixture(make_command)
STUDY = ("-m", *TINY, "workers=2", "seed=range(0,4)", "save_weights=none")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Raises", "RuntimeError: planted failure"),
        ("Exits", "SystemExit: 3"),
        ("Blames", "UserError: a model is no user"),
        ("Greedy", "MemoryError"),
        ("Killed", "ProcessLost: the process that trained it was killed"),
        ("Crashes", "ProcessLost: the process that trained it was killed"),
    ],
)
def test_a_failure_costs_its_own_run_and_no_other(command: Command, name: str, said: str) -> None:
    ended = command(*STUDY, *failing(name))
    assert ended.code == 1, ended.err
    assert len(command.done()) == 3 and not [run for run in command.done() if run.endswith("seed=1")]
    assert f"seed=1: {said}" in ended.err and "1 of 4 runs failed" in ended.err
    (failed,) = command.folder.glob("outputs/s/**/FAILED")
    assert failed.parent.name == "seed=1" and said in failed.read_text()
    assert not [path for path in command.folder.rglob(".*") if path.is_file()], "no leftovers"
    if name == "Crashes":
        assert "Segmentation fault" in failed.read_text() and "misbehave" in failed.read_text()
    # It stays failed, and that is said; the others are not trained again.
    again = command(*STUDY, *failing(name))
    assert again.code == 1 and said in again.err and "1 of 4 runs failed" in again.err


def test_a_worker_that_is_killed_from_outside_costs_nothing(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSC_SWEEP_TEST_MARK", str(command.folder / "mark"))
    process = Forked(command.folder, *STUDY, *failing("KilledOnce"))
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert (command.folder / "mark").exists() and len(command.done()) == 4


def test_a_dead_worker_of_a_launcher_of_hydras_is_one_line(command: Command) -> None:
    words = ("-m", *TINY, *failing("Killed"), "seed=range(0,3)", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    process = begin(command.folder, *words)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1 and "Traceback" not in err, err
    assert err.splitlines()[-1].startswith("error: a worker process was killed, or ran out of memory"), err


def test_retry_trains_failed_runs_again(command: Command) -> None:
    assert command(*STUDY, *failing("Raises")).code == 1
    before = {run: (command.folder / "outputs/s" / run / "DONE").stat().st_mtime_ns for run in command.done()}
    ended = command(*STUDY, *failing("Raises"), "retry=failed")
    assert ended.code == 1 and "1 of 4 runs failed" in ended.err
    assert {run: (command.folder / "outputs/s" / run / "DONE").stat().st_mtime_ns for run in command.done()} == before


def test_enough_failures_end_a_study(command: Command) -> None:
    words = ("-m", *TINY, "workers=1", "seed=1,2,3", "dataset.rows=60,61,62,63", *failing("Raises"))
    ended = command(*words, "max_failures=2")
    assert ended.code == 1 and "2 of 12 runs failed" in ended.err and "runs were not begun" in ended.err, ended.err
    assert len(list(command.folder.glob("outputs/s/**/FAILED"))) == 2
    ended = command(*words, "fail_fast=true", "study=t")
    assert ended.code == 1 and "1 of 12 runs failed" in ended.err, ended.err


def test_enough_failures_end_a_study_that_adds_seeds(command: Command) -> None:
    """Seed 1 fails, in the first round: in every arm, but one failure is enough."""
    words = ("-m", *TINY, "workers=1", "hypothesis=lr,batch", "target=0.1", *failing("Raises"))
    ended = command(*words, "fail_fast=true")
    assert ended.code == 1 and "1 of " in ended.err and "runs were not begun" in ended.err, ended.err
    assert len(list(command.folder.glob("outputs/s/**/FAILED"))) == 1
    begun = len(command.done())
    # A round later the failures of earlier rounds still count.
    ended = command(*words, "max_failures=6", "study=t", "max_seeds=60")
    assert ended.code == 1, ended.err
    assert len(list(command.folder.glob("outputs/t/**/FAILED"))) <= 6 and begun < 60


@pytest.mark.parametrize(
    ("sent", "code", "to_all"),
    [
        (signal.SIGINT, 130, True),
        (signal.SIGTERM, 143, False),
        (signal.SIGHUP, 129, True),
        (signal.SIGKILL, -9, False),
    ],
    ids=["Ctrl-C", "SIGTERM", "terminal closed", "SIGKILL"],
)
@pytest.mark.parametrize("many", [True, False], ids=["study", "single run"])
def test_a_stop_ends_every_process_and_the_same_command_goes_on(
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    sent: signal.Signals,
    code: int,
    to_all: bool,
    many: bool,
) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.arena_max=4")
    words = (*TINY, "epochs=3", *failing("Sleeps"), *(("-m", "workers=2", "seed=range(0,4)") if many else ()))
    process = begin(tmp_path, *words) if many else Forked(tmp_path, *words)
    wait_for(process, tmp_path, "outputs/s/.board-*/*.progress" if many else "outputs/s/**/config.yaml")
    if many and platform.libc_ver()[0] == "glibc":
        workers = [one for one in of_session(process.pid) if "multiprocessing.forkserver" in " ".join(one.cmdline())]
        # glibc cuts the variable at each colon where it lies in the memory of the process.
        said = [str(one.environ()) for one in workers]
        assert said and all("arena_max=4" in one and "glibc.malloc.hugetlb" in one for one in said), said
    start = time.monotonic()
    os.killpg(process.pid, sent) if to_all else os.kill(process.pid, sent)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert time.monotonic() - start < 5 + 5 * (os.getloadavg()[0] > 3), "a stop within 5 s"
    for _ in range(100):
        if not of_session(process.pid):
            break
        time.sleep(0.1)
    assert of_session(process.pid) == []
    if sent is not signal.SIGKILL:
        assert err.strip().splitlines()[-1].startswith("stopped. What is finished stays")
        assert "Traceback" not in err, err
        assert not [path for path in tmp_path.rglob(".*") if path.is_file()], "no leftovers"
    again = command(*words)
    assert again.code == 0, again.err
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()], "no leftovers"


def test_two_processes_share_a_study_and_train_each_run_once(tmp_path: Path, command: Command) -> None:
    words = ("-m", *TINY, "epochs=6", "dataset.rows=200", "seed=range(0,24)", "save_weights=none")
    alone = command(*words, f"outputs={tmp_path}/alone")
    assert alone.code == 0, alone.err
    processes = [Forked(tmp_path, *words) for _ in range(2)]
    for process in processes:
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0 and "24 runs: 24 finished" in out, err

    def numbers(outputs: str) -> pd.DataFrame:
        return pd.read_csv(tmp_path / outputs / "s" / "summary.csv").drop(columns=["seconds", "stack", "overrides"])

    pd.testing.assert_frame_equal(numbers("outputs"), numbers("alone"), check_exact=True)


def test_a_run_that_another_process_trains_is_waited_for(tmp_path: Path) -> None:
    """The test holds one of two runs for a while; the command trains the other one meanwhile, and then this one."""
    mine = RunFolder(tmp_path / "outputs/s/control/seed=0")
    lock = mine.claim()
    assert lock is not None
    process = Forked(tmp_path, "-m", *TINY, "seed=0,1")
    wait_for(process, tmp_path, "outputs/s/control/seed=1/DONE")
    time.sleep(0.5)
    assert process.poll() is None and not mine.done.exists()
    mine.release(lock)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and "2 runs: 2 finished" in out, err
    assert f"process {os.getpid()} on {socket.gethostname()} trains some of these runs; waiting for them" in err


def test_a_study_without_a_name_says_how_to_go_on(command: Command) -> None:
    words = [word for word in TINY if not word.startswith("study=")]
    ended = command("-m", *words, "seed=0,1")
    (folder,) = (command.folder / "outputs").iterdir()
    assert f"the same command with study={folder.name}" in ended.err
    assert stop.said() == f"stopped. What is finished stays; the same command with study={folder.name} goes on."
    command("-m", *words, "seed=0,1")
    assert len(list((command.folder / "outputs").iterdir())) == 2, "even in the same second"
    again = command("-m", *words, "seed=0,1", f"study={folder.name}")
    assert again.code == 0 and "2 of 2 runs have ended before" in again.err
    assert stop.said() == "stopped. What is finished stays; the same command goes on."
    failed = command("-m", *words, "seed=1", *failing("Raises"))
    name = max((command.folder / "outputs").iterdir(), key=lambda path: path.stat().st_mtime_ns).name
    assert f"the same command with retry=failed study={name}." in failed.err, failed.err


def test_a_dry_run_writes_and_trains_nothing(command: Command) -> None:
    ended = command("-m", *TINY, "hypothesis=lr", "seeds=4", "dry_run=true")
    assert ended.code == 0, ended.err
    assert "12 runs: 12 to train" in ended.out and "MiB on disk" in ended.out and "1 stack of 12 runs" in ended.out
    assert command.files() == []
    assert command("-m", *TINY, "hypothesis=lr", "seeds=2").code == 0
    before = command.files()
    ended = command("-m", *TINY, "hypothesis=lr", "seeds=4", "dry_run=true")
    assert "12 runs: 6 to train, 6 have ended before" in ended.out and command.files() == before
    assert "4 seeds cannot show that a change matters: rule.alpha=0.05 is shared by 5 claims" in ended.out + ended.err
    foreign = command("-m", *TINY, "hypothesis=lr", "seeds=4", "dry_run=true", "hydra/launcher=basic")
    assert foreign.code == 2 and "dry_run=true needs a launcher of ssc_sweep" in foreign.err
    ended = command(*TINY, "study=alone", "dry_run=true")
    assert ended.code == 0 and "1 run: 1 to train" in ended.out, ended.out
    assert command("-m", "experiment=search", *TINY, "dry_run=true").code == 2


@pytest.mark.parametrize(
    ("words", "kept"), [(("save_weights=all",), 6), (("save_weights=best",), 2), (("save_weights=none",), 0)]
)
def test_whose_weights_are_kept(command: Command, words: tuple[str, ...], kept: int) -> None:
    ended = command("-m", *TINY, "optimizer.lr=1e-3,1e-2", "seed=range(0,3)", *words)
    assert ended.code == 0, ended.err
    models = list(command.folder.glob("outputs/s/**/model.safetensors"))
    assert len(models) == kept
    if kept == 2:
        for path in models:
            rmse = {p.parent: json.loads(p.read_text())["rmse"] for p in path.parents[1].glob("*/metrics.json")}
            assert rmse[path.parent] == min(rmse.values())


def test_weights_of_the_best_run_are_kept_over_rounds_and_commands(command: Command) -> None:
    for seeds in ("range(0,2)", "range(2,5)", "range(0,6)"):
        assert command("-m", *TINY, "optimizer.lr=1e-3,1e-2", f"seed={seeds}", "save_weights=best").code == 0
    models = list(command.folder.glob("outputs/s/**/model.safetensors"))
    assert len(models) == 2
    for path in models:
        rmse = {p.parent: json.loads(p.read_text())["rmse"] for p in path.parents[1].glob("*/metrics.json")}
        assert len(rmse) == 6 and rmse[path.parent] == min(rmse.values())


def test_files_get_the_mode_that_umask_gives(command: Command) -> None:
    before = os.umask(0o002)
    try:
        assert command(*TINY).code == 0
    finally:
        os.umask(before)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in command.folder.glob("outputs/s/*/seed=0/*")}
    assert set(modes.values()) == {"0o664"}, modes


def test_a_worker_that_dies_while_it_waits_is_replaced(tmp_path: Path) -> None:
    with initialize_config_dir(str(conf_dir())):
        jobs = [make_job(compose("config", [*TINY, f"outputs={tmp_path}", "arm=a", f"seed={i}"]), ()) for i in range(2)]
    crew = Workers(1)
    try:
        for job in jobs:
            (sent,) = crew.send([Stack((job,))])
            while not sent.over():
                time.sleep(0.02)
            assert [outcome.status for outcome in sent.outcomes()] == [Status.FINISHED]
            os.kill(crew._idle[0].pid.result(), signal.SIGKILL)
            time.sleep(0.5)
    finally:
        crew.stop()
