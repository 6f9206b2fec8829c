"""The Optuna search, from the command line to its folders: trials of several seeds, the target, survival."""

from pathlib import Path
from statistics import mean

import pytest
from optuna.trial import TrialState

from ssc_sweep.data.source import load as load_cohort
from ssc_sweep.study.folder import read_yaml
from tests.command import TINY, Command, make_command
from tests.conftest import MakeConfig
from tests.study.search.small import EASY, IMPOSSIBLE, RULE, SMALL, load, said

command = pytest.fixture(make_command)


def test_a_trial_is_several_seeds_and_its_score_is_their_mean(command: Command) -> None:
    ended = command(*SMALL, IMPOSSIBLE, "n_trials=3")
    assert ended.code == 1 and ended.err.splitlines()[-1].startswith("error: the search ended (n_trials=3")
    study = load(command.folder)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 3
    for trial in study.trials:
        folder = Path(trial.user_attrs["folder"])
        assert folder.name == f"trial={trial.number:04d}"
        rmse = [read_yaml(folder / f"seed={seed}" / "metrics.json")["rmse"] for seed in (0, 1)]
        assert trial.user_attrs["rmse"] == rmse and trial.value == pytest.approx(sum(rmse) / 2)
    arms = {arm["folder"]: arm for arm in read_yaml(command.folder / "outputs/s/study.yaml")["arms"]}
    assert [name for name in arms if name.startswith("trial=")] == ["trial=0000", "trial=0001", "trial=0002"]
    assert f"optimizer.lr={study.trials[2].params['optimizer.lr']}" in arms["trial=0002"]["overrides"]


def test_a_forced_value_is_no_parameter_any_more(command: Command) -> None:
    command(*SMALL, IMPOSSIBLE, "n_trials=1", "++optimizer.lr=1e-3")
    (trial,) = load(command.folder).trials
    assert trial.params and "optimizer.lr" not in trial.params
    assert read_yaml(command.folder / "outputs/s/trial=0000/seed=0/config.yaml")["optimizer"]["lr"] == 1e-3


def test_the_seeds_of_a_batch_share_stacks(command: Command) -> None:
    command(*SMALL, IMPOSSIBLE, "n_trials=2")
    stacks = [read_yaml(path)["stack"] for path in command.folder.glob("outputs/s/trial=*/**/metrics.json")]
    assert stacks == [4] * 4


def test_it_ends_when_a_trial_is_confirmed_below_the_target(command: Command) -> None:
    ended = command(*SMALL, EASY, "n_trials=20")
    assert ended.code == 0, ended.err
    study = load(command.folder)
    assert len(study.trials) == 2 and study.user_attrs["ending"] == "the target is met"
    best = read_yaml(command.folder / "outputs/s/best.yaml")
    kept = study.user_attrs[f"confirmed:{best['trial']}"]
    assert best["target_met"] and best["works"] == "2 of 2" and kept["place"] == 1
    assert kept["rmse"] == best["confirmed_rmse"] and kept["test_rmse"] == best["test_rmse"]
    fresh = [name for name in command.done() if name.startswith("confirm=")]
    first = 1000 * (best["trial"] + 1)
    assert best["seeds"] == [first, first + 1]
    assert fresh == [f"confirm={best['trial']:04d}/seed={seed}" for seed in best["seeds"]]
    # Measured on rows that no trial was scored on.
    metrics = [read_yaml(command.folder / "outputs/s" / name / "metrics.json") for name in fresh]
    assert [m["test_rmse"] for m in metrics] == best["test_rmse"] and {m["rows_test"] for m in metrics} == {12}
    assert None not in best["test_rmse"] and "on the test rows, which no trial was scored on" in said(ended)


def test_without_test_rows_it_says_once_that_rows_are_chosen_twice(command: Command) -> None:
    ended = command(*SMALL, EASY, "n_trials=2", "split.test_share=0", "report=true")
    assert ended.code == 0 and ended.err.count("split.test_share=0: fresh seeds confirm on the validation rows") == 1
    assert "which chose the trials" in said(ended)
    assert "which chose the trials" in (command.folder / "outputs/s/report.html").read_text()
    best = read_yaml(command.folder / "outputs/s/best.yaml")
    assert best["test_rmse"] is None and best["target_met"]


