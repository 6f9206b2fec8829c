"""Check jobs against their data and folders, and group them into stacks; the last stop before anything trains."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ssc_sweep import admission
from ssc_sweep.config import RunConfig, without_seed
from ssc_sweep.data.cohort import HIDDEN
from ssc_sweep.data.source import Data
from ssc_sweep.data.splitting import DataSplit
from ssc_sweep.errors import UserError
from ssc_sweep.models.choice import choose
from ssc_sweep.schema import check_arguments
from ssc_sweep.study.folder import RunFolder
from ssc_sweep.study.job import Job, Outcome, Status
from ssc_sweep.training.optimizer import Optimizer
from ssc_sweep.training.scores import of_your_own

# Beyond this many runs a stack gains no speed, and its weights and moments take memory: 5 MB a run for flow_ssc.
LARGEST_STACK = 64


def shared(optimizer: dict[str, Any]) -> dict[str, Any]:
    """The part of an optimiser's config in which the runs of a stack must agree."""
    return {key: value for key, value in optimizer.items() if key not in ("lr", "weight_decay")}


def optimizer_of(node: dict[str, Any]) -> "partial[Optimizer]":
    """The optimiser that a config names; it lacks parameters, lr and weight_decay.

    Raises:
        UserError: it is not admitted, is no optimiser, or does not take these arguments.
    """
    cls, arguments = admission.target("optimizer", shared(node))
    if not (isinstance(cls, type) and issubclass(cls, Optimizer)):
        raise UserError(
            f"optimizer._target_={node['_target_']} is no optimiser: allowed is an Optimizer (training/optimizer.py)."
        )
    check_arguments("optimizer", cls, arguments, ("parameters", "lr", "weight_decay"))
    return partial(cls, **arguments)


def check_targets(config: RunConfig) -> None:
    """Check what model and optimiser are made of; this needs no data.

    Raises:
        UserError: one of their arguments is unknown, missing or out of bounds, or a target is not what it must be.
    """
    choose(config.model)
    optimizer_of(config.optimizer)


def stack_key(config: RunConfig, data: DataSplit) -> str:
    """Runs with equal keys can share a stack: same model, shapes, batches, epochs, precision, labels hidden or not.

    Seeds, rows, learning rate, weight decay and statistics mode may differ.
    """
    check_targets(config)
    alone = "" if choose(config.model).stacks else repr(config)
    tested = None if data.test is None else data.test.x.shape
    shapes = (data.train.x.shape, data.val.x.shape, tested, data.train.y.shape[1], len(data.cohort.treatments))
    hidden = bool((data.train.t_seen == HIDDEN).any())
    schedule = (config.batch, config.epochs, config.clip_norm, config.precision, config.probes)
    return json.dumps(
        [config.model, shared(config.optimizer), repr(shapes), hidden, repr(schedule), alone], sort_keys=True
    )


@dataclass(frozen=True)
class Prepared:
    """Jobs that have been checked: their data, the outcomes of those done before, the stacks of the others."""

    data: Data
    done: dict[int, Outcome]
    stacks: list[list[int]]

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of how the data were read, a line each."""
        return self.data.notes


def _same_arm(job: Job, arms: dict[Path, dict[str, Any]]) -> None:
    """Check that all runs of an arm are of one config, those that lie there from before included.

    Raises:
        UserError: its folder holds runs of another config.
    """
    folder = job.folder.path.parent
    content = without_seed(job.config.content())
    if folder not in arms:
        arms[folder] = content
        for path in sorted(folder.glob("seed=*/config.yaml")):
            if without_seed(RunFolder(path.parent).read_config()) != content:
                raise UserError(
                    f"{path.parent} holds a run of another config than this arm's, and an arm has one config. "
                    "Choose another study=<name>, or remove that folder."
                )


def prepare(jobs: Sequence[Job]) -> Prepared:
    """Check every job against its data and its folder, and group those that are not done into stacks.

    Raises:
        UserError: a config does not fit its data, or a folder holds a run of another config.
    """
    assert len({job.folder for job in jobs}) == len(jobs), "two jobs with one folder would overwrite each other"
    data = Data()
    for scores in dict.fromkeys(job.scores for job in jobs):
        of_your_own(scores)
    done: dict[int, Outcome] = {}
    stacks: dict[str, list[int]] = {}
    arms: dict[Path, dict[str, Any]] = {}
    for index, job in enumerate(jobs):
        finished = job.folder.is_done(job.config.content())
        _same_arm(job, arms)
        if finished:
            done[index] = _finished_before(job)
        else:
            stacks.setdefault(stack_key(job.config, data.split(job.config)), []).append(index)
    parts = [m[start : start + LARGEST_STACK] for m in stacks.values() for start in range(0, len(m), LARGEST_STACK)]
    return Prepared(data, done, parts)


def _finished_before(job: Job) -> Outcome:
    try:
        metrics = job.folder.read_metrics()
        return Outcome(Status(metrics["status"]), metrics)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{job.folder.metrics} of a finished run cannot be read ({type(error).__name__}: {error}). Remove the "
            "folder of that run and start again."
        ) from error
