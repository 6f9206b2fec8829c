"""The stack launcher under Hydra's own sweepers."""

import pytest

from ssc_sweep.study.folder import read_yaml
from tests.command import TINY, Command, make_command

command = pytest.fixture(make_command)

OPTUNA = ("-m", *TINY, "hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=3")


def test_a_point_that_a_batch_repeats_is_trained_once(command: Command) -> None:
    # Three points of two choices: one is proposed twice.
    ended = command(*OPTUNA, "batch.size=10,15")
    assert ended.code == 0, ended.err
    assert 1 <= len(command.done()) <= 2
    best = read_yaml(command.folder / "outputs/s/optimization_results.yaml")
    done = {name: read_yaml(command.folder / "outputs/s" / name / "metrics.json")["rmse"] for name in command.done()}
    assert best["best_value"] == min(done.values())


def test_two_configs_in_one_folder_are_refused(command: Command) -> None:
    ended = command(*OPTUNA, "optimizer.lr=interval(1e-4,1e-3)", "arm=mine")
    assert ended.code == 2 and "would hold two different runs" in ended.err, ended.err
    assert ended.err.splitlines()[-1].startswith("error: ")
    assert command.done() == []


def test_several_studies_in_one_command_of_hydras_basic_sweeper(command: Command) -> None:
    words = [word for word in TINY if not word.startswith("study=")]
    ended = command("-m", *words, "hydra/sweeper=basic", "study=a,b", "seed=0,1")
    assert ended.code == 0, ended.err
    outputs = command.folder / "outputs"
    assert [len(list((outputs / study).rglob("DONE"))) for study in ("a", "b")] == [2, 2]
    assert all((outputs / study / "study.yaml").is_file() for study in ("a", "b"))
