"""Signals end a command once, without a traceback, wherever they meet it."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LISTEN = "import os, signal, sys, time\nfrom ssc_sweep import stop\nstop.listen()\n"
COMMAND = LISTEN + "def say(text): print(text, flush=True)\n"


def start(folder: Path, code: str, before: str = "") -> subprocess.Popen[str]:
    """A process that runs this code, once it has printed a line."""
    process = subprocess.Popen(
        ["sh", "-c", f'{before} exec "$0" -c "$1"', sys.executable, code], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_before_a_command_has_begun_it_ends_at_once(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path, COMMAND + "say('ready'); time.sleep(60)")
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 128 + number and err.strip() == (
        "stopped. What is finished stays; the same command goes on."
    )


def test_a_second_signal_does_not_disturb_the_end(tmp_path: Path) -> None:
    code = """
try:
    with stop.Command():
        say('ready')
        time.sleep(60)
except stop.Stopped as stopped:
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGINT)
    say(f'ended with {stopped.code}')
"""
    process = start(tmp_path, COMMAND + code)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "ended with 143\n", "")


@pytest.mark.parametrize(
    ("last", "code", "freed"), [("stop.run(lambda: sys.exit(3))", 3, ""), ("stop.run(lambda: 1 / 0)", 1, "freed\n")]
)
def test_an_end_frees_nothing_after_what_libraries_do_last(tmp_path: Path, last: str, code: int, freed: str) -> None:
    """A bug ends as Python ends: with its traceback."""
    text = f"""
stop.end_fast()
import atexit
atexit.register(say, 'of a library')
stop.at_once.append(lambda: say('last word'))
class Freed:
    def __del__(self): os.write(1, b'freed\\n')
held = Freed()
atexit.register(print, 'not flushed')
{last}
"""
    ended = subprocess.run([sys.executable, "-c", COMMAND + text], cwd=tmp_path, capture_output=True, text=True)
    word = "" if freed else "last word\n"
    assert (ended.returncode, ended.stdout) == (code, f"not flushed\nof a library\n{word}{freed}")
    assert ("ZeroDivisionError" in ended.stderr) == bool(freed)


def test_an_alarm_that_is_still_set_at_the_end_does_no_harm(tmp_path: Path) -> None:
    """A signal during an import is answered after it; a command that ends sooner must not be killed by the alarm."""
    (tmp_path / "slow.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    code = """
say('ready')
stop.AGAIN_S = 0.5
with stop.Command():
    import slow
stop.listen_no_more()
time.sleep(2 * stop.AGAIN_S)
say('ended')
"""
    process = start(tmp_path, COMMAND + code)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "ended\n", "")


def test_an_import_is_not_broken_off(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\nprint('ready', flush=True)\ntime.sleep(0.5)\nprint('imported')\n")
    code = """
try:
    with stop.Command():
        import slow
        time.sleep(60)
except stop.Stopped:
    print('stopped')
"""
    process = start(tmp_path, COMMAND + code)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "imported\nstopped\n", "")


def test_an_import_without_end_is_left_on_the_spot(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\nprint('ready', flush=True)\ntime.sleep(60)\n")
    code = "stop.at_once.append(lambda: say('last word'))\nwith stop.Command():\n    import slow\n"
    process = start(tmp_path, COMMAND + code)
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 143 and out == "last word\n" and err.strip().startswith("stopped."), err
    assert time.monotonic() - begin < 5


def test_what_a_library_raises_over_it_does_not_hide_it(tmp_path: Path) -> None:
    code = """
try:
    with stop.Command():
        try:
            say('ready')
            time.sleep(60)
        finally:
            raise AttributeError('put in order, and failed')
except stop.Stopped:
    print('stopped')
"""
    process = start(tmp_path, COMMAND + code)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=10)
    assert (process.returncode, out) == (0, "stopped\n")


def test_what_the_shell_has_it_ignore_stays_ignored(tmp_path: Path) -> None:
    """As nohup does."""
    code = "with stop.Command():\n    say('ready'); time.sleep(0.5); say('went on')\n"
    process = start(tmp_path, COMMAND + code, before="trap '' HUP;")
    process.send_signal(signal.SIGHUP)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "went on\n", "")
