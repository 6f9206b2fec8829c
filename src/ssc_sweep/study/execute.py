"""Turn configs into finished run folders: the one way a run is trained, for one run, a sweep and a search alike.

Jobs of equal tensor shapes are trained together as a stack. A run's result does not depend on its neighbours, so how
jobs are grouped is a matter of speed alone.
"""

import json
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from hydra.utils import instantiate

from ssc_sweep.config import RunConfig
from ssc_sweep.data.cohort import Cohort
from ssc_sweep.data.splitting import DataSplit, split
from ssc_sweep.errors import UserError
from ssc_sweep.models.contract import Model, Sizes
from ssc_sweep.study.job import Job, Outcome, Status
from ssc_sweep.study.record import Result, write_failure, write_run
from ssc_sweep.training.loop import Schedule, train
from ssc_sweep.training.metrics import mean_predictor_rmse
from ssc_sweep.training.stack import assemble

# Beyond this many runs a stack gains no speed, and its weights and moments take memory: 5 MB a run for flow_ssc.
LARGEST_STACK = 64


def target(node: dict[str, Any]) -> Any:
    """The Python target that a config names, with the arguments of the config bound to it (a functools.partial)."""
    return instantiate({**node, "_partial_": True})


def _shared(optimizer: dict[str, Any]) -> dict[str, Any]:
    """The part of an optimiser's config in which the runs of a stack must agree."""
    return {key: value for key, value in optimizer.items() if key not in ("lr", "weight_decay")}


class Data:
    """Cohorts and splits, made once for all the runs that share them."""

    def __init__(self) -> None:
        self._cohorts: dict[str, Cohort] = {}
        self._splits: dict[str, DataSplit] = {}

    def split(self, config: RunConfig) -> DataSplit:
        parts = (config.dataset_size, config.split, config.covariates, config.labels, config.scaling)
        source = json.dumps(config.dataset, sort_keys=True)
        key = f"{source} {config.seed} {config.batch.size} {parts}"
        if source not in self._cohorts:
            self._cohorts[source] = instantiate(config.dataset)
        if key not in self._splits:
            self._splits[key] = split(self._cohorts[source], config)
        return self._splits[key]


def stack_key(config: RunConfig, data: DataSplit) -> str:
    """Runs with equal keys can share a stack: same model, shapes, batches, epochs and precision.

    Seeds, rows, learning rate, weight decay and statistics mode may differ.
    """
    alone = "" if target(config.model).func.stacks else repr(config)
    shapes = (data.train.x.shape, data.val.x.shape, data.train.y.shape[1], len(data.cohort.treatments))
    schedule = (config.batch, config.epochs, config.clip_norm, config.precision, config.probes)
    return json.dumps([config.model, _shared(config.optimizer), repr(shapes), repr(schedule), alone], sort_keys=True)


def _silent(epochs: int, runs: int) -> None:
    """Progress that nobody watches."""


def execute(jobs: Sequence[Job], advance: Callable[[int, int], None] = _silent) -> list[Outcome]:
    """Train every job that is not done yet and return how each ended, in the order of `jobs`.

    Args:
        jobs: with distinct folders.
        advance: told (epochs, runs) that came to an end, each summed over runs, whenever some do.

    Raises:
        UserError: a config does not fit its data, or a folder cannot be used. Nothing has been trained then.
    """
    assert len({job.folder for job in jobs}) == len(jobs), "two jobs with one folder would overwrite each other"
    data = Data()
    outcomes: dict[int, Outcome] = {}
    stacks: dict[str, list[int]] = {}
    for index, job in enumerate(jobs):
        if job.folder.is_done(job.config.content()):
            outcomes[index] = _finished_before(job)
            advance(job.config.epochs, 1)
        else:
            stacks.setdefault(stack_key(job.config, data.split(job.config)), []).append(index)
    for members in stacks.values():
        for start in range(0, len(members), LARGEST_STACK):
            part = members[start : start + LARGEST_STACK]
            ended = _run_stack([jobs[i] for i in part], data, advance)
            outcomes.update(zip(part, ended, strict=True))
    return [outcomes[index] for index in range(len(jobs))]


def _finished_before(job: Job) -> Outcome:
    metrics = job.folder.read_metrics()
    return Outcome(Status(metrics["status"]), metrics)


def _run_stack(jobs: list[Job], data: Data, advance: Callable[[int, int], None]) -> list[Outcome]:
    """Train one stack. If it fails with several runs, each is tried alone, so that only the guilty one fails."""
    try:
        results = _train_stack(jobs, [data.split(job.config) for job in jobs], advance)
        for job, result in zip(jobs, results, strict=True):
            write_run(job.folder, job.config.content(), job.overrides, result)
    except UserError:
        raise
    except Exception as error:
        if len(jobs) > 1:
            return [outcome for job in jobs for outcome in _run_stack([job], data, _silent)]
        write_failure(jobs[0].folder, jobs[0].config.content(), jobs[0].overrides, traceback.format_exc())
        return [Outcome(Status.FAILED, {}, error)]
    advance(0, len(jobs))
    return [Outcome(Status(result.metrics["status"]), result.metrics) for result in results]


def _train_stack(jobs: list[Job], splits: list[DataSplit], advance: Callable[[int, int], None]) -> list[Result]:
    configs = [job.config for job in jobs]
    first, runs = configs[0], len(configs)
    dtype = getattr(torch, first.precision.dtype)
    rows = assemble(splits, dtype, torch.device("cpu"))
    sizes = Sizes(splits[0].train.x.shape[1], splits[0].train.y.shape[1], len(splits[0].cohort.treatments))
    seeds, stats = [config.seed for config in configs], [config.stats_mode for config in configs]
    model: Model = target(first.model)(sizes, seeds, stats).to(dtype)
    make_optimizer = partial(
        target(_shared(first.optimizer)),
        lr=[config.optimizer["lr"] for config in configs],
        weight_decay=[config.optimizer["weight_decay"] for config in configs],
    )
    schedule = Schedule(first.epochs, first.batch.size, first.batch.drop_last, first.clip_norm, first.probes)
    start = time.perf_counter()
    history, predictions = train(model, rows, make_optimizer, schedule, lambda: advance(runs, 0))
    seconds = (time.perf_counter() - start) / runs
    results = []
    for run, (data, config) in enumerate(zip(splits, configs, strict=True)):
        bad = history.bad[run]
        scores = predictions.scores(run, data.val.y, data.val.t) if bad is None else {"rmse": None, "accuracy": None}
        metrics = {
            "status": Status.FINISHED if bad is None else Status.DIVERGED,
            **scores,
            "mean_predictor_rmse": mean_predictor_rmse(data.train.y, data.val.y),
            "unit": data.cohort.unit,
            "first_bad": None if bad is None else asdict(bad),
            "rows_train": len(data.train.t),
            "rows_val": len(data.val.t),
            "covariates": sizes.d_x,
            "steps": history.step,
            "parameters": sum(p.numel() for p in model.parameters()) // runs,
            "seconds": round(seconds, 3),
            "stack": runs,
        }
        results.append(
            Result(
                metrics=metrics,
                history=history.rows[run],
                val=data.val,
                cohort=data.cohort,
                outcome=predictions.outcome[run],
                treatment_log_prob=predictions.treatment_log_prob[run],
                state=model.run_state(run),
            )
        )
        assert config.seed == model.seeds[run]
    return results
