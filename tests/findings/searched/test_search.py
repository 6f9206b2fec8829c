"""What is said about a search: optimism by hand, and that every figure can be drawn from every kind of search."""

import io
import math
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import optuna
import pandas as pd
import pytest
from matplotlib.figure import Figure
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from ssc_sweep.findings.reading.collect import Study, collect
from ssc_sweep.findings.report import build
from ssc_sweep.findings.searched.search_plots import all_trials, best_so_far, importances, parallel_coordinates, pareto
from ssc_sweep.findings.searched.search_reading import Search, as_on_disk
from ssc_sweep.findings.searched.search_results import (
    answer_of,
    confirmations,
    deciding_note,
    failed_notes,
    importance,
    leak_warning,
    outside,
    selection_warning,
)
from ssc_sweep.study.folder import StudyFolder
from ssc_sweep.study.hypothesis import Arm
from ssc_sweep.study.plan import Plan, write_plan
from ssc_sweep.study.search.candidate import Candidate, Values, fresh_seeds
from ssc_sweep.study.search.trials import LEAKS
from ssc_sweep.verdicts.evidence import Works
from ssc_sweep.verdicts.rule import Rule
from tests.findings.studies import finish, make_study

SPACE = {
    "batch": CategoricalDistribution(("b10", "b32")),
    "epochs": IntDistribution(1, 20),
    "optimizer.lr": FloatDistribution(1e-5, 1e-2, log=True),
}


def make(scores: list[float | None], target: float = 15.0, second: bool = False) -> Search:
    """A search whose trials have these scores; None: the trial failed. RMSE follows the learning rate alone."""
    study = optuna.create_study(directions=["minimize"] * (2 if second else 1))
    for number, score in enumerate(scores):
        lr = 10.0 ** -(2 + 3 * number / len(scores))
        attrs = {"folder": f"trial={number:04d}", "rmse": [score, score]}
        values = None if score is None else [score, float(number)] if second else [score]
        params = {"batch": ("b10", "b32")[number % 2], "epochs": 1 + number % 3, "optimizer.lr": lr}
        state = TrialState.FAIL if score is None else TrialState.COMPLETE
        study.add_trial(create_trial(state=state, values=values, params=params, distributions=SPACE, user_attrs=attrs))
    rule = Rule(target=target, sequential=True)
    study.set_user_attr("search", {"objectives": ["rmse", "seconds"], "rule": rule.model_dump()})
    study.set_user_attr("confirm_seeds", 100)
    return Search(study, rule, "n_trials=4 trials are done", runs_of(range(len(scores)), 7.9))


def runs_of(trials: Iterable[int], mean_predictor: float) -> Study:
    """A study with a confirming run of each of these trials."""
    arms = [f"confirm={number:04d}" for number in trials]
    runs = pd.DataFrame({"arm": arms, "mean_predictor_rmse": mean_predictor, "test_mean_predictor_rmse": 8.1})
    return Study(StudyFolder(Path("none")), Plan((), (), None), runs, pd.DataFrame(), {}, ())


def confirm(search: Search, trial: int, rmse: Values, test: Values | None = None, failed: int = 0) -> None:
    """Let fresh seeds of this trial have these RMSE; the trial becomes the next candidate if it was none."""
    one = search.record.candidate(trial)
    seeds = fresh_seeds(trial, len(rmse) + failed)
    done, broken = seeds[: len(rmse)], seeds[len(rmse) :]
    search.record.keep(replace(one, seeds=done, rmse=tuple(rmse), test_rmse=test, failed=broken))


def test_optimism_is_the_confirmed_mean_minus_the_score() -> None:
    search = make([20.0, 9.0, 11.0])
    confirm(search, 1, (10.0, 12.0, 14.0), test=(20.0, 22.0, 14.0))
    (found,) = confirmations(search)
    assert (found.trial, found.searched.value, found.confirmed.value, found.optimism) == (1, 9.0, 12.0, 3.0)
    # sd 2, t(0.975, 2) = 4.3027, so 12 +- 4.3027 * 2 / sqrt(3)
    assert found.confirmed.low == pytest.approx(12 - 4.9683, abs=1e-3)
    assert found.confirmed.high == pytest.approx(12 + 4.9683, abs=1e-3)
    assert found.test is not None and found.test.value == pytest.approx(56 / 3)
    # Below 15 on validation rows all three are, on test rows the last, so on both one.
    assert (found.below, found.test_below, found.share.works, found.share.n) == (3, 1, 1, 3)
    assert answer_of(search).startswith("Open: no trial is shown to hold. Of the best, trial 1, 1 of 3 fresh seeds")
    assert found.share.answer is Works.OPEN and not found.holds


