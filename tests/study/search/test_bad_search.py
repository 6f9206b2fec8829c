"""What a search refuses: one line, exit code 2, nothing trained. And what a space file may say."""

import sys

import pytest

from ssc_sweep.study.folder import read_yaml
from tests.command import TINY, Command, Ended, make_command
from tests.study.search.small import EASY, IMPOSSIBLE, SMALL, load

command = pytest.fixture(make_command)

HEADER = "# @package hydra.sweeper.params\n"


def with_own_space(command: Command, text: str) -> Ended:
    """A search of two trials over a space file of this text."""
    spaces = command.folder / "conf/search_space"
    spaces.mkdir(parents=True)
    (spaces / "own.yaml").write_text(text)
    words = ("--config-dir", str(command.folder / "conf"), "search_space=own", "n_trials=2")
    few = ("hydra.sweeper.seeds_per_trial=2", "hydra.sweeper.confirm_seeds=2", "rule.works_share=0.1", "rule.alpha=0.4")
    return command("-m", "experiment=search", *TINY, EASY, *few, *words)


BAD = {
    "modle.width=8,16": "modle.width is unknown",
    "model.widht=8,16": "model.widht is unknown",
    "optimizer.lr=interval(1e-2,1e-5)": "has impossible bounds",
    "optimizer.lr=tag(log,interval(0,1))": "has impossible bounds",
    "optimizer.lr=interval(-1,1)": "optimizer.lr=-1.0 is out of bounds",
    "batch=b10,b11": "b11",
    "n_trials=x": "hydra.sweeper.n_trials=x has the wrong type: allowed is a whole number",
    "n_trials=null": "hydra.sweeper.n_trials=null has the wrong type: allowed is a whole number",
    "time_budget_s=x": "time_budget_s=x is out of bounds: allowed is a number > 0, or null",
    "hydra.sweeper.seeds_per_trial=abc": "seeds_per_trial=abc is out of bounds: allowed is a whole number >= 1",
    "hydra.sweeper.prune=maybe": "hydra.sweeper.prune=maybe is out of bounds: allowed is true or false",
    "labels=[all,half_mar]": "one labels",
    "storage=sqlite://": "is gone when the search ends",
    "storage=sqlite:///:memory:": "is gone when the search ends",
    "hydra.sweeper.confirm_seeds=2 rule.works_share=0.8": "confirm_seeds=2 is too few to confirm anything",
    "split.test_share=0,0.2": "trials that hold back different rows would be tested on rows of each other",
    "n_trials=0": "n_trials=0 is out of bounds",
    "hydra.sweeper.score=median": "score=median is out of bounds",
    "hydra.sweeper.objectives=[nll]": "allowed is rmse first",
    "time_budget_s=-1": "time_budget_s=-1 is out of bounds",
    "seed=3": "a search sets seed itself",
    "storage=postgresql://nobody:secret@127.0.0.1:1/none": "cannot be reached",
    "storage=nonsense://x": "cannot be reached",
    "storage=journal:/nowhere/at/all.log": "cannot be reached",
    "storage=redis://:secret@x": "cannot be reached",
    "storage=mysql://nobody:secret@host/none": "needs a driver that is not installed: install it, or choose another",
    "storage=5": "storage=5 is no address",
    "storage='postgresql://nobody@127.0.0.1:1/none?password=secret'": "cannot be reached",
    "storage=postgresql://nobody:secret@host:port/none": "cannot be reached",
    "hydra.sweeper.max_failure_rate=2": "max_failure_rate=2.0 is out of bounds",
    "hydra/sweeper/sampler=motpe": "hydra.sweeper.sampler cannot be used",
    "hydra/sweeper/sampler=grid": "and optimizer.lr has infinitely many",
    "hydra.sweeper.objectives=[rmse,beauty]": "objectives[1]=beauty is out of bounds: allowed is rmse | acc",
    "covariates=glob(nothing*)": "covariates=glob(nothing*)",
    "model.width=8,0": "model.width=0 is out of bounds",
    "n_trials=1,2": "n_trials=1,2: n_trials belongs to the search",
    "time_budget_s=interval(1,2)": "time_budget_s=interval(1,2): time_budget_s belongs to the search",
    "study=a,b": "study=a,b: study belongs to the search",
    "outputs=a,b": "outputs=a,b: outputs belongs to the search",
    "storage=a,b": "storage=a,b: storage belongs to the search",
    "target=10,20": "target=10,20: target belongs to the search",
    "++target=10,20": "++target=10,20: target belongs to the search",
    "rule.margin=0.1,0.2": "rule.margin=0.1,0.2: rule.margin belongs to the search",
    "search_space=plan,plan_and_data": "search_space=plan,plan_and_data: search_space belongs to the search",
    "experiment=search,best": "experiment=search,best: experiment belongs to the search",
}


