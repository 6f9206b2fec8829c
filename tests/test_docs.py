"""The model of docs/MODEL.md, word for word: it keeps the contract and trains the same run twice."""

import json
import re
import sys
import types
from pathlib import Path

import pytest

import ssc_sweep.models
from tests.command import TINY, Command, make_command

command = pytest.fixture(make_command)
TEXT = (Path(__file__).parents[1] / "docs" / "MODEL.md").read_text()


@pytest.fixture
def linear(monkeypatch: pytest.MonkeyPatch) -> None:
    (source,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    module = types.ModuleType("ssc_sweep.models.linear")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(ssc_sweep.models, "linear", module, raising=False)
    exec(source, vars(module))


def metrics(command: Command, study: str) -> list[dict[str, object]]:
    files = sorted((command.folder / "outputs" / study).glob("**/metrics.json"))
    return [{k: v for k, v in json.loads(file.read_text()).items() if k != "seconds"} for file in files]


@pytest.mark.usefixtures("linear")
@pytest.mark.parametrize("labels", ["all", "half_mcar"])
def test_the_same_seed_is_the_same_run_alone_or_in_a_study(command: Command, labels: str) -> None:
    (node,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    (command.folder / "mine" / "model").mkdir(parents=True)
    (command.folder / "mine" / "model" / "linear.yaml").write_text(node)
    words = [f"--config-dir={command.folder / 'mine'}", *(w for w in TINY if not w.startswith(("model", "study")))]
    words += ["model=linear", f"labels={labels}"]
    assert command(*words, "study=one", "seed=1").code == 0
    assert command(*words, "study=two", "seed=1").code == 0
    assert command("-m", *words, "study=many", "seed=0,1").code == 0
    (one,), (two,), many = (metrics(command, study) for study in ("one", "two", "many"))
    assert one == two == many[1]
    assert one["status"] == "finished" and one["nll"] is None and many[0]["rmse"] != one["rmse"]


@pytest.mark.usefixtures("linear")
def test_its_bounds_are_checked(command: Command) -> None:
    (command.folder / "mine" / "model").mkdir(parents=True)
    (command.folder / "mine" / "model" / "linear.yaml").write_text("_target_: ssc_sweep.models.linear.Linear\nl2: -1\n")
    words = [f"--config-dir={command.folder / 'mine'}", *(w for w in TINY if not w.startswith("model")), "model=linear"]
    ended = command(*words)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "model.l2=-1" in ended.err