def test_what_was_searched_is_the_mean_of_the_seeds_also_where_the_score_is_a_quantile() -> None:
    search = make([20.0])
    scored = create_trial(value=12.0, user_attrs={"folder": "trial=0001", "rmse": [4.0, 12.0]})
    search.study.add_trial(scored)
    confirm(search, 1, (9.0, 9.0))
    (found,) = confirmations(search)
    assert (found.searched.value, found.optimism) == (8.0, 1.0)


def test_a_winner_that_is_given_the_answer_is_said_to_be() -> None:
    search = make([20.0, 9.0])
    assert leak_warning(search) is None
    confirm(search, 1, (9.0, 9.0))
    search.study.set_user_attr(LEAKS, {"1": {}})
    assert leak_warning(search) is None
    search.study.set_user_attr(LEAKS, {"1": {"wt82": "holds the outcome"}})
    assert leak_warning(search) == "Trial 1 uses columns that give the answer away: wt82 holds the outcome."


def test_a_winner_that_is_worse_than_the_mean_is_said_to_be() -> None:
    search = make([20.0, 9.0])
    assert answer_of(search) == "No trial was confirmed."
    confirm(search, 1, (9.0, 9.0), test=(8.0, 8.0))
    assert answer_of(search).endswith(
        " But it does no better than predicting the training rows' mean, whose RMSE is 7.90 on validation rows."
    )
    confirm(search, 1, (7.0, 7.0), test=(8.2, 8.2))
    assert answer_of(search).endswith("whose RMSE is 8.10 on test rows.")
    confirm(search, 1, (7.0, 7.0), test=(8.0, 8.0))
    assert "mean" not in answer_of(search)


def test_a_lost_seed_leaves_no_mean_and_does_not_work() -> None:
    search = make([9.0, 10.0])
    confirm(search, 0, (9.0, None))
    confirm(search, 1, (14.0,) * 60)
    first, second = confirmations(search)
    assert (first.trial, first.holds) == (1, True)
    said = "Trial 1 holds: 60 of 60 fresh seeds have RMSE below 15, so 90% to 100% of all seeds do."
    assert answer_of(search).startswith(said)
    assert math.isnan(second.confirmed.value) and not second.holds and second.share.works == 1
    assert search.record.winner() == 1 and search.record.met()


def test_a_seed_that_failed_says_nothing_of_its_trial() -> None:
    search = make([9.0])
    confirm(search, 0, (14.0,) * 60, failed=2)
    (found,) = confirmations(search)
    assert (found.share.works, found.share.n, found.holds) == (60, 60, True)
    assert "2 of 62 fresh seeds failed" in failed_notes(search)[0]


def test_a_trial_that_fails_on_test_rows_does_not_hold() -> None:
    search = make([9.0])
    confirm(search, 0, (14.0,) * 60, test=(16.0,) * 60)
    (found,) = confirmations(search)
    assert answer_of(search).startswith("No candidate holds. Of the best, trial 0, 0 of 60 fresh seeds")
    assert found.share.answer is Works.NO and (found.below, found.test_below) == (60, 0)
    assert "and on the test rows, which no trial was scored on" in deciding_note(search)
    confirm(search, 0, (14.0,) * 60)
    assert search.record.met() and "validation rows, which chose the trials" in deciding_note(search)


def test_what_is_confirmed_next_is_the_best_below_the_target_that_was_not() -> None:
    search = make([14.0, 9.0, 16.0, None])
    assert [trial.number for trial in search.record.promising()] == [1, 0]
    confirm(search, 1, (20.0,) * 8)
    assert [trial.number for trial in search.record.promising()] == [0]
    # The mean of these is below the target, and two of five seeds are not: four fifths must be.
    scored = {"folder": "trial=0004", "rmse": [1.0, 1.0, 1.0, 16.0, 17.0]}
    search.study.add_trial(create_trial(value=7.2, user_attrs=scored))
    assert [trial.number for trial in search.record.promising()] == [0]


