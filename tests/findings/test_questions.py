"""The rules behind the five answers, on histories written by hand."""

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
            "first_bad_step": float("nan"), "first_bad_tensor": None, "folder": ["a", "b"],
        }
    )  # fmt: skip
    plan = Plan((0, 1), (Arm("control", "control", None, None, ()),), Rule(15.0))
    return Study(StudyFolder(Path("none")), plan, runs, pd.DataFrame(rows), {}, ())


@pytest.mark.parametrize(
    ("last", "words"),
    [({"fit.loss": 0.5}, "No: the training loss"), ({"fit.loss": 2.0}, "the loss rose in 2 of them")],
)
def test_loss(last: dict[str, float], words: str) -> None:
    made = study({"fit.loss": 1.0}, last)
    assert words in does_the_loss_diverge(made, made.history).answer


def test_a_diverged_control_is_named_with_its_step() -> None:
    made = study({}, {})
    made.runs.loc[0, ["status", "rmse", "first_bad_step", "first_bad_tensor"]] = ["diverged", None, 7.0, "fit.ll_y"]
    found = does_the_loss_diverge(made, made.history)
    assert found.answer == "Yes: 1 control runs met NaN or Inf, the first at step 7."
    assert "a: first at step 7, in fit.ll_y." in found.evidence


@pytest.mark.parametrize(
    ("norm", "words"),
    [(9.0, "neither vanish nor explode"), (1e-4, "vanish in 2, explode in 0 of 2"), (2e4, "vanish in 0, explode in 2")],
)
def test_gradients(norm: float, words: str) -> None:
    made = study({"fit.gradient_norm": 10.0}, {"fit.gradient_norm": norm})
    assert words in what_happens_to_gradients(made, made.history).answer


def test_statistics() -> None:
    made = study({}, {"x_scale_off": 0.05})
    assert "They converge: within 0.05 sd" in do_the_statistics_converge(made, made.history).answer
    far = study({}, {"x_scale_off": 0.33, "largest_z_val": 160.0, "largest_z_train": 40.0})
    answer = do_the_statistics_converge(far, far.history).answer
    assert "still 0.33 sd off" in answer
    assert "up to 160 sd away" in answer


def test_no_hypothesis_no_hyperparameters() -> None:
    assert which_hyperparameters_matter([]).answer == "This study tests no hypothesis."


def test_models() -> None:
    one = study({}, {})
    assert "one model, FlowSSC: it cannot say" in what_do_working_models_do(one, one.history).answer
    two = study({}, {}, ("FlowSSC", "Other"))
    found = what_do_working_models_do(two, two.history)
    assert "Below the target: Other." in found.answer
    assert "FlowSSC: median RMSE 40.0 over 1 runs." in found.evidence


def test_all_five_are_answered() -> None:
    assert len(answer_all(study({}, {}), [])) == 5
