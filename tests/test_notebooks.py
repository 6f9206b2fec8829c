"""The notebooks run from top to bottom on a tiny study, and carry no outputs."""

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from ssc_sweep.config import PACKAGE
from tests.command import run_here

NOTEBOOKS = sorted((PACKAGE.parents[1] / "notebooks").glob("*.ipynb"))
TINY = ["dataset=synthetic", "dataset.rows=80", "epochs=2", "seeds=2", "study=tiny", "workers=0"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    code, err = run_here(folder, "-m", "hypothesis=lr", *TINY)
    assert code == 0, err
    return folder / "outputs" / "tiny"


def test_there_are_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["a_finished_study", "inside_the_failing_run"]


@pytest.mark.filterwarnings("default")  # the kernel's own, which is not ours
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSC_SWEEP_STUDY", str(study))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(path.parent)}}).execute()
    assert any(cell.get("outputs") for cell in notebook.cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_carries_no_outputs(path: Path) -> None:
    cells = json.loads(path.read_text())["cells"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells if cell["cell_type"] == "code")