def test_seeds_are_added_until_the_share_is_decided(command: Command) -> None:
    """A first round of seeds, none of which works, is enough for "does not"; of those that work more are needed."""
    rule = ("rule.works_share=0.8", "rule.alpha=0.1", "hydra.sweeper.confirm_seeds=60")
    command(*SMALL, IMPOSSIBLE, "n_trials=2", *rule)
    (kept,) = (value for key, value in load(command.folder).user_attrs.items() if key.startswith("confirmed:"))
    assert 3 <= len(kept["seeds"]) <= 8
    ended = command(*SMALL, EASY, "n_trials=2", "study=easy", *rule)
    assert ended.code == 0, ended.err
    best = read_yaml(command.folder / "outputs/easy/best.yaml")
    # wealth B(19.2, 0.3) / B(1.2, 0.3) / 0.8^18 = 22.2 and for 17 seeds 18.1: level 0.05 asks for 20.
    assert 18 <= len(best["seeds"]) < 60 and best["works_share"][0] > 0.8
    rounds = [line for line in ended.err.splitlines() if line.startswith("confirm=")]
    assert len(rounds) > 2 and rounds[0].endswith("open") and rounds[-1].endswith("holds")


def test_the_winner_is_repeated_by_name(command: Command) -> None:
    command(*SMALL, EASY, "n_trials=2")
    study = command.folder / "outputs/s"
    best = read_yaml(study / "best.yaml")
    ended = command("experiment=best", "study=s", f"seed={best['seeds'][0]}")
    assert ended.code == 0, ended.err
    again = read_yaml(study / f"best/seed={best['seeds'][0]}/metrics.json")["rmse"]
    assert again == pytest.approx(best["confirmed_rmse"][0], rel=1e-5)
    assert command("-m", "experiment=best", "study=s", "seed=7,8").code == 0  # by the search's own rule
    assert {"best/seed=7", "best/seed=8"} <= set(command.done())
    lacking = command("experiment=best", "study=other")
    assert lacking.code == 2 and "there is no outputs/other/best.yaml" in lacking.err


MINE = """
# @package _global_
defaults:
  - search
  - override /optimizer: adamw
dataset: {rows: 90}
clip_norm: null
"""


def test_hypotheses_can_be_tested_on_the_winner(command: Command) -> None:
    command(*SMALL, EASY, "n_trials=2")
    ended = command("-m", "experiment=best", "study=s", "hypothesis=lr", "seeds=2")
    assert ended.code == 0, ended.err
    assert "RMSE of the candidates" in ended.out and "6 runs: 6 finished" in ended.out
    table = ended.out[ended.out.index("RMSE in ") :]
    assert "B optimizer.lr=1e-4: " in table and "trial=" not in table


def test_a_winner_is_repeated_without_its_experiment(command: Command) -> None:
    (command.folder / "mine/experiment").mkdir(parents=True)
    (command.folder / "mine/experiment/mine.yaml").write_text(MINE.strip())
    words = [word.replace("experiment=search", "experiment=mine") for word in SMALL if word != "dataset.rows=60"]
    ended = command("--config-dir", "mine", *words, EASY, "n_trials=2")
    assert ended.code == 0, ended.err
    study = command.folder / "outputs/s"
    best = read_yaml(study / "best.yaml")
    ended = command("experiment=best", "study=s", f"seed={best['seeds'][0]}")
    assert ended.code == 0, ended.err
    first = study / f"confirm={best['trial']:04d}/seed={best['seeds'][0]}"
    again = study / f"best/seed={best['seeds'][0]}"
    assert read_yaml(again / "config.yaml") == read_yaml(first / "config.yaml")
    assert read_yaml(again / "config.yaml")["dataset"]["rows"] == 90


def test_columns_that_give_the_answer_away_are_found_by_their_role(make_config: MakeConfig) -> None:
    def find_leaks(*words: str) -> dict[str, str]:
        config = make_config(*words)
        return load_cohort(config.dataset).keep(config.covariates.keep).leaks

    assert find_leaks() == {"wt82": "holds the outcome", "smkintensity82_71": "holds the treatment"}
    assert find_leaks("covariates=baseline") == {}
    assert find_leaks("dataset=synthetic") == {}


