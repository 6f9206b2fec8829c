"""The words of a command line, before Hydra reads them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ssc_sweep.command_line import at_home, check_options
from ssc_sweep.errors import UserError
from tests.command import TINY, Command, make_command

command = pytest.fixture(make_command)


def test_home_is_put_in_the_place_of_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    words = ["outputs=~/x", "outputs='~/x'", "+storage=~", "outputs=a~/x", "a=~/x,~/y", "~study", "-m"]
    assert at_home(words) == [
        "outputs='/home/me/x'", "outputs='/home/me/x'", "+storage='/home/me'", "outputs=a~/x", "a=~/x,~/y", "~study",
        "-m",
    ]  # fmt: skip


@pytest.mark.parametrize("word", ["outputs=~/my out", "outputs='~/my out'"])
@pytest.mark.parametrize("more", [["-m", "seeds=2"], []])
def test_outputs_below_home(command: Command, monkeypatch: pytest.MonkeyPatch, word: str, more: list[str]) -> None:
    monkeypatch.setenv("HOME", str(command.folder / "home"))
    ended = command(*more, *TINY, word)
    assert ended.code == 0, ended.err
    assert (command.folder / "home" / "my out" / "s" / "study.yaml").is_file()


@pytest.mark.parametrize("words", [[], ["-m", "a=1"], ["--help"], ["a=1", "--multirun", "b=2"], ["-cn", "x"]])
def test_options_of_hydra_pass(words: list[str]) -> None:
    check_options(words)


def test_an_option_without_its_value_is_refused() -> None:
    with pytest.raises(UserError, match=r"--config-dir.*expected one argument"):
        check_options(["--config-dir"])


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("module", ["ssc_sweep", "ssc_sweep.findings", "ssc_sweep.audit"])
def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path, module: str, unbuffered: str) -> None:
    """As in --help | head -1: the pipe is closed before anything is printed."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        call = [sys.executable, "-m", module, "--help"]
        ended = subprocess.run(
            call, cwd=tmp_path, stdout=closed, stderr=subprocess.PIPE, text=True, check=False,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert ended.stderr == ""
    # argparse, which ssc_sweep.findings uses, does not mind.
    assert ended.returncode == 128 + signal.SIGPIPE or (module == "ssc_sweep.findings" and ended.returncode == 0)


@pytest.mark.parametrize(
    "words", ["ssc_sweep --help", "ssc_sweep.audit --help", "ssc_sweep.audit --version", "ssc_sweep.findings --help"]
)
def test_what_cannot_be_printed_is_told(tmp_path: Path, words: str) -> None:
    call = ["sh", "-c", f'exec "$0" -m {words} >/dev/full', sys.executable]
    ended = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr == (
        "error: what was printed could not be written to standard output: No space left on device.\n"
    )
