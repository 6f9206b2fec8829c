"""What a user types and gets: runs, studies, grids, Hydra's own launchers, sweepers and flags."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest
import yaml

from ssc_sweep import progress
from ssc_sweep.study import plan
from tests.command import REPORTED, TINY, Command, make_command

command = pytest.fixture(make_command)

LR_ARMS = ["lr/optimizer.lr=1e-4", "lr/optimizer.lr=1e-5"]
RUN_FILES = {
    "config.yaml", "overrides.yaml", "history.csv", "metrics.json", "predictions.csv", "model.safetensors", "run.log",
    "DONE",
}  # fmt: skip


def seeds(arms: list[str], n: int) -> list[str]:
    return sorted(f"{arm}/seed={seed}" for arm in arms for seed in range(n))


def stamps(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("seed=*/*")}


def test_one_run_leaves_its_folder_and_a_line(command: Command) -> None:
    ended = command(*TINY, "seed=3", "arm=mine")
    assert ended.code == 0
    assert "RMSE" in ended.out and "predict the mean" in ended.out
    assert command.done() == ["mine/seed=3"]
    assert {path.name for path in (command.folder / "outputs/s/mine/seed=3").iterdir()} == RUN_FILES
    assert (command.folder / "outputs/s/study.yaml").exists()


def test_hypotheses_become_arms_times_seeds(command: Command) -> None:
    ended = command("-m", *TINY, "seeds=2", "hypothesis=lr,ema")
    assert ended.code == 0
    assert command.done() == seeds(["control", *LR_ARMS, "ema/stats_mode=precomputed"], 2)
    for words in ("control", "B lr", "D ema", "optimizer.lr=1e-5", "predict the mean", "study folder"):
        assert words in ended.out
    table = pd.read_csv(command.folder / "outputs/s/summary.csv")
    assert len(table) == 8 and (table["status"] == "finished").all() and table["rmse"].notna().all()
    plan = yaml.safe_load((command.folder / "outputs/s/study.yaml").read_text())
    assert plan["seeds"] == [0, 1] and list(plan["hypotheses"]) == ["lr", "ema"]
    assert [arm["control"] for arm in plan["arms"]] == [None, "control", "control", "control"]


@pytest.mark.parametrize("order", ["before", "after"])
def test_extra_overrides_apply_to_every_arm(command: Command, order: str) -> None:
    extra, hypothesis = "optimizer.weight_decay=1e-3", "hypothesis=lr"
    words = [extra, hypothesis] if order == "before" else [hypothesis, extra]
    assert command("-m", *TINY, "seeds=1", *words).code == 0
    assert command.done() == seeds(["control", *LR_ARMS], 1)
    for arm in ("control", *LR_ARMS):
        config = yaml.safe_load((command.folder / f"outputs/s/{arm}/seed=0/config.yaml").read_text())
        assert config["optimizer"]["weight_decay"] == 1e-3


def test_a_plain_grid_is_one_run_a_point(command: Command) -> None:
    assert command("-m", *TINY, "optimizer.lr=1e-4,5e-4", "labels=all,half_mcar").code == 0
    rates = ("optimizer.lr=0.0001", "optimizer.lr=0.0005")
    assert command.done() == seeds([f"{lr},labels={labels}" for lr in rates for labels in ("all", "half_mcar")], 1)


def test_a_grid_of_seeds_is_one_arm(command: Command) -> None:
    assert command("-m", *TINY, "seed=0,1,2").code == 0
    assert command.done() == seeds(["control"], 3)


def test_a_hypothesis_at_every_point_of_a_grid_has_a_control_at_each(command: Command) -> None:
    ended = command("-m", *TINY, "seeds=2", "hypothesis=lr", "split=file_order,shuffled")
    assert ended.code == 0
    arms = [f"split={split}/{arm}" for split in ("file_order", "shuffled") for arm in ("control", *LR_ARMS)]
    assert command.done() == seeds(arms, 2)
    assert "control (split=shuffled)" in ended.out
    table = pd.read_csv(command.folder / "outputs/s/summary.csv")
    assert set(table["arm"]) == set(arms)


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_hydras_own_launchers_train_the_same_runs(command: Command, launcher: str) -> None:
    more = ["hydra.launcher.n_jobs=1"] if launcher == "joblib" else []
    ended = command("-m", *TINY, "seeds=1", "hypothesis=ema", f"hydra/launcher={launcher}", *more)
    assert ended.code == 0
    assert command.done() == seeds(["control", "ema/stats_mode=precomputed"], 1)
    assert "D ema" in ended.out and "study folder" in ended.out


@pytest.mark.parametrize(
    "words",
    [
        ["hydra/sweeper=basic", "optimizer.lr=1e-4,1e-3,1e-2"],
        ["hydra/sweeper=optuna", "optimizer.lr=interval(1e-5,1e-3)", "hydra.sweeper.n_trials=3"],
    ],
    ids=["basic", "optuna"],
)
def test_hydras_own_sweepers_end_with_the_table_too(command: Command, words: list[str]) -> None:
    ended = command("-m", *TINY, *words)
    assert ended.code == 0
    assert len(command.done()) == 3
    assert len(pd.read_csv(command.folder / "outputs/s/summary.csv")) == 3
    assert "study folder" in ended.out


def test_equal_configs_are_trained_once_and_still_compared(command: Command) -> None:
    """The arm batch=b32 is its own control here; at the second point the control is an arm of the first."""
    small = [word for word in TINY if not word.startswith(("dataset.rows", "batch"))]
    assert command("-m", *small, "dataset.rows=140", "seeds=1", "hypothesis=batch", "batch=b32,b64").code == 0
    assert command.done() == seeds(["batch=b32/control", "batch=b32/batch/batch=b64"], 1)
    plan = yaml.safe_load((command.folder / "outputs/s/study.yaml").read_text())
    trained = {path.rsplit("/", 1)[0] for path in command.done()}
    assert {arm["folder"] for arm in plan["arms"]} == trained
    assert {arm["control"] for arm in plan["arms"] if arm["hypothesis"]} == trained, "controls that exist"


def test_the_same_study_again_trains_nothing(command: Command) -> None:
    words = ("-m", *TINY, "seeds=2", "hypothesis=lr")
    assert command(*words).code == 0
    before = stamps(command.folder)
    ended = command(*words)
    assert ended.code == 0 and "B lr" in ended.out
    assert stamps(command.folder) == before


def test_a_study_grows_by_seeds_and_hypotheses(command: Command) -> None:
    assert command("-m", *TINY, "seeds=1", "hypothesis=lr").code == 0
    before = stamps(command.folder)
    assert command("-m", *TINY, "seeds=2", "hypothesis=lr,ema").code == 0
    assert command.done() == seeds(["control", *LR_ARMS, "ema/stats_mode=precomputed"], 2)
    after = stamps(command.folder)
    assert {path: after[path] for path in before} == before
    plan = yaml.safe_load((command.folder / "outputs/s/study.yaml").read_text())
    assert len(plan["arms"]) == 4 and plan["seeds"] == [0, 1]


def test_one_run_twice_with_two_seeds_is_one_arm(command: Command) -> None:
    assert command(*TINY, "seed=0").code == command(*TINY, "seed=1").code == 0
    plan = yaml.safe_load((command.folder / "outputs/s/study.yaml").read_text())
    assert len(plan["arms"]) == 1 and plan["seeds"] == [0, 1]


def test_another_config_in_a_finished_folder_is_refused(command: Command) -> None:
    assert command(*TINY, "arm=mine").code == 0
    plan = (command.folder / "outputs/s/study.yaml").read_text()
    before = stamps(command.folder)
    ended = command(*TINY, "arm=mine", "epochs=2")
    assert ended.code == 2
    assert ended.err.startswith("error:") and ended.err.count("\n") == 1 and "not overwritten" in ended.err
    assert stamps(command.folder) == before
    assert (command.folder / "outputs/s/study.yaml").read_text() == plan


# The words of the first command, those of the second, and what differs.
TWO_COMMANDS = {
    "a hypothesis": (["-m", "hypothesis=ema", "seeds=1"], ["-m", "hypothesis=ema", "seeds=2", "epochs=2"], "epochs=1"),
    "a grid": (
        ["-m", "optimizer.lr=1e-4,1e-3"], ["-m", "optimizer.lr=1e-2,1e-1", "clip_norm=2"],
        "clip_norm=1.0, and this command has clip_norm=2",
    ),
    "seeds": (["-m", "seeds=1"], ["-m", "seed=1,2", "model=mean_teacher"], "model._target_="),
    "a run": ([], ["epochs=2"], "epochs=1, and this command has epochs=2"),
    "a run of another seed": ([], ["seed=1", "stats_mode=precomputed"], "stats_mode.mode=ema"),
    "a run, then a study": (["optimizer.lr=1e-4"], ["-m", "hypothesis=ema"], "optimizer.lr=0.0001"),
}  # fmt: skip


@pytest.mark.parametrize("name", TWO_COMMANDS)
def test_two_commands_may_not_share_a_study(command: Command, name: str) -> None:
    first, second, said = TWO_COMMANDS[name]
    assert command(*TINY, *first).code == 0
    study, done = (command.folder / "outputs/s/study.yaml").read_text(), command.done()
    ended = command(*TINY, *second)
    assert ended.code == 2 and ended.err.count("\n") == 1
    assert "two different commands cannot share one name" in ended.err and said in ended.err
    assert command.done() == done and (command.folder / "outputs/s/study.yaml").read_text() == study


MORE = {
    "seeds": (["-m", "seeds=1"], ["-m", "seeds=2"], 2),
    "points": (["-m", "optimizer.lr=1e-4,1e-3"], ["-m", "optimizer.lr=1e-3,1e-2"], 3),
    "one point": (["-m", "clip_norm=1,2"], ["-m", "clip_norm=3"], 3),
    "another axis": (["-m", "optimizer.lr=1e-4,1e-3"], ["-m", "split=file_order,shuffled"], 4),
    "an axis of a group": (["-m", "seeds=1", "split=shuffled"], ["-m", "seeds=1", "split=file_order,shuffled"], 3),
    "hypotheses": (["-m", "hypothesis=ema", "seeds=1"], ["-m", "hypothesis=ema,lr", "seeds=1"], 4),
    "an arm named by hand": ([], ["arm=mine", "epochs=2"], 2),
    "named arms alone": (["arm=a"], ["arm=b", "batch.size=15"], 2),
    "named, then not": (["arm=a", "epochs=2"], ["seed=3"], 2),
    "a value written in another way": (["clip_norm=0.5"], ["clip_norm=5e-1"], 1),
    "a study, then one seed more": (["-m", "seeds=1"], ["seed=5"], 2),
}


@pytest.mark.parametrize("name", MORE)
def test_a_study_may_grow(command: Command, name: str) -> None:
    first, second, runs = MORE[name]
    assert command(*TINY, *first).code == 0
    ended = command(*TINY, *second)
    assert ended.code == 0, ended.err
    assert len(command.done()) == runs


def test_a_seed_and_a_value_have_one_name_however_they_are_written(command: Command) -> None:
    assert command(*TINY, "optimizer.lr=0.0001").code == command(*TINY, "optimizer.lr=1e-4").code == 0
    assert len(command.done()) == 1
    assert command("-m", *TINY, "seed=007,7", "study=t").code == 0
    assert [path.parent.name for path in (command.folder / "outputs/t").rglob("DONE")] == ["seed=7"]


def test_a_control_that_is_solved_beside_an_arm_that_learns(command: Command) -> None:
    (command.folder / "hypothesis").mkdir()
    text = "{letter: X, claim: c, expect: improves, arms: [{model: mean_teacher}]}"
    (command.folder / "hypothesis" / "teach.yaml").write_text(text)
    words = [word for word in TINY if not word.startswith("model")]
    ended = command("-m", "--config-dir=.", *words, "report=true", "model=linear", "hypothesis=teach", "seeds=3")
    assert ended.code == 0, ended.err
    assert "X teach" in ended.out and "6 runs: 6 finished" in ended.out
    assert (command.folder / "outputs/s/report.html").is_file()


@pytest.mark.parametrize("words", [[], ["-m", "seeds=2"]])
@pytest.mark.parametrize("name", ["study.yaml", ".plan.lock"])
def test_a_folder_in_the_place_of_a_file(command: Command, words: list[str], name: str) -> None:
    (command.folder / "outputs/s" / name).mkdir(parents=True)
    ended = command(*words, *TINY)
    assert ended.code == 2 and ended.err.startswith("error: ") and ended.err.count("\n") == 1
    assert name in ended.err and command.done() == []
    assert "damaged" not in ended.err and "emove" not in ended.err, "nobody knows, and nothing should be removed"


@pytest.mark.parametrize("words", [["arm=control"], ["-m", "seed=0,1"]], ids=["run", "study"])
@pytest.mark.parametrize("name", ["FAILED", "config.yaml", ".lock", "nothing but a file"])
def test_a_folder_in_the_place_of_a_file_of_a_run(command: Command, words: list[str], name: str) -> None:
    run = command.folder / "outputs/s/control/seed=0"
    if name.startswith("nothing"):
        run.parent.mkdir(parents=True)
        run.touch()
    else:
        (run / name).mkdir(parents=True)
    ended = command(*words, *TINY)
    assert ended.code == 2 and "Traceback" not in ended.err
    assert [line for line in ended.err.splitlines() if line.startswith("error: ")] == ended.err.splitlines()[-1:]
    assert "seed=0" in ended.err and command.done() == []


def test_outputs_that_lead_nowhere(command: Command) -> None:
    (command.folder / "outputs").symlink_to("outputs")
    ended = command("-m", *TINY, "seed=0,1")
    assert ended.code == 2 and ended.err.startswith("error: ") and ended.err.count("\n") == 1, ended.err


@pytest.mark.parametrize("words", [[], ["-m", "seed=900,901"]])
@pytest.mark.parametrize("content", ["", "{}", "[1]", "overrides: 3", "overrides: [1]", "a: [", None])
def test_a_best_that_is_none(command: Command, words: list[str], content: str | None) -> None:
    path = command.folder / "outputs/s/best.yaml"
    path.parent.mkdir(parents=True)
    if content is None:
        path.mkdir()
    else:
        path.write_text(content)
    ended = command(*words, "experiment=best", "study=s")
    assert ended.code == 2 and ended.err.count("\n") == 1 and "best.yaml is damaged" in ended.err


def test_a_number_is_a_name_of_an_arm(command: Command) -> None:
    assert command(*TINY, "arm=1").code == 0
    assert command.done() == ["1/seed=0"]


def test_a_large_study_says_what_takes_so_long(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SILENT_LOG_S", -1.0)
    ended = command("-m", *TINY, "seeds=2", "hypothesis=ema")
    assert ended.code == 0, ended.err
    assert ended.err.startswith("configs composed: 0 of 2\nruns checked: 0 of 4\n")


@pytest.mark.parametrize("name", ["12", "1e3", "a/b", "'it\\'s, one = two'"])
def test_any_name_of_a_study_is_a_folder(command: Command, name: str) -> None:
    words = [word for word in TINY if word != "study=s"]
    assert command("-m", *words, "seeds=1", "hypothesis=ema", f"study={name}").code == 0
    assert len(list((command.folder / "outputs").rglob("DONE"))) == 2


def test_an_odd_folder_of_outputs(command: Command) -> None:
    assert command("-m", *TINY, "outputs='my out, it=x'", "optimizer.lr=1e-4,1e-3").code == 0
    assert len(list((command.folder / "my out, it=x").rglob("DONE"))) == 2


def test_hypothesis_without_m_says_what_to_type(command: Command) -> None:
    ended = command("hypothesis=lr")
    assert ended.code == 2 and "python -m ssc_sweep -m hypothesis=lr" in ended.err and ended.err.count("\n") == 1


def test_several_hypotheses_without_m_say_what_to_type(command: Command) -> None:
    ended = command("hypothesis=lr,ema")
    assert ended.code == 2 and "python -m ssc_sweep -m hypothesis=lr,ema" in ended.err and ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--cfg", "job", "hypothesis=lr"], "optimizer.lr: 0.0001"),
        (["--cfg", "hydra"], "launcher: stack"),
        (["--cfg", "all", "-p", "optimizer"], "weight_decay"),
        (["--info", "all"], "Defaults Tree"),
        (["--hydra-help"], "hydra/sweeper: basic, hypothesis, optuna"),
        (["--version"], f"ssc_sweep {version('ssc_sweep')}, Hydra 1.4"),
        (["--help"], "batch: b10, b2, b32, b64"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_hydras_flags_work_and_train_nothing(command: Command, words: list[str], shown: str) -> None:
    ended = command(*words)
    assert ended.code == 0 and shown in ended.out
    assert command.files() == []


@pytest.mark.parametrize(
    ("line", "choices"),
    [
        ("ssc_sweep hypothesis=", "hypothesis=batch hypothesis=clamp hypothesis=codes"),
        ("ssc_sweep -m batch=b", "batch=b10 batch=b2 batch=b32 batch=b64"),
        ("ssc_sweep optimizer.", "optimizer.lr= optimizer.weight_decay="),
    ],
)
def test_tab_completion(command: Command, monkeypatch: pytest.MonkeyPatch, line: str, choices: str) -> None:
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setenv("COMP_POINT", str(len(line)))
    assert choices in command("-sc", "query=bash").out


def test_help_answers_without_torch(tmp_path: Path) -> None:
    """In a process of its own, as a user starts it. Its time is asserted as processor time: tests run in company."""
    code = (
        "import runpy, sys, time; sys.argv = ['ssc_sweep', '--help']\n"
        "try: runpy.run_module('ssc_sweep', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print('torch' in sys.modules, 'pandas' in sys.modules, time.process_time() < 1.5)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "False False True"


def test_the_exit_code_of_a_process(tmp_path: Path) -> None:
    call = [sys.executable, "-m", "ssc_sweep", "optimizer.lr=0"]
    env = {key: value for key, value in os.environ.items() if key != "HYDRA_FULL_ERROR"}
    ended = subprocess.run(call, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "error: optimizer.lr=0 is out of bounds: allowed is a number > 0.\n"


def test_an_arm_has_one_config_whatever_its_seeds(command: Command) -> None:
    assert command(*TINY, "arm=a", "seed=0").code == 0
    ended = command(*TINY, "arm=a", "seed=2", "epochs=2")
    assert ended.code == 2
    assert "an arm has one config" in ended.err
    assert command.done() == ["a/seed=0"]


@pytest.mark.parametrize("asked", ["hypothesis=lr", "experiment=test_matrix", "experiment=search"])
def test_a_study_without_m_says_what_to_type(command: Command, asked: str) -> None:
    ended = command(asked, *TINY)
    assert ended.code == 2
    assert f"python -m ssc_sweep -m {asked}" in ended.err
    assert command.done() == []


def test_a_study_of_another_version_is_refused_in_one_line(command: Command) -> None:
    assert command("-m", *TINY, "seed=0,1").code == 0
    (command.folder / "outputs" / "s" / "study.yaml").write_text("arms: []\n")
    ended = command("-m", *TINY, "seed=0,1,2")
    assert ended.code == 2
    assert ended.err.count("\n") == 1 and "of another version" in ended.err and "study=<name>" in ended.err


def test_a_refused_start_does_not_show_what_an_earlier_one_found(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "STARTED", "2030-01-01T00:00:00")  # in the same second, says the clock
    assert "RMSE" in command("-m", *TINY, "seed=0,1").out
    refused = command("-m", *TINY, "seed=0,1", "epochs=2")
    assert (refused.code, refused.out) == (2, "")
    assert "two different commands" in refused.err


def test_without_a_report_there_is_none_of_an_earlier_command(command: Command) -> None:
    page = command.folder / "outputs/s/report.html"
    ended = command("-m", *REPORTED, "seed=0,1")
    assert page.is_file() and f"report: {page.relative_to(command.folder)}" in ended.out
    ended = command("-m", *TINY, "seed=0,1,2")
    assert ended.code == 0 and not page.exists()
    assert "no report: python -m ssc_sweep.findings outputs/s" in ended.out
    assert len((command.folder / "outputs/s/summary.csv").read_text().splitlines()) == 4


def test_a_study_that_goes_on_says_so(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command("-m", *TINY, "seed=0,1").code == 0
    monkeypatch.setattr(plan, "STARTED", "2030-01-01T00:00:00")
    ended = command("-m", *REPORTED, "seed=0,1,2")
    assert "2 of 3 runs have ended before" in ended.err
    content = yaml.safe_load((command.folder / "outputs" / "s" / "study.yaml").read_text())
    assert content["command"].endswith("seed=0,1")
    (later,) = content["later"]
    assert later["command"].endswith("seed=0,1,2") and later["started"] == "2030-01-01T00:00:00"
    report = (command.folder / "outputs" / "s" / "report.html").read_text()
    assert f"then <code>{later['command']}</code>" in report
    assert "chance of a false claim" not in report  # a grid has no verdicts that looking could spoil


def test_a_damaged_finished_run_is_named_in_one_line(command: Command) -> None:
    assert command("-m", *TINY, "seed=0,1").code == 0
    (command.folder / "outputs" / "s" / "control" / "seed=1" / "metrics.json").write_text("{")
    ended = command("-m", *TINY, "seed=0,1")
    assert ended.code == 2
    assert ended.err.count("\n") == 1 and "metrics.json of a finished run cannot be read" in ended.err


def test_a_comparison_of_models_names_no_cause(command: Command) -> None:
    (command.folder / "hypothesis").mkdir()
    (command.folder / "hypothesis" / "models.yaml").write_text(
        "letter: M\nclaim: Which is better?\nexpect: nothing\narms: [{model: linear}, {model: mean}]\n"
    )
    words = [word for word in REPORTED if not word.startswith("model.")]
    ended = command("-m", "--config-dir", ".", *words, "hypothesis=models", "seeds=8")
    assert ended.code == 0, ended.err
    first = ended.out.splitlines()[0]
    assert first.startswith("Lower RMSE than the control: model=linear, model=mean.") and "cause" not in ended.out
    assert "Model of the control: FlowSSC." in ended.out
    table = pd.read_csv(command.folder / "outputs/s/verdicts.csv")
    assert set(table["cause"]) == {"A comparison: each arm has its own answer."}
    assert "<strong>Lower RMSE than the control" in (command.folder / "outputs/s/report.html").read_text()
