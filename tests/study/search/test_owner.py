"""Who works on which trial: locks in one folder, beats between machines, and trials that too many asked for."""

import threading
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, Trial, TrialState

from ssc_sweep.study.folder import StudyFolder
from ssc_sweep.study.search import owner as owners
from ssc_sweep.study.search.owner import BEAT, Owner
from ssc_sweep.study.search.trials import SURPLUS, Record
from ssc_sweep.verdicts.rule import Rule
from tests.command import Command, make_command
from tests.study.search.small import EASY, IMPOSSIBLE, SMALL, load

command = pytest.fixture(make_command)


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "BEAT_S", 0.05)
    monkeypatch.setattr(owners, "DEAD_S", 0.5)


def make_folder(path: Path) -> StudyFolder:
    folder = StudyFolder(path)
    folder.make()
    return folder


def running(study: optuna.Study, owner: Owner | None = None) -> Trial:
    trial = study.ask()
    if owner is not None:
        owner.claim(trial)
    return trial


def finds(owner: Owner, study: optuna.Study, trial: Trial) -> bool:
    return owner.finds_lost(study.get_trials()[trial.number])


def test_in_one_folder_a_trial_is_lost_as_soon_as_its_owner_ends(tmp_path: Path) -> None:
    study, folder = optuna.create_study(), make_folder(tmp_path)
    one, other = Owner(folder, study, shared=False), Owner(folder, study, shared=False)
    trial, unowned = running(study, one), running(study)
    assert not finds(other, study, trial) and not finds(one, study, trial)
    assert finds(other, study, unowned)
    one.close()
    assert finds(other, study, trial)
    other.close()


def test_two_folders_are_two_places(tmp_path: Path) -> None:
    study = optuna.create_study()
    one, other = (Owner(make_folder(tmp_path / name), study, shared=True) for name in "ab")
    assert one.place != other.place
    one.close()
    other.close()


@pytest.mark.usefixtures("brief")
def test_elsewhere_an_owner_lives_as_long_as_it_beats(tmp_path: Path) -> None:
    study = optuna.create_study()
    one, other = (Owner(make_folder(tmp_path / name), study, shared=True) for name in "ab")
    trial, unowned = running(study, one), running(study)
    start = time.monotonic()
    while time.monotonic() - start < 0.8:
        assert not finds(other, study, trial)
        if time.monotonic() - start < 0.4:
            assert not finds(other, study, unowned)
        time.sleep(0.02)
    assert finds(other, study, unowned)
    one.close()
    assert not finds(other, study, trial), "its last beat has only just been seen"
    time.sleep(0.6)
    assert finds(other, study, trial)
    other.close()


def test_what_another_process_told_of_a_trial_stands(capsys: pytest.CaptureFixture[str]) -> None:
    study = optuna.create_study()
    record, trial = Record(study, Rule(target=15.0), 10), study.ask()
    study.tell(trial.number, 3.0)
    record.tell(trial, [4.0], TrialState.COMPLETE)
    record.tell(trial, None, TrialState.FAIL, {"reason": "late"})
    assert record.trial(0).values == [3.0] and "reason" not in record.trial(0).user_attrs
    assert "finished by another process" in capsys.readouterr().err


def test_a_trial_that_was_being_given_up_is_ended(command: Command) -> None:
    assert command(*SMALL, EASY, "n_trials=2").code == 0
    leave(load(command.folder), surplus="true")
    assert command(*SMALL, EASY, "n_trials=2").code == 0
    states = [trial.state for trial in load(command.folder).trials]
    assert states == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.FAIL]


def leave(study: optuna.Study, **attrs: str) -> None:
    """A trial like the first one, as a process that has gone leaves it."""
    trial = study.ask()
    for name, distribution in study.trials[0].distributions.items():
        trial._suggest(name, distribution)
    for key, value in attrs.items():
        trial.set_user_attr(key, value)


def test_lost_trials_are_taken_up_also_where_the_target_is_met(command: Command) -> None:
    assert command(*SMALL, EASY, "n_trials=2").code == 0
    leave(load(command.folder))
    assert command(*SMALL, EASY, "n_trials=2").code == 0
    assert [trial.state for trial in load(command.folder).trials] == [TrialState.COMPLETE] * 3


@pytest.mark.usefixtures("brief")
def test_trials_of_a_dead_machine_are_taken_over(command: Command) -> None:
    words, shared = (*SMALL, IMPOSSIBLE, "storage=sqlite:///shared.db"), f"sqlite:///{command.folder}/shared.db"
    command(*words, "n_trials=1")
    leave(load(command.folder, shared), owner="gone", place="elsewhere")
    leave(load(command.folder, shared))
    ended = command(*words, "n_trials=3")
    assert ended.code == 1 and "n_trials=3 trials are done" in ended.err, ended.err
    assert [trial.state for trial in load(command.folder, shared).trials] == [TrialState.COMPLETE] * 3


def test_a_trial_that_its_owner_ends_before_it_can_be_taken_is_left_alone(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    command(*SMALL, IMPOSSIBLE, "n_trials=1")
    leave(load(command.folder))
    finds_lost = Owner.finds_lost

    def ends_it(owner: Owner, trial: FrozenTrial) -> bool:
        lost = finds_lost(owner, trial)
        owner.study.tell(trial.number, state=TrialState.FAIL)
        return lost

    monkeypatch.setattr(Owner, "finds_lost", ends_it)
    ended = command(*SMALL, IMPOSSIBLE, "n_trials=2")
    assert ended.code == 1 and "n_trials=2 trials are done" in ended.err, ended.err
    assert [trial.state for trial in load(command.folder).trials] == [TrialState.COMPLETE, TrialState.FAIL]


@pytest.mark.usefixtures("brief")
def test_the_end_waits_for_a_machine_that_lives(command: Command) -> None:
    words, shared = (*SMALL, IMPOSSIBLE, "storage=sqlite:///shared.db"), f"sqlite:///{command.folder}/shared.db"
    command(*words, "n_trials=1")
    leave(load(command.folder, shared), owner="alive", place="elsewhere")

    def work() -> None:
        study = load(command.folder, shared)
        for beat in range(20):
            study.set_user_attr(f"{BEAT}alive", beat)
            time.sleep(0.1)
        study.tell(1, state=TrialState.FAIL)

    machine = threading.Thread(target=work)
    machine.start()
    ended = command(*words, "n_trials=3")
    machine.join()
    assert ended.code == 1 and "n_trials=3 trials are done" in ended.err, ended.err
    trials = load(command.folder, shared).trials
    assert [t.state for t in trials] == [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE]
    assert trials[1].user_attrs["owner"] == "alive"


def test_a_trial_that_two_machines_asked_for_as_the_last_counts_once(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, asked = optuna.Study.ask, []

    def ask_second(study: optuna.Study) -> Trial:
        if not asked:
            asked.append(ask(study))
            study.tell(asked[0], state=TrialState.FAIL)
        return ask(study)

    monkeypatch.setattr(optuna.Study, "ask", ask_second)
    ended = command(*SMALL, IMPOSSIBLE, "n_trials=1")
    assert ended.code == 1 and "n_trials=1 trials are done" in ended.err, ended.err
    trials = load(command.folder).trials
    assert [t.user_attrs.get(SURPLUS) for t in trials] == [None, True]
    assert trials[1].state == TrialState.FAIL and command.done() == []
    ended = command(*SMALL, IMPOSSIBLE, "n_trials=2")
    assert [t.state for t in load(command.folder).trials][2:] == [TrialState.COMPLETE]
