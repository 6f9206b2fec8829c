"""What a release says of itself holds together; the check that builds and installs it is tests/release.py."""

import re
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from tests import release


def test_the_oldest_python_is_the_one_required() -> None:
    versions = release.supported()
    assert versions[0] == "3.11" and release.project()["requires-python"] == f">={versions[0]}"
    readme = (release.ROOT / "README.md").read_text()
    assert f"Python {', '.join(versions[:-1])} or {versions[-1]}" in readme


def test_one_version_everywhere() -> None:
    version = release.project()["version"]
    citation = yaml.safe_load((release.ROOT / "CITATION.cff").read_text())
    (newest, *_) = re.findall(r"^## (\S+)$", (release.ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert citation["version"] == newest == version


def test_the_constraints_pin_every_tool_and_torch() -> None:
    pins = (release.ROOT / ".ci" / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    names = {name(pin) for pin in pins}
    project = tomllib.loads((release.ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    # Nobody installs the dashboard by the constraints: dev leaves it out.
    asked = [*project["dependencies"], *(one for key, extra in extras.items() if key != "dashboard" for one in extra)]
    assert {name(one) for one in asked} - names == {"ssc-sweep"}


def name(requirement: str) -> str:
    found = re.match(r"[\w-]+", requirement)
    assert found is not None
    return found[0].lower().replace("_", "-")


def python(folder: Path, name: str, said: str) -> str:
    """An executable that answers as a Python of that version would."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{said}\n")
    path.chmod(0o755)
    return str(path)


def test_it_takes_the_pythons_on_path_that_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shims, bins = tmp_path / "shims", tmp_path / "bin"
    shims.mkdir()
    bins.mkdir()
    monkeypatch.setenv("PATH", f"{shims}:{bins}")
    newest = release.supported()[-1]
    python(shims, "python3.11", "exit 127")
    oldest = python(bins, "python3.11", "echo 3.11.False")
    free = python(shims, f"python{newest}", f"echo {newest}.True")
    with pytest.raises(release.Refused, match=f"no Python {newest} on PATH"):
        release.interpreters([])
    with pytest.raises(release.Refused, match="is no Python that runs"):
        release.interpreters([free])
    given = python(tmp_path, "mine", f"echo {newest}.False")
    assert release.interpreters([given]) == {"3.11": oldest, newest: given}
    with pytest.raises(release.Refused, match=r"is 2\.7; supported"):
        release.interpreters([python(tmp_path, "old", "echo 2.7.False")])


def test_this_python_says_its_version() -> None:
    assert release.version_of(sys.executable) == f"{sys.version_info[0]}.{sys.version_info[1]}"


def test_a_stray_and_a_missing_file_are_found(tmp_path: Path) -> None:
    wheel, sdist = tmp_path / "a.whl", tmp_path / "a.tar.gz"
    wanted = {f"ssc_sweep/{name}" for name in release.tracked("src/ssc_sweep")}
    wanted |= {f"ssc_sweep/conf/{name}" for name in release.tracked("conf")}
    assert {"ssc_sweep/audit/forecast.yaml", "ssc_sweep/findings/templates/report.html.j2"} < wanted
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in (wanted - {"ssc_sweep/conf/config.yaml"}) | {"tests/release.py"}:
            archive.writestr(name, "")
    with pytest.raises(
        release.Refused, match=r"missing \['ssc_sweep/conf/config.yaml'\], stray \['tests/release.py'\]"
    ):
        release.check_wheel(wheel)
    with tarfile.open(sdist, "w") as archive:
        archive.add(release.ROOT / "README.md", "a/outputs/README.md")
    with pytest.raises(release.Refused, match=r"stray \['outputs/README.md'\]"):
        release.check_sdist(sdist)


def test_a_failing_command_and_a_warning_of_ours_are_refused(tmp_path: Path) -> None:
    with pytest.raises(release.Refused, match="exit code 3"):
        release.call(tmp_path, sys.executable, "-c", "raise SystemExit(3)")
    (tmp_path / "ssc_sweep").mkdir()
    (tmp_path / "ssc_sweep" / "__init__.py").touch()
    (tmp_path / "ssc_sweep" / "old.py").write_text("import warnings\nwarnings.warn('gone soon', DeprecationWarning)\n")
    with pytest.raises(release.Refused, match="DeprecationWarning: gone soon"):
        release.call(tmp_path, sys.executable, "-c", "import ssc_sweep.old")
