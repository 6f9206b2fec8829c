"""Check jobs against their data and folders, and group them into stacks; the last stop before anything trains."""

import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from ssc_sweep.bounds import bounded_arguments
from ssc_sweep.config import ALLOWED_TARGETS, RunConfig, without_seed
from ssc_sweep.data.cohort import Cohort
from ssc_sweep.data.splitting import HIDDEN, DataSplit, split
from ssc_sweep.errors import UserError
from ssc_sweep.models.contract import Model
from ssc_sweep.study.folder import RunFolder
from ssc_sweep.study.job import Job, Outcome, Status
from ssc_sweep.training.optimizer import Optimizer

# Beyond this many runs a stack gains no speed, and its weights and moments take memory: 5 MB a run for flow_ssc.
LARGEST_STACK = 64


def target(group: str, node: dict[str, Any]) -> Any:
    """The Python target that a config group names, with the arguments of the config bound to it (functools.partial).

    Raises:
        UserError: there is no such target, it is not ours, or it does not take one of the arguments.
    """
    named = f"{group}._target_={node.get('_target_')}"
    try:
        bound = instantiate({**node, "_partial_": True}, _execution_whitelist_=ALLOWED_TARGETS)
        inspect.signature(bound.func).bind_partial(**bound.keywords)
    except (InstantiationException, AttributeError) as error:
        raise UserError(f"{named} cannot be used: allowed is a class or function of ssc_sweep. {error}") from error
    except TypeError as error:
        raise UserError(f"{named}: {error}. Its docstring names what it takes.") from error
    return bound


def _complete(group: str, bound: Any, given: Sequence[str]) -> None:
    """Check that a target has all its arguments, those that are `given` by whoever calls it left out.

    Raises:
        UserError: one is missing.
    """
    for name, parameter in inspect.signature(bound.func).parameters.items():
        if parameter.default is parameter.empty and name not in (*bound.keywords, *given):
            raise UserError(
                f"{group}.{name} is missing, and {bound.func.__name__} needs it: give {group}.{name}=<value>."
            )


def shared(optimizer: dict[str, Any]) -> dict[str, Any]:
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
            make = target("dataset", config.dataset)
            _complete("dataset", make, ())
            self._cohorts[source] = make()
        if key not in self._splits:
            self._splits[key] = split(self._cohorts[source], config)
        return self._splits[key]


def model_class(config: RunConfig) -> type[Model]:
    """The class of the model, once the arguments of model and optimiser have been checked; this needs no data.

    Raises:
        UserError: one of them is unknown, missing or out of bounds, or a target is not what it must be.
    """
    bound_model, bound_optimizer = target("model", config.model), target("optimizer", shared(config.optimizer))
    model, optimizer = bound_model.func, bound_optimizer.func
    if not (isinstance(model, type) and issubclass(model, Model)):
        raise UserError(f"model._target_={config.model['_target_']} is no model: it must be a Model (models/contract).")
    _complete("model", bound_model, ("sizes", "seeds", "stats"))
    bounded_arguments("model", config.model, model.bounds)
    if not (isinstance(optimizer, type) and issubclass(optimizer, Optimizer)):
        raise UserError(
            f"optimizer._target_={config.optimizer['_target_']} is no optimiser: it must be an Optimizer "
            "(training/optimizer)."
        )
    _complete("optimizer", bound_optimizer, ("parameters", "lr", "weight_decay"))
    bounded_arguments("optimizer", config.optimizer, optimizer.bounds)
    return model


def stack_key(config: RunConfig, data: DataSplit) -> str:
    """Runs with equal keys can share a stack: same model, shapes, batches, epochs, precision, labels hidden or not.

    Seeds, rows, learning rate, weight decay and statistics mode may differ.
    """
    alone = "" if model_class(config).stacks else repr(config)
    shapes = (data.train.x.shape, data.val.x.shape, data.train.y.shape[1], len(data.cohort.treatments))
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
