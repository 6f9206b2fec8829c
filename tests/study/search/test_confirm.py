"""Confirmation on fresh seeds: their own for every trial, more of them on demand, and never a guess for a number."""

import pytest
from optuna.trial import TrialState

from ssc_sweep.study.folder import read_yaml
from ssc_sweep.study.search.candidate import fresh_seeds
from ssc_sweep.study.search.trials import CONFIRMED
from tests.command import Command, make_command
from tests.study.search.small import EASY, IMPOSSIBLE, SMALL, load

command = pytest.fixture(make_command)


def confirmed(command: Command) -> dict[str, list[float | None]]:
    """RMSE of the fresh seeds of each candidate."""
    kept = load(command.folder).user_attrs.items()
    return {key: candidate["rmse"] for key, candidate in kept if key.startswith(CONFIRMED)}


def test_no_two_confirmations_share_a_seed(command: Command) -> None:
    command(*SMALL, IMPOSSIBLE, "n_trials=3", "hydra.sweeper.confirm_best=3")
    seeds = [name.split("seed=")[1] for name in command.done() if name.startswith("confirm=")]
    assert sorted(map(int, seeds)) == [1000, 1001, 2000, 2001, 3000, 3001]
    assert not set(fresh_seeds(0, 1000)) & (set(range(1000)) | set(fresh_seeds(1, 1000)))


def test_a_folder_that_cannot_be_written_is_no_result(command: Command) -> None:
    study = command.folder / "outputs/s"
    study.mkdir(parents=True)
    for number in (0, 1):
        (study / f"confirm={number:04d}").write_text("in the way")
    ended = command(*SMALL, EASY, "n_trials=2")
    assert ended.code == 2 and "cannot write" in ended.err, ended.err
    assert not any(confirmed(command).values())
    for number in (0, 1):
        (study / f"confirm={number:04d}").unlink()
    assert command(*SMALL, EASY, "n_trials=4").code == 0
    (rmse,) = confirmed(command).values()
    assert None not in rmse
    # It went on with the confirmation, and needed no further trial.
    assert len(load(command.folder).trials) == 2


def test_more_fresh_seeds_are_trained_where_they_are_asked_for(command: Command) -> None:
    assert command(*SMALL, IMPOSSIBLE, "n_trials=2").code == 1
    before = confirmed(command)
    done = {path: path.stat().st_mtime_ns for path in command.folder.glob("outputs/s/**/DONE")}
    assert command(*SMALL, IMPOSSIBLE, "n_trials=2", "hydra.sweeper.confirm_seeds=4").code == 1
    after = confirmed(command)
    assert after.keys() == before.keys()
    for key, rmse in before.items():
        assert after[key][:2] == rmse and len(after[key]) == 4
    assert {path: path.stat().st_mtime_ns for path in done} == done
    best = read_yaml(command.folder / "outputs/s/best.yaml")
    assert len(best["seeds"]) == len(best["confirmed_rmse"]) == len(best["test_rmse"]) == 4


def test_what_is_decided_gets_no_more_seeds(command: Command) -> None:
    assert command(*SMALL, EASY, "n_trials=2").code == 0
    before = confirmed(command)
    assert command(*SMALL, EASY, "n_trials=2", "hydra.sweeper.confirm_seeds=4").code == 0
    assert confirmed(command) == before


def test_a_fresh_seed_that_does_not_fit_its_data_has_no_rmse(command: Command) -> None:
    """With 12 rows drawn at random, some seeds leave a treatment with fewer than two of the rows that train."""
    few = ("dataset_size.rows=12", "batch.size=4", "hydra.sweeper.seeds_per_trial=1", "hydra.sweeper.confirm_seeds=40")
    few = (*few, "rule.works_share=0.8", "rule.alpha=0.2")
    ended = command(*SMALL, EASY, "n_trials=1", *few)
    assert ended.code in (0, 1), ended.err
    (rmse,) = confirmed(command).values()
    seeds = [int(name.split("seed=")[1]) for name in command.done() if name.startswith("confirm=")]
    assert seeds and None in rmse
    assert [value is not None for value in rmse] == [seed in seeds for seed in fresh_seeds(0, len(rmse))]


@pytest.mark.parametrize("launcher", ["stack", "basic"])
def test_what_would_befall_every_trial_ends_the_search(command: Command, launcher: str) -> None:
    study = command.folder / "outputs/s"
    study.mkdir(parents=True)
    (study / "trial=0001").write_text("in the way")
    words = (*SMALL, IMPOSSIBLE, "n_trials=4", f"hydra/launcher={launcher}")
    ended = command(*words)
    assert ended.code == 2 and "cannot write" in ended.err, ended.err
    assert not [trial for trial in load(command.folder).trials if trial.state.is_finished()]
    (study / "trial=0001").unlink()
    assert command(*words).code == 1
    assert [trial.state for trial in load(command.folder).trials] == [TrialState.COMPLETE] * 4


@pytest.mark.parametrize("launcher", ["stack", "basic", "joblib"])
def test_a_config_that_does_not_fit_its_data_fails_alone(command: Command, launcher: str) -> None:
    words = ("n_trials=4", "batch.size=10,4000", "hydra.sweeper.sampler.seed=0", f"hydra/launcher={launcher}")
    ended = command(*SMALL, IMPOSSIBLE, *words)
    assert ended.code == 1, ended.err
    trials = load(command.folder).trials
    assert {trial.params["batch.size"] for trial in trials} == {10, 4000}
    for trial in trials:
        if trial.params["batch.size"] == 10:
            assert trial.state == TrialState.COMPLETE
        else:
            assert trial.state == TrialState.FAIL and "larger than the training rows" in trial.user_attrs["reason"]
