"""A folder of the user's own configs works from wherever it lies, whatever else lies in it."""

from collections.abc import Callable

import pytest
import yaml

from ssc_sweep.config import conf_dir
from ssc_sweep.config_folders import plain_keys
from tests.command import TINY, Command, make_command, refused
from tests.study.search.small import EASY, SMALL

bare_command = pytest.fixture(make_command)

MODEL = (conf_dir() / "model" / "flow_ssc.yaml").read_text()
FILES = {
    "model/mine.yaml": MODEL,
    "hypothesis/mine.yaml": "{letter: X, claim: c, expect: improves, arms: [{model: mine, epochs: 2}]}",
    "experiment/mine.yaml": "# @package _global_\ndefaults:\n  - override /model: mine\nepochs: 2\n",
    "search_space/mine.yaml": "# @package hydra.sweeper.params\nmodel.width: 4,8\n",
    "extra/mine.yaml": "# @package _global_\nclip_norm: 7\n",
}
HERE = {"relative": lambda _: ".", "absolute": lambda command: str(command.folder)}


@pytest.fixture
def command(bare_command: Command) -> Command:
    """In a folder with configs of its own, and with a folder named like each plain key."""
    for name, text in FILES.items():
        path = bare_command.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    for key in plain_keys():
        (bare_command.folder / key / "s").mkdir(parents=True)
    return bare_command


def config(command: Command, run: str) -> dict[str, object]:
    return dict(yaml.safe_load((command.folder / "outputs" / "s" / run / "config.yaml").read_text()))


def test_plain_keys_are_those_that_config_yaml_the_audit_and_the_search_hold_as_values() -> None:
    groups = {path.name for path in conf_dir().iterdir() if path.is_dir()}
    files = [conf_dir() / name for name in ("config.yaml", "audit.yaml", "experiment/search.yaml")]
    written = {key for file in files for key in yaml.safe_load(file.read_text())}
    assert plain_keys() == written - groups - {"defaults"}


@pytest.mark.parametrize("here", HERE.values(), ids=HERE)
def test_one_run(command: Command, here: Callable[[Command], str]) -> None:
    words = (*TINY, "seed=3", "arm=mine", "outputs=outputs", "target=9", "clip_norm=2", "probes=false")
    ended = command("--config-dir", here(command), *words)
    assert ended.code == 0, ended.err
    assert command.done() == ["mine/seed=3"]
    assert config(command, "mine/seed=3")["clip_norm"] == 2


@pytest.mark.parametrize("flag", ["--config-dir=.", "-cd=.", "hydra.searchpath=[.]"])
def test_a_model_of_ones_own(command: Command, flag: str) -> None:
    assert command(flag, *TINY, "model=mine", "model.gamma=2", "arm=a").code == 0
    assert config(command, "a/seed=0")["model"]["gamma"] == 2  # type: ignore[index]


def test_an_experiment_and_a_group_of_ones_own(command: Command) -> None:
    words = [word for word in TINY if not word.startswith("epochs")]
    assert command("--config-dir=.", *words, "experiment=mine", "+extra=mine", "arm=a").code == 0
    assert (config(command, "a/seed=0")["epochs"], config(command, "a/seed=0")["clip_norm"]) == (2, 7)


@pytest.mark.parametrize("words", [[], ["hydra/launcher=basic"], ["hydra/launcher=joblib", "hydra.launcher.n_jobs=1"]])
def test_a_study_of_a_hypothesis_of_ones_own(command: Command, words: list[str]) -> None:
    ended = command("-m", "--config-dir=.", *TINY, "hypothesis=mine", "seeds=1", *words)
    assert ended.code == 0, ended.err
    assert command.done() == ["control/seed=0", "mine/model=mine,epochs=2/seed=0"]


@pytest.mark.parametrize("sweeper", ["hypothesis", "basic", "optuna"])
def test_a_grid(command: Command, sweeper: str) -> None:
    ended = command("-m", "--config-dir=.", *TINY, "clip_norm=1,2", f"hydra/sweeper={sweeper}", "outputs=outputs")
    assert ended.code == 0, ended.err
    assert 1 <= len(command.done()) <= 2  # Optuna may propose one point twice


