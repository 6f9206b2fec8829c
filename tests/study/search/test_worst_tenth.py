"""The pruner stops the worst tenth, and no more of them as trials go by."""

from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.pruners import BasePruner, PercentilePruner

from ssc_sweep.study.folder import StudyFolder
from ssc_sweep.study.search.storage import open_study
from ssc_sweep.study.search.worst_tenth import WorstTenth


def report(study: optuna.Study, *values: float) -> bool:
    """Run a trial with these values after its epochs; return whether it was stopped."""
    trial = study.ask()
    for epoch, value in enumerate(values, 1):
        trial.report(value, epoch)
        if trial.should_prune():
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return True
    study.tell(trial, values[-1])
    return False


@pytest.mark.parametrize(("score", "stopped"), [(7.5, False), (8.0, False), (8.5, True), (9.5, True)])
def test_a_search_stops_what_is_worse_than_nine_of_ten(tmp_path: Path, score: float, stopped: bool) -> None:
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = open_study(None, StudyFolder(tmp_path / "s"), "s", sampler, {"directions": ["minimize"]})
    for value in range(9):
        assert not report(study, float(value))
    assert not report(study, 9.0)  # before ten have ended
    assert report(study, score) is stopped


def test_those_stopped_before_count_as_worse() -> None:
    study = optuna.create_study(pruner=WorstTenth())
    for value in range(10):
        report(study, float(value), float(value))
    assert report(study, 99.0) and report(study, 98.0)
    # After the second epoch ten are known, two were stopped: worse than nine tenths of twelve is worse than eleven.
    assert not report(study, 0.0, 9.5)
    # Now worse than nine tenths of thirteen is worse than twelve, and nobody is worse than those two.
    assert not report(study, 0.0, 50.0)


def test_an_epoch_that_few_have_reached_stops_nobody() -> None:
    study = optuna.create_study(pruner=WorstTenth())
    for value in range(20):
        report(study, float(value))
    assert not report(study, 0.0, 99.0)


@pytest.mark.parametrize(
    ("pruner", "fewest", "most"), [(WorstTenth(), 9, 12), (PercentilePruner(90.0, n_startup_trials=10), 20, 32)]
)
def test_of_equally_good_trials_a_tenth_is_stopped(pruner: BasePruner, fewest: int, most: int) -> None:
    """PercentilePruner stops a quarter of these, for each one stopped lowers its bar."""
    rng = np.random.default_rng(0)
    stopped = []
    for _ in range(20):
        study = optuna.create_study(pruner=pruner)
        stopped.append(sum(report(study, *[score] * 5) for score in rng.random(100)))
    assert fewest < np.mean(stopped) < most
