"""Stacks on a real Slurm of one node, in processes of submitit, and on a Ray instance of this machine."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil
import pytest

from ssc_sweep.study import slurm_and_ray
from ssc_sweep.study.job import Stack
from tests.command import TINY, Command, make_command
from tests.processes import Forked, python_path, wait_for
from tests.study.misbehaving import failing

command = pytest.fixture(make_command)
# submitit forgets a process of its local executor before the process has quite ended.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes find the models of the tests, and a lost task is noticed soon."""
    monkeypatch.setenv("PYTHONPATH", python_path())
    monkeypatch.setattr(slurm_and_ray, "CHECK_S", 1.0)


STUDY = ("-m", *TINY, "seed=range(0,6)", "optimizer.lr=1e-4,1e-2")
SLURM = ("hydra/launcher=stack_slurm", "hydra.launcher.tasks=2", "hydra.launcher.mem_gb=2")
LOCAL = (*SLURM, "hydra.launcher.cluster=local")
RAY = ("hydra/launcher=stack_ray", "hydra.launcher.tasks=2")


def numbers(command: Command, outputs: str) -> pd.DataFrame:
    table = pd.read_csv(command.folder / outputs / "s" / "summary.csv")
    return table.drop(columns=["seconds", "stack", "overrides"])


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_until(question: list[str], answer: str) -> None:
    for _ in range(150):
        told = subprocess.run(question, capture_output=True, text=True, check=False)
        if answer in told.stdout:
            return
        time.sleep(0.2)
    raise AssertionError(f"{question} never said {answer}: {told.stdout} {told.stderr}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Slurm of one node with two processors. Its configuration."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("munged", "slurmctld", "slurmd", "runuser"))):
        pytest.skip("needs root and a Slurm: apt-get install --no-install-recommends slurm-wlm munge")
    folder = tmp_path_factory.mktemp("slurm")
    # munged insists on folders that nobody else can write to, up to the root.
    run = Path(tempfile.mkdtemp(prefix="munge-", dir="/run"))
    shutil.chown(run, "munge", "munge")
    run.chmod(0o755)
    key = [f"--socket={run}/socket", f"--pid-file={run}/pid", f"--log-file={run}/log", f"--seed-file={run}/seed"]
    subprocess.run(["runuser", "-u", "munge", "--", "munged", *key], check=True)
    host = socket.gethostname().split(".")[0]
    values = {
        "ClusterName": "test", "SlurmctldHost": f"{host}(127.0.0.1)", "SlurmUser": "root", "SlurmdUser": "root",
        "AuthInfo": f"socket={run}/socket", "ProctrackType": "proctrack/linuxproc", "TaskPlugin": "task/none",
        "SelectType": "select/cons_tres", "JobAcctGatherType": "jobacct_gather/none", "MpiDefault": "none",
        "ReturnToService": 2, "KillWait": 2, "SlurmctldPort": free_port(), "SlurmdPort": free_port(),
        "StateSaveLocation": folder / "state", "SlurmdSpoolDir": folder / "spool",
        "SlurmctldPidFile": folder / "slurmctld.pid", "SlurmdPidFile": folder / "slurmd.pid",
        "SlurmctldLogFile": folder / "slurmctld.log", "SlurmdLogFile": folder / "slurmd.log",
    }  # fmt: skip
    lines = [f"{name}={value}" for name, value in values.items()]
    lines += [
        f"NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=5000",
        f"PartitionName=main Nodes={host} Default=YES",
    ]
    for name in ("state", "spool"):
        (folder / name).mkdir()
    configuration = folder / "slurm.conf"
    configuration.write_text("\n".join(lines) + "\n")
    pids = [folder / "slurmd.pid", folder / "slurmctld.pid", run / "pid"]
    try:
        for program in ("slurmctld", "slurmd"):
            subprocess.run([program, "-f", str(configuration)], check=True, capture_output=True)
        yield configuration
    finally:
        for path in pids:
            if path.exists():
                os.kill(int(path.read_text()), signal.SIGTERM)
        shutil.rmtree(run, ignore_errors=True)


