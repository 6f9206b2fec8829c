"""Train a stack. Every run is trained here, alone or with others, in this process, a worker or a cluster task.

Stacks are independent. Each loads and splits its own data, writes its own run folders, and skips runs that are done or
that another process is training. A run's result does not depend on the runs beside it, so how runs are grouped into
stacks affects speed alone.
"""

import faulthandler
import hashlib
import math
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import torch

from ssc_sweep.admission import also_admitting, place_in, versions_of
from ssc_sweep.audit.forecast import Forecast, fails, foretell, model_name
from ssc_sweep.config import RunConfig
from ssc_sweep.data.cohort import HIDDEN, Floats
from ssc_sweep.data.source import Data
from ssc_sweep.data.splitting import DataSplit, Rows
from ssc_sweep.errors import CannotWrite, step_in, type_and_message
from ssc_sweep.study.board import Place
from ssc_sweep.study.channel import Channel, Silent, Written
from ssc_sweep.study.job import Job, Outcome, Stack, Status, ended
from ssc_sweep.study.record import Result, write_failure, write_run, write_start, write_table
from ssc_sweep.study.trainer import chosen_device, dtype_of, make_trainer
from ssc_sweep.training.history import History, Row
from ssc_sweep.training.loop import Trained, subnormals_are_zero, train
from ssc_sweep.training.measure import Answers
from ssc_sweep.training.scores import OF_THE_ROWS, Measured, measure, measure_own, of_your_own
from ssc_sweep.training.stack import assemble
from ssc_sweep.writing import writing

T = TypeVar("T")


@dataclass(frozen=True)
class _Failure:
    """What a run raised, as text: the exception itself would keep everything in its frames in memory."""

    error: str
    trace: str
    step: int | None


def run_stack(sent: Stack, channel: Channel | None = None) -> list[Outcome]:
    """Train the runs of a stack that have not ended yet; return how each ended, in order.

    With `packs` the finished ones are then gathered in a table.

    A run that another process is training is HELD; one that ended before has its earlier outcome. If a stack of several
    runs fails, each is tried alone, so that only the faulty one fails.

    Args:
        channel: None: the stack's place on a board, which another process reads.

    Raises:
        CannotWrite: a folder cannot be written.
    """
    outcomes: dict[int, Outcome] = {}
    with also_admitting(sent.admitted), ExitStack() as claims, subnormals_are_zero():
        mine, claimed = [], []
        for index, job in enumerate(sent.jobs):
            lock = job.folder.claim()
            if lock is None:
                outcomes[index] = Outcome(Status.HELD, {})
                continue
            claims.callback(job.folder.release, lock)
            claimed.append(index)
        sent.jobs[0].study.look()  # another process may have packed some before they were claimed
        for index in claimed:
            job = sent.jobs[index]
            job.folder.clear()
            before = ended(job)
            if before is None or (before.status is Status.FAILED and job.retry):
                job.folder.failed.unlink(missing_ok=True)
                mine.append(index)
            else:
                outcomes[index] = before
        if mine:
            jobs = [sent.jobs[index] for index in mine]
            for job in jobs:
                write_start(job)
            device = chosen_device(sent.device)
            if channel is None and sent.place is not None:
                with _crashes_noted(sent.place):
                    found = _run(jobs, device, Written(sent.place, sent.asks))
            else:
                found = _run(jobs, device, channel or Silent())
            outcomes.update(zip(mine, found, strict=True))
        if sent.packs:
            write_table(sent.jobs[0].study, [sent.jobs[index].folder for index in claimed])
    return [outcomes[index] for index in range(len(sent.jobs))]


@contextmanager
def _crashes_noted(place: Place) -> Iterator[None]:
    """Write the Python traceback to a file if native code crashes the process."""
    with writing(place.crash):
        file = place.crash.open("w")
    with file:
        faulthandler.enable(file)
        try:
            yield
        finally:
            faulthandler.disable()


def _attempt(work: Callable[[], T]) -> T | _Failure:
    """Do the work, or return how it failed: whatever a model raises fails its own run and nothing else."""
    try:
        return work()
    except CannotWrite:
        raise
    except (Exception, SystemExit) as error:
        trace, reason = traceback.format_exc(), type_and_message(error) + place_in(error)
        # The last line of FAILED says what went wrong, also where the message has several lines, or notes follow it.
        trace = trace if trace.rstrip().endswith(reason) else f"{trace}\n{reason}\n"
        return _Failure(reason, trace, step_in(trace))


def _run(jobs: list[Job], device: str, channel: Channel) -> list[Outcome]:
    begun: list[History] = []
    results = _attempt(lambda: _train(jobs, torch.device(device), channel, begun.append))
    if isinstance(results, _Failure) and len(jobs) > 1:
        begun.clear()  # frees its tensors
        return [outcome for job in jobs for outcome in _run([job], device, Silent())]
    if isinstance(results, _Failure):
        return [_failed(jobs[0], results, _left(begun))]
    return [_write(job, result) for job, result in zip(jobs, results, strict=True)]


def _left(begun: Sequence[History]) -> list[Row]:
    """Return the history of a run until it raised, as far as it can still be read: a device may be lost."""
    for history in begun:
        _attempt(history.broken_off)
    return [row for history in begun for row in history.rows[0]]


def _write(job: Job, result: Result) -> Outcome:
    failure = _attempt(lambda: write_run(job, result))
    if isinstance(failure, _Failure):
        return _failed(job, failure, result.history)
    return Outcome(Status(result.metrics["status"]), result.metrics)


def _failed(job: Job, failure: _Failure, history: Sequence[Row]) -> Outcome:
    write_failure(job, failure.trace, history)
    return Outcome(Status.FAILED, {}, failure.error, failure.step)