def test_the_same_command_goes_on_and_n_trials_is_a_total(command: Command) -> None:
    command(*SMALL, IMPOSSIBLE, "n_trials=2")
    before = {path: path.stat().st_mtime_ns for path in command.folder.glob("outputs/s/**/DONE")}
    command(*SMALL, IMPOSSIBLE, "n_trials=2")
    assert len(load(command.folder).trials) == 2
    command(*SMALL, IMPOSSIBLE, "n_trials=4")
    assert len(load(command.folder).trials) == 4
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_trial_left_running_keeps_its_number_and_its_finished_runs(command: Command) -> None:
    command(*SMALL, IMPOSSIBLE, "n_trials=2", "hydra.sweeper.stop_at_target=false")
    study = load(command.folder)
    left = study.ask()
    params = {name: left._suggest(name, d) for name, d in study.trials[0].distributions.items()}
    # Its process died between two folders of its stack.
    own = ("study=s", "arm='trial=0002'", "seed=0", IMPOSSIBLE, "batch=b10", *(f"{k}={v}" for k, v in params.items()))
    assert command(*TINY, *own, *RULE, "split.test_share=0.2").code == 0  # as the search sets it
    done = command.folder / "outputs/s/trial=0002/seed=0/DONE"
    before = done.stat().st_mtime_ns
    ended = command(*SMALL, IMPOSSIBLE, "n_trials=4")
    assert ended.code == 1, ended.err
    assert done.stat().st_mtime_ns == before
    trials = load(command.folder).trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
    assert trials[2].params == params and Path(trials[2].user_attrs["folder"]).name == "trial=0002"


def test_a_second_start_proposes_new_points_with_the_same_sampler_seed(command: Command) -> None:
    words = (*SMALL, IMPOSSIBLE, "hydra/sweeper/sampler=random", "hydra.sweeper.sampler.seed=0")
    for total in (2, 4):
        command(*words, f"n_trials={total}")
    assert len({trial.params["optimizer.lr"] for trial in load(command.folder).trials}) == 4


def test_a_repeated_configuration_is_not_trained_again(command: Command) -> None:
    fixed = ("stats_mode=ema", "batch.size=10,15", "optimizer.lr=1e-3")
    ended = command(*SMALL, IMPOSSIBLE, "n_trials=6", "epochs=1", *fixed)
    assert ended.code == 1, ended.err
    assert len(load(command.folder).trials) == 6
    trained = {name.split("/")[0] for name in command.done() if name.startswith("trial=")}
    assert len(trained) <= 2


def test_a_failed_trial_is_recorded_and_the_search_goes_on(command: Command) -> None:
    ended = command(*SMALL, IMPOSSIBLE, "n_trials=6", "batch.size=10,4000", "hydra.sweeper.sampler.seed=0")
    assert ended.code == 1, ended.err
    states = {trial.params["batch.size"]: trial for trial in load(command.folder).trials}
    assert states[10].state == TrialState.COMPLETE
    assert states[4000].state == TrialState.FAIL
    assert "batch.size=4000 is larger than the training rows" in states[4000].user_attrs["reason"]


def test_trials_that_do_not_fit_are_the_users_only_where_none_does(command: Command) -> None:
    diverging = ("optimizer.lr=1e30,1e29", "clip_norm=null", "epochs=3", "hydra.sweeper.sampler.seed=0")
    mixed = command(*SMALL, IMPOSSIBLE, "n_trials=6", "batch.size=10,4000", *diverging)
    assert mixed.code == 1 and "the search ended (n_trials=6 trials are done)" in mixed.err.splitlines()[-1]
    assert {trial.state for trial in load(command.folder).trials} == {TrialState.FAIL}
    none = command(*SMALL, IMPOSSIBLE, "n_trials=2", "study=t", "batch.size=4000,5000", "optimizer.lr=1e-3,1e-4")
    assert none.code == 2 and "is larger than the training rows" in none.err.splitlines()[-1]


