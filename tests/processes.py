"""Commands as processes of their own, for what only a process can tell: signals, kills, exit codes."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import torch

from ssc_sweep import stop
from ssc_sweep.__main__ import command
from ssc_sweep.study.workers import PRELOADED


def python_path() -> str:
    """Where other processes find the models of the tests, and the package that is tested."""
    return os.pathsep.join([str(Path.cwd()), *filter(None, [os.environ.get("PYTHONPATH")])])


def begin(folder: Path, *words: str) -> subprocess.Popen[str]:
    env = os.environ | {"PYTHONPATH": python_path(), "OMP_NUM_THREADS": "1"}
    env.pop("HYDRA_FULL_ERROR", None)  # who sets it asks for tracebacks
    return subprocess.Popen(
        [sys.executable, "-m", "ssc_sweep", *words], cwd=folder, env=env, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


class Forked:
    """A command in a process of its own, forked from one that has loaded all modules: seconds sooner than `begin`.

    It has what the tests use of subprocess.Popen. What depends on how a command starts, or on who else is in its
    session, needs `begin`.
    """

    def __init__(self, folder: Path, *words: str) -> None:
        forks = multiprocessing.get_context("forkserver")
        forks.set_forkserver_preload([*PRELOADED, "ssc_sweep.findings.report"])
        self._said = Path(tempfile.mkdtemp())
        self._process = forks.Process(target=_command, args=(folder, words, self._said, dict(os.environ)))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, sent: signal.Signals) -> None:
        os.kill(self.pid, sent)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait until it ends: what it wrote to stdout and stderr."""
        self._process.join(timeout)
        assert self._process.exitcode is not None, f"it still runs after {timeout} s"
        found = [path.read_text() if path.exists() else "" for path in (self._said / "out", self._said / "err")]
        shutil.rmtree(self._said)
        return found[0], found[1]


def _command(folder: Path, words: tuple[str, ...], said: Path, env: dict[str, str]) -> None:
    """Become the process that `python -m ssc_sweep <words>` would be."""
    os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name, stream in (("out", 1), ("err", 2)):
        os.dup2(os.open(said / name, os.O_WRONLY | os.O_CREAT, 0o600), stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"})
    os.environ.pop("HYDRA_FULL_ERROR", None)
    sys.path.insert(0, str(folder))
    sys.argv = ["ssc_sweep", *words]
    torch.set_num_threads(1)
    stop.listen()
    command()


Started = subprocess.Popen[str] | Forked


def wait_for(process: Started, folder: Path, pattern: str, files: int = 1) -> None:
    """Wait until a command has written this many files of a pattern."""
    while len(list(folder.glob(pattern))) < files:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def of_session(session: int) -> list[psutil.Process]:
    """The processes of a session that live."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found
