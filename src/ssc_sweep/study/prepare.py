"""Check jobs against their data and folders, and group them into stacks: the last step before training."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ssc_sweep import admission
from ssc_sweep.audit.findings import leak_lines
from ssc_sweep.audit.forecast import foretell, model_name
from ssc_sweep.config import RunConfig, without_seed
from ssc_sweep.data.cohort import HIDDEN
from ssc_sweep.data.source import Data
from ssc_sweep.data.splitting import DataSplit
from ssc_sweep.errors import DoesNotFit, UserError
from ssc_sweep.lines import listed
from ssc_sweep.models.choice import choose
from ssc_sweep.models.contract import Sizes
from ssc_sweep.progress import doing, passing
from ssc_sweep.schema import check_arguments
from ssc_sweep.study.folder import reading
from ssc_sweep.study.job import Job, Outcome, Status, config_text, ended
from ssc_sweep.study.memory import bytes_of_a_number, of_stack
from ssc_sweep.training.optimizer import Optimizer
from ssc_sweep.training.scores import of_your_own

MOST_WARNINGS = 3  # lines about forecasts
MOST_ARMS = 4  # arms that such a line names


def shared(optimizer: dict[str, Any]) -> dict[str, Any]:
    """Return the part of an optimiser's config that must be equal for all runs of a stack."""
    return {key: value for key, value in optimizer.items() if key not in ("lr", "weight_decay")}


def optimizer_of(node: dict[str, Any]) -> "partial[Optimizer]":
    """Return the optimiser that a config names, without parameters, lr and weight_decay.

    Raises:
        UserError: it is not admitted, is no optimiser, or rejects these arguments.
    """
    cls, arguments = admission.target("optimizer", shared(node))
    if not (isinstance(cls, type) and issubclass(cls, Optimizer)):
        raise UserError(
            f"optimizer._target_={node['_target_']} is no optimiser: allowed is an Optimizer (training/optimizer.py)."
        )
    check_arguments("optimizer", cls, arguments, ("parameters", "lr", "weight_decay"))
    return partial(cls, **arguments)


def check_targets(config: RunConfig) -> None:
    """Check the targets and arguments of model and optimiser; this needs no data.

    Raises:
        UserError: an argument is unknown, missing or out of bounds, or a target is of the wrong kind.
    """
    choose(config.model)
    optimizer_of(config.optimizer)


def sizes_of(data: DataSplit) -> Sizes:
    """Return the sizes of the data that a model is given."""
    return Sizes(data.train.x.shape[1], data.train.y.shape[1], len(data.cohort.treatments))


def _of_config(config: RunConfig) -> str:
    """Return the part of a stack's key that the runs of an arm share; runs of equal keys can share a stack.

    They have the same model, shapes, batches, epochs, precision, and labels hidden or not. Seeds, rows, learning rate,
    weight decay and statistics mode may differ.
    """
    check_targets(config)
    alone = "" if choose(config.model).stacks else repr(config)
    schedule = (config.batch, config.epochs, config.clip_norm, config.precision, config.probes)
    return json.dumps([config.model, shared(config.optimizer), repr(schedule), alone], sort_keys=True)


def _of_rows(data: DataSplit) -> str:
    """Return the part that depends on rows."""
    tested = None if data.test is None else data.test.x.shape
    shapes = (data.train.x.shape, data.val.x.shape, tested, data.train.y.shape[1], len(data.cohort.treatments))
    return f"{shapes} {bool((data.train.t_seen == HIDDEN).any())}"


# A step passes over the weights once, whatever its batch; this many rows take as long again. Measured with flow_ssc:
# 1.31, 2.02 and 2.69 ms with batches of 10, 32 and 64; mean_teacher and ganite take 68 and 52 rows.
ROWS_OF_A_PASS = 40


@dataclass(frozen=True)
class Group:
    """Jobs, by number, that may share stacks, and the cost of training one of them.

    Attributes:
        alone: whether each must be a stack of its own.
        steps: updates of one run.
        load: of one step, its time relative to other groups.
        bytes_each, bytes_once: memory of one run, and memory that all runs of a stack share.
        weights: bytes of the weights of one run.
        rows_val: rows that each run predicts.
    """

    jobs: tuple[int, ...]
    alone: bool
    steps: int
    load: float
    bytes_each: int
    bytes_once: int
    weights: int
    rows_val: int


@dataclass(frozen=True)
class Prepared:
    """Checked jobs: outcomes of those that ended before, and groups of the others.

    Attributes:
        notes: lines to show the user before training: how the data were read, whether code of the user's has
            changed since, columns that leak, and what is forecast to fail.
    """

    ended: dict[int, Outcome]
    groups: tuple[Group, ...]
    notes: tuple[str, ...]


def _same_arm(job: Job, arms: dict[Path, str]) -> None:
    """Check that all runs of an arm have one config, including runs of earlier starts.

    Raises:
        UserError: its folder holds runs of another config.
    """
    folder = job.folder.path.parent
    text = _without_seed(config_text(job.config))
    if folder not in arms:
        arms[folder] = text
        for lies_there in job.study.runs_of(folder):
            try:
                with reading(lies_there.config):
                    there = lies_there.read(lies_there.config).decode("utf-8", errors="replace")
            except FileNotFoundError:
                continue  # removed since
            same = _without_seed(there) == text
            if not same and without_seed(lies_there.read_config()) != without_seed(job.config.content()):
                raise UserError(
                    f"{lies_there.path} holds a run of another config than this arm's, and an arm has one config. "
                    f"Choose another study=<name>, or remove {lies_there.kept_in}."
                )
    elif arms[folder] != text:
        raise UserError(f"{folder} would hold runs of two configs. Leave arm=<name> out, so that each has a folder.")


