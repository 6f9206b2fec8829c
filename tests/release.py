"""Does what is published work? make release, or python -m tests.release [python ...].

    build      sdist and wheel; the wheel is built from the sdist, so the sdist is complete
    content    the wheel holds the files of src/ssc_sweep and conf that git knows, and no others
    install    for every Python: a clean environment, the wheel, the versions of .ci/constraints.txt
    run        there, in an empty folder: the main job with two seeds and two epochs, the audit, the command `ssc_sweep`

Without arguments it takes every Python on PATH that pyproject.toml names. The oldest and the newest must be among them;
an argument names one that is not on PATH. Two Pythons take minutes, nearly all of it to install torch.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]
JOB = ("-m", "ssc_sweep", "-m", "hypothesis=lr,batch,ema", "seeds=2", "epochs=2", "study=small")
RUNS = 12  # a control and five arms, two seeds
SHOWN = ("control", "B lr", "C batch", "D ema", "predict the mean", f"{RUNS} runs: {RUNS} finished")
IN_SDIST = {".gitignore", "CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"}
TELL = "import sys, sysconfig; print(*sys.version_info[:2], bool(sysconfig.get_config_var('Py_GIL_DISABLED')), sep='.')"


class Refused(Exception):
    """The check found something; the message is one line."""


def project() -> dict[str, object]:
    """Return the table `project` of pyproject.toml."""
    found: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def supported() -> list[str]:
    """Return the Pythons that pyproject.toml names, oldest first: ["3.11", ...]."""
    classifiers = project()["classifiers"]
    assert isinstance(classifiers, list)
    found = [line.rpartition(" :: ")[2] for line in classifiers if re.search(r"Python :: 3\.\d+$", line)]
    return sorted(found, key=lambda version: int(version.partition(".")[2]))


def version_of(python: str) -> str | None:
    """Return "3.11" of an executable; None if it does not run or has no lock (free-threaded)."""
    try:
        ended = subprocess.run([python, "-c", TELL], capture_output=True, text=True, check=False)
    except OSError:
        return None
    version, _, free = ended.stdout.strip().rpartition(".")
    return version if ended.returncode == 0 and free == "False" else None


def on_path(names: Sequence[str]) -> Iterator[str]:
    """Yield every executable of these names on PATH: one that comes first may be a shim that does not run."""
    for name in names:
        for folder in os.get_exec_path():
            found = shutil.which(name, path=folder)
            if found:
                yield found


def interpreters(given: Sequence[str]) -> dict[str, str]:
    """Return {version: executable}, oldest first: those given, then those on PATH.

    Raises:
        Refused: one given does not run; the oldest or the newest that pyproject.toml names is missing.
    """
    versions = supported()
    found: dict[str, str] = {}
    for python in given:
        version = version_of(python)
        if version not in versions:
            raise Refused(f"{python} is {version or 'no Python that runs'}; supported: {', '.join(versions)}")
        found[version] = python
    if not {versions[0], versions[-1]} <= set(found):
        for python in on_path([f"python{version}" for version in versions]):
            version = version_of(python)
            if version in versions:
                found.setdefault(version, python)
    missing = [version for version in (versions[0], versions[-1]) if version not in found]
    if missing:
        raise Refused(
            f"no Python {' and no Python '.join(missing)} on PATH: the oldest and the newest must be checked. "
            f"Install it or name it: python -m tests.release /path/to/python{missing[0]}"
        )
    return {version: found[version] for version in versions if version in found}


def tracked(folder: str) -> set[str]:
    """Return the files below a folder of the repository that git does not ignore, relative to the folder."""
    call = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", folder]
    files = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return {file.removeprefix(folder + "/") for file in files if (ROOT / file).exists()}


def compare(what: str, found: set[str], wanted: set[str]) -> None:
    """Check that two sets of files are equal.

    Raises:
        Refused: they differ.
    """
    if found != wanted:
        missing, stray = sorted(wanted - found), sorted(found - wanted)
        raise Refused(f"{what}: missing {missing[:5] or 'nothing'}, stray {stray[:5] or 'nothing'}")


def check_wheel(wheel: Path) -> int:
    """Check that a wheel holds the package and conf/, nothing else; return how many files.

    Raises:
        Refused: a file is missing or stray.
    """
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    compare(
        wheel.name,
        {name for name in names if ".dist-info/" not in name},
        {f"ssc_sweep/{name}" for name in tracked("src/ssc_sweep")} | {f"ssc_sweep/conf/{n}" for n in tracked("conf")},
    )
    return len(names)


def check_sdist(sdist: Path) -> int:
    """Check that an sdist holds src/, conf/ and the files of IN_SDIST, nothing else; return how many files.

    Raises:
        Refused: a file is missing or stray.
    """
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    sources = {f"{folder}/{name}" for folder in ("src", "conf") for name in tracked(folder)}
    compare(sdist.name, names, sources | IN_SDIST)
    return len(names)


def clean() -> dict[str, str]:
    """Return the environment without what would lead to this checkout or change what a command shows."""
    ours = ("PYTHON", "SSC_SWEEP", "HYDRA", "COVERAGE", "VIRTUAL_ENV")
    env = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return env | {"PYTHONWARNINGS": "default", "COLUMNS": "120"}


def call(folder: Path, *words: str | Path) -> str:
    """Run a command in a folder and return what it printed.

    Raises:
        Refused: it failed, or our code caused a warning.
    """
    ended = subprocess.run(words, cwd=folder, env=clean(), capture_output=True, text=True, check=False)
    shown = " ".join(str(word) for word in words)
    if ended.returncode != 0:
        raise Refused(f"exit code {ended.returncode}: {shown}\n{ended.stdout[-2000:]}{ended.stderr[-4000:]}")
    warned = re.findall(r"^.*/ssc_sweep/\S+:\d+: \w*Warning: .*$", ended.stdout + ended.stderr, re.MULTILINE)
    if warned:
        raise Refused(f"{shown}: {warned[0]}")
    return ended.stdout


def install(python: str, wheel: Path, folder: Path) -> Path:
    """Make an environment with the wheel in it; return its Python."""
    call(folder.parent, python, "-m", "venv", folder)
    installed = folder / "bin" / "python"
    quiet = ("--quiet", "--disable-pip-version-check", "--no-input")
    call(folder.parent, installed, "-m", "pip", "install", *quiet, "-c", ROOT / ".ci" / "constraints.txt", wheel)
    call(folder.parent, installed, "-m", "pip", "check", "--disable-pip-version-check")
    return installed


def run(python: Path, folder: Path) -> None:
    """Run the main job and the audit in an empty folder and look at what they leave.

    Raises:
        Refused: something is missing.
    """
    where = call(folder, python, "-c", "import ssc_sweep; print(ssc_sweep.__file__)").strip()
    if not Path(where).is_relative_to(python.parents[1]):
        raise Refused(f"ssc_sweep is imported from {where}, not from the wheel")
    shown = call(folder, python, *JOB)
    study = folder / "outputs" / "small"
    for part in SHOWN:
        if part not in shown:
            raise Refused(f"the table lacks {part!r}:\n{shown}")
    summary, verdicts = pd.read_csv(study / "summary.csv"), pd.read_csv(study / "verdicts.csv")
    if len(summary) != RUNS or summary["rmse"].isna().any():
        raise Refused(f"{study / 'summary.csv'}: {len(summary)} runs, {summary['rmse'].isna().sum()} without a RMSE")
    if set(verdicts["hypothesis"]) != {"lr", "batch", "ema"} or verdicts["verdict"].isna().any():
        raise Refused(f"{study / 'verdicts.csv'}: a verdict is missing")
    report = (study / "report.html").read_text()
    if not report.rstrip().endswith("</html>") or "stats_mode=precomputed" not in report:
        raise Refused(f"{study / 'report.html'}: not whole")
    if "forecast: flow_ssc fails" not in call(folder, python, "-m", "ssc_sweep.audit"):
        raise Refused("the audit prints no forecast")
    if not list(folder.glob("outputs/audit/*/audit.html")):
        raise Refused("the audit wrote no page")
    call(folder, python.with_name("ssc_sweep"), "--help")


def main(given: Sequence[str]) -> None:
    """Build, install and run.

    Raises:
        Refused: see there.
    """
    pythons = interpreters(given)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        call(ROOT, sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
        (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
        print(f"{sdist.name}: {check_sdist(sdist)} files; {wheel.name}: {check_wheel(wheel)} files")
        for version, python in pythons.items():
            print(f"Python {version}: {python} ...", flush=True)
            empty = folder / f"run-{version}"
            empty.mkdir()
            run(install(python, wheel, folder / f"venv-{version}"), empty)
            shutil.rmtree(folder / f"venv-{version}")  # torch takes gigabytes
            print(f"Python {version}: works", flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Refused as refused:
        sys.exit(f"release: {refused}")
