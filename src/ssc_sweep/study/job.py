"""A job is a run to be trained; a stack, jobs that are trained together; an outcome, how a job ended.

All can be pickled: a stack is sent to the process that trains it. Kept apart from `execute`, which needs torch.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ssc_sweep.config import RunConfig, check, one_choice_each, without_seed
from ssc_sweep.errors import RunsFailed, UserError, reason_in, step_in
from ssc_sweep.progress import say
from ssc_sweep.schema import Names, checked
from ssc_sweep.steering import changes_a_run
from ssc_sweep.study.board import Place
from ssc_sweep.study.folder import RunFolder, StudyFolder, reading, yaml_text
from ssc_sweep.study.hypothesis import CONTROL, Arm, as_override, canonical
from ssc_sweep.study.naming import arm_name, study_folder
from ssc_sweep.study.plan import Plan, read_plan, started_here, write_plan
from ssc_sweep.verdicts.rule import Rule
from ssc_sweep.writing import folder_name

SHOWN = 20  # distinct errors that are shown on the terminal


class Status(StrEnum):
    """How a run ended. The values are the words in metrics.json and the report."""

    FINISHED = "finished"
    DIVERGED = "diverged"
    PRUNED = "pruned"  # stopped early by a search, without a final RMSE
    FAILED = "failed"
    HELD = "held"  # another process is training it


@dataclass(frozen=True)
class Job:
    """A run to be trained.

    Attributes:
        overrides: that made the config.
        study: the study it belongs to.
        scores: names of the user's own scores, measured beside ours.
        weights: whether its weights are kept.
        retry: whether it is trained again if it has failed before.
    """

    config: RunConfig
    folder: RunFolder
    overrides: tuple[str, ...]
    study: StudyFolder
    scores: tuple[str, ...] = ()
    weights: bool = True
    retry: bool = False

    @property
    def targets(self) -> list[str]:
        """Dotted names of the Python objects that it uses."""
        nodes = self.config.model, self.config.dataset, self.config.optimizer
        return [*(str(node["_target_"]) for node in nodes), *self.scores]


@dataclass(frozen=True)
class Stack:
    """Jobs that are trained together, and how.

    Attributes:
        device: "cpu", "cuda", or "auto": the process that trains it decides.
        asks: whether it asks after each epoch whether to go on.
        place: where it reports its progress; None: nowhere.
        admitted: the user's own packages that its configs may name.
        packs: whether its finished runs are gathered in a table.
    """

    jobs: tuple[Job, ...]
    device: str = "cpu"
    asks: bool = False
    place: Place | None = None
    admitted: frozenset[str] = frozenset()
    packs: bool = False

    @property
    def epochs(self) -> int:
        """Epochs of each of its runs."""
        return self.jobs[0].config.epochs


# Called after each epoch with the jobs of a stack, the epoch and each run's RMSE; return False to stop the stack.
GoOn = Callable[[Sequence[Job], int, Sequence[float | None]], bool]


@dataclass(frozen=True)
class Outcome:
    """How a job ended: its metrics if it finished or diverged, or its error in one line if it failed.

    Attributes:
        step: in which it failed; None: outside of one, or unknown.
    """

    status: Status
    metrics: dict[str, Any]
    error: str | None = None
    step: int | None = None

    @property
    def value(self) -> float:
        """RMSE as a search minimises it: NaN for a run without one, never a number that could win."""
        rmse = self.metrics.get("rmse")
        return float("nan") if rmse is None else float(rmse)


@dataclass
class Tally:
    """How many runs of a command have failed, over all rounds of seeds and batches of a search."""

    failures: int = 0


def config_text(config: RunConfig) -> str:
    """Return the text of config.yaml. For the seeds of an arm it differs only in the last line."""
    return _arm_text(json.dumps(without_seed(config.content()))) + f"seed: {config.seed}\n"


@lru_cache(maxsize=256)
def _arm_text(content: str) -> str:
    return yaml_text(json.loads(content))


def ended(job: Job) -> Outcome | None:
    """Read from its folder how a job has ended; None: it has not.

    Raises:
        UserError: the folder holds a run of another config, or cannot be read.
    """
    folder = job.folder
    with reading(folder.path):
        if folder.is_done(job.config.content, config_text(job.config)):
            try:
                metrics = folder.read_metrics()
                return Outcome(Status(metrics["status"]), metrics)
            except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
                raise UserError(
                    f"{folder.metrics} of a finished run cannot be read ({type(error).__name__}: {error}). Remove "
                    f"{folder.kept_in} and start again."
                ) from error
        if folder.has(folder.failed):
            trace = folder.read_trace()
            return Outcome(Status.FAILED, {}, reason_in(trace), step_in(trace))
    return None


def make_job(cfg: DictConfig, overrides: Sequence[str]) -> Job:
    """Make the job of a composed config; `overrides` are those that composed it.

    If no sweeper has named the arm, its folder is named after the overrides.

    Raises:
        UserError: the config is wrong.
    """
    one_choice_each(overrides)
    if "hypothesis" in cfg and cfg.arm is None:
        raise UserError("a hypothesis has arms, which this sweeper does not know: leave hydra/sweeper=... out.")
    changes = [text for text in overrides if changes_a_run(text.partition("=")[0])]
    study = study_folder(cfg.outputs, cfg.study)
    arm = arm_name(cfg.arm, cfg.study) or (folder_name(canonical(changes)) if changes else CONTROL)
    return Job(check(cfg), study.run(arm, cfg.seed), tuple(overrides), study, own_scores(cfg))


def own_scores(cfg: DictConfig) -> tuple[str, ...]:
    """Return the user's own scores that a config names.

    Raises:
        UserError: it holds no list of names.
    """
    plain = OmegaConf.to_container(cfg.scores) if OmegaConf.is_config(cfg.scores) else cfg.scores
    return checked("scores", Names, plain)


def run_overrides(arm: Arm, seed: int, study: StudyFolder) -> list[str]:
    """Return the overrides of one run of a study: those of its arm, its folder and its seed."""
    place = {"outputs": str(study.path.parent), "study": study.path.name, "arm": arm.folder}
    return [*arm.overrides, *(as_override(key, value) for key, value in place.items()), f"seed={seed}"]


def describe(jobs: Sequence[Job], rule: Rule, settings: dict[str, Any] | None = None) -> None:
    """Add this start to study.yaml, and arms and seeds that none of our sweepers has planned."""
    # Hydra's basic sweeper takes several studies in one command.
    for study in dict.fromkeys(job.study for job in jobs):
        _describe(study, [job for job in jobs if job.study == study], rule, settings)


def _describe(study: StudyFolder, jobs: Sequence[Job], rule: Rule, settings: dict[str, Any] | None) -> None:
    before = read_plan(study) if study.study.exists() else None
    known = {(arm.folder, seed) for arm in before.arms for seed in before.seeds} if before else set()
    new = {}
    for job in jobs:
        folder = job.folder.path.parent.relative_to(study.path).as_posix()
        if (folder, job.config.seed) not in known:
            new[folder, job.config.seed] = Arm(folder, folder, None, None, job.overrides)
    if new or not started_here(study):
        arms = tuple({folder: arm for (folder, _), arm in new.items()}.values())
        write_plan(study, Plan(tuple(sorted({seed for _, seed in new})), arms, rule, settings=settings))


def failure_lines(failed: Sequence[tuple[Path, Outcome]]) -> list[str]:
    """Return a line for each distinct error of failed runs, given by folder: the first run, and how many more.

    >>> twice = [Outcome(Status.FAILED, {}, "no memory", step) for step in (3, 7)]
    >>> failure_lines([(Path("lr/seed=0"), twice[0]), (Path("lr/seed=1"), twice[1])])
    ['failed: lr/seed=0 in step 3 and 1 more: no memory']
    """
    runs: dict[str, list[str]] = {}
    for path, outcome in failed:
        step = "" if outcome.step is None else f" in step {outcome.step:,}"
        runs.setdefault(str(outcome.error), []).append(f"{path}{step}")
    lines = [
        f"failed: {paths[0]}{f' and {len(paths) - 1:,} more' if len(paths) > 1 else ''}: {error}"
        for error, paths in runs.items()
    ]
    left = sum(map(len, runs.values())) - sum(map(len, list(runs.values())[:SHOWN]))
    return lines[:SHOWN] + ([f"and {left:,} more: summary.csv names all of them"] if left else [])


def raise_failures(jobs: Sequence[Job], outcomes: Sequence[Outcome | None]) -> None:
    """Report the runs that failed.

    Raises:
        RunsFailed: some did.
    """
    failed = [(job, one) for job, one in zip(jobs, outcomes, strict=True) if one and one.status is Status.FAILED]
    say(failure_lines([(job.folder.path, one) for job, one in failed]))
    if failed:
        left = sum(outcome is None for outcome in outcomes)
        ending = f" {left} runs were not begun." if left else ""
        raise RunsFailed(len(failed), len(jobs), str(failed[0][1].error), ending)