def _without_seed(text: str) -> str:
    return text[: text.rstrip().rfind("\n") + 1]


def prepare(jobs: Sequence[Job]) -> Prepared:
    """Check every job against its data and its folder, and group those to be trained.

    Raises:
        UserError: a config does not fit its data, or a folder holds a run of another config.
    """
    assert len({job.folder for job in jobs}) == len(jobs), "two jobs with one folder would overwrite each other"
    data = Data(keep=False)
    for study in dict.fromkeys(job.study for job in jobs):
        study.look()
    for scores in dict.fromkeys(job.scores for job in jobs):
        of_your_own(scores)
    before: dict[int, Outcome] = {}
    members: dict[str, list[int]] = {}
    samples: dict[str, tuple[RunConfig, DataSplit]] = {}
    arms: dict[Path, str] = {}
    of_arms: dict[Path, str] = {}
    of_rows: dict[str, str] = {}
    firsts: dict[tuple[str, str], RunConfig] = {}
    arms_of: dict[tuple[str, str], list[str]] = {}
    for index, job in enumerate(passing(jobs, "runs checked")):
        outcome = ended(job)
        _same_arm(job, arms)
        if outcome is not None and not (outcome.status is Status.FAILED and job.retry):
            before[index] = outcome
            continue
        arm, rows = job.folder.path.parent, data.key(job.config)
        if arm not in of_arms:
            of_arms[arm] = _of_config(job.config)
            kind = model_name(job.config.model), rows
            firsts.setdefault(kind, job.config)
            arms_of.setdefault(kind, []).append(arm.relative_to(job.study.path).as_posix())
        if rows not in of_rows:
            with nullcontext() if of_rows else doing("reading the data"):
                of_rows[rows] = _of_rows(data.split(job.config))
        key = of_arms[arm] + of_rows[rows]
        members.setdefault(key, []).append(index)
        if key not in samples:
            samples[key] = job.config, data.split(job.config)
    groups = tuple(_group(tuple(members[key]), *samples[key]) for key in members)
    with doing("forecasting which runs fail"):
        warnings = _warnings(firsts, arms_of, data)
    first = next(iter(firsts.values()), None)
    leaks = leak_lines(first, data.split(first)) if first else []
    kept = _changed_code((jobs[index], outcome) for index, outcome in before.items())
    useless = _without_codes(firsts.values(), data)
    return Prepared(before, groups, (*data.notes, *useless, *kept, *leaks, *warnings))


def _without_codes(configs: Iterable[RunConfig], data: Data) -> list[str]:
    """Return a line if runs read codes as gaps where no row holds one: they are the runs that read them as values."""
    reading_gaps = [config for config in configs if config.scaling.codes == "missing"]
    if all(any(column.codes for column in data.split(config).cohort.columns) for config in reading_gaps):
        return []
    return [
        "scaling.codes=missing changes nothing where no row holds a declared code. Declare what the audit suspects: "
        "dataset.codes.<column>=[<code>]"
    ]


def _changed_code(ended: Iterable[tuple[Job, Outcome]]) -> list[str]:
    """Return a line for each file of the user's code that was written after some of these runs had ended."""
    files: dict[str, Path | None] = {}
    changed: dict[tuple[Path, bool], None] = {}
    for job, outcome in ended:
        own = [target for target in job.targets if not admission.is_ours(target)]
        files |= {target: admission.file_of(target) for target in own if target not in files}
        for file in {files[target] for target in own}:
            if file is not None and file.stat().st_mtime > job.folder.written():
                changed[file, outcome.status is Status.FAILED] = None
    then = {
        True: "had failed: retry=failed tries them again.",
        False: "had ended; they stay as they are. If a change alters results, choose another study=<name>, so that all "
        "runs have the new code.",
    }
    return [f"{file.name} was written after some of these runs {then[failed]}" for file, failed in changed]


def _warnings(
    configs: Mapping[tuple[str, str], RunConfig], arms_of: Mapping[tuple[str, str], Sequence[str]], data: Data
) -> list[str]:
    """Return a line for each of the first few models and kinds of rows that are likely to fail.

    Args:
        configs: of the first run of each model and kind of rows.
        arms_of: the arms with this model and these rows, which the line names if others have not.
    """
    found: dict[str, list[str]] = {}
    for kind, config in configs.items():
        one = foretell(config, data.split(config))
        if one is not None and one.warning:
            found.setdefault(one.warning, []).extend(arms_of[kind])
    lines = [
        line if len(configs) == 1 else f"{line} Arms: {listed(arms, most=MOST_ARMS)}." for line, arms in found.items()
    ]
    more = len(lines) - MOST_WARNINGS
    return (
        lines if more <= 0 else [*lines[:MOST_WARNINGS], f"forecast: {more} more such lines; the report has every arm"]
    )


def _group(jobs: tuple[int, ...], config: RunConfig, data: DataSplit) -> Group:
    choice = choose(config.model)
    with admission.calling(f"model._target_={config.model['_target_']}", DoesNotFit):
        model = choice.build(sizes_of(data), [config.seed], [config.stats_mode])
    parameters = list(model.parameters())
    rows = len(data.train.t)
    size = config.batch.size
    steps = config.epochs * (rows // size if config.batch.drop_last else math.ceil(rows / size))
    weights = sum(p.numel() for p in parameters)
    each, once = of_stack(config, data, parameters, model.every_treatment)
    load = weights * (1 + size / ROWS_OF_A_PASS)
    stored = weights * bytes_of_a_number(config)
    return Group(jobs, not choice.stacks, steps, load, each, once, stored, len(data.val.t))