def test_a_search_of_a_version_that_counted_keeps_its_rule() -> None:
    search = make([9.0, 10.0, 11.0])
    old = Rule(target=15.0, works_share=0.9).model_dump(exclude={"sequential"})
    search.study.set_user_attr("search", {"objectives": ["rmse"], "rule": old})
    search.study.set_user_attr("confirm_seeds", 10)
    search.study.set_user_attr("confirmed:0", [1.0] * 9 + [16.0])
    search.study.set_user_attr("confirmed:1", [1.0] * 8 + [16.0] * 2)
    search.study.set_user_attr("confirmed:2", [1.0] * 9)  # it was killed before its tenth
    record = search.record
    assert not record.rule.sequential and [record.holds(n) for n in range(3)] == [True, False, False]
    assert [c.share.answer for c in confirmations(search)] == [Works.YES, Works.OPEN, Works.NO]
    said = deciding_note(replace(search, rule=record.rule))
    assert "a version that counted" in said and "at least 90%" in said


def test_importance_finds_the_parameter_that_matters() -> None:
    search = make([float(number) + 1 for number in range(40)])
    found = importance(search)
    assert max(found, key=lambda name: found[name]) == "optimizer.lr" and sum(found.values()) == pytest.approx(1)
    assert importance(make([3.0])) == {}


def test_importance_among_equal_scores_warns_nobody() -> None:
    importance(make([9.0, 9.0, 9.0]))  # a warning fails a test


@pytest.mark.parametrize("scores", [[20.0, 9.0, None, 11.0], [None], [8.0], [8.0, 9.0]])
@pytest.mark.parametrize("second", [False, True])
def test_every_figure_is_drawn(scores: list[float | None], second: bool) -> None:
    search = make(scores, second=second)
    if scores[0] is not None:
        confirm(search, 0, (9.0, 30.0), test=(10.0, 20.0))
    for draw in (best_so_far, all_trials, parallel_coordinates, importances):
        figure = draw(search)
        assert isinstance(figure, Figure)
        figure.savefig(io.BytesIO())
    front = pareto(search)
    assert (front is not None) is second


def test_the_best_of_several_confirmed_is_called_a_choice() -> None:
    search = make([9.0, 10.0])
    confirm(search, 0, (9.0, 9.0))
    assert selection_warning(search) is None
    confirm(search, 1, (14.0, 14.0))
    assert "best of 2 candidates is again a choice" in (selection_warning(search) or "")


