"""The rules behind the five answers, on histories written by hand."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from ssc_sweep.findings.collect import Study
from ssc_sweep.findings.questions import (
    answer_all,
    do_the_statistics_converge,
    does_the_loss_diverge,
    what_do_working_models_do,
    what_happens_to_gradients,
    which_hyperparameters_matter,
)
from ssc_sweep.findings.watched import watch
from ssc_sweep.study.folder import StudyFolder
from ssc_sweep.study.hypothesis import Arm
from ssc_sweep.study.plan import Plan
from ssc_sweep.study.rule import Rule


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
            "train_rmse": 4.0, "batch": 10, "folder": ["a", "b"],
            "first_bad_step": float("nan"), "first_bad_tensor": None,
        }
    )  # fmt: skip
    plan = Plan((0, 1), (Arm("control", "control", None, None, ()),), Rule(15.0))
    return Study(StudyFolder(Path("none")), plan, runs, pd.DataFrame(rows), {}, ())


@pytest.mark.parametrize(
    ("last", "words"),
    [({"fit.loss": 0.5}, "No: the training loss"), ({"fit.loss": 2.0}, "the training loss rose in 2 of them")],
)
def test_loss(last: dict[str, float], words: str) -> None:
    made = study({"fit.loss": 1.0}, last)
    assert words in does_the_loss_diverge(made, watch(made)).answer


def test_where_it_fails() -> None:
    # One of two runs misses the target of 15, and is below it on its training rows.
    made = study({}, {})
    said = "1 of 2 miss the target on the validation rows; 1 of these meet it on their training rows (median RMSE 4.0"
    assert said in does_the_loss_diverge(made, watch(made)).answer


def test_nothing_is_said_of_runs_that_left_nothing() -> None:
    made = study({}, {})
    gone = replace(watch(made), history=made.history.iloc[:0], runs=made.runs.iloc[:0])
    assert "neither" not in what_happens_to_gradients(gone).answer
    assert "sd" not in do_the_statistics_converge(made, gone).answer
    assert "No run has left a history." in what_happens_to_gradients(gone).answer


def test_a_module_that_vanishes_is_seen_beside_one_that_does_not() -> None:
    made = study({"fit.gradient_norm.a": 1.0, "fit.gradient_norm.b": 1.0}, {"fit.gradient_norm.b": 1e-5})
    assert "vanish in 2" in what_happens_to_gradients(watch(made)).answer


def test_noise_by_batch_size() -> None:
    made = study({}, {"x_scale_off": 0.33})
    arm = Arm("b32", "batch=b32", "batch", "control", ())
    runs = pd.concat([made.runs, made.runs.assign(arm="b32", batch=32)])
    history = pd.concat([made.history, made.history.assign(arm="b32", x_scale_off=0.05)])
    two = replace(made, plan=replace(made.plan, arms=(*made.plan.arms, arm)), runs=runs, history=history)
    answer = do_the_statistics_converge(two, watch(two)).answer
    assert "By batch size, x_scale ends off by 0.33 sd with 10, 0.05 sd with 32; too noisy for 0.1 sd: 10." in answer
    assert "varies no batch size" in do_the_statistics_converge(made, watch(made)).answer


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
        (1e-4, "Of 2 runs they vanish in 2, explode in 0"),
        (2e4, "vanish in 0, explode in 2"),
    ],
)
def test_gradients(norm: float, words: str) -> None:
    made = study({"fit.gradient_norm": 10.0}, {"fit.gradient_norm": norm})
    assert words in what_happens_to_gradients(watch(made)).answer


def test_statistics() -> None:
    made = study({}, {"x_scale_off": 0.05})
    assert "They converge: within 0.05 sd" in do_the_statistics_converge(made, watch(made)).answer
    far = study({}, {"x_scale_off": 0.33, "largest_z_val": 160.0, "largest_z_train": 40.0})
    answer = do_the_statistics_converge(far, watch(far)).answer
    assert "still 0.33 sd off" in answer
    assert "up to 160 sd away" in answer


def test_statistics_that_are_precomputed_have_nothing_to_converge_to() -> None:
    made = study({"y_shift_off": 0.0, "y_scale_off": 0.0}, {})
    assert "from the start: precomputed." in do_the_statistics_converge(made, watch(made)).answer


def test_what_did_not_change_is_said_once() -> None:
    made = study({"ll_x": 2.0}, {"ll_x": 2.0})
    said = ": median 2, the same in the first epoch and the last."
    assert any(
        line.startswith("ll_x") and line.endswith(said) for line in does_the_loss_diverge(made, watch(made)).evidence
    )


def test_no_hypothesis_no_hyperparameters() -> None:
    made = study({}, {})
    assert which_hyperparameters_matter(made, []).answer == "This study tests no hypothesis."
    trials = replace(made, plan=replace(made.plan, arms=(Arm("trial=0000", "lr=1", None, None, ()),)))
    assert "it is a search" in which_hyperparameters_matter(trials, []).answer


def test_models() -> None:
    one = study({}, {})
    assert "one model, FlowSSC: it cannot say" in what_do_working_models_do(one).answer
    two = study({}, {}, ("FlowSSC", "Other"))
    found = what_do_working_models_do(two)
    assert "Below the target: Other." in found.answer
    assert "FlowSSC: median RMSE 40.0 over 1 runs, 0 lost." in found.evidence


def test_all_five_are_answered() -> None:
    assert len(answer_all(study({}, {}), [])) == 5
