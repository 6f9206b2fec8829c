"""A search that is killed, and searches that share a storage: a journal, a SQLite file, a real PostgreSQL server."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from ssc_sweep.study.folder import read_yaml
from tests.command import Command, make_command
from tests.processes import Forked
from tests.study.search.small import EASY, IMPOSSIBLE, SMALL, load

command = pytest.fixture(make_command)


def start(folder: Path, *words: str, target: str = IMPOSSIBLE) -> Forked:
    return Forked(folder, *SMALL, target, *words)


def test_killed_and_started_again_it_goes_on(tmp_path: Path, command: Command) -> None:
    words = ("n_trials=6", "dataset.rows=400", "epochs=20", "hydra.sweeper.prune=false")
    process = start(tmp_path, *words)
    while not list(tmp_path.glob("outputs/s/trial=0002/seed=0/config.yaml")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    left = load(tmp_path).trials
    assert TrialState.RUNNING in {trial.state for trial in left}
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("outputs/s/**/DONE")}
    ended = command(*SMALL, IMPOSSIBLE, *words)
    assert ended.code == 1, ended.err
    trials = load(tmp_path).trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 6
    assert [trial.params for trial in trials[: len(left)]] == [trial.params for trial in left]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert not list(tmp_path.glob("outputs/s/.owners/*"))


def test_killed_while_it_confirms_it_goes_on_with_the_same_candidate(tmp_path: Path, command: Command) -> None:
    """Its place, which is its share of alpha, and its finished seeds stay."""
    words = ("n_trials=2", "rule.works_share=0.5", "hydra.sweeper.confirm_seeds=40", "epochs=3")
    process = start(tmp_path, *words, target=EASY)
    while len(list(tmp_path.glob("outputs/s/confirm=*/seed=*/DONE"))) < 6:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    (key, left), *others = ((k, v) for k, v in load(tmp_path).user_attrs.items() if k.startswith("confirmed:"))
    assert left["place"] == 1 and not others
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("outputs/s/**/DONE")}
    ended = command(*SMALL, EASY, *words)
    assert ended.code == 0, ended.err
    kept = load(tmp_path).user_attrs[key]
    assert kept["place"] == 1 and kept["seeds"][: len(left["seeds"])] == left["seeds"]
    assert kept["rmse"][: len(left["seeds"])] == left["rmse"] and len(kept["seeds"]) >= 6
    assert {path: path.stat().st_mtime_ns for path in before} == before


def two_processes(folder: Path, storage: str) -> optuna.Study:
    """Let two processes work on one study of 12 trials and return it."""
    words = ("n_trials=12", f"storage={storage}", "dataset.rows=100", "epochs=3")
    processes = [start(folder, *words) for _ in range(2)]
    for process in processes:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 1 and "the search ended" in err, err
    study = load(folder)  # the folder's own copy
    assert sorted(trial.number for trial in study.trials) == list(range(12))
    assert {trial.state for trial in study.trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert len({trial.user_attrs["owner"] for trial in study.trials}) == 2
    assert len({trial.user_attrs["folder"] for trial in study.trials}) == 12
    arms = [arm["folder"] for arm in read_yaml(folder / "outputs/s/study.yaml")["arms"]]
    assert sorted(name for name in arms if name.startswith("trial=")) == [f"trial={n:04d}" for n in range(12)]
    return study


def test_two_processes_share_a_journal(tmp_path: Path) -> None:
    two_processes(tmp_path, f"journal:{tmp_path / 'journal.log'}")


def test_two_processes_share_a_sqlite_file(tmp_path: Path) -> None:
    (tmp_path / "outputs").mkdir()
    two_processes(tmp_path, f"sqlite:///{tmp_path / 'shared.db'}")


def test_two_machines_share_n_trials(tmp_path: Path) -> None:
    storage = f"journal:{tmp_path / 'journal.log'}"
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    processes = [start(folder, "n_trials=7", f"storage={storage}", "hydra.sweeper.n_jobs=3") for folder in folders]
    for process in processes:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 1 and "n_trials=7 trials are done" in err, err
    trials = load(folders[0]).trials
    assert TrialState.RUNNING not in {trial.state for trial in trials}
    assert len([trial for trial in trials if not trial.user_attrs.get("surplus")]) == 7
    assert len({trial.user_attrs["place"] for trial in trials}) == 2


def server_tool(name: str) -> str | None:
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *map(str, places)]))


@pytest.fixture
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server that lives as long as the test."""
    initdb, server = server_tool("initdb"), server_tool("postgres")
    if initdb is None or server is None:
        pytest.skip("no PostgreSQL server is installed: apt-get install postgresql")
    pytest.importorskip("psycopg", reason="the driver psycopg is not installed: pip install 'ssc_sweep[postgres]'")
    # The server refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(
        subprocess.run(["mktemp", "-d"], user=user, capture_output=True, text=True, check=True).stdout.strip()
    )
    data, log = folder / "data", folder / "log"
    make = [initdb, "-D", str(data), "-U", "tester", "-A", "trust", "--no-sync"]
    subprocess.run(make, user=user, cwd=folder, capture_output=True, check=True)
    call = [server, "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder), "-F"]
    with log.open("w") as output:
        process = subprocess.Popen(call, user=user, cwd=folder, stdout=output, stderr=output)
    try:
        for _ in range(200):
            if "ready to accept connections" in log.read_text():
                break
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        yield f"postgresql://tester@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)
        shutil.rmtree(folder)


@pytest.mark.parametrize("address", ["{user}:hunter2@{host}", "{user}@{host}?password=hunter2"])
def test_no_file_of_the_study_holds_the_password(command: Command, postgres: str, address: str) -> None:
    scheme, user, host = re.fullmatch(r"(.*://)(.*)@(.*)", postgres).groups()
    word = f"storage='{scheme}{address.format(user=user, host=host)}'"
    process = start(command.folder, "n_trials=1", word)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1 and "hunter2" not in out + err, err
    assert "***" in read_yaml(command.folder / "outputs/s/study.yaml")["command"]
    files = [path for path in command.folder.rglob("*") if path.is_file()]
    assert len(files) > 20 and not [path for path in files if b"hunter2" in path.read_bytes()]
    again = command("experiment=search", word)
    assert again.code == 2 and "hunter2" not in again.err


def test_two_processes_share_a_postgres_server(tmp_path: Path, postgres: str) -> None:
    two_processes(tmp_path, postgres)
