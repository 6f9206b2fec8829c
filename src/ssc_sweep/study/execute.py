"""Turn configs into finished run folders: the one way a run is trained, for one run, a sweep and a search alike.

Jobs of equal tensor shapes are trained together as a stack. A run's result does not depend on its neighbours, so how
jobs are grouped is a matter of speed alone.
"""

import math
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import torch

from ssc_sweep.data.cohort import HIDDEN, Floats
from ssc_sweep.data.source import Data
from ssc_sweep.data.splitting import DataSplit, Rows
from ssc_sweep.errors import UserError
from ssc_sweep.models.choice import choose
from ssc_sweep.models.contract import Sizes
from ssc_sweep.streams import stream
from ssc_sweep.study.job import GoOn, Job, Outcome, Status
from ssc_sweep.study.prepare import optimizer_of, prepare
from ssc_sweep.study.record import Result, write_failure, write_run, write_start
from ssc_sweep.training.loop import Schedule, Trained, subnormals_are_zero, to_the_end, train
from ssc_sweep.training.measure import Answers
from ssc_sweep.training.scores import OF_THE_ROWS, Measured, measure, measure_own, of_your_own
from ssc_sweep.training.stack import assemble


def _silent(epochs: int, runs: int) -> None:
    """Progress that nobody watches."""


def _nothing(notes: tuple[str, ...]) -> None:
    """Nothing to do between the checks and the training."""


def execute(
    jobs: Sequence[Job],
    advance: Callable[[int, int], None] = _silent,
    checked: Callable[[tuple[str, ...]], None] = _nothing,
    go_on: GoOn | None = None,
) -> list[Outcome]:
    """Train every job that is not done yet and return how each ended, in the order of `jobs`.

    Args:
        jobs: with distinct folders.
        advance: told (epochs, runs) that came to an end, each summed over runs, whenever some do.
            The first call follows the checks.
        checked: called when every job has been checked, before anything is written or trained; it is told how the data
            were read, a line each.
        go_on: may stop a stack between two epochs; its runs are then pruned. Needs probes=true. None: nothing does.

    Raises:
        UserError: a config does not fit its data, or a folder cannot be used. Nothing has been trained then.
    """
    prepared = prepare(jobs)
    checked(prepared.notes)
    outcomes = dict(prepared.done)
    for index in sorted(index for part in prepared.stacks for index in part):
        write_start(jobs[index].folder, jobs[index].config.content(), jobs[index].overrides)
    advance(sum(jobs[index].config.epochs for index in outcomes), len(outcomes))
    with subnormals_are_zero():
        for part in prepared.stacks:
            ended = _run_stack([jobs[i] for i in part], prepared.data, advance, go_on)
            outcomes.update(zip(part, ended, strict=True))
    return [outcomes[index] for index in range(len(jobs))]


def _run_stack(jobs: list[Job], data: Data, advance: Callable[[int, int], None], go_on: GoOn | None) -> list[Outcome]:
    """Train one stack. If it fails with several runs, each is tried alone, so that only the guilty one fails."""
    try:
        results = _train_stack(jobs, [data.split(job.config) for job in jobs], advance, go_on)
    except UserError:
        raise
    except Exception as error:
        if len(jobs) > 1:
            # Their epochs have been counted, as far as they came.
            uncounted = lambda _, runs: advance(0, runs)  # noqa: E731
            return [outcome for job in jobs for outcome in _run_stack([job], data, uncounted, go_on)]
        write_failure(jobs[0].folder, jobs[0].config.content(), jobs[0].overrides, traceback.format_exc())
        advance(0, 1)
        return [Outcome(Status.FAILED, {}, error)]
    for job, result in zip(jobs, results, strict=True):
        write_run(job.folder, job.config.content(), job.overrides, result)
    advance(0, len(jobs))
    return [Outcome(Status(result.metrics["status"]), result.metrics) for result in results]


def _train_stack(
    jobs: list[Job], splits: list[DataSplit], advance: Callable[[int, int], None], go_on: GoOn | None
) -> list[Result]:
    configs = [job.config for job in jobs]
    first, runs = configs[0], len(configs)
    dtype = getattr(torch, first.precision.dtype)
    rows = assemble(splits, dtype, torch.device("cpu"))
    sizes = Sizes(splits[0].train.x.shape[1], splits[0].train.y.shape[1], len(splits[0].cohort.treatments))
    seeds, stats = [config.seed for config in configs], [config.stats_mode for config in configs]
    # Only a model that does not stack draws from torch's global generator; it is always alone.
    torch.manual_seed(int(stream(first.seed, "torch").integers(2**63)))
    choice = choose(first.model)
    model = choice.build(sizes, seeds, stats).to(dtype)
    make_optimizer = partial(
        optimizer_of(first.optimizer),
        lr=[config.optimizer["lr"] for config in configs],
        weight_decay=[config.optimizer["weight_decay"] for config in configs],
    )
    schedule = Schedule(first.epochs, first.batch.size, first.batch.drop_last, first.clip_norm, first.probes)
    start = time.perf_counter()
    stop = to_the_end if go_on is None else partial(go_on, jobs)
    trained = train(model, rows, make_optimizer, schedule, lambda epochs: advance(runs * epochs, 0), stop)
    seconds = (time.perf_counter() - start) / runs
    about = {
        "model": choice.name,
        "covariates": sizes.d_x,
        "parameters": sum(p.numel() for p in model.parameters()) // runs,
        "seconds": round(seconds, 3),
        "stack": runs,
        "unused": list(trained.unused),
        "probes": [asdict(probe) for probe in model.probes],
    }
    return [
        Result(
            metrics=_metrics(job, data, run, trained) | about,
            history=trained.history.rows[run],
            val=data.val,
            cohort=data.cohort,
            outcome=trained.val.predictions.outcome[run],
            treatment_log_prob=trained.val.predictions.treatment_log_prob[run],
            state=model.run_state(run),
        )
        for run, (job, data) in enumerate(zip(jobs, splits, strict=True))
    ]


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


def _metrics(job: Job, data: DataSplit, run: int, trained: Trained) -> dict[str, Any]:
    """What is said of a run: how it ended, its scores, what it was made of."""
    history, config = trained.history, job.config
    bad = history.bad[run]
    status = Status.DIVERGED if bad is not None else Status.PRUNED if history.stopped else Status.FINISHED
    own = of_your_own(job.scores)
    finished = status is Status.FINISHED
    val = _measured(trained.val, run, data.val, data)
    own_values, failed = measure_own(val, own)
    scores = measure(val) | own_values
    # What is known of the rows alone, a lost run has too.
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
        "rows_val_known": int((data.val.t != HIDDEN).sum()),
        "rows_test": 0 if data.test is None else len(data.test.t),
        "rows_test_known": 0 if data.test is None else int((data.test.t != HIDDEN).sum()),
        "rows_without_outcome": data.cohort.dropped,
        "unseen_levels": data.unseen,
        "batch": config.batch.size,
        "steps": history.step if bad is None else bad.step,
        "failed_scores": failed,
        "own_scores": [{"name": one.name, "title": one.title, "unit": one.unit} for one in own],
    }
