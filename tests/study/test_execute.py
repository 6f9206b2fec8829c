"""From jobs to finished folders: what is skipped, what fails alone, what shares a stack, what diverges."""

import json
import math
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir

from ssc_sweep.config import RunConfig, conf_dir
from ssc_sweep.data import source, splitting
from ssc_sweep.data.cohort import Cohort
from ssc_sweep.data.splitting import DataSplit
from ssc_sweep.errors import CannotWrite, UserError
from ssc_sweep.models import flow_ssc
from ssc_sweep.study import execute as module
from ssc_sweep.study.dispatch import Dispatch
from ssc_sweep.study.execute import run_stack
from ssc_sweep.study.folder import RunFolder
from ssc_sweep.study.job import Job, Outcome, Stack, Status, make_job
from ssc_sweep.study.prepare import prepare
from ssc_sweep.study.workers import Lost, Sent, ThisProcess
from ssc_sweep.training.history import History
from ssc_sweep.training.scores import NAMES, RESERVED
from tests.command import execute

TINY = ("dataset=synthetic", "dataset.rows=60", "epochs=2", "batch.size=10", "model.width=8", "study=s")
MakeJob = Callable[..., Job]


@pytest.fixture
def job(tmp_path: Path) -> Iterator[MakeJob]:
    """job("seed=1", "arm=a"): a tiny run of the study tmp_path/s."""
    with initialize_config_dir(str(conf_dir())):

        def make(*words: str) -> Job:
            cfg = compose("config", [*TINY, f"outputs={tmp_path}", "arm=control", *words])
            return make_job(cfg, words)

        yield make


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> str:
    """A model that raises for seed 1, wherever it stands in a stack."""

    class Raising(flow_ssc.FlowSSC):
        def start(self, train: Any) -> None:
            if 1 in self.seeds:
                raise RuntimeError("planted failure")
            super().start(train)

    Raising.__module__, Raising.__qualname__ = flow_ssc.__name__, "Raising"
    monkeypatch.setattr(flow_ssc, "Raising", Raising, raising=False)
    return "model._target_=ssc_sweep.models.flow_ssc.Raising"


RAISED = 1 + next(n for n, line in enumerate(Path(__file__).read_text().splitlines()) if "raise RuntimeError(" in line)


def metrics(job: Job) -> dict[str, Any]:
    """What a run says of itself, but for how long it took and beside whom."""
    found = json.loads(job.folder.metrics.read_text())
    return {key: value for key, value in found.items() if key not in ("seconds", "stack")}


def test_outcomes_come_in_the_order_of_the_jobs(job: MakeJob) -> None:
    jobs = [job("seed=0"), job("batch.size=15", "arm=b"), job("seed=1"), job("batch.size=15", "seed=1", "arm=b")]
    outcomes = execute(jobs)
    for mine, outcome in zip(jobs, outcomes, strict=True):
        assert outcome.status is Status.FINISHED and mine.folder.done.exists()
        assert outcome.metrics["rmse"] == json.loads(mine.folder.metrics.read_text())["rmse"] == outcome.value
    assert [outcome.metrics["stack"] for outcome in outcomes] == [2, 2, 2, 2]


def test_no_score_of_your_own_may_take_a_key_of_the_metrics(job: MakeJob) -> None:
    (outcome,) = execute([job("split.test_share=0.2")])
    assert {name.removeprefix("test_") for name in outcome.metrics} <= {*NAMES, *RESERVED}


