"""What is printed to a stream that is closed, full or gone breaks nothing off, and is not forgotten."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import REPORTED

PATIENT = "import sys\nfrom ssc_sweep import output\noutput.make_patient()\n"


def run(folder: Path, redirected: str, code: str) -> subprocess.CompletedProcess[str]:
    call = ["sh", "-c", f'exec "$0" -c "$1" {redirected}', sys.executable, PATIENT + code]
    return subprocess.run(call, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("redirected", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_a_closed_stream_gives_its_number_to_no_file(tmp_path: Path, redirected: str) -> None:
    code = """
with open('kept', 'w') as file:
    print('to nobody', flush=True)
    print('to nobody', file=sys.stderr, flush=True)
    file.write(f'{file.fileno() > 2} {output.lost()}')
"""
    assert run(tmp_path, redirected, code).returncode == 0
    assert (tmp_path / "kept").read_text() == "True None"


def test_what_a_full_disk_swallows_is_known(tmp_path: Path) -> None:
    code = "print('x' * 100_000); sys.stdout.flush(); print(output.lost(), file=sys.stderr)"
    ended = run(tmp_path, ">/dev/full", code)
    assert (ended.returncode, ended.stderr) == (0, "No space left on device\n")
    ended = run(tmp_path, "2>/dev/full", "print('x' * 100_000, file=sys.stderr); print(output.lost())")
    assert (ended.returncode, ended.stdout) == (0, "None\n"), "messages are no result"


def test_a_reader_that_has_left_ends_what_is_printed_for_him_alone(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    for stream, code in (("stdout", 3), ("stderr", 0)):
        script = f"""
try:
    print('x' * 100_000, file=sys.{stream}, flush=True)
except BrokenPipeError:
    import os
    os._exit(3)
"""
        call = [sys.executable, "-c", PATIENT + script]
        ended = subprocess.run(call, cwd=tmp_path, check=False, **{stream: writer})  # type: ignore[call-overload]
        assert ended.returncode == code
    os.close(writer)


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("raise ValueError('a bug')", 1, "ValueError: a bug"),
        ("raise BrokenPipeError('of another pipe')", 1, "BrokenPipeError: of another pipe"),
        ("sys.exit('text')", 1, "text"),
        ("sys.exit(2)", 2, ""),
        ("return 0", 128 + signal.SIGPIPE, ""),
    ],
)
def test_a_reader_that_has_left_hides_no_error(tmp_path: Path, body: str, code: int, said: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    script = f"""
import sys
from ssc_sweep import stop
def main():
    if {code} > 2:
        print('x')
    {body}
stop.run(main)
"""
    call = [sys.executable, "-c", script]
    ended = subprocess.run(call, cwd=tmp_path, check=False, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert ended.returncode == code
    assert said in ended.stderr and (said or not ended.stderr)


def test_a_study_whose_table_cannot_be_printed_has_its_report_and_exit_code_1(tmp_path: Path) -> None:
    call = ["sh", "-c", f"exec {sys.executable} -m ssc_sweep -m {' '.join(REPORTED)} seed=0,1 >/dev/full"]
    ended = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    said = ended.stderr.splitlines()[-1]
    assert said == "error: what was printed could not be written to standard output: No space left on device."
    assert (tmp_path / "outputs/s/report.html").exists()
