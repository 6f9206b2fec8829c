"""The rules behind the five answers, those of `diagnosis` included, on histories written by hand."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from ssc_sweep.findings.judging.diagnosis import (
    do_the_statistics_converge,
    does_the_loss_diverge,
    what_happens_to_gradients,
)
from ssc_sweep.findings.judging.questions import answer_all, what_do_working_models_do, which_hyperparameters_matter
from ssc_sweep.findings.judging.watched import watch
from ssc_sweep.findings.reading.collect import Study
from ssc_sweep.probe import Probe, Tells
from ssc_sweep.study.folder import StudyFolder
from ssc_sweep.study.hypothesis import Arm
from ssc_sweep.study.plan import Plan
from ssc_sweep.verdicts.rule import Rule

PROBES = {
    probe.name: probe
    for probe in (
        Probe("x_shift_off", "shift of x", "sd", Tells.DISTANCE),
        Probe("x_scale_off", "scale of x", "sd", Tells.DISTANCE),
        Probe("y_scale_off", "scale of y", "sd", Tells.DISTANCE),
        Probe("largest_z_train", "largest |z| in training", "sd", Tells.REACH_TRAIN),
        Probe("largest_z_val", "largest |z| in validation", "sd", Tells.REACH_VAL),
    )
}


def study(first: dict[str, float], last: dict[str, float], models: tuple[str, ...] = ("FlowSSC", "FlowSSC")) -> Study:
    """Two control runs of two epochs with these numbers."""
    usual = {"val_rmse": 40.0, "fit.loss": 1.0, "fit.gradient_norm": 10.0, "fit.clipped_share": 1.0}
    usual |= {"x_shift_off": 0.0, "x_scale_off": 0.0, "largest_z_val": 3.0, "largest_z_train": 3.0}
    rows = [
        {"kind": "epoch", "epoch": epoch, "step": epoch, "arm": "control", "seed": seed, **usual, **numbers}
        for seed in (0, 1)
        for epoch, numbers in ((1, first), (2, last))
    ]
    runs = pd.DataFrame(
        {
            "arm": "control", "seed": [0, 1], "status": "finished", "model": models, "rmse": [40.0, 5.0],
            "train_rmse": 4.0, "mean_predictor_rmse": 8.0, "batch": 10, "folder": ["a", "b"],
            "first_bad_step": float("nan"), "first_bad_tensor": None,
        }
    )  # fmt: skip
    plan = Plan((0, 1), (Arm("control", "control", None, None, ()),), Rule(target=15.0))
    return Study(StudyFolder(Path("none")), plan, runs, pd.DataFrame(rows), {}, (), PROBES)


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ({"fit.loss": 0.5}, "No: the training loss"),
        ({"fit.loss": 1.0 + 1e-7}, "No: the training loss"),
        ({"fit.loss": 2.0}, "in 2 of 2 the training loss rose above that of the first epoch, the earliest in epoch 2."),
    ],
)
def test_loss(last: dict[str, float], words: str) -> None:
    made = study({"fit.loss": 1.0}, last)
    assert words in does_the_loss_diverge(made, watch(made)).answer


def with_a_middle(made: Study, **numbers: float) -> Study:
    """The study with these numbers in a middle epoch."""
    last = made.history[made.history["epoch"] == 2]
    history = pd.concat([made.history[made.history["epoch"] == 1], last.assign(**numbers), last.assign(epoch=3)])
    return replace(made, history=history)


def test_what_happens_between_the_first_epoch_and_the_last_is_seen() -> None:
    loss = with_a_middle(study({}, {"fit.loss": 0.9}), **{"fit.loss": 1e6})
    assert "the earliest in epoch 2" in does_the_loss_diverge(loss, watch(loss)).answer
    norm = with_a_middle(study({}, {}), **{"fit.gradient_norm": 1e9})
    assert "explode (above 100 times the first epoch or step) in 2" in what_happens_to_gradients(watch(norm)).answer


def test_a_number_of_one_epoch_alone_has_no_change() -> None:
    made = study({"val_rmse": float("nan")}, {})
    assert not any("validation RMSE" in line for line in does_the_loss_diverge(made, watch(made)).evidence)


def test_runs_of_which_nothing_is_known_are_counted_apart() -> None:
    made = study({}, {})
    made.runs.loc[0, ["status", "rmse"]] = ["failed", None]
    known = replace(made, history=made.history[made.history["seed"] == 1])
    found = does_the_loss_diverge(known, watch(known))
    assert "NaN or Inf: 0 of 1 runs of the study that trained." in found.evidence
    assert "1 more run failed, did not end, or were left out." in found.answer
    assert "runs that failed, did not end, or were left out: 1." in found.evidence


def test_predictions_at_the_clamp_are_told() -> None:
    made = study({"val_clamped": 0.0}, {"val_clamped": 0.98})
    said = "Of those that do not, a median share of 98% of the predictions is at the clamp."
    assert said in does_the_loss_diverge(made, watch(made)).answer


def test_medians_are_of_the_runs_they_are_told_of() -> None:
    made = study({}, {})
    made.runs["rmse"] = [40.0, 80.0]
    made.runs["train_rmse"] = [4.0, 60.0]
    said = "2 of 2 do not work on the validation rows; 1 of these would on their training rows "
    assert f"{said}(median RMSE 4.0 there, 40.0 here)" in does_the_loss_diverge(made, watch(made)).answer


def test_where_it_fails() -> None:
    # One of two runs misses the target of 15, and is below it on its training rows.
    made = study({}, {})
    said = "1 of 2 do not work on the validation rows; 1 of these would on their training rows (median RMSE 4.0"
    assert said in does_the_loss_diverge(made, watch(made)).answer


def test_nothing_is_said_of_runs_that_left_nothing() -> None:
    made = study({}, {})
    gone = replace(watch(made), history=made.history.iloc[:0], runs=made.runs.iloc[:0])
    assert "neither" not in what_happens_to_gradients(gone).answer
    assert "sd" not in do_the_statistics_converge(made, gone).answer
    assert "No run has left a history." in what_happens_to_gradients(gone).answer


def test_a_module_that_vanishes_is_seen_beside_one_that_does_not() -> None:
    made = study({"fit.gradient_norm.a": 1.0, "fit.gradient_norm.b": 1.0}, {"fit.gradient_norm.b": 1e-5})
    assert "vanish (0, or below 0.001 of the first epoch) in 2" in what_happens_to_gradients(watch(made)).answer


def test_a_gradient_of_zero_has_vanished_and_never_explodes() -> None:
    none, late = study({"fit.gradient_norm": 0.0}, {"fit.gradient_norm": 0.0}), study({"fit.gradient_norm": 0.0}, {})
    for made in (none, late):
        answer = what_happens_to_gradients(watch(made)).answer
        assert "first epoch) in 2, explode (above 100 times the first epoch or step) in 0" in answer


def test_noise_by_batch_size() -> None:
    made = study({"x_scale_off": 0.33}, {"x_scale_off": 0.33})
    arm = Arm("b32", "batch=b32", "batch", "control", ())
    runs = pd.concat([made.runs, made.runs.assign(arm="b32", batch=32)])
    history = pd.concat([made.history, made.history.assign(arm="b32", x_scale_off=0.05)])
    two = replace(made, plan=replace(made.plan, arms=(*made.plan.arms, arm)), runs=runs, history=history)
    answer = do_the_statistics_converge(two, watch(two)).answer
    assert "By batch size, scale of x ends at 0.33 sd with 10, 0.05 sd with 32; too noisy for 0.1 sd: 10." in answer
    alone = do_the_statistics_converge(made, watch(made)).answer
    assert "By batch size, scale of x ends at 0.33 sd with 10; too noisy for 0.1 sd: 10." in alone
    # What was precomputed knows no batches.
    history.loc[history["arm"] == "b32", "x_scale_off"] = 0.0
    fixed = replace(two, history=history)
    assert "with 32" not in do_the_statistics_converge(fixed, watch(fixed)).answer


def test_a_distance_that_still_falls_is_no_noise() -> None:
    made = study({"x_scale_off": 0.6}, {"x_scale_off": 0.33})
    answer = do_the_statistics_converge(made, watch(made)).answer
    assert "too noisy for 0.1 sd: none; still moving: 10." in answer
    one = replace(made, history=made.history[made.history["epoch"] == 1])
    assert "after one epoch noise cannot be told" in do_the_statistics_converge(one, watch(one)).answer


def test_the_evidence_names_the_first_arms() -> None:
    made = study({}, {})
    arms = [Arm(f"a{i:02d}", f"a{i:02d}", "h", "control", ()) for i in range(14)]
    history = pd.concat([made.history, *(made.history.assign(arm=arm.folder) for arm in arms)])
    many = replace(made, plan=replace(made.plan, arms=(*made.plan.arms, *arms)), history=history)
    evidence = do_the_statistics_converge(many, watch(many)).evidence
    assert evidence[1].startswith("control: ") and evidence[12].startswith("a10: ")
    assert "Further arms: 3." in evidence


def test_one_run_that_does_not_converge_is_not_outvoted() -> None:
    made = study({"y_scale_off": 0.05}, {"y_scale_off": 0.05})
    made.history.loc[(made.history["seed"] == 1) & (made.history["epoch"] == 2), "y_scale_off"] = 5.0
    answer = do_the_statistics_converge(made, watch(made)).answer
    assert "They converge in 1 of 2 runs: at the end the worst of a run is 2.52 sd off (median; up to 5.00)." in answer


def test_a_diverged_control_is_named_with_its_step() -> None:
    made = study({}, {})
    made.runs.loc[0, ["status", "rmse", "first_bad_step", "first_bad_tensor"]] = ["diverged", None, 7.0, "fit.ll_y"]
    found = does_the_loss_diverge(made, watch(made))
    assert found.answer == "Yes: 1 of 2 runs met NaN or Inf, the first at step 7."
    assert "a: first at step 7, in fit.ll_y." in found.evidence


@pytest.mark.parametrize(
    ("norm", "words"),
    [
        (9.0, "neither vanish nor explode"),
        (1e-4, "first epoch) in 2, explode (above 100 times the first epoch or step) in 0"),
        (2e4, "first epoch) in 0, explode (above 100 times the first epoch or step) in 2"),
    ],
)
def test_gradients(norm: float, words: str) -> None:
    made = study({"fit.gradient_norm": 10.0}, {"fit.gradient_norm": norm})
    assert words in what_happens_to_gradients(watch(made)).answer


def test_statistics() -> None:
    made = study({}, {"x_scale_off": 0.05})
    assert "They converge: in every run within 0.05 sd" in do_the_statistics_converge(made, watch(made)).answer
    far = study({}, {"x_scale_off": 0.33, "largest_z_val": 160.0, "largest_z_train": 40.0})
    answer = do_the_statistics_converge(far, watch(far)).answer
    assert "at the end the worst of a run is 0.33 sd off" in answer
    assert "up to 160 sd away" in answer


def test_statistics_that_are_precomputed_have_nothing_to_converge_to() -> None:
    made = study({"y_shift_off": 0.0, "y_scale_off": 0.0}, {})
    assert "from the start: precomputed." in do_the_statistics_converge(made, watch(made)).answer


def test_precomputed_runs_have_not_converged() -> None:
    made = study({}, {"x_scale_off": 0.4})
    made.history.loc[made.history["seed"] == 1, "x_scale_off"] = 0.0
    answer = do_the_statistics_converge(made, watch(made)).answer
    assert "They do not converge: at the end the worst of a run is 0.40 sd off" in answer
    assert "In 1 more they are those of all training rows from the start" in answer


def test_evidence_by_arm_is_of_its_worst_statistic() -> None:
    made = study({}, {"x_scale_off": 0.4, "x_shift_off": 0.7})
    assert (
        "control: the worst statistic of a run is 0.70 sd off (up to 0.70)."
        in do_the_statistics_converge(made, watch(made)).evidence
    )


def test_one_epoch_has_no_first_and_last() -> None:
    made = study({}, {})
    one = replace(made, history=made.history[made.history["epoch"] == 1])
    evidence = does_the_loss_diverge(one, watch(one)).evidence
    assert any(line.endswith("median 1 after the one epoch.") for line in evidence)


def test_no_hypothesis_no_hyperparameters() -> None:
    made = study({}, {})
    assert which_hyperparameters_matter(made, []).answer == "This study tests no hypothesis."
    trials = replace(made, plan=replace(made.plan, arms=(Arm("trial=0000", "lr=1", None, None, ()),)))
    assert "it is a search" in which_hyperparameters_matter(trials, []).answer


def compared(**rmse: tuple[str, list[float], tuple[str, ...]]) -> Study:
    """A control and arms, each (model, RMSE by seed, overrides beyond the control's)."""
    made = study({}, {})
    arms, rows = [], []
    for name, (model, values, overrides) in rmse.items():
        arms.append(
            Arm(name, name, None if name == "control" else "h", None if name == "control" else "control", overrides)
        )
        rows += [
            {
                "arm": name,
                "seed": seed,
                "status": "finished" if value == value else "diverged",
                "model": model,
                "rmse": value,
            }
            for seed, value in enumerate(values)
        ]
    runs = pd.DataFrame(rows).assign(mean_predictor_rmse=8.0)
    return replace(made, plan=replace(made.plan, arms=tuple(arms)), runs=runs)


BAD, GOOD = [40.0, 44.0, 38.0, 41.0, 45.0, 39.0], [5.0, 5.2, 4.9, 5.1, 5.3, 4.8]


def test_one_model_cannot_say() -> None:
    assert "one model, FlowSSC: it cannot say" in what_do_working_models_do(study({}, {})).answer


def test_which_models_work_and_which_factors_move_the_result() -> None:
    found = what_do_working_models_do(
        compared(
            control=("Flow", BAD, ()),
            other=("Net", GOOD, ("model=net",)),
            given=("Flow", [value / 2 for value in BAD], ("stats=all",)),
            idle=("Flow", BAD[::-1], ("noise=1",)),
            taken=("Net", [3 * value for value in GOOD], ("model=net", "model.stats=batch")),
        )
    )
    assert found.answer == (
        "Models whose median run works: Net. What moves the result: model.stats=batch put into Net (RMSE times 3.00); "
        "stats=all given to Flow (RMSE times 0.50). Without a certain effect: noise=1 given to Flow."
    )
    assert "control: Flow, median RMSE 40.50 over 6 runs, 0 diverged." in found.evidence
    assert "stats=all given to Flow: RMSE times 0.50 [0.50, 0.50], 6 pairs." in found.evidence


def test_runs_on_other_rows_are_not_compared() -> None:
    made = compared(
        control=("Flow", BAD, ()), other=("Net", GOOD, ("model=net",)),
        rows=("Flow", [value / 2 for value in BAD], ("split=shuffled",)),
    )  # fmt: skip
    made.runs["val_rows"] = ["b" if arm == "rows" else "a" for arm in made.runs["arm"]]
    found = what_do_working_models_do(made)
    assert "split=shuffled given to Flow: not compared, for the rows differ." in found.evidence
    assert "What moves" not in found.answer and "RMSE times" not in " ".join(found.evidence)


def test_a_model_that_loses_half_of_its_runs_does_not_work() -> None:
    nan = float("nan")
    found = what_do_working_models_do(
        compared(control=("Flow", BAD, ()), other=("Net", [5.0, nan, nan, nan, 5.0, 5.0], ("model=net",)))
    )
    assert found.answer.startswith("No model's median run works. No arm gives a factor")
    assert "other: Net, median RMSE inf over 6 runs, 3 diverged." in found.evidence


def test_without_a_target_a_model_works_that_beats_the_mean() -> None:
    made = compared(control=("Flow", [7.5] * 6, ()), other=("Net", GOOD, ("model=net",)))  # the mean has 8
    made = replace(made, plan=replace(made.plan, rule=Rule(target=None)))
    assert what_do_working_models_do(made).answer.startswith("Models whose median run works: Net.")


def test_all_five_are_answered() -> None:
    assert len(answer_all(study({}, {}), [])) == 5
