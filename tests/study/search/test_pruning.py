"""Pruning asks each trial between two epochs; what has been ended elsewhere is not worth going on."""

from pathlib import Path

import optuna
import pytest
from optuna.exceptions import StorageInternalError

from ssc_sweep.study.folder import StudyFolder
from ssc_sweep.study.job import Job
from ssc_sweep.study.search.pruning import Pruning
from ssc_sweep.study.search.worst_tenth import WorstTenth
from tests.conftest import MakeConfig


def test_a_trial_that_was_finished_elsewhere_stops(make_config: MakeConfig) -> None:
    study, folder = optuna.create_study(), StudyFolder(Path("s"))
    trial, config = study.ask(), make_config()
    jobs = [Job(config.with_seed(seed), folder.run("trial=0000", seed), (), folder) for seed in (0, 1)]
    prune = Pruning({"trial=0000": trial}, (0, 1), "mean")
    assert prune(jobs, 1, [9.0, 11.0])
    study.tell(trial.number, 5.0)
    assert not prune(jobs, 2, [9.0, 11.0])
    assert study.trials[0].intermediate_values == {1: 10.0}


def test_a_stack_goes_on_as_long_as_one_of_its_trials_is_promising(make_config: MakeConfig) -> None:
    study, folder, config = optuna.create_study(pruner=WorstTenth()), StudyFolder(Path("s")), make_config()
    for _ in range(10):
        earlier = study.ask()
        earlier.report(10.0, 1)
        study.tell(earlier, 10.0)
    trials = {f"trial={number:04d}": study.ask() for number in (10, 11)}
    jobs = [Job(config, folder.run(arm, 0), (), folder) for arm in trials]
    assert Pruning(trials, (0,), "mean")(jobs, 1, [50.0, 9.0])
    assert not Pruning(trials, (0,), "mean")(jobs[:1], 1, [50.0])


def test_trials_are_pruned_by_what_they_are_scored_by(make_config: MakeConfig) -> None:
    study, folder = optuna.create_study(), StudyFolder(Path("s"))
    trial, config = study.ask(), make_config()
    jobs = [Job(config.with_seed(seed), folder.run("trial=0000", seed), (), folder) for seed in (0, 1)]
    assert Pruning({"trial=0000": trial}, (0, 1), 1.0)(jobs, 1, [9.0, 11.0])
    assert study.trials[0].intermediate_values == {1: 11.0}


def test_a_storage_that_is_busy_is_no_fault_of_the_run(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, folder = optuna.create_study(), StudyFolder(Path("s"))
    trial, config = study.ask(), make_config()

    def busy(*_: object, **__: object) -> None:
        raise StorageInternalError("busy")

    monkeypatch.setattr(optuna.Study, "get_trials", busy)
    assert Pruning({"trial=0000": trial}, (0,), "mean")(
        [Job(config, folder.run("trial=0000", 0), (), folder)], 1, [9.0]
    )