def test_a_search_and_its_winner_again(command: Command) -> None:
    words = [word for word in SMALL if not word.startswith("model.width")]
    ended = command(*words, "--config-dir=.", EASY, "n_trials=2", "search_space=mine", "++model.gamma=2", "model=mine")
    assert ended.code == 0, ended.err
    again = ("--config-dir=.", "experiment=best", "study=s", "target=1000")
    assert command(*again).code == command("-m", *again, "seed=901,902").code == 0
    assert {"best/seed=900", "best/seed=901", "best/seed=902"} <= set(command.done())
    assert config(command, "best/seed=900")["model"]["gamma"] == 2  # type: ignore[index]


def test_tab_completion_offers_no_plain_key_as_a_group(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    line = "ssc_sweep stu"
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setenv("COMP_POINT", str(len(line)))
    assert command("-sc", "--config-dir=.", "query=bash").out.split() == ["study="]


@pytest.mark.parametrize("before", [[], ["-m", "hypothesis=lr"], ["--cfg", "job"]])
@pytest.mark.parametrize("folder", ["nope", "a_file", "/nope/at/all"])
@pytest.mark.parametrize("flag", ["--config-dir={}", "hydra.searchpath=[{}]"])
def test_a_folder_that_is_none(bare_command: Command, before: list[str], folder: str, flag: str) -> None:
    (bare_command.folder / "a_file").write_text("in the way")
    refused(bare_command, [*before, *TINY, flag.format(folder)], [folder, "no folder that is there", "hypothesis"])


BROKEN = {
    "model/bad.yaml": (b"width: \xff\xfe", ["model=bad"], ["model/bad.yaml is not written in UTF-8"]),
    "model/flow_ssc.yaml": (b"width: 4", ["epochs=1"], ["model/flow_ssc.yaml has the name of a file of ssc_sweep"]),
    "model/typo.yaml": (
        b"defaults: [flow_ssc]\nwidht: 3", ["model=typo"], ["model.widht is unknown", "Did you mean model.width?"]
    ),
    "dataset/clinic.yaml": (
        b"defaults: [csv, _self_]\npath: mine/dataset/clinic.yaml\ntreatment: t\noutcome: y\nkindz: {a: number}",
        ["dataset=clinic"],
        ["dataset.kindz is unknown", "Did you mean dataset.kinds?"],
    ),
    "hypothesis/bad.yaml": (b"claim: \xff", ["-m", "hypothesis=bad"], ["hypothesis/bad.yaml is not written in UTF-8"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_yaml_that_cannot_be_used(bare_command: Command, name: str) -> None:
    content, words, said = BROKEN[name]
    path = bare_command.folder / "mine" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    refused(bare_command, ["--config-dir=mine", *words], said)


def test_a_yaml_of_ours_that_is_not_chosen_harms_nobody(bare_command: Command) -> None:
    path = bare_command.folder / "mine" / "model" / "linear.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("l2: 3")
    assert bare_command("--config-dir=mine", *TINY).code == 0


def test_what_an_experiment_brings_for_a_sweep_counts_as_on_the_command_line(bare_command: Command) -> None:
    path = bare_command.folder / "mine" / "experiment" / "rates.yaml"
    path.parent.mkdir(parents=True)
    params = "{optimizer.lr: '1e-4,1e-3', seeds: 2, study: mine, outputs: out, target: 7, rule.margin: 0.2, epochs: 3}"
    path.write_text(f"# @package _global_\nhydra:\n  sweeper:\n    params: {params}\n")
    words = [word for word in TINY if word != "study=s"]
    ended = bare_command("-m", "--config-dir=mine", *words, "experiment=rates")
    assert ended.code == 0 and "study folder: out/mine" in ended.out
    study = yaml.safe_load((bare_command.folder / "out/mine/study.yaml").read_text())
    assert (study["seeds"], study["rule"]["target"], study["rule"]["margin"]) == ([0, 1], 7, 0.2)
    assert study["settings"]["epochs"] == 1  # the word of the command line
    assert len(list((bare_command.folder / "out").rglob("DONE"))) == 4
    assert bare_command("-m", "--config-dir=mine", *words, "experiment=rates", "study=other", "seeds=1").code == 0
    assert len(list((bare_command.folder / "out/other").rglob("DONE"))) == 2