def test_a_run_that_is_done_is_read_not_trained(job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    (first,) = execute([job()])

    def no_training(*_: object) -> None:
        raise AssertionError("trained again")

    with monkeypatch.context() as patch:
        patch.setattr(module, "train", no_training)
        assert execute([job()]) == [first]
    new = job("seed=1")
    assert [outcome.metrics["stack"] for outcome in execute([job(), new])] == [1, 1]


def test_a_run_that_broke_off_is_trained_again(job: MakeJob) -> None:
    mine = job()
    execute([mine])
    mine.folder.done.unlink()
    mine.folder.metrics.write_text("half of i")
    (outcome,) = execute([mine])
    assert outcome.status is Status.FINISHED and mine.folder.done.exists()


def test_only_the_guilty_run_fails(job: MakeJob, raising: str) -> None:
    jobs = [job(raising, f"seed={seed}") for seed in range(3)]
    outcomes = execute(jobs)
    assert [outcome.status for outcome in outcomes] == [Status.FINISHED, Status.FAILED, Status.FINISHED]
    assert [mine.folder.done.exists() for mine in jobs] == [True, False, True]
    guilty = jobs[1].folder
    assert "RuntimeError: planted failure" in guilty.failed.read_text() and "Traceback" in guilty.failed.read_text()
    assert not guilty.metrics.exists() and not guilty.predictions.exists()
    assert outcomes[1].error == f"RuntimeError: planted failure (test_execute.py, line {RAISED})"


def test_a_failed_run_stays_failed_until_it_is_to_be_tried_again(
    job: MakeJob, raising: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = job(raising, "seed=1")
    execute([mine])
    assert mine.folder.failed.exists()
    monkeypatch.setattr(flow_ssc, "Raising", flow_ssc.FlowSSC)
    (outcome,) = execute([mine])
    assert outcome.status is Status.FAILED
    assert outcome.error == f"RuntimeError: planted failure (test_execute.py, line {RAISED})"
    (outcome,) = execute([mine], retry="failed")
    assert outcome.status is Status.FINISHED
    assert mine.folder.done.exists() and not mine.folder.failed.exists()


def test_every_run_counts_in_the_progress(job: MakeJob, raising: str) -> None:
    jobs = [job(raising, f"seed={seed}") for seed in range(3)]
    seen: list[tuple[int, int, int]] = []
    crew = ThisProcess(lambda epochs: seen.append((epochs, 0, 0)), None)
    dispatch = Dispatch(crew, lambda epochs, runs, failed: seen.append((epochs, runs, failed)))
    dispatch.train([Stack(tuple(jobs))])
    assert sum(runs for _, runs, _ in seen) == 3 and len(dispatch.outcomes) == 3
    assert sum(failed for _, _, failed in seen) == 1


class Killed:
    """Workers that leave half-written files: the first is killed, and the run of the second fails."""

    slots, resends, asks, apart = 2, 1, False, False

    def __init__(self) -> None:
        self.sent: list[Stack] = []

    def send(self, stacks: Sequence[Stack]) -> "list[Sent]":
        found: list[Sent] = []
        for stack in stacks:
            for job in stack.jobs:
                job.folder.path.mkdir(parents=True)
                job.folder.lock.write_text("process 1")
                (job.folder.path / ".history.csv.h.1").write_text("kind,ep")
            found.append(Death(first=not self.sent))
            self.sent.append(stack)
        return found

    def stop(self) -> None:
        pass

    tidy = stop


@dataclass
class Death:
    first: bool

    def over(self) -> bool:
        return True

    def outcomes(self) -> list[Outcome]:
        if self.first:
            raise Lost("killed")
        return [Outcome(Status.FAILED, {}, "planted")]


def test_nothing_of_killed_workers_stays_when_a_study_is_broken_off(job: MakeJob) -> None:
    jobs = [job(f"seed={seed}") for seed in range(2)]
    dispatch = Dispatch(Killed(), lambda *_: None, enough=1)
    dispatch.train([Stack((one,)) for one in jobs])
    assert dispatch.failures == 1, "the stack of the first is waiting to be sent again"
    assert [path for one in jobs for path in one.folder.path.glob(".*")] == []


def test_a_lock_that_is_released_late_is_removed(job: MakeJob) -> None:
    """The system tells of a death before it closes the files of the dead."""

    class Slow(Killed):
        def stop(self) -> None:
            lock = self.sent[0].jobs[0].folder.claim()
            assert lock is not None
            threading.Timer(0.2, lock.release).start()

    one = job("seed=0")
    with pytest.raises(KeyError):
        Dispatch(Slow(), lambda *_: {}["a bug"]).train([Stack((one,))])
    assert list(one.folder.path.glob(".*")) == []


def test_why_a_study_is_broken_off_is_not_hidden(job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: RunFolder) -> None:
        raise CannotWrite("no space left")

    class Broken(Killed):
        def stop(self) -> None:
            monkeypatch.setattr(RunFolder, "tidy", full)

        def send(self, stacks: Sequence[Stack]) -> "list[Sent]":
            super().send(stacks)
            raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug"):
        Dispatch(Broken(), lambda *_: None).train([Stack((job("seed=0"),))])


def test_a_run_that_diverges_is_recorded_and_harms_nobody(job: MakeJob) -> None:
    alone = job("optimizer=sgd", "arm=alone")
    execute([alone])
    jobs = [job("optimizer=sgd", "arm=a"), job("optimizer=sgd", "optimizer.lr=1e30", "clip_norm=1", "arm=bad")]
    good, bad = execute(jobs)
    assert good.metrics["stack"] == bad.metrics["stack"] == 2
    assert bad.status is Status.DIVERGED and good.status is Status.FINISHED
    assert bad.metrics["rmse"] is None and math.isnan(bad.value)
    assert bad.metrics["first_bad"]["step"] >= 1
    assert jobs[1].folder.done.exists() and not jobs[1].folder.failed.exists()
    assert " rmse=None " in jobs[1].folder.log.read_text() and " code=" not in jobs[1].folder.log.read_text()
    assert metrics(jobs[0])["rmse"] == pytest.approx(metrics(alone)["rmse"], rel=1e-4)


def test_the_first_fifty_steps_and_every_epoch_have_a_row_with_validation_scores(job: MakeJob) -> None:
    one = job("dataset.rows=120", "batch.size=1")
    execute([one])
    history = pd.read_csv(one.folder.history)
    assert history["kind"].value_counts().to_dict() == {"step": 50, "epoch": 2}
    assert history[["val_rmse", "val_accuracy", "likelihood.loss", "ll_x", "largest_z_val"]].notna().all(axis=None)
    assert history["step"].tolist()[-3:] == [50, 60, 120]


def test_wrong_input_writes_nothing(job: MakeJob, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="31"):
        execute([job(), job("batch.size=31", "arm=b")])
    assert list(tmp_path.rglob("*")) == []


def test_two_jobs_with_one_folder_are_a_bug(job: MakeJob) -> None:
    with pytest.raises(AssertionError, match="overwrite"):
        execute([job(), job("epochs=1")])


@pytest.mark.parametrize(
    "words",
    [["seed=5"], ["optimizer.lr=1e-5"], ["optimizer.weight_decay=0.1"], ["stats_mode=precomputed"], ["split=shuffled"]],
    ids=" ".join,
)
def test_what_may_differ_inside_a_stack(job: MakeJob, words: list[str]) -> None:
    assert len(prepare([job(), job(*words, "arm=b")]).groups) == 1


@pytest.mark.parametrize(
    "words",
    [
        ["model.width=16"], ["batch.size=11"], ["batch.drop_last=true"], ["epochs=3"], ["precision=float64"],
        ["clip_norm=2"], ["clip_norm=null"], ["probes=false"], ["optimizer=adamw"], ["optimizer.beta1=0.8"],
        ["dataset.rows=62"], ["dataset.d_x=21"], ["dataset.d_y=2"], ["split.validation_share=0.4"],
        ["covariates=confounders"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_splits_stacks(job: MakeJob, words: list[str]) -> None:
    assert len(prepare([job(), job(*words, "arm=b")]).groups) == 2


def test_the_rows_of_a_stack_are_there_for_the_next(job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """And as they were loaded, whatever the first one's model has done to its own."""

    class Spoils(flow_ssc.FlowSSC):
        def start(self, train: Any) -> None:
            super().start(train)
            train.x.mul_(2)
            train.y.add_(1)

    Spoils.__module__, Spoils.__qualname__ = flow_ssc.__name__, "Spoils"
    monkeypatch.setattr(flow_ssc, "Spoils", Spoils, raising=False)
    spoils = ("model._target_=ssc_sweep.models.flow_ssc.Spoils", "precision=float64", "dataset.rows=62")
    encoded = []

    def encode(cohort: Cohort, config: RunConfig) -> DataSplit:
        encoded.append(config.seed)
        return splitting.encode(cohort, config)

    monkeypatch.setattr(source, "encode", encode)
    first, second = (run_stack(Stack((job(*spoils, f"arm={arm}"),)))[0].metrics for arm in "ab")
    assert first["rmse"] == second["rmse"] and len(encoded) == 1
    run_stack(Stack((job("dataset.rows=64", "arm=c"),)))
    assert len(encoded) == 2 and len(module._last._encoded) == 1, "what no stack has any more is let go"


def test_a_model_that_does_not_stack_trains_alone(job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_ssc.FlowSSC, "stacks", False)
    outcomes = execute([job("seed=0"), job("seed=1")])
    assert [outcome.metrics["stack"] for outcome in outcomes] == [1, 1]


def test_training_loads_no_library_that_it_hardly_uses(tmp_path: Path) -> None:
    """Each of these takes half a second, in every process that trains."""
    code = f"""
import sys
from ssc_sweep.__main__ import main
sys.argv = ["ssc_sweep", *{TINY!r}]
main()
print(sorted({{"sympy", "scipy.stats"}} & set(sys.modules)))
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ended.stdout.endswith("\n[]\n")


def test_a_history_that_cannot_be_read_any_more_does_no_further_harm(
    job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an error of a GPU, when every further call fails."""

    def lost(*_: object) -> None:
        raise RuntimeError("device lost")

    monkeypatch.setattr("ssc_sweep.training.loop.descend", lost)
    monkeypatch.setattr(History, "broken_off", lost)
    first, second = run_stack(Stack((job("seed=0"), job("seed=1"))))
    assert first == second and (first.status, first.step) == (Status.FAILED, 1)
    assert str(first.error).startswith("RuntimeError: device lost")