def test_a_diverged_trial_is_a_failure_and_has_no_score(command: Command) -> None:
    ended = command(*SMALL, IMPOSSIBLE, "n_trials=2", "optimizer.lr=1e30", "clip_norm=null", "epochs=3")
    assert ended.code == 1, ended.err
    for trial in load(command.folder).trials:
        assert trial.state == TrialState.FAIL and trial.values is None
        assert "seed=0 diverged" in trial.user_attrs["reason"]


def test_too_many_failed_trials_end_the_search_with_their_reason(command: Command) -> None:
    ended = command(
        *SMALL, EASY, "n_trials=4", "optimizer.lr=1e30,1e29", "clip_norm=null", "hydra.sweeper.max_failure_rate=0.5"
    )
    assert ended.code == 1, ended.err
    line = ended.err.strip().splitlines()[-1]
    assert "2 of 2 trials of a batch failed, more than hydra.sweeper.max_failure_rate=0.5 allows" in line
    assert "seed=0 diverged" in line and "FAILED" not in line


def test_a_time_budget_ends_the_search(command: Command) -> None:
    ended = command(*SMALL, IMPOSSIBLE, "n_trials=1000", "time_budget_s=0.1")
    assert ended.code == 1 and "the time budget of 0.1 s is spent" in ended.err
    assert len(load(command.folder).trials) == 2


@pytest.mark.parametrize("second", ["nll", "seconds"])
def test_several_objectives_give_a_pareto_front(command: Command, second: str) -> None:
    two = (f"hydra.sweeper.objectives=[rmse,{second}]", "hydra.sweeper.direction=[minimize,minimize]")
    ended = command(*SMALL, EASY, "n_trials=4", "hydra.sweeper.stop_at_target=false", *two)
    assert ended.code == 0, ended.err
    assert "Pareto front: trial" in ended.out
    for trial in load(command.folder).trials:
        runs = Path(trial.user_attrs["folder"]).glob("seed=*/metrics.json")
        assert trial.values[1] == pytest.approx(mean(read_yaml(run)[second] for run in runs))


def test_a_quantile_can_be_the_score(command: Command) -> None:
    command(*SMALL, IMPOSSIBLE, "n_trials=2", "hydra.sweeper.score=1")
    assert all(trial.value == max(trial.user_attrs["rmse"]) for trial in load(command.folder).trials)


def test_other_launchers_and_samplers_work(command: Command) -> None:
    words = ("hydra/launcher=basic", "hydra/sweeper/sampler=grid", "stats_mode=ema", "epochs=1,2")
    ended = command(*SMALL, IMPOSSIBLE, "optimizer.lr=1e-3", "n_trials=5", *words)
    assert ended.code == 1, ended.err
    assert sorted(trial.params["epochs"] for trial in load(command.folder).trials) == [1, 2]


def test_plain_hydra_optuna_sweeper_works(command: Command) -> None:
    words = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "optimizer.lr=interval(1e-4,1e-3)")
    ended = command("-m", *TINY, *words)
    assert ended.code == 0, ended.err
    assert len(command.done()) == 2


EXTENDER = """
def clips(config, trial):
    trial.suggest_categorical("clip_norm", [0.5, 2.0])
"""