def test_the_winner_on_further_seeds_has_a_line(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", seeds=4)  # arms of a hypothesis are no part of a search
    plan = collect(folder).plan
    write_plan(folder, replace(plan, arms=(*plan.arms, Arm("best", "best", None, None, ("epochs=3",)))))
    for seed in range(4):
        finish(folder.run("best", seed), 40.0 + seed)
    (folder.run("best", 3).history).unlink()  # left out: it counts nowhere
    lines = outside(replace(make([9.0], target=42.5), of=collect(folder)))
    assert lines == ["best on 3 seeds that decided nothing: RMSE 41.00 +- 1.00, 3 of 3 below 42.5"]
    # Had a trial had seeds 1 and 2, they would have chosen it.
    study = collect(folder)
    trial = pd.DataFrame({"arm": "trial=0000", "seed": [1, 2]})
    with_trial = replace(study, runs=pd.concat([study.runs, trial], ignore_index=True))
    lines = outside(replace(make([9.0], target=42.5), of=with_trial))
    assert lines == ["best on 1 seed that decided nothing: RMSE 40.00, 1 of 1 below 42.5"]
    # A seed counts where it is below the target on validation and on test rows.
    test = study.runs.assign(test_rmse=study.runs["rmse"] + 2)
    lines = outside(replace(make([9.0], target=42.5), of=replace(study, runs=test)))
    said = "RMSE 41.00 +- 1.00, on test rows RMSE 43.00 +- 1.00, 1 of 3 below 42.5"
    assert lines == [f"best on 3 seeds that decided nothing: {said}"]


def searched(folder: StudyFolder) -> optuna.Study:
    """A search of one trial, three seeds at 9 kg, confirmed on three fresh ones at 10 kg; all whole."""
    told = optuna.create_study()
    params = {"params": {"epochs": 3}, "distributions": {"epochs": IntDistribution(1, 20)}}
    told.add_trial(create_trial(value=9.0, user_attrs={"folder": "x/trial=0000", "rmse": [9.0] * 3}, **params))
    told.set_user_attr("confirmed:0", Candidate(0, 1, fresh_seeds(0, 3), (10.0,) * 3, (11.0,) * 3).as_json())
    told.set_user_attr("search", {"rule": Rule(target=15.0, sequential=True).model_dump()})
    arms = tuple(Arm(name, name, None, None, ("epochs=3",)) for name in ("trial=0000", "confirm=0000"))
    write_plan(folder, Plan(tuple(range(3)), arms, Rule(target=15.0)))
    for seed in range(3):
        finish(folder.run("trial=0000", seed), 9.0)
        finish(folder.run("confirm=0000", 1000 + seed), 10.0)
    return told


def test_a_search_whose_runs_are_whole_is_what_optuna_was_told(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "study")
    study, missing = as_on_disk(searched(folder), collect(folder))
    assert missing == [] and study.best_value == 9.0 and study.user_attrs["confirmed:0"]["rmse"] == [10.0] * 3


@pytest.mark.parametrize("damage", ["edited", "gone"])
def test_no_figure_of_a_search_rests_on_a_run_that_is_left_out(tmp_path: Path, damage: str) -> None:
    folder = StudyFolder(tmp_path / "study")
    told = searched(folder)
    for run in (folder.run("trial=0000", 2), folder.run("confirm=0000", 1001)):
        if damage == "edited":
            run.metrics.write_text(run.metrics.read_text().replace('"rmse": ', '"rmse": 1'))
        else:
            shutil.rmtree(run.path)
    of = collect(folder)
    study, missing = as_on_disk(told, of)
    assert study.trials[0].state is TrialState.FAIL and study.trials[0].user_attrs["rmse"] == [9.0, 9.0, None]
    search = Search(study, Rule(target=15.0), "", of, tuple(missing))
    one = search.record.candidates()[0]
    assert (one.rmse, one.test_rmse, one.missing) == ((10.0, None, 10.0), (11.0, None, 11.0), (1001,))
    assert [text.partition(": ")[0] for text in missing] == ["trial=0000", "confirm=0000"]
    (found,) = confirmations(search)
    assert math.isnan(found.confirmed.value) and math.isnan(found.searched.value)
    assert not found.holds and found.share.works == 2


def test_a_run_that_is_gone_is_no_evidence_that_a_trial_fails() -> None:
    search = make([9.0])
    one = Candidate(0, 1, fresh_seeds(0, 9), (None,) * 8 + (9.0,), missing=fresh_seeds(0, 8))
    search.record.keep(one)
    (found,) = confirmations(search)
    assert found.share.answer is Works.OPEN and (found.share.low, found.share.high) == (0.0, 1.0)


def test_a_trial_of_another_folder_is_believed(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "study")
    told = searched(folder)
    told.add_trial(create_trial(value=8.0, user_attrs={"folder": "y/trial=0001", "rmse": [8.0] * 3}))
    study, missing = as_on_disk(told, collect(folder))
    assert missing == [] and study.best_value == 8.0


@pytest.mark.parametrize("damage", ["junk", "gone"])
def test_a_search_that_cannot_be_read_leaves_a_report_that_says_so(tmp_path: Path, damage: str) -> None:
    folder = make_study(tmp_path / "study", seeds=3)
    if damage == "junk":
        (folder.path / "search.db").write_text("junk")
    else:
        plan = collect(folder).plan
        write_plan(folder, replace(plan, arms=(*plan.arms, Arm("trial=0000", "epochs=3", None, None, ("epochs=3",)))))
        finish(folder.run("trial=0000", 0), 9.0)
    found = build(folder)
    study, search = found.study, found.search
    page = (folder.path / "report.html").read_text()
    assert search is None and any(remark.startswith("search.db") for remark in study.remarks)
    assert "search.db cannot be read" in page if damage == "junk" else "search.db is not here" in page
    assert "trial=0000: seed" not in page


def test_the_winner_holds_the_target_before_its_mean_is_low() -> None:
    search = make([9.0, 10.0, 11.0])
    confirm(search, 0, (1.0, 1.0, 1.0, 1.0, 16.0) * 10)  # mean 4, four of five seeds: open
    confirm(search, 1, (14.0,) * 50)
    assert search.record.winner() == 1 and search.record.met()
    confirm(search, 2, (13.0,) * 50)
    assert search.record.winner() == 2
    confirm(search, 2, (13.0,) * 50, test=(1.0,) * 50)  # not chosen by what it is on test rows
    confirm(search, 1, (14.0,) * 50, test=(0.5,) * 50)
    assert search.record.winner() == 2
    confirm(search, 2, (13.0, 13.0, 13.0, 13.0, None) * 10)
    assert search.record.winner() == 1


def test_the_best_come_first_and_equal_configurations_once() -> None:
    search = make([9.0, 7.0, None, 8.0])
    double = search.study.trials[1]
    search.study.add_trial(double)
    assert [trial.number for trial in search.record.ranked()] == [1, 3, 0]
