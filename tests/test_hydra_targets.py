"""What a config may make Hydra call: our callback, plugins and samplers, each in its place, and nothing else."""

import pytest
import yaml

from ssc_sweep.config import HYDRA_TARGETS, conf_dir
from tests.command import TINY, Command, make_command, refused
from tests.study.search.small import EASY, SMALL

command = pytest.fixture(make_command)

WRITE = {"_target_": "ssc_sweep.writing.write_text", "path": "written", "text": "x"}
OPEN = {"_target_": "builtins.open", "file": "written", "mode": "w"}
OURS = {"_target_": "ssc_sweep.findings.callback.NoteEnd"}
TPE = {"_target_": "optuna.samplers.TPESampler"}

# What hydra.callbacks holds -> what the line must say.
CALLBACKS = {
    "a function": ({"x": WRITE}, "hydra.callbacks.x._target_=ssc_sweep.writing.write_text is not allowed"),
    "python's own": ({"x": OPEN}, "hydra.callbacks.x._target_=builtins.open is not allowed"),
    "a class": ({"x": {"_target_": "ssc_sweep.study.sweeper.HypothesisSweeper"}}, "HypothesisSweeper is not allowed"),
    "a method": ({"x": {"_target_": f"{OURS['_target_']}.on_multirun_end"}}, "on_multirun_end is not allowed"),
    "through a module": ({"x": {"_target_": "ssc_sweep.study.folder.os.mkdir", "path": "written"}}, "is not allowed"),
    "in place of ours": ({"findings": WRITE}, "hydra.callbacks.findings._target_=ssc_sweep.writing.write_text"),
    "as an argument": ({"findings": {"y": WRITE}}, "hydra.callbacks.findings.y._target_="),
    "deep": ({"x": OURS | {"y": [{"z": WRITE}]}}, "hydra.callbacks.x.y[0].z._target_="),
    "postponed": ({"x": WRITE | {"_partial_": True}}, "write_text is not allowed"),
    "a whitelist": ({"x": WRITE | {"_execution_whitelist_": "ssc_sweep.*"}}, "_execution_whitelist_"),
    "an argument too many": ({"x": OURS | {"y": 1}}, "hydra.callbacks.x cannot be used"),
}
# What hydra.sweeper.sampler holds -> what the line must say.
SAMPLERS = {
    "a function": (WRITE, "hydra.sweeper.sampler._target_=ssc_sweep.writing.write_text is not allowed"),
    "as an argument": (TPE | {"gamma": WRITE}, "hydra.sweeper.sampler.gamma._target_="),
    "through a module": ({"_target_": "optuna.samplers._cmaes.pickle.loads"}, "is not allowed"),
    "Python's insides": ({"_target_": "optuna.samplers.TPESampler.__init__.__globals__"}, "is not allowed"),
    "nothing": ({"_target_": "optuna.samplers.Nope"}, "Nope cannot be imported"),
    "a class": ({"_target_": "optuna.storages.RDBStorage", "url": "sqlite:///written"}, "RDBStorage is not allowed"),
}
NO_SAMPLER = {
    "our callback": (OURS, "NoteEnd is not allowed"),
    "a crossover": ({"_target_": "optuna.samplers.nsgaii.UniformCrossover"}, "makes no sampler"),
    "postponed": (TPE | {"_partial_": True}, "makes no sampler"),
}
WRITE_HERE = {"()": WRITE["_target_"], "path": "written", "text": "x"}
SMTP = {"class": "logging.handlers.SMTPHandler", "mailhost": "h", "fromaddr": "a", "toaddrs": "b", "subject": "c"}
LOGGING = {
    "a handler": {"handlers": {"x": WRITE_HERE}},
    "a class": {"handlers": {"x": SMTP}},
    "a formatter": {"formatters": {"x": WRITE_HERE}},
    "a filter": {"filters": {"x": WRITE_HERE}},
}
# A search of two points.
TWO_POINTS = (*SMALL, EASY, "epochs=1,2", "optimizer.lr=1e-3", "stats_mode=ema", "n_trials=2")
# Overrides of a study.
PLUGINS = {
    "hydra.sweeper._target_=ssc_sweep.writing.write_text": ["write_text is no sweeper or launcher"],
    "hydra.sweeper._target_=os.system": ["os.system is no sweeper or launcher", "hydra/sweeper=<name>"],
    "hydra.launcher._target_=os.system": ["os.system is no sweeper or launcher", "hydra/launcher=<name>"],
    "hydra.launcher._target_=ssc_sweep.findings.callback.NoteEnd": ["NoteEnd is no sweeper or launcher"],
    "hydra.launcher._target_=ssc_sweep.study.sweeper.HypothesisSweeper": ["another kind of plugin"],
    "~hydra.sweeper.params hydra.sweeper._target_=ssc_sweep.study.launcher.StackLauncher": ["hydra.sweeper"],
    "+hydra.sweeper.x=1": ["hydra.sweeper cannot be used", "'x'"],
    "+hydra.launcher.x=1": ["hydra.launcher cannot be used", "'x'"],
    "experiment=search +hydra.sweeper.x=1": ["hydra.sweeper.x is unknown", "n_trials"],
}


def own(command: Command, group: str, content: object, header: str = "") -> str:
    """Write `content` as the choice "own" of a group; return the flag that brings it in."""
    file = command.folder / "mine" / group / "own.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(header + yaml.safe_dump(content))
    return "--config-dir=mine"


