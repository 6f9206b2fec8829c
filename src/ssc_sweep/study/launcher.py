"""Hydra launcher: trains a batch of jobs in stacks instead of one after another, and returns as if it had not.

Whatever sweeper hands it jobs - hypotheses, a grid, Optuna - gains the speed without knowing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from ssc_sweep.study.job import Job, Outcome, make_job
from ssc_sweep.study.progress import progress_bar


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
        self.task_function: TaskFunction | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config, self.hydra_context, self.task_function = config, hydra_context, task_function

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Compose all jobs, train them in stacks, return one JobReturn each.

        Raises:
            UserError: a config does not fit its data; nothing has been trained.
        """
        assert self.config is not None and self.hydra_context is not None
        # Imported here: torch takes a second that --help and wrong overrides should not cost.
        from ssc_sweep.study.execute import execute

        setup_globals()
        loader = self.hydra_context.config_loader
        configs = [loader.load_sweep_config(self.config, list(overrides)) for overrides in job_overrides]
        jobs = [make_job(cfg, overrides) for cfg, overrides in zip(configs, job_overrides, strict=True)]
        with progress_bar(len(jobs), sum(job.config.epochs for job in jobs)) as advance:
            outcomes = execute(jobs, advance)
        returns = []
        for index, (cfg, job, outcome) in enumerate(zip(configs, jobs, outcomes, strict=True), initial_job_idx):
            returns.append(_job_return(cfg, index, job, outcome))
        return returns


def _job_return(cfg: DictConfig, index: int, job: Job, outcome: Outcome) -> JobReturn:
    """What Hydra's own launchers return for this job: its RMSE, or the error that ended it."""
    with open_dict(cfg):
        cfg.hydra.job.id, cfg.hydra.job.num = str(index), index
        hydra_cfg = OmegaConf.create({"hydra": cfg.hydra})
        del cfg["hydra"]
    return JobReturn(
        overrides=list(job.overrides),
        cfg=cfg,
        hydra_cfg=hydra_cfg,
        working_dir=str(Path.cwd()),
        task_name=hydra_cfg.hydra.job.name,
        status=JobStatus.COMPLETED if outcome.error is None else JobStatus.FAILED,
        _return_value=outcome.value if outcome.error is None else outcome.error,
    )
