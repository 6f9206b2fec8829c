"""The answer in a sentence."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ssc_sweep.findings.judging.answer import causes_that_may_be_one, cleared_beside_a_cause, conclusions_of, headline
from ssc_sweep.findings.judging.arm_verdicts import ArmVerdict
from ssc_sweep.findings.judging.remarks import (
    failed_beside,
    model_of_controls,
    near_the_target,
    seedless,
    unfinished,
    working_so_far,
)
from ssc_sweep.findings.reading.collect import Study, collect
from ssc_sweep.study.hypothesis import Arm
from ssc_sweep.verdicts.causes import Cause
from ssc_sweep.verdicts.evidence import Matters, Works
from ssc_sweep.verdicts.judge import Judgement, Rule, Verdict
from tests.findings.studies import FAST, make_study
from tests.verdicts.alone import judge


def verdict(name: str, cause: Cause, works: Works = Works.NO) -> ArmVerdict:
    rmse = 50.0 if cause is Cause.VOID else 40.0
    judged = judge(dict.fromkeys(range(9), rmse), dict.fromkeys(range(9), 50.0), Rule(target=15))
    judged = replace(judged, works=replace(judged.works, answer=works))
    arm = Arm(f"{name}/x", f"{name}=1", name, "control", ())
    return ArmVerdict(
        arm, name[0].upper(), f"{name}.", "improves", "control", judged, cause, "", 40.0, 50.0, 8.0, 8.0, {name: "1"}
    )


def working(one: ArmVerdict) -> ArmVerdict:
    """The same against a control that works."""
    assert one.judgement is not None
    control = replace(one.judgement.control, answer=Works.YES)
    return replace(one, judgement=replace(one.judgement, control=control))


def test_a_comparison_names_no_cause() -> None:
    one = replace(verdict("a", Cause.COMPARED), expect="nothing")
    assert one.judgement is not None

    def answered(label: str, answer: Matters) -> ArmVerdict:
        assert one.judgement is not None
        judged = replace(one.judgement, matters=replace(one.judgement.matters, answer=answer))
        return replace(one, arm=replace(one.arm, label=label, folder=label), judgement=judged)

    told = [answered("x", Matters.BETTER), answered("y", Matters.OPEN), answered("z", Matters.BETTER)]
    assert headline(told) == "Lower RMSE than the control: x, z. Open: y. Nothing works."
    assert one.as_expected == "-"
    assert headline([*told, verdict("b", Cause.NEITHER)]).startswith(
        "B b is not the cause. Lower RMSE than the control: x"
    )


def with_control(one: ArmVerdict, **values: object) -> ArmVerdict:
    assert one.judgement is not None
    control = replace(one.judgement.control, **values)  # type: ignore[arg-type]
    return replace(one, judgement=replace(one.judgement, control=control))


def test_a_control_that_works_so_far_is_told(tmp_path: Path) -> None:
    study = collect(make_study(tmp_path / "s", seeds=9))
    told = with_control(verdict("lr", Cause.OPEN), works=9, n=9, answer=Works.OPEN)
    assert working_so_far(study, [told, told]) == [
        "All runs of the control work so far (9 of 9): there may be nothing to explain."
    ]
    for silent in (
        with_control(told, works=8),
        with_control(told, answer=Works.YES),
        with_control(told, works=2, n=2),
        replace(told, expect="nothing"),
    ):
        assert working_so_far(study, [silent]) == []
    lost = replace(study, runs=study.runs.assign(status="failed"))
    assert working_so_far(lost, [told]) == [], "it also failed, which is something to explain"


def test_runs_that_failed_are_told_beside_the_verdicts(tmp_path: Path) -> None:
    study = collect(make_study(tmp_path / "s", seeds=4))
    assert failed_beside(study) == []
    first = (study.runs["seed"] == 0) & (study.runs["arm"] != FAST)
    (line,) = failed_beside(replace(study, runs=study.runs.assign(status=np.where(first, "failed", "finished"))))
    assert line.startswith(
        "Runs that failed count nowhere: control (1 of 4) and optimizer.lr=1e-5 (1 of 4). If the model"
    )
    of_all = study.runs["arm"] == FAST  # it has no verdict, which says so
    assert failed_beside(replace(study, runs=study.runs.assign(status=np.where(of_all, "failed", "finished")))) == []


@pytest.mark.parametrize(("rmse", "named"), [(14.5, True), (15.7, True), (13.9, False), (16.0, False)])
def test_an_arm_about_the_target_is_told(tmp_path: Path, rmse: float, named: bool) -> None:
    study = collect(make_study(tmp_path / "s", seeds=10))  # the target is 15 kg
    study = replace(study, runs=study.runs.assign(rmse=rmse))
    one = replace(verdict("lr", Cause.OPEN, Works.OPEN), arm=next(a for a in study.plan.arms if a.folder == FAST))
    one = with_control(one, answer=Works.NO)
    assert one.judgement is not None
    judged = replace(one.judgement, works=replace(one.judgement.works, n=10))
    lines = near_the_target(study, [replace(one, judgement=judged)])
    assert [("optimizer.lr=1e-4 is within 5%" in line) for line in lines] == [True] * named
    few = replace(judged.works, n=9)
    assert near_the_target(study, [replace(one, judgement=replace(judged, works=few))]) == []


def test_the_model_of_the_control_is_told_among_several(tmp_path: Path) -> None:
    study = collect(make_study(tmp_path / "s", seeds=2))
    assert model_of_controls(study) == []
    runs = study.runs.assign(model=np.where(study.runs["arm"] == "control", "FlowSSC", "Linear"))
    assert model_of_controls(replace(study, runs=runs)) == ["Model of the control: FlowSSC."]


@pytest.mark.parametrize(("ratio", "told"), [(0.95, "lower"), (1.05, "higher"), (1.0, "")])
def test_a_difference_within_the_margin_is_told(ratio: float, told: str) -> None:
    rng = np.random.default_rng(0)
    control = {seed: 50.0 * math.exp(rng.normal(0, 0.001)) for seed in range(30)}
    arm = {seed: value * ratio * math.exp(rng.normal(0, 0.001)) for seed, value in control.items()}
    judged = replace(verdict("lr", Cause.NEITHER), judgement=judge(arm, control, Rule(target=15)))
    assert judged.judgement is not None and judged.judgement.matters.answer is Matters.SAME
    assert judged.sentence.endswith(f" Within it RMSE is {told}." if told else "beyond the margin.")


def test_an_arm_on_other_rows_is_set_against_predicting_the_mean() -> None:
    one = replace(
        verdict("split", Cause.OPEN), median=6.0, median_mean=8.0, median_control=24.0, median_mean_control=6.0
    )
    assert "over that" not in one.sentence
    assert one.judgement is not None
    apart = replace(one, judgement=said(one, one.judgement.verdict, Matters.APART))
    told = " Median RMSE over that of predicting the mean: 0.75, of the control 4.00."
    assert apart.sentence.endswith(f"{told} Factors compare it by that: docs/HYPOTHESES.md.")
    assert apart.judgement is not None
    works = replace(apart.judgement, works=replace(apart.judgement.works, answer=Works.YES))
    assert replace(apart, judgement=works, median_mean=8.0).sentence.endswith(told)
    assert "over that" not in replace(apart, median=math.nan).sentence
    for none in (replace(apart, median_mean=0.0), replace(apart, median_mean_control=0.0)):
        assert "over that" not in none.sentence


def crashed(name: str) -> ArmVerdict:
    note = "No verdict: its runs failed."
    return replace(verdict(name, Cause.OPEN), judgement=None, cause=None, note=note, median=float("nan"))


FALLING = [9.0, 8.0, 7.0, 6.0, 5.0]  # four epochs before the last: three falls


@pytest.mark.parametrize(
    ("curves", "named"),
    [
        ([FALLING, FALLING, [9.0, 8.0, 7.0, 8.0, 5.0]], True),  # two runs of three
        ([FALLING, FALLING, FALLING[::-1], FALLING[::-1]], False),  # half is not most
        ([FALLING, FALLING], False),  # two runs are too few
        ([[9.0, 8.0, 7.0, 5.0]] * 3, True),  # a short run: two falls
        ([[9.0, 8.0, 5.0]] * 3, False),  # one fall is chance
        ([[20.0, 9.0, 8.0, 7.95, 5.0]] * 3, False),  # at last by 0.6%
        ([[9.0, 30.0, 20.0, 10.0, 9.0, 1.0]] * 3, True),  # how it was before does not count
        ([[9.0, 40.0, 8.0, 30.0, 7.0, 5.0]] * 3, False),  # up and down
        ([[9.0, 8.0, 7.0, 6.0, 60.0]] * 3, True),  # the last epoch has other rows
        ([[9.0]] * 3, False),
    ],
)
def test_an_arm_that_was_still_learning_is_named(tmp_path: Path, curves: list[list[float]], named: bool) -> None:
    study = with_curves(tmp_path, curves, ["finished"] * len(curves))
    assert [("most runs of optimizer.lr=1e-4." in line) for line in unfinished(study)] == [True] * named


def test_runs_that_diverged_were_not_still_learning_and_count(tmp_path: Path) -> None:
    assert unfinished(with_curves(tmp_path / "a", [FALLING] * 3, ["diverged"] * 3)) == []
    # Nine that diverged in their first epoch, without a row, and three that fell.
    lost = with_curves(tmp_path / "b", [FALLING] * 3 + [[]] * 9, ["finished"] * 3 + ["diverged"] * 9)
    assert unfinished(lost) == []
    assert unfinished(with_curves(tmp_path / "c", [], [])) == []


def test_an_arm_without_randomness_is_named(tmp_path: Path) -> None:
    study = with_curves(tmp_path, [], ["finished"] * 3)
    line = "RMSE is the same at every seed of optimizer.lr=1e-4: more seeds are no more evidence there."
    assert seedless(replace(study, runs=study.runs.assign(rmse=5.0))) == [line]
    assert seedless(replace(study, runs=study.runs.assign(rmse=[5.0, 5.0, 5.1]))) == []
    assert seedless(replace(study, runs=study.runs.assign(rmse=5.0)[:2])) == []
    lost = with_curves(tmp_path / "lost", [], ["finished"] * 3 + ["diverged"])
    assert seedless(replace(lost, runs=lost.runs.assign(rmse=[5.0, 5.0, 5.0, math.nan]))) == []


def test_two_causes_may_be_one() -> None:
    found = [verdict("split", Cause.CAUSE, Works.YES), verdict("codes", Cause.CAUSE, Works.YES)]
    (line,) = causes_that_may_be_one(found)
    assert line.startswith("Each makes it work by itself: S split and C codes. So it fails only where both are as in")
    # Of two changes of one key neither can be made on top of the other.
    assert causes_that_may_be_one([found[0], replace(found[1], changes={"split": "2"})]) == []
    assert causes_that_may_be_one([found[0], verdict("lr", Cause.PART)]) == []


def with_curves(folder: Path, curves: list[list[float]], statuses: list[str]) -> Study:
    """A study whose arm FAST has a run of each status, with this validation RMSE by epoch."""
    study = collect(make_study(folder / "s", seeds=1))
    rows = [
        {"arm": FAST, "seed": seed, "kind": "epoch", "epoch": epoch, "val_rmse": rmse}
        for seed, curve in enumerate(curves)
        for epoch, rmse in enumerate(curve, 1)
    ]
    rows.append({"arm": FAST, "seed": 0, "kind": "step", "epoch": 1, "val_rmse": 99.0})
    runs = pd.DataFrame({"arm": FAST, "seed": range(len(statuses)), "status": statuses})
    return replace(study, history=pd.DataFrame(rows), runs=runs)


def test_the_plans_suspects_end_in_a_sentence() -> None:
    found = [
        verdict("epochs", Cause.NOT_ALONE), verdict("lr", Cause.PART), verdict("batch", Cause.PART),
        verdict("ema", Cause.PART), verdict("precision", Cause.NOT_ALONE),
    ]  # fmt: skip
    assert headline(found) == "A part of the cause: L lr, B batch, E ema. None is the whole of it. Nothing works."
    assert [one.cause for one in conclusions_of(found)] == [one.cause for one in found]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([verdict("split", Cause.CAUSE, Works.YES), verdict("lr", Cause.PART)],
         "The cause: S split. A part of it: L lr. What works: split=1."),
        ([verdict("lr", Cause.AT_LEAST_A_PART, Works.OPEN)],
         "At least a part of the cause: L lr. Whether lr=1 works is open."),
        ([verdict("lr", Cause.NEITHER)], "L lr is not the cause. Nothing works."),
        ([verdict("lr", Cause.NEITHER), verdict("ema", Cause.NOT_ALONE)],
         "None of the suspects is the cause by itself; whether changing E ema helps is open. Nothing works."),
        ([verdict("lr", Cause.NEITHER), verdict("ema", Cause.NEITHER)],
         "None of the suspects is the cause. Nothing works."),
        ([verdict("lr", Cause.PART), verdict("codes", Cause.VOID)],
         "A part of the cause: L lr. None is the whole of it. Not tested, since the change changes nothing here: "
         "C codes. Nothing works."),
        # An arm that changes nothing works if its control does, and is no answer.
        ([verdict("codes", Cause.VOID, Works.YES)],
         "Not tested, since the change changes nothing here: C codes."),
        # The control works: so does an arm that changes nothing, and a change that fails is no news of the study.
        ([working(verdict("lr", Cause.HARMS)), working(verdict("codes", Cause.VOID, Works.YES))],
         "As claimed: L lr. Not tested, since the change changes nothing here: C codes. No change works."),
        ([verdict("lr", Cause.NOT_ALONE)],
         "L lr is not the cause by itself; whether changing it helps is open. Nothing works."),
        # An arm whose runs all crashed may work.
        ([verdict("lr", Cause.OPEN), crashed("ema")],
         "The cause is open: too few seeds to tell. Whether ema=1 works is open."),
        ([crashed("lr"), crashed("ema")], "No verdict: its runs failed."),
        ([verdict("lr", Cause.OPEN, Works.OPEN)],
         "The cause is open: too few seeds to tell. Whether lr=1 works is open."),
        ([verdict("lr", Cause.NOTHING_WRONG, Works.YES)],
         "The control works: there is nothing to explain. What works: lr=1."),
        ([verdict("lr", Cause.HARMS), verdict("ema", Cause.NOT_SO)],
         "As claimed: L lr. Not as claimed: E ema. Nothing works."),
        ([], ""),
    ],
)  # fmt: skip
def test_headlines(found: list[ArmVerdict], said: str) -> None:
    assert headline(found) == said


def test_who_was_cleared_beside_a_cause() -> None:
    split, lr, ema = (verdict(name, Cause.CAUSE) for name in ("split", "lr", "ema"))
    assert cleared_beside_a_cause([split, lr]) == [], "both are causes"
    lr, ema = replace(lr, cause=Cause.NEITHER), replace(ema, cause=Cause.NOT_ALONE)
    assert cleared_beside_a_cause([lr, ema]) == [], "there is no cause"
    elsewhere = replace(split, arm=replace(split.arm, control="elsewhere"))
    assert cleared_beside_a_cause([elsewhere, lr]) == [], "the cause was found against another control"
    (line,) = cleared_beside_a_cause([split, lr])
    assert line.startswith(
        "Tested with S split as in the control, which may hide an effect: L lr. Test again on top of a"
    )
    assert line.endswith(": add split=1 and another study=<name> to the command.")
    (line,) = cleared_beside_a_cause([split, lr, ema])
    assert "effect: L lr and E ema." in line


def test_the_change_to_test_on_top_of_is_that_of_a_named_cause() -> None:
    lr = verdict("lr", Cause.NEITHER)
    part, works, apart = verdict("part", Cause.PART), verdict("works", Cause.CAUSE), verdict("apart", Cause.CAUSE)
    works = replace(works, judgement=said(works, Verdict.MAKES_IT_WORK, Matters.BETTER))
    apart = replace(apart, judgement=said(apart, Verdict.MAKES_IT_WORK, Matters.APART))
    longer = replace(works, changes={"works": "1", "epochs": "9"})
    other = replace(works, cause=Cause.COMPARED, changes={"model": "linear"})

    def words(*found: ArmVerdict) -> str:
        (line,) = cleared_beside_a_cause([*found, lr])
        return line.rpartition("on top of a change that helps")[2]

    for found in ([part, apart, works], [works, apart, part], [longer, other, works]):
        assert words(*found) == ": add works=1 and another study=<name> to the command."
    assert words(part, apart) == ": add apart=1 and another study=<name> to the command.", "no other makes it work"
    assert words(part) == ": add part=1 and another study=<name> to the command."
    same_key = replace(lr, changes={"works": "2"})
    assert cleared_beside_a_cause([works, same_key])[0].endswith("on top of a change that helps.")
    # The points of a grid, or factors, may set the same key.
    elsewhere = replace(lr, arm=replace(lr.arm, control="elsewhere"))
    assert words(works, elsewhere) == words(replace(works, arm=replace(works.arm, levels=(("a", "b"),)))) == "."


def said(like: ArmVerdict, sentence: Verdict, matters: Matters) -> Judgement:
    assert like.judgement is not None
    return replace(like.judgement, verdict=sentence, matters=replace(like.judgement.matters, answer=matters))


def test_what_works_says_what_is_known_of_the_control() -> None:
    one = verdict("lr", Cause.NEITHER, Works.YES)
    assert headline([with_control(one, answer=Works.OPEN)]).endswith(
        "What works: lr=1. Whether the control works is open."
    )
    assert headline([with_control(one, answer=Works.NO)]).endswith("What works: lr=1.")
    compared = replace(one, cause=Cause.COMPARED, expect="nothing")
    assert headline([with_control(compared, answer=Works.YES)]).endswith("What works: control, lr=1.")


def test_arms_of_several_changes_are_told_apart() -> None:
    one = verdict("fix", Cause.CAUSE, Works.YES)
    two = replace(one, arm=replace(one.arm, label="a=1, b=2"))
    assert headline([one, two]).endswith("What works: fix=1; a=1, b=2.")


def test_two_arms_of_a_hypothesis_are_one_conclusion() -> None:
    one = verdict("lr", Cause.PART)
    assert len(conclusions_of([one, replace(one, arm=replace(one.arm, label="lr=2"))])) == 1


def test_a_model_that_works_but_is_worse_than_the_mean_says_so() -> None:
    found = replace(verdict("lr", Cause.CAUSE, Works.YES), median=13.5, median_mean=7.9)
    assert found.sentence.endswith("Predicting the mean does better: 7.90 against 13.50.")
    assert "mean" not in replace(found, median=7.0).sentence
    assert "mean" not in replace(found, median=7.9 + 1e-9).sentence  # the mean itself
