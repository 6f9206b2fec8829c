"""The wheel alone is enough: conf/ is inside, and it runs from any directory."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a freshly built wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    call = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    ended = subprocess.run(call, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def call(unpacked: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": str(unpacked)}
    env.pop("HYDRA_FULL_ERROR", None)
    command = [sys.executable, "-m", "ssc_sweep", *words]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_every_file_of_conf_is_inside(unpacked: Path) -> None:
    inside = {path.relative_to(unpacked / "ssc_sweep" / "conf") for path in unpacked.glob("ssc_sweep/conf/**/*.yaml")}
    assert inside == {path.relative_to(ROOT / "conf") for path in (ROOT / "conf").rglob("*.yaml")} != set()


def test_the_entry_points_are_inside(unpacked: Path) -> None:
    (points,) = unpacked.glob("*.dist-info/entry_points.txt")
    assert "[hydra.plugins]" in points.read_text() and "ssc_sweep = ssc_sweep.__main__:command" in points.read_text()


def test_it_finds_its_own_conf_and_trains_from_any_directory(unpacked: Path, tmp_path: Path) -> None:
    shown = call(unpacked, tmp_path, "--info", "searchpath")
    assert shown.returncode == 0 and str(unpacked / "ssc_sweep" / "conf") in shown.stdout
    small = ("dataset=synthetic", "dataset.rows=60", "epochs=1", "model.width=8", "seeds=1", "study=s")
    ended = call(unpacked, tmp_path, "-m", *small, "hypothesis=ema")
    assert ended.returncode == 0, ended.stderr
    assert len(list((tmp_path / "outputs" / "s").rglob("DONE"))) == 2
