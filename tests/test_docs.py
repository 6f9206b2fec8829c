"""The code of docs/MODEL.md, word for word, as a user has it: a module in the folder where the command is typed."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.command import TINY, Command, make_command

command = pytest.fixture(make_command)
TEXT = (Path(__file__).parents[1] / "docs" / "MODEL.md").read_text()
OWN = ["model._target_=my_models.TwoNets", "admit=my_models"]
SMALL = [word for word in TINY if not word.startswith(("model", "study"))]


@pytest.fixture
def mine(command: Command, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """A folder with my_models.py, my_scores.py and model/two_nets.yaml."""
    model, scores = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    (command.folder / "my_models.py").write_text(model)
    (command.folder / "my_scores.py").write_text(scores)
    (node,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    (command.folder / "model").mkdir()
    (command.folder / "model" / "two_nets.yaml").write_text(node)
    monkeypatch.syspath_prepend(str(command.folder))
    yield command
    for name in ("my_models", "my_scores"):
        sys.modules.pop(name, None)


def metrics(command: Command, study: str) -> list[dict[str, object]]:
    files = sorted((command.folder / "outputs" / study).glob("**/metrics.json"))
    return [{k: v for k, v in json.loads(file.read_text()).items() if k != "seconds"} for file in files]


def test_the_model_is_as_short_as_promised() -> None:
    model = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)[0]
    assert len([line for line in model.splitlines() if line.strip()]) <= 25


@pytest.mark.parametrize("labels", ["all", "half_mcar"])
def test_the_same_seed_is_the_same_run_alone_or_in_a_study(mine: Command, labels: str) -> None:
    words = [*SMALL, *OWN, f"labels={labels}"]
    assert mine(*words, "study=one", "seed=1").code == 0
    assert mine(*words, "study=two", "seed=1").code == 0
    assert mine("-m", *words, "study=many", "seed=0,1").code == 0
    (one,), (two,), many = (metrics(mine, study) for study in ("one", "two", "many"))
    assert one == two == many[1]
    assert one["status"] == "finished" and one["model"] == "TwoNets"
    assert one["nll"] is None and one["coverage_90"] is None and one["auroc"] is not None
    assert many[0]["rmse"] != one["rmse"]


def test_a_run_with_probes_equals_one_without(mine: Command) -> None:
    for probes in ("true", "false"):
        assert mine(*SMALL, *OWN, f"probes={probes}", f"study=probes_{probes}", "epochs=3").code == 0
    (with_probes,), (without,) = metrics(mine, "probes_true"), metrics(mine, "probes_false")
    assert with_probes == without


def test_a_config_folder_of_the_users_own(mine: Command) -> None:
    words = ["--config-dir", ".", *SMALL, "model=two_nets", "admit=my_models", "study=a"]
    assert mine("-m", *words, "hypothesis=lr", "seeds=2").code == 0
    assert mine("-m", *words, "hypothesis=lr", "seeds=2").code == 0  # outputs/ lies beside model/ now
    assert len(metrics(mine, "a")) == 6


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model=own"], ["model._target_", "admit"]),
        (OWN[:1], ["my_models", "not admitted", "admit=my_models", "SSC_SWEEP_ADMIT=my_models"]),
        ([*OWN, "model.width=abc"], ["model.width=abc", "whole number"]),
        ([*OWN, "model.depth=3"], ["model.depth is unknown", "width", "TwoNets"]),
        (["model._target_=my_models.Nope", "admit=my_models"], ["Nope"]),
        (["model._target_=my_models.torch", "admit=my_models"], ["no model"]),
        (["model._target_=torch.nn.ReLU", "admit=torch"], ["lacks loss, outcome_mean"]),
        (["scores=[my_scores.WORST]"], ["my_scores", "not admitted"]),
        (["scores=[my_scores.worst]", "admit=my_scores"], ["no score"]),
    ],
)
def test_what_is_refused(mine: Command, words: list[str], said: list[str]) -> None:
    ended = mine(*SMALL, *words, "study=s")
    assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err
    assert all(part in ended.err for part in said), ended.err
    assert mine.done() == []


def test_a_yaml_cannot_admit(mine: Command) -> None:
    (mine.folder / "experiment").mkdir()
    (mine.folder / "experiment" / "evil.yaml").write_text(
        "# @package _global_\nadmit: my_models\nmodel: {_target_: my_models.TwoNets}\n"
    )
    ended = mine("--config-dir", ".", *SMALL, "model=own", "experiment=evil")
    assert ended.code == 2 and "not admitted" in ended.err
    assert "my_models" not in sys.modules


def test_the_environment_admits(mine: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSC_SWEEP_ADMIT", "my_models, my_scores")
    assert mine(*SMALL, *OWN[:1], "study=s").code == 0


def test_a_score_of_the_users_own_is_in_the_summary(mine: Command) -> None:
    words = ["-m", *SMALL, "model.width=8", "scores=[my_scores.WORST]", "admit=my_scores", "study=s", "seed=0,1"]
    ended = mine(*words)
    assert ended.code == 0, ended.err
    table = pd.read_csv(mine.folder / "outputs" / "s" / "summary.csv")
    assert (table["worst_error"] > table["rmse"]).all()


def test_a_parameter_without_a_gradient_is_named_in_the_log(mine: Command) -> None:
    text = (mine.folder / "my_models.py").read_text()
    text += "\n\nclass Idle(TwoNets):\n    def __init__(self, **k: int) -> None:\n        super().__init__(**k)\n"
    text += "        self.idle = nn.Linear(2, 2)\n"
    (mine.folder / "my_models.py").write_text(text)
    assert mine(*SMALL, "model=own", "model._target_=my_models.Idle", "admit=my_models", "study=s").code == 0
    (log,) = (mine.folder / "outputs" / "s").glob("**/run.log")
    assert "without a gradient: module.idle.weight, module.idle.bias" in log.read_text()
