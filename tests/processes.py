"""Commands as processes of their own, for what only a process can tell: signals, kills, exit codes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil


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


def wait_for(process: subprocess.Popen[str], folder: Path, pattern: str, files: int = 1) -> None:
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
