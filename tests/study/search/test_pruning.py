"""Pruning asks each trial between two epochs; what has been ended elsewhere is not worth going on."""

from dataclasses import replace
from pathlib import Path

import optuna

from ssc_sweep.study.folder import StudyFolder
from ssc_sweep.study.job import Job
from ssc_sweep.study.search.pruning import Pruning
from tests.conftest import MakeConfig


def test_a_trial_that_was_finished_elsewhere_stops(make_config: MakeConfig) -> None:
    study, folder = optuna.create_study(), StudyFolder(Path("s"))
    trial, config = study.ask(), make_config()
    jobs = [Job(replace(config, seed=seed), folder.run("trial=0000", seed), (), folder) for seed in (0, 1)]
    prune = Pruning({"trial=0000": trial}, (0, 1))
    assert prune(jobs, 1, [9.0, 11.0])
    study.tell(trial.number, 5.0)
    assert not prune(jobs, 2, [9.0, 11.0])
    assert study.trials[0].intermediate_values == {1: 10.0}
