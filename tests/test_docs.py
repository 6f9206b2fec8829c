"""The code of docs/MODEL.md, word for word, as a user has it: a module in the folder where the command is typed."""

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from ssc_sweep import admission
from ssc_sweep.findings.reading.collect import collect
from ssc_sweep.study.folder import StudyFolder
from tests.command import TINY, Command, make_command

command = pytest.fixture(make_command)
TEXT = (Path(__file__).parents[1] / "docs" / "MODEL.md").read_text()
OWN = ["model._target_=my_models.TwoNets", "admit=my_models"]
LATE = (
    "self.calls = getattr(self, 'calls', 0) + 1\n        "
    "if self.calls == 2:\n            raise RuntimeError('too late')\n        return super().loss(*rows)\n"
)
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


def test_code_that_has_changed_since_a_run_ended_is_named(mine: Command) -> None:
    words = ["-m", *SMALL, *OWN, "study=s", "seed=0,1"]
    said = "my_models.py was written after some of these runs had ended"
    assert said not in mine(*words).err + mine(*words).err
    ended = time.time() + 60
    os.utime(mine.folder / "my_models.py", (ended, ended))
    again = mine(*words, "epochs=1")
    assert said in again.err and again.code == 0, again.err
    packed = [*words[:-1], "seed=0,1", "study=t", "run_files=tables", "save_weights=none"]
    os.utime(mine.folder / "my_models.py", (0, 0))
    assert said not in mine(*packed).err + mine(*packed).err
    os.utime(mine.folder / "my_models.py", (ended, ended))
    assert said in mine(*packed).err


def test_runs_of_several_versions_of_your_code_are_counted_apart(mine: Command) -> None:
    words = ["-m", *SMALL, *OWN, "study=s"]
    assert mine(*words, "seed=0,1").code == 0
    path = mine.folder / "my_models.py"
    assert not collect(StudyFolder(mine.folder / "outputs/s")).remarks
    path.write_text(path.read_text() + "# another\n")
    sys.modules.pop("my_models")  # a new command loads it again
    assert mine(*words, "seed=0,1,2").code == 0
    study = collect(StudyFolder(mine.folder / "outputs/s"))
    version = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    assert study.runs.set_index("seed").loc[2, "code"] == f"my_models {version}"
    (remark,) = study.remarks
    assert remark.startswith("my_models changed while the study was trained: 2 runs used version ")
    assert f", 1 run used version {version}. " in remark


def test_the_version_is_that_of_the_code_that_runs(mine: Command) -> None:
    """Not of what is written later; and of the module in which a class is written, whatever its file is called."""
    path = mine.folder / "my_models.py"
    package = mine.folder / "my_package"
    package.mkdir()
    (package / "__init__.py").write_text("from my_package.my_models import TwoNets\n")
    (package / "my_models.py").write_text(path.read_text() + "# of the package\n")
    first, second = (hashlib.sha256(one.read_bytes()).hexdigest()[:8] for one in (path, package / "my_models.py"))
    targets = ["my_models.TwoNets", "my_package.TwoNets", "ssc_sweep.models.flow.Flow", "my_scores.WORST"]
    scores = hashlib.sha256((mine.folder / "my_scores.py").read_bytes()).hexdigest()[:8]
    with admission.also_admitting(frozenset({"my_models", "my_package", "my_scores"})):
        for target in targets:
            admission.find("model._target_", target, "ssc_sweep.models.")
    path.write_text("changed")
    (package / "my_models.py").unlink()
    assert admission.versions_of(targets) == f"my_models {first}, my_package.my_models {second}, my_scores {scores}"
    for name in ("my_package", "my_package.my_models"):
        sys.modules.pop(name)


