"""Hydra launcher: trains a batch of jobs in stacks on all cores, and returns as if it had trained them one by one.

Any sweeper - hypotheses, a grid, Optuna - gains the speed without changes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from ssc_sweep.errors import RunFailed, UserError, type_and_message
from ssc_sweep.progress import STARTING, doing
from ssc_sweep.steering import Running
from ssc_sweep.study.composing import Composer
from ssc_sweep.study.folder import RunFolder
from ssc_sweep.study.job import GoOn, Job, Outcome, Status, Tally, describe, ended, make_job
from ssc_sweep.study.workers import start_server
from ssc_sweep.verdicts.rule import read_rule

if TYPE_CHECKING:
    from ssc_sweep.study.prepare import Prepared


@dataclass
class StackLauncherConf:
    """Config of `hydra/launcher=stack`."""

    _target_: str = "ssc_sweep.study.launcher.StackLauncher"


ConfigStore.instance().store(group="hydra/launcher", name="stack", node=StackLauncherConf, provider="ssc_sweep")


class StackLauncher(Launcher):
    """See the module."""

    def __init__(self) -> None:
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None
        self.go_on: GoOn | None = None  # a search sets it, to stop unpromising trials between two epochs
        self.tally = Tally()

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:  # noqa: ARG002
        self.config, self.hydra_context = config, hydra_context

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:  # noqa: ARG002
        """Compose all jobs, train them in stacks, return one JobReturn each. Equal jobs are trained once.

        Raises:
            UserError: a config does not fit its data, or two jobs have one folder; nothing has been trained.
        """
        assert self.config is not None
        rule = read_rule(self.config)
        jobs = [make_job(self._compose(overrides), overrides) for overrides in job_overrides]
        once = _distinct(jobs)
        outcomes = self.train(once, lambda _: describe(once, rule))
        how = {job.folder: outcome for job, outcome in zip(once, outcomes, strict=True)}
        return [_job_return(job, how[job.folder]) for job in jobs]

    def train(self, jobs: Sequence[Job], begin: "Callable[[Prepared], None]") -> "list[Outcome | None]":
        """Train jobs of distinct folders; see `conduct`.

        Raises:
            UserError: a config does not fit its data, or a folder cannot be used or written.
        """
        assert self.config is not None
        running = Running.of(self.config)
        if running.workers != 0:
            start_server()
        setup_globals()
        # Imported here: torch takes a second that --help and wrong overrides should not cost.
        with doing(STARTING):
            from ssc_sweep.study.conduct import ThisMachine, conduct

        return conduct(jobs, running, ThisMachine(), begin, self.go_on, self.tally)

    @cached_property
    def _compose(self) -> Composer:
        assert self.config is not None and self.hydra_context is not None
        return Composer(self.config, self.hydra_context)


def _distinct(jobs: Sequence[Job]) -> list[Job]:
    """Return the first job of each folder: a sampler may propose a point twice in a batch.

    Raises:
        UserError: jobs of different configs share a folder.
    """
    first: dict[RunFolder, Job] = {}
    for job in jobs:
        if first.setdefault(job.folder, job).config != job.config:
            raise UserError(
                f"{job.folder.path} would hold two different runs: {' '.join(first[job.folder].overrides)} and "
                f"{' '.join(job.overrides)}. Leave arm=<name> out, so that every run has a folder of its own."
            )
    return list(first.values())


def _job_return(job: Job, outcome: Outcome | None) -> JobReturn:
    """Return a job's result for the sweeper: its RMSE, or the error that ended it."""
    error = None
    if outcome is None:
        error = RunFailed("it was not trained")
    elif outcome.error is not None:
        error = RunFailed(outcome.error)
    return JobReturn(
        overrides=list(job.overrides),
        working_dir=str(Path.cwd()),
        status=JobStatus.COMPLETED if error is None else JobStatus.FAILED,
        _return_value=error if outcome is None or error is not None else outcome.value,
    )


def outcome_returned(job: Job, returned: JobReturn) -> Outcome:
    """Return how a job ended under one of Hydra's launchers, which store what the job raised.

    Raises:
        UserError: the job raised it.
    """
    error = returned._return_value
    if isinstance(error, UserError):
        raise error
    found = ended(job)
    if found is None:
        return Outcome(Status.FAILED, {}, type_and_message(error))
    return found