@pytest.mark.parametrize("word", BAD)
def test_bad_input_is_one_line_and_trains_nothing(command: Command, word: str) -> None:
    ended = command(*SMALL, EASY, "n_trials=2", *word.split())
    assert ended.code == 2, ended.err
    (line,) = ended.err.strip().splitlines()
    assert line.startswith("error:") and BAD[word] in line and "secret" not in line
    assert command.done() == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("batch.size=4000,10 model.width=0,8", "model.width=0 is out of bounds"),
        ("batch.size=4000,10 optimizer.beta1=2,0.9", "optimizer.beta1=2 is out of bounds"),
    ],
)
def test_a_value_beside_one_that_does_not_fit_the_data_is_checked(command: Command, words: str, said: str) -> None:
    ended = command(*SMALL, IMPOSSIBLE, "n_trials=6", "optimizer.lr=1e-3", *words.split())
    assert ended.code == 2 and f"error: search space: {said}" in ended.err and ended.err.count("\n") == 1, ended.err
    assert not (command.folder / "outputs").exists()


def test_a_search_db_that_is_none_is_named(command: Command) -> None:
    folder = command.folder / "outputs/s"
    folder.mkdir(parents=True)
    (folder / "search.db").write_text("junk")
    ended = command(*SMALL, EASY, "n_trials=1")
    assert ended.code == 2 and "outputs/s/search.db cannot be used" in ended.err and "from a copy" in ended.err


def test_an_empty_space_is_bad_input(command: Command) -> None:
    ended = command("-m", "hydra/sweeper=search", *TINY, "hydra.sweeper.confirm_seeds=100")
    assert ended.code == 2 and "the search space is empty" in ended.err


@pytest.mark.parametrize(
    "word", ["optimizer.lr=interval(1e-4,1e-3)", "dataset.rows=80", "hydra.sweeper.seeds_per_trial=3"]
)
def test_a_study_of_another_search_is_bad_input(command: Command, word: str) -> None:
    command(*SMALL, IMPOSSIBLE, "n_trials=2")
    ended = command(*SMALL, IMPOSSIBLE, "n_trials=4", word)
    assert ended.code == 2 and "belongs to another search" in ended.err
    assert len(load(command.folder).trials) == 2


SPACES = {
    f"{HEADER}epochs: {{low: 1, high: 3}}": "epochs: {'low': 1, 'high': 3} says no values",
    f"{HEADER}epochs: []": "epochs: [] says no values",
    f"{HEADER}epochs: 3": "or has one value each",
    f"{HEADER}clip_norm: null": "or has one value each",
    f"{HEADER}optimizer.lr: interval(1e-3": "optimizer.lr=interval(1e-3 cannot be read",
    f"{HEADER}optimizer.lr: intervall(1e-3,1)": "Unknown function 'intervall'",
    "epochs: 1,2": "search_space=own: its file is no search space",
}


@pytest.mark.parametrize("text", SPACES)
def test_a_space_that_says_no_values_is_bad_input(command: Command, text: str) -> None:
    ended = with_own_space(command, text)
    assert ended.code == 2 and SPACES[text] in ended.err and ended.err.count("\n") == 1, ended.err
    assert command.done() == []


@pytest.mark.parametrize("key", ["seed", "study", "target", "rule.alpha", "search_space", "hydra.sweeper.n_jobs"])
def test_what_belongs_to_the_search_is_no_knob_of_it(command: Command, key: str) -> None:
    ended = with_own_space(command, f"{HEADER}{key}: 1,2")
    assert ended.code == 2 and f"error: search space: {key} belongs to the search" in ended.err, ended.err


def test_a_list_in_a_space_is_its_choices(command: Command) -> None:
    with_own_space(command, f"{HEADER}clip_norm: [1, 2.5]\nbatch.size: [10]\nstats_mode: [ema, precomputed]")
    distributions = load(command.folder).trials[0].distributions
    assert {name: d.choices for name, d in distributions.items()} == {
        "clip_norm": (1, 2.5), "stats_mode": ("ema", "precomputed")
    }  # fmt: skip


def test_null_in_a_space_is_a_value(command: Command) -> None:
    with_own_space(command, f"{HEADER}clip_norm: [null, 1.5]\ndataset_size.rows: null\nstats_mode: ema,precomputed")
    (trial, *_) = load(command.folder).trials
    assert trial.distributions["clip_norm"].choices == ("null", 1.5)
    config = read_yaml(command.folder / "outputs/s/trial=0000/seed=0/config.yaml")
    assert config["clip_norm"] == {"null": None, 1.5: 1.5}[trial.params["clip_norm"]]
    assert config["dataset_size"]["rows"] is None and "dataset_size.rows" not in trial.params


def test_a_sampler_whose_package_is_not_there(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cmaes", None)
    ended = command(*SMALL, EASY, "n_trials=2", "hydra/sweeper/sampler=cmaes")
    assert ended.code == 2 and ended.err.count("\n") == 1 and "ssc_sweep[cmaes]" in ended.err
    assert command.files() == []