def test_a_custom_search_space_adds_its_parameters(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    (command.folder / "my_space.py").write_text(EXTENDER)
    monkeypatch.syspath_prepend(command.folder)
    words = (*SMALL, IMPOSSIBLE, "optimizer.lr=1e-3")
    ended = command(*words, "n_trials=2", "hydra.sweeper.custom_search_space=my_space.clips", "admit=my_space")
    assert ended.code == 1, ended.err
    trials = load(command.folder).trials
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    for trial in trials:
        clip = read_yaml(Path(trial.user_attrs["folder"]) / "seed=0/config.yaml")["clip_norm"]
        assert trial.params["clip_norm"] == clip
    without = command(*words, "n_trials=3")
    assert without.code == 2 and "its custom_search_space differs" in without.err
    lacking = command(*words, "study=other", "hydra.sweeper.custom_search_space=my_space.heights", "admit=my_space")
    assert lacking.code == 2 and "custom_search_space=my_space.heights cannot be used" in lacking.err


@pytest.mark.parametrize("word", ["target=1e-5", "rule.works_share=0.5"])
@pytest.mark.parametrize("storage", ["storage=null", "storage=sqlite:///shared.db"])
def test_another_rule_is_refused_and_leaves_no_trial(command: Command, word: str, storage: str) -> None:
    command(*SMALL, IMPOSSIBLE, "n_trials=1", storage)
    if "shared" in storage:
        # As another machine has it: the same storage, but nothing in its folder.
        (command.folder / "outputs/s/study.yaml").unlink()
    ended = command(*SMALL, IMPOSSIBLE, "n_trials=2", storage, word)
    assert ended.code == 2 and "rule" in ended.err and ended.err.count("\n") == 1, ended.err
    shared = f"sqlite:///{command.folder / 'shared.db'}" if "shared" in storage else None
    assert [trial.state for trial in load(command.folder, shared).trials] == [TrialState.COMPLETE]


def test_glob_names_every_choice_of_a_group(command: Command) -> None:
    words = ("labels=glob(half*)", "optimizer.lr=1e-3", "stats_mode=ema", "hydra/sweeper/sampler=grid", "n_trials=9")
    ended = command(*SMALL, IMPOSSIBLE, *words)
    assert ended.code == 1, ended.err
    assert sorted(trial.params["labels"] for trial in load(command.folder).trials) == ["half_mar", "half_mcar"]


def test_an_address_of_the_folders_own_file_means_that_very_file(command: Command) -> None:
    command(*SMALL, IMPOSSIBLE, "n_trials=1", "storage=sqlite:///outputs/s/search.db")
    file = command.folder / "outputs/s/search.db"
    inode = file.stat().st_ino
    command(*SMALL, IMPOSSIBLE, "n_trials=2", f"storage=sqlite:///{file}")
    assert file.stat().st_ino == inode and len(load(command.folder).trials) == 2


def test_a_search_without_a_name_goes_on_where_it_was(command: Command) -> None:
    words = [word for word in SMALL if word != "study=s"]
    for trials in (1, 2):
        assert command(*words, EASY, "hydra.sweeper.stop_at_target=false", f"n_trials={trials}").code == 0
    assert [path.name for path in (command.folder / "outputs").iterdir()] == ["search"]
    assert len(list((command.folder / "outputs/search").glob("trial=*"))) == 2


def test_several_objectives_are_searched_to_the_end(command: Command) -> None:
    pareto = ("hydra.sweeper.objectives=[rmse,nll]", "hydra.sweeper.direction=[minimize,minimize]")
    command(*SMALL, EASY, *pareto, "n_trials=4")
    assert len(load(command.folder).trials) == 4


def test_unpromising_trials_stop_early_and_are_recorded_as_pruned(command: Command) -> None:
    healthy = ("dataset.rows=200", "dataset.wave_columns=0", "epochs=6", "stats_mode=precomputed")
    words = ("optimizer.lr=tag(log,interval(1e-9,1e-2))", "hydra/sweeper/sampler=random", "hydra.sweeper.n_jobs=1")
    command(*SMALL, IMPOSSIBLE, "n_trials=15", "hydra.sweeper.sampler.seed=1", *healthy, *words)
    trials = load(command.folder).trials
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED]
    assert pruned and {trial.state for trial in trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    for trial in pruned:
        assert trial.user_attrs["rmse"] == [None, None] and max(trial.intermediate_values) < 6
        metrics = read_yaml(Path(trial.user_attrs["folder"]) / "seed=0" / "metrics.json")
        assert metrics["status"] == "pruned" and metrics["rmse"] is None
    # A worker process asks the command, and gets the same answers.
    more = ("outputs=apart", "workers=2")
    command(*SMALL, IMPOSSIBLE, "n_trials=15", "hydra.sweeper.sampler.seed=1", *healthy, *words, *more)
    apart = load(command.folder, f"sqlite:///{command.folder / 'apart/s/search.db'}").trials
    assert [(one.state, one.intermediate_values) for one in apart] == [
        (one.state, one.intermediate_values) for one in trials
    ]