def test_only_what_conf_names_is_allowed() -> None:
    (node,) = yaml.safe_load((conf_dir() / "config.yaml").read_text())["hydra"]["callbacks"].values()
    assert (node["_target_"],) == HYDRA_TARGETS


@pytest.mark.parametrize("before", [[], ["-m", "seed=0,1"], ["-m", "seed=0,1", "hydra/launcher=basic"]])
@pytest.mark.parametrize("case", CALLBACKS)
def test_callbacks(command: Command, case: str, before: list[str]) -> None:
    content, said = CALLBACKS[case]
    flag = own(command, "experiment", {"hydra": {"callbacks": content}}, "# @package _global_\n")
    refused(command, [*before, flag, *TINY, "experiment=own"], [said])


@pytest.mark.parametrize("sweeper", ["experiment=search", "hydra/sweeper=optuna"])
@pytest.mark.parametrize("case", SAMPLERS)
def test_samplers(command: Command, case: str, sweeper: str) -> None:
    content, said = SAMPLERS[case]
    flag = own(command, "hydra/sweeper/sampler", content)
    refused(command, ["-m", flag, *TINY, sweeper, "hydra/sweeper/sampler=own", "clip_norm=1,2"], [said])


@pytest.mark.parametrize("case", NO_SAMPLER)
def test_what_is_no_sampler(command: Command, case: str) -> None:
    content, said = NO_SAMPLER[case]
    flag = own(command, "hydra/sweeper/sampler", content)
    refused(command, ["-m", flag, *TINY, "experiment=search", "hydra/sweeper/sampler=own"], [said])


@pytest.mark.parametrize("words", [["hydra/job_logging=own"], ["-m", "hydra/hydra_logging=own"]])
@pytest.mark.parametrize("case", LOGGING)
def test_logging(command: Command, case: str, words: list[str]) -> None:
    group = words[-1].removesuffix("=own")
    flag = own(command, group, {"version": 1, "root": {"handlers": []}} | LOGGING[case])
    refused(command, [flag, *TINY, *words], ["a YAML may not set hydra."])


def test_logging_of_a_job_under_hydras_own_launcher(command: Command) -> None:
    """Hydra reads it when the first job begins: study.yaml is there, and nothing has been trained."""
    flag = own(command, "hydra/job_logging", {"version": 1, "root": {"handlers": []}} | LOGGING["a handler"])
    ended = command("-m", flag, *TINY, "seed=0,1", "hydra/launcher=basic", "hydra/job_logging=own")
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1), ended.err
    assert "a YAML may not set hydra.job_logging" in ended.err
    assert command.done() == [] and not (command.folder / "written").exists()


@pytest.mark.parametrize(("words", "said"), PLUGINS.items(), ids=PLUGINS)
def test_plugins(command: Command, words: str, said: list[str]) -> None:
    refused(command, ["-m", *TINY, "seed=0,1", *words.split()], said)


def test_a_target_among_the_arguments_of_a_plugin_is_not_called(command: Command) -> None:
    """Hydra makes plugins with _recursive_=False, and a config that says otherwise does not change it."""
    write = "{" + ",".join(f"{key}:{value}" for key, value in OPEN.items()) + "}"
    command("-m", *TINY, "seed=0", f"hydra.sweeper.params={write}")
    command("-m", *TINY, "seed=0", "+hydra.sweeper._recursive_=true", f"hydra.sweeper.params={write}")
    assert not (command.folder / "written").exists()


@pytest.mark.parametrize("sampler", ["grid", "tpe", "random", "nsgaii"])
def test_the_samplers_of_hydras_plugin_still_search(command: Command, sampler: str) -> None:
    ended = command(*TWO_POINTS, f"hydra/sweeper/sampler={sampler}")
    assert ended.code == 0, ended.err


@pytest.mark.parametrize("words", [["seed=0,1"], ["seed=0,1", "hydra/launcher=basic"]])
def test_hydras_own_logging_still_works(command: Command, words: list[str]) -> None:
    ended = command("-m", *TINY, *words, "hydra/job_logging=default", "hydra/hydra_logging=default")
    assert ended.code == 0 and len(command.done()) == 2, ended.err


# What a YAML may not say to Hydra: it would run code, or write where the user has not said.
STEERING = {
    "hydra.job.env_set.SSC_SWEEP_ADMIT": {"job": {"env_set": {"SSC_SWEEP_ADMIT": "evil"}}},
    "hydra.run.dir": {"run": {"dir": "elsewhere"}},
    "hydra.searchpath": {"searchpath": ["pkg://evil"]},
}


@pytest.mark.parametrize("key", STEERING)
@pytest.mark.parametrize("name", ["experiment/mine", "mine"])
def test_a_yaml_does_not_steer_hydra(command: Command, key: str, name: str) -> None:
    path = command.folder / "conf" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    head = "# @package _global_\n" if "/" in name else ""
    path.write_text(head + yaml.safe_dump({"hydra": STEERING[key], "model": {"_target_": "evil.M"}}))
    (command.folder / "evil.py").write_text("from pathlib import Path\nPath('written').touch()\n")
    chosen = ["experiment=mine"] if "/" in name else ["--config-name", "mine"]
    refused(command, ["--config-dir", "conf", *chosen, *(TINY if "/" in name else ())], [f"may not set {key}"])