def _train(jobs: list[Job], device: torch.device, channel: Channel, begun: Callable[[History], None]) -> list[Result]:
    splits = _rows([job.config for job in jobs])
    configs, runs = [job.config for job in jobs], len(jobs)
    rows = assemble(splits, dtype_of(configs[0]), device)
    trainer = make_trainer(configs, splits[0], device)
    model = trainer.model
    forecasts = _forecasts(configs, splits)
    start = time.perf_counter()
    trained = train(model, rows, trainer.make_optimizer, trainer.schedule, channel.after_epoch, channel.go_on, begun)
    seconds = (time.perf_counter() - start) / runs
    about = {
        "model": trainer.name,
        "covariates": trainer.sizes.d_x,
        "parameters": sum(p.numel() for p in model.parameters()) // runs,
        "seconds": round(seconds, 3),
        "stack": runs,
        "device": device.type,
        "unused": list(trained.unused),
        "probes": [asdict(probe) for probe in model.probes],
    }
    metrics = [_metrics(job, data, run, trained) for run, (job, data) in enumerate(zip(jobs, splits, strict=True))]
    return [
        Result(
            metrics=metrics[run] | _foretold_of(forecasts[run], metrics[run]) | about,
            history=trained.history.rows[run],
            val=data.val,
            cohort=data.cohort,
            outcome=trained.val.predictions.outcome[run],
            treatment_log_prob=trained.val.predictions.treatment_log_prob[run],
            state=model.run_state(run) if job.weights else {},
        )
        for run, (job, data) in enumerate(zip(jobs, splits, strict=True))
    ]


# Rows and forecasts of the last stack that this process trained: the next stack usually has the same.
_last = Data()
_foretold: dict[tuple[str, str], Forecast | None] = {}


def _rows(configs: list[RunConfig]) -> list[DataSplit]:
    """Return the rows of each run. Rows of the last stack are reused; those that this one does not need are freed."""
    global _last
    _last = _last.only(configs)
    return [_last.split(config) for config in configs]


def _forecasts(configs: list[RunConfig], splits: list[DataSplit]) -> list[Forecast | None]:
    """Return the forecast for each run, reusing the last stack's where model and rows are the same."""
    global _foretold
    keys = [(model_name(config.model), _last.key(config)) for config in configs]
    now: dict[tuple[str, str], Forecast | None] = {}
    for key, config, data in zip(keys, configs, splits, strict=True):
        if key not in now:
            now[key] = _foretold[key] if key in _foretold else foretell(config, data)
    _foretold = now
    return [now[key] for key in keys]


def _foretold_of(forecast: Forecast | None, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was forecast for a run, and whether it failed."""
    if forecast is None:
        return {"p_fail": None}
    stopped = metrics["status"] is Status.PRUNED
    came = None if stopped else fails(metrics["rmse"], metrics["mean_predictor_rmse"])
    return {"p_fail": round(forecast.p_fail, 4), "p_fail_reasons": list(forecast.reasons), "fails": came}


def _measured(answers: Answers, run: int, rows: Rows, data: DataSplit) -> Measured:
    def mine(of_all: Floats | None) -> Floats | None:
        return None if of_all is None else of_all[run]

    return Measured(
        y=rows.y,
        outcome=answers.predictions.outcome[run],
        t=rows.t,
        treatment_log_prob=answers.predictions.treatment_log_prob[run],
        density=mine(answers.density),
        quantiles=mine(answers.quantiles),
        effects=mine(answers.effects),
        y_train=data.train.y,
        effect=data.cohort.effect,
    )


def _digest(rows: Rows) -> str:
    """Return a hash that identifies these rows: runs are paired only if they were measured on the same rows."""
    return hashlib.sha256(rows.row.tobytes() + rows.y.tobytes()).hexdigest()[:16]


def _metrics(job: Job, data: DataSplit, run: int, trained: Trained) -> dict[str, Any]:
    """Return the metrics of a run: how it ended, its scores, what it was made of."""
    history, config = trained.history, job.config
    bad = history.bad[run]
    status = Status.DIVERGED if bad is not None else Status.PRUNED if history.stopped else Status.FINISHED
    own = of_your_own(job.scores)
    finished = status is Status.FINISHED
    val = _measured(trained.val, run, data.val, data)
    own_values, failed = measure_own(val, own)
    scores = measure(val) | own_values
    # An unfinished run keeps these: they depend on the rows alone.
    scores = {name: value if finished or name in OF_THE_ROWS else None for name, value in scores.items()}
    train_rmse = trained.train_rmse[run]
    scores["train_rmse"] = train_rmse if finished and math.isfinite(train_rmse) else None
    if trained.test is not None and data.test is not None:
        held_back = _measured(trained.test, run, data.test, data)
        test = measure(held_back) | measure_own(held_back, own)[0]
        scores |= {f"test_{name}": value if finished else None for name, value in test.items()}
    return {
        "status": status,
        **scores,
        "unit": data.cohort.unit,
        "first_bad": None if bad is None else asdict(bad),
        "rows_train": len(data.train.t),
        "rows_val": len(data.val.t),
        "val_rows": _digest(data.val),
        "rows_val_known": int((data.val.t != HIDDEN).sum()),
        "rows_test": 0 if data.test is None else len(data.test.t),
        "rows_test_known": 0 if data.test is None else int((data.test.t != HIDDEN).sum()),
        "rows_without_outcome": data.cohort.dropped,
        "unseen_levels": data.unseen,
        "code": versions_of(job.targets),
        "batch": config.batch.size,
        "steps": history.step if bad is None else bad.step,
        "failed_scores": failed,
        "own_scores": [{"name": one.name, "title": one.title, "unit": one.unit} for one in own],
    }