@pytest.fixture
def slurm(server: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands find the server, and it has nothing to do."""
    monkeypatch.setenv("SLURM_CONF", str(server))
    wait_until(["sinfo", "--noheader", "--format=%t"], "idle")


@pytest.mark.usefixtures("slurm")
def test_every_place_gives_the_same_numbers(command: Command) -> None:
    """And leaves nothing behind but scripts and logs."""
    assert command(*STUDY, "workers=2", "outputs=here").code == 0
    for outputs, words in (("slurm", SLURM), ("local", LOCAL), ("ray", RAY)):
        ended = command(*STUDY, *words, f"outputs={outputs}")
        assert ended.code == 0, ended.err
        pd.testing.assert_frame_equal(numbers(command, outputs), numbers(command, "here"), check_exact=True)
        assert not list((command.folder / outputs).rglob("*.pkl"))
        again = command(*STUDY, *words, f"outputs={outputs}")
        assert again.code == 0 and "12 of 12 runs have ended before" in again.err
    logs = list((command.folder / "slurm/s/slurm").rglob("*.out"))
    assert len(logs) == 2, "one task a stack"
    (script,) = (command.folder / "slurm/s/slurm").rglob("*_submission.sh")
    assert "--array=0-1%2" in script.read_text()


def kill_a_task(folder: Path) -> bool:
    """Kill the process of a task that trains; False if none has within a minute."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if list(folder.glob("outputs/s/.board-*/*.progress")):
            for process in psutil.process_iter():
                with suppress(psutil.NoSuchProcess):
                    words = " ".join(process.cmdline())
                    if "submitit.core._submit" in words and str(folder) in words and "python" in process.name():
                        process.kill()
                        return True
        time.sleep(0.05)
    return False


@pytest.mark.usefixtures("slurm")
def test_a_task_that_slurm_loses_is_sent_again(command: Command) -> None:
    """As the system ends one that takes too much memory: it leaves no result, and without accounting no state."""
    words = ("-m", *TINY, "epochs=3", *failing("Sleeps"), "seed=range(0,4)", *SLURM)
    with ThreadPoolExecutor(1) as aside:
        killed = aside.submit(kill_a_task, command.folder)
        ended = command(*words)
    assert killed.result() and ended.code == 0, ended.err
    assert len(command.done()) == 4


@pytest.mark.usefixtures("slurm")
def test_ctrl_c_takes_the_tasks_back(command: Command) -> None:
    process = Forked(command.folder, "-m", *TINY, "epochs=50", *failing("Sleeps"), "seed=range(0,4)", *SLURM)
    wait_for(process, command.folder, "outputs/s/.board-*/*.progress")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 130
    wait_until(["sinfo", "--noheader", "--format=%t"], "idle")


@pytest.mark.usefixtures("slurm")
def test_the_script_can_be_seen_without_sending_it(command: Command) -> None:
    ended = command(*STUDY, *SLURM, "hydra.launcher.parameters={slurm_partition: main}", "dry_run=true")
    assert ended.code == 0, ended.err
    for line in ("#SBATCH --array=0-1%2", "#SBATCH --partition=main", "#SBATCH --mem=2GB", "submitit.core._submit"):
        assert line in ended.out, ended.out
    assert command.files() == []
    assert subprocess.run(["squeue", "--noheader"], capture_output=True, text=True, check=True).stdout == ""


def test_a_run_that_kills_every_task_fails_alone(command: Command) -> None:
    words = ("-m", *TINY, *failing("Killed"), "seed=range(0,3)", *LOCAL, "hydra.launcher.max_retries=0")
    ended = command(*words)
    assert ended.code == 1 and "1 of 3 runs failed, the first with ProcessLost" in ended.err, ended.err
    assert len(command.done()) == 2


def test_a_ray_worker_that_dies_costs_its_own_run(command: Command) -> None:
    ended = command("-m", *TINY, *failing("Killed"), "seed=range(0,3)", *RAY, "hydra.launcher.max_retries=0")
    assert ended.code == 1 and "1 of 3 runs failed, the first with ProcessLost" in ended.err, ended.err
    assert len(command.done()) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*SLURM, "hydra.launcher.parameters={slurm_partitio: x}"), "slurm_partitio"),
        ((*RAY, "hydra.launcher.tasks=0"), "hydra.launcher.tasks=0"),
        ((*LOCAL, "hydra.launcher.max_retries=-1"), "hydra.launcher.max_retries=-1"),
        ((*LOCAL, "hydra.launcher.mem_gb=0"), "hydra.launcher.mem_gb=0"),
    ],
)
def test_what_a_cluster_does_not_take_is_refused(command: Command, words: tuple[str, ...], said: str) -> None:
    ended = command(*STUDY, *words)
    assert ended.code == 2 and said in ended.err, ended.err
    assert len(ended.err.strip().splitlines()) == 1 and command.files() == []


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script in the place of sbatch."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("srun", "sbatch", "scancel"):
        (folder / name).write_text("#!/bin/sh\nexit 1\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder / "sbatch"


def test_what_slurm_refuses_is_one_line(command: Command, sbatch: Path) -> None:
    sbatch.write_text("#!/bin/sh\necho 'sbatch: error: Batch job submission failed: Invalid qos' >&2\nexit 1\n")
    ended = command(*STUDY, *SLURM)
    assert ended.code == 2 and "Traceback" not in ended.err
    said = ended.err.splitlines()[-1]
    assert (
        said.startswith("error: hydra/launcher=stack_slurm: the tasks cannot be handed over") and "Invalid qos" in said
    )
    assert not list(command.folder.rglob("*.pkl")) and not list((command.folder / "outputs").rglob("*.lock"))


def test_large_arrays_are_cut_and_share_the_limit(
    tmp_path: Path, sbatch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm takes 1,000 tasks an array. Two arrays with 4 places together: 2 for each."""
    sbatch.write_text(f"#!/bin/sh\ncat $1 >> {tmp_path}/sent\necho Submitted batch job $$\n")
    monkeypatch.setattr(slurm_and_ray, "LARGEST_ARRAY", 3)
    crew = slurm_and_ray.Slurm(tmp_path / "slurm", "slurm", 4, 0, {})
    assert len(crew.send([Stack(())] * 5)) == 5
    arrays = [line for line in (tmp_path / "sent").read_text().splitlines() if "--array" in line]
    assert arrays == ["#SBATCH --array=0-2%2", "#SBATCH --array=0-1%2"]
    crew.tidy()


def test_what_a_killed_command_has_left_goes_and_what_a_living_one_needs_stays(tmp_path: Path, sbatch: Path) -> None:
    sbatch.write_text("#!/bin/sh\necho Submitted batch job $$\n")
    killed, living, later = (slurm_and_ray.Slurm(tmp_path / "slurm", "slurm", 1, 0, {}) for _ in range(3))
    for crew in (killed, living):
        crew.send([Stack(())])
    killed.lock.release()  # as the system does
    later.send([Stack(())])
    left = {crew.folder.name: len(list(crew.folder.rglob("*.pkl"))) for crew in (killed, living, later)}
    assert left == {killed.folder.name: 0, living.folder.name: 1, later.folder.name: 1}
    assert list(killed.folder.rglob("*_submission.sh")), "scripts and logs stay"
    for crew in (living, later):
        crew.tidy()
    assert not list(tmp_path.rglob("*.pkl")) and not list((tmp_path / "slurm").rglob(".lock"))
