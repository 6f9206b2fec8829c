"""What a study folder says, and what it must not be believed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from ssc_sweep.findings.reading.collect import collect, read
from ssc_sweep.findings.reading.summary import cell, read_summary, uncell
from ssc_sweep.study.folder import RunFolder, StudyFolder
from ssc_sweep.verdicts.rule import Rule
from ssc_sweep.writing import write_text
from tests.findings.studies import EPOCHS, FAST, SLOW, fail, finish, make_study, predictions


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    return make_study(tmp_path / "study", seeds=3)


def change(folder: RunFolder, **values: object) -> None:
    metrics = json.loads(folder.metrics.read_text()) | values
    folder.metrics.write_text(json.dumps(metrics))


def lose(folder: RunFolder, key: str) -> None:
    metrics = json.loads(folder.metrics.read_text())
    del metrics[key]
    folder.metrics.write_text(json.dumps(metrics))


def cut(path: Path, length: int) -> None:
    path.write_text(path.read_text()[:length])


def swap(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def head(path: Path, before: str, after: str) -> None:
    """Rename a column."""
    swap(path, f",{before},", f",{after},")


def drop_last_line(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def edit_config(folder: RunFolder, **values: object) -> None:
    folder.config.write_text(yaml.safe_dump(yaml.safe_load(folder.config.read_text()) | values))


def edit_rmse(folder: RunFolder, rmse: float) -> None:
    """Change the RMSE in metrics.json and in the last row of history.csv, whose last column is val_rmse."""
    change(folder, rmse=rmse)
    head, _ = folder.history.read_text().rsplit(",", 1)
    folder.history.write_text(f"{head},{rmse}\n")


def diverge(folder: RunFolder, step: int) -> None:
    change(folder, status="diverged", rmse=None, first_bad={"step": step, "tensor": "x"})


def double(path: Path) -> None:
    head, *lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([head, *lines, *lines]))


DAMAGE: dict[str, tuple[Callable[[RunFolder], object], str]] = {
    "metrics missing": (lambda run: run.metrics.unlink(), "metrics.json cannot be read"),
    "metrics cut off": (lambda run: cut(run.metrics, 40), "metrics.json cannot be read"),
    "metrics no mapping": (lambda run: run.metrics.write_text("[1]"), "holds no mapping"),
    "metrics not text": (lambda run: run.metrics.write_bytes(b"\xff\xfe\x00"), "metrics.json cannot be read"),
    "key missing": (lambda run: lose(run, "rows_train"), "lacks rows_train"),
    "rmse a word": (lambda run: change(run, rmse="NaN"), "rmse='NaN'"),
    "rmse NaN": (lambda run: change(run, rmse=float("nan")), "rmse=nan"),
    "rmse infinite": (lambda run: change(run, rmse=float("inf")), "rmse=inf"),
    "rmse null": (lambda run: change(run, rmse=None), "rmse=None"),
    "rmse zero": (lambda run: change(run, rmse=0), "rmse=0"),
    "rmse negative": (lambda run: change(run, rmse=-3.0), "rmse=-3.0"),
    "rmse true": (lambda run: change(run, rmse=True), "rmse=True"),
    "status unknown": (lambda run: change(run, status="fine"), "status 'fine'"),
    "diverged with a number": (lambda run: change(run, status="diverged"), "for a run that diverged"),
    "first_bad odd": (lambda run: change(run, first_bad="yes"), "first_bad='yes'"),
    "history cut in a line": (lambda run: cut(run.history, 250), "history.csv is cut off"),
    "history cut in its last number": (lambda run: cut(run.history, -2), "history.csv is cut off"),
    "history cut between lines": (lambda run: drop_last_line(run.history), "ends at step 20 of 30"),
    "history empty": (lambda run: run.history.write_text(""), "history.csv is cut off"),
    "history with words": (lambda run: run.history.write_text("kind,epoch,step\nepoch,1,many\n"), "holds text in step"),
    "history with a column twice": (lambda run: head(run.history, "x_scale_off", "fit.loss"), "column fit.loss twice"),
    "history with an underscore": (lambda run: swap(run.history, "step,1,1,9,", "step,1,1,9_0,"), "text in fit.loss"),
    "history with half a step": (
        lambda run: swap(run.history, "step,1,1,", "step,1,1.5,"),
        "without an epoch or a step",
    ),
    "predictions of half a treatment": (lambda run: swap(run.predictions, "0,0,0.9", "0,0.5,0.9"), "no numbers"),
    "history of another version": (lambda run: run.history.write_text("epoch,loss\n1,2\n"), "another version"),
    "config of another seed": (lambda run: run.config.write_text("seed: 5\n"), "of seed 5"),
    "config of other epochs": (lambda run: edit_config(run, epochs=99), "config.yaml has epochs=99, but history.csv"),
    "config not YAML": (lambda run: run.config.write_text("a: [1"), "config.yaml cannot be read"),
    "a date that does not exist": (lambda run: run.config.write_text("a: 2026-99-99\n"), "config.yaml cannot be read"),
    "brackets without end": (lambda run: run.metrics.write_text("[" * 100_000), "metrics.json cannot be read"),
    "a number of 400 digits": (lambda run: change(run, rmse=10**400), "no possible value"),
    "accuracy above one": (lambda run: change(run, accuracy=7), "accuracy=7"),
    "finished with a first bad step": (lambda run: change(run, first_bad={"step": 1, "tensor": "x"}), "first_bad="),
    "relabelled": (lambda run: change(run, status="diverged", rmse=None), "first_bad=None for a run that diverged"),
    "history without a step": (lambda run: run.history.write_text("kind,epoch,step\nepoch,1,\n"), "history.csv"),
    "history doubled": (lambda run: double(run.history), "rows missing, or twice"),
    "history of a giant field": (lambda run: run.history.write_text("k" * 200_000 + "\n"), "history.csv"),
    "config missing": (lambda run: run.config.unlink(), "config.yaml cannot be read"),
    "history missing": (lambda run: run.history.unlink(), "history.csv cannot be read"),
    "predictions missing": (lambda run: run.predictions.unlink(), "predictions.csv cannot be read"),
    "predictions cut in a line": (lambda run: cut(run.predictions, 60), "predictions.csv is cut off"),
    "predictions cut between lines": (lambda run: drop_last_line(run.predictions), "3 rows of 4"),
    "predictions of another version": (lambda run: run.predictions.write_text("a,b\n1,2\n"), "another version"),
    "predictions no numbers": (lambda run: run.predictions.write_text(predictions(None)), "no numbers"),
    "rmse edited": (lambda run: change(run, rmse=10.2), "rmse=10.2, but history.csv ends with 10.3"),
    "rmse edited in two places": (lambda run: edit_rmse(run, 10.2), "rmse=10.2, but predictions.csv gives 10.3"),
    "pruned, though in no search": (lambda run: change(run, status="pruned", rmse=None), "only trials of a search"),
    "diverged after its end": (lambda run: diverge(run, 999), "ends at step 30, but metrics.json has its first NaN"),
    "code no text": (lambda run: change(run, code=5), "code=5: names of modules and hashes"),
    "code without a hash": (lambda run: change(run, code="mine"), "code='mine': names of modules"),
    "code of two lines": (lambda run: change(run, code="mine 1a2b3c4d\n"), "names of modules and hashes"),
    "config no mapping": (lambda run: run.config.write_text("- 1\n"), "config.yaml is no config"),
    "accuracy edited": (lambda run: change(run, accuracy=0.2), "accuracy=0.2, but predictions.csv gives 0.75"),
    "done and failed": (lambda run: run.failed.write_text(""), "both DONE and FAILED"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_run_is_named_and_has_no_number(study: StudyFolder, name: str) -> None:
    damage, reason = DAMAGE[name]
    damage(study.run(FAST, 1))
    read = collect(study)
    run = read.runs[(read.runs["arm"] == FAST) & (read.runs["seed"] == 1)].iloc[0]
    assert run["status"] == "left out"
    assert reason in run["left_out"]
    assert pd.isna(run["rmse"]) and pd.isna(run["accuracy"])
    assert not ((read.history["arm"] == FAST) & (read.history["seed"] == 1)).any()
    assert read.runs["rmse"].notna().sum() == 8


def test_whole_runs_have_their_numbers(study: StudyFolder) -> None:
    read = collect(study)
    assert set(read.runs["status"]) == {"finished"}
    assert read.runs["left_out"].isna().all()
    assert read.runs.loc[read.runs["arm"] == FAST, "rmse"].tolist() == [10.0, 10.3, 10.6]
    assert len(read.history) == 9 * 4
    assert read.remarks == ()
    assert read.rule is not None and read.rule.target == 15.0


def test_only_what_findings_look_at_is_kept_of_a_history(study: StudyFolder) -> None:
    for run in study.runs():
        swap(run.history, ",x_scale_off,y_scale_off,", ",x_scale_off,fit.spread_sd,")
    kept, every = collect(study).history, read(study).history
    assert set(every.columns) - set(kept.columns) == {"fit.spread_sd"}
    assert every["fit.spread_sd"].eq(0.4).all() and len(every) == len(kept) == 9 * 4
    assert kept.equals(every[list(kept.columns)])


def test_histories_of_other_columns_stand_in_one_table(study: StudyFolder) -> None:
    swap(study.run(FAST, 1).history, "fit.loss", "other.loss")
    history = collect(study).history
    odd = (history["arm"] == FAST) & (history["seed"] == 1)
    assert history.loc[odd, "fit.loss"].isna().all() and history.loc[~odd, "fit.loss"].notna().all()
    assert history["other.loss"].notna().equals(odd)
    assert history["epoch"].dtype == history["step"].dtype == "int64"


def test_unfinished_failed_and_diverged_runs_have_no_number(study: StudyFolder) -> None:
    study.run(FAST, 0).done.unlink()
    fail(study.run(FAST, 1))
    finish(study.run(FAST, 2), None)
    mine = collect(study).runs.query("arm == @FAST")
    assert mine["status"].tolist() == ["unfinished", "failed", "diverged"]
    assert mine["rmse"].isna().all()
    assert mine["first_bad_step"].tolist()[2] == 7


def test_a_run_copied_from_another_arm_is_left_out(study: StudyFolder) -> None:
    shutil.rmtree(study.run("control", 1).path)
    shutil.copytree(study.run(FAST, 1).path, study.run("control", 1).path)
    mine = collect(study).runs.query("arm == 'control'")
    assert mine["status"].tolist() == ["finished", "left out", "finished"]
    assert "not that of the arm's other runs" in mine["left_out"].tolist()[1]
    assert pd.isna(mine["rmse"].tolist()[1])


def test_an_arm_that_is_a_copy_of_its_control_is_left_out(study: StudyFolder) -> None:
    for seed in (0, 1, 2):
        shutil.rmtree(study.run(FAST, seed).path)
        shutil.copytree(study.run("control", seed).path, study.run(FAST, seed).path)
    read = collect(study)
    mine = read.runs.query("arm == @FAST")
    assert set(mine["status"]) == {"left out"} and mine["left_out"].str.contains("that of its control").all()
    assert set(read.history["arm"]) == {"control", SLOW}


def test_reading_writes_nothing(study: StudyFolder) -> None:
    assert read(study).runs["rmse"].notna().sum() == 9
    assert not study.summary.exists()


def test_a_failed_run_has_the_model_of_its_config(study: StudyFolder) -> None:
    fail(study.run(FAST, 1))
    edit_config(study.run(FAST, 1), model={"_target_": "ssc_sweep.models.flow_ssc.FlowSSC"})
    assert collect(study).runs.query("arm == @FAST")["model"].tolist()[1] == "FlowSSC"


def test_where_no_config_has_the_majority_none_of_the_arms_runs_counts(study: StudyFolder) -> None:
    for seed in (0, 1, 2):
        study.run("control", seed).config.write_text(f"seed: {seed}\nepochs: {EPOCHS}\nclip_norm: {seed}\n")
    read = collect(study)
    assert set(read.runs.query("arm == 'control'")["status"]) == {"left out"}
    assert set(read.history["arm"]) == {FAST, SLOW}


def test_a_folder_that_lost_its_marks_is_unfinished_not_absent(study: StudyFolder) -> None:
    study.run(FAST, 1).done.unlink()
    study.run(FAST, 1).config.unlink()
    assert collect(study).runs.query("arm == @FAST")["status"].tolist() == ["finished", "unfinished", "finished"]


def test_strangers_in_the_folder_are_left_out(study: StudyFolder) -> None:
    finish(study.run("control copy", 0), 1.0)
    write_text(study.path / "control" / "seed=one" / "DONE", "")
    write_text(study.path / "DONE", "")
    read = collect(study)
    stranger = read.runs[read.runs["arm"] == "control copy"].iloc[0]
    assert stranger["left_out"] == "study.yaml does not name its arm"
    assert pd.isna(stranger["rmse"])
    assert len(read.runs) == 10
    assert sum("is no run" in remark for remark in read.remarks) == 2


@pytest.mark.parametrize("key", ["command", "rule", "seeds", "hypotheses", "arms", "versions"])
def test_a_study_of_another_version_is_read_as_far_as_it_goes(study: StudyFolder, key: str) -> None:
    content = yaml.safe_load(study.study.read_text())
    del content[key]
    study.study.write_text(yaml.safe_dump(content))
    read = collect(study)
    assert key in read.remarks[0]
    assert read.runs["rmse"].notna().sum() == 9
    assert {arm.folder for arm in read.plan.arms} == {"control", FAST, "lr/optimizer.lr=1e-5"}
    assert read.plan.seeds == (0, 1, 2)
    assert (read.rule is None) == (key == "rule")


@pytest.mark.parametrize("text", ["", "a: [1", "- 1\n", "arms: 3\nseeds: x\nhypotheses: []\ntarget: -1\n"])
def test_a_broken_study_yaml_does_not_stop_reading(study: StudyFolder, text: str) -> None:
    study.study.write_text(text)
    read = collect(study)
    assert read.remarks
    assert read.rule is None
    assert len(read.plan.arms) == 3


def test_the_rule_is_read_from_study_yaml(study: StudyFolder) -> None:
    content = yaml.safe_load(study.study.read_text()) | {"rule": {"target": 12.0, "margin": 0.2}}
    study.study.write_text(yaml.safe_dump(content))
    assert collect(study).rule == Rule(target=12.0, margin=0.2)


def test_a_study_from_before_there_were_rules_is_judged_by_its_target(study: StudyFolder) -> None:
    content = yaml.safe_load(study.study.read_text()) | {"target": 12.0}
    del content["rule"]
    study.study.write_text(yaml.safe_dump(content))
    read = collect(study)
    assert read.rule == Rule(target=12.0)
    assert "fixes only a target" in read.remarks[1]


@pytest.mark.parametrize("text", ["=1+1", "+x=1", "-2", "@a", "'quoted", "\tx", "plain", "''=1"])
def test_cells_are_no_formulas_and_read_back(text: str) -> None:
    written = cell(text)
    assert isinstance(written, str)
    assert not written.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert uncell(written) == text


def test_names_that_look_like_formulas_or_missing_values_survive_the_summary(study: StudyFolder) -> None:
    content = yaml.safe_load(study.study.read_text())
    for name in ("+new=1", "NA", "1e5"):
        content["arms"].append({"folder": name})
        finish(study.run(name, 0), 20.0)
    study.study.write_text(yaml.safe_dump(content))
    collect(study)
    assert "\n'+new=1,0," in study.summary.read_text()
    names = read_summary(study.summary)["arm"]
    assert {"+new=1", "NA", "1e5"} <= set(names)


def test_a_study_begun_with_another_version_says_so(study: StudyFolder) -> None:
    assert collect(study).remarks == ()
    content = yaml.safe_load(study.study.read_text())
    content["versions"]["ssc_sweep"] = "9.9.9"
    study.study.write_text(yaml.safe_dump(content))
    (remark,) = collect(study).remarks
    assert remark.startswith("The study was begun with ssc_sweep 9.9.9; this is ")