def test_a_single_run_that_fails_names_its_folder_and_its_step(mine: Command) -> None:
    path = mine.folder / "my_models.py"
    path.write_text(path.read_text() + "\n\nclass Late(TwoNets):\n    def loss(self, *rows):\n        " + LATE)
    last = next(n for n, line in enumerate(path.read_text().splitlines(), 1) if "too late" in line)
    ended = mine(*SMALL, "model._target_=my_models.Late", "admit=my_models", "study=s", "arm=late")
    assert ended.code == 1
    said = ended.err.replace(f"{mine.folder}/", "")
    assert f"failed: outputs/s/late/seed=0 in step 2: RuntimeError: too late (my_models.py, line {last})" in said, said
    path.write_text(path.read_text().replace("== 2", "== 2000"))
    os.utime(path, (time.time() + 60, time.time() + 60))
    words = [*SMALL, "model._target_=my_models.Late", "admit=my_models", "study=s", "arm=late"]
    assert (
        "my_models.py was written after some of these runs had failed: retry=failed" in mine(*words, "dry_run=true").err
    )
    trace = (mine.folder / "outputs/s/late/seed=0/FAILED").read_text().splitlines()
    assert trace[-1] == f"RuntimeError: too late (my_models.py, line {last})" and "raised in step 2" in trace, trace
    left = pd.read_csv(mine.folder / "outputs/s/late/seed=0/history.csv")
    assert left[["kind", "epoch", "step"]].to_numpy().tolist() == [["step", 1, 1], ["epoch", 1, 1]]
    assert left.filter(like=".loss").notna().all().all()
    again = mine(*words)
    assert again.code == 1 and "outputs/s/late/seed=0 in step 2: RuntimeError" in again.err


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


def test_a_hypothesis_varies_a_key_of_the_users_model(mine: Command) -> None:
    (mine.folder / "hypothesis").mkdir()
    (mine.folder / "hypothesis" / "width.yaml").write_text(
        "letter: W\nclaim: Wider is better.\nexpect: improves\narms:\n  - {model.width: 8}\n"
    )
    ended = mine("-m", "--config-dir", ".", *SMALL, *OWN, "hypothesis=width", "seeds=1", "study=s")
    assert ended.code == 0, ended.err
    assert mine.done() == ["control/seed=0", "width/model.width=8/seed=0"]


def test_several_packages_are_admitted_with_a_comma(mine: Command) -> None:
    words = [*SMALL, OWN[0], "scores=[my_scores.WORST]", "admit=my_models,my_scores", "study=s"]
    assert mine(*words).code == 0


SCORES = {
    "BOOM": "def boom(m):\n    return 1 / 0\n\n\nBOOM = Score('boom', boom, 'boom')\n",
    "TEXT": "TEXT = Score('text', lambda m: 'x', 'a text')\n",
}


@pytest.mark.parametrize("name", SCORES)
def test_a_score_that_fails_costs_its_number_not_the_run(mine: Command, name: str) -> None:
    (mine.folder / "my_scores.py").write_text("from ssc_sweep.training.scores import Score\n\n\n" + SCORES[name])
    ended = mine(*SMALL, "model=mean", f"scores=[my_scores.{name}]", "admit=my_scores", "study=s")
    assert ended.code == 0, ended.err
    (found,) = metrics(mine, "s")
    assert found[name.lower()] is None and name.lower() in found["failed_scores"]  # type: ignore[operator]
    assert found["rmse"] is not None


@pytest.mark.parametrize("name", ["status", "seconds", "test_rmse", "rmse", "no name"])
def test_a_score_may_not_take_a_name_of_ours(mine: Command, name: str) -> None:
    text = f"from ssc_sweep.training.scores import Score\n\nX = Score({name!r}, lambda m: 1.0, 'x')\n"
    (mine.folder / "my_scores.py").write_text(text)
    ended = mine(*SMALL, "model=mean", "scores=[my_scores.X]", "admit=my_scores", "study=s")
    assert (ended.code, ended.err.count("\n")) == (2, 1) and "taken or is no identifier" in ended.err


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("1 / 0\n", "ZeroDivisionError"),
        ("import sys\nsys.exit(0)\n", "SystemExit"),
        ("nope\n", "NameError"),
        ("def load() -> 'Cohort':\n    open('nowhere.csv')\n", "FileNotFoundError"),
        ("def load():\n    return 3\n", "returned int"),
        ("from os import getcwd as load\n", "which my_models only imports"),
    ],
)
def test_code_of_the_users_own_that_fails_is_one_line(mine: Command, source: str, said: str) -> None:
    (mine.folder / "my_models.py").write_text(source)
    words = [word for word in SMALL if not word.startswith("dataset")]
    ended = mine(*words, "dataset._target_=my_models.load", "admit=my_models", "study=s")
    assert (ended.code, ended.err.count("\n")) == (2, 1) and said in ended.err, ended.err
