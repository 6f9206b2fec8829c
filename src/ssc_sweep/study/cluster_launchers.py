"""Hydra launchers for stacks on other machines: `hydra/launcher=stack_slurm` and `hydra/launcher=stack_ray`.

The stacks of any study - hypotheses, a grid, a search - become tasks of Slurm or of Ray. docs/SCALING.md says when to
use which.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf
from pydantic import Field

from ssc_sweep.schema import Section
from ssc_sweep.steering import Running
from ssc_sweep.study.folder import StudyFolder
from ssc_sweep.study.job import Job, Outcome
from ssc_sweep.study.launcher import StackLauncher
from ssc_sweep.study.slurm_and_ray import Ray, Slurm
from ssc_sweep.study.workers import Crew

if TYPE_CHECKING:
    from ssc_sweep.study.prepare import Prepared


@dataclass
class StackSlurmConf:
    """Config of `hydra/launcher=stack_slurm`; `Tasks` says what the values mean."""

    _target_: str = "ssc_sweep.study.cluster_launchers.SlurmLauncher"
    cluster: str = "slurm"
    tasks: int = 16
    max_retries: int = 2
    mem_gb: float = 4
    timeout_min: int = 240
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass
class StackRayConf:
    """Config of `hydra/launcher=stack_ray`."""

    _target_: str = "ssc_sweep.study.cluster_launchers.RayLauncher"
    address: str | None = None
    tasks: int | None = None
    max_retries: int = 2
    mem_gb: float = 4


_slurm = OmegaConf.structured(StackSlurmConf)
OmegaConf.set_struct(_slurm.parameters, False)  # submitit defines their names
for _name, _node in (("stack_slurm", _slurm), ("stack_ray", OmegaConf.structured(StackRayConf))):
    ConfigStore.instance().store(group="hydra/launcher", name=_name, node=_node, provider="ssc_sweep")


class Tasks(Section):
    """What to request from a cluster."""

    tasks: int = Field(ge=1, description="stacks at the same time")
    max_retries: int = Field(ge=0, description="how often to resubmit a stack whose worker died")
    mem_gb: float = Field(gt=0, description="GiB of memory a task has; stacks are cut to half of it")


class _ClusterLauncher(StackLauncher):
    """A launcher that is the site of its jobs: see `conduct.Site`."""

    elsewhere = True

    def __init__(self, **tasks: Any) -> None:
        super().__init__()
        self.study: StudyFolder | None = None
        self.tasks = Tasks.read(tasks, "hydra.launcher")

    @abstractmethod
    def hire(self, slots: int) -> Crew:
        """Return the workers that train."""

    def show(self, stacks: int) -> None:
        """Print what else a dry run says."""

    def train(self, jobs: Sequence[Job], begin: "Callable[[Prepared], None]") -> "list[Outcome | None]":
        assert self.config is not None
        from ssc_sweep.study.conduct import conduct

        running = Running.of(self.config)
        # Half of a task's memory is for its stack; the other half is for Python, torch and errors of the estimate.
        budget = self.tasks.mem_gb * self.tasks.tasks / 2 if running.memory_budget is None else running.memory_budget
        here = running.model_copy(update={"workers": self.tasks.tasks, "memory_budget": budget})
        self.study = jobs[0].study
        return conduct(jobs, here, self, begin, tally=self.tally)


class SlurmLauncher(_ClusterLauncher):
    """Tasks of Slurm."""

    def __init__(self, cluster: str, timeout_min: int, parameters: dict[str, Any], **tasks: Any) -> None:
        super().__init__(**tasks)
        self.cluster = cluster
        plain = OmegaConf.to_container(parameters) if OmegaConf.is_config(parameters) else parameters
        self.parameters = {"mem_gb": self.tasks.mem_gb, "timeout_min": timeout_min} | dict(plain)  # type: ignore[arg-type]

    def hire(self, slots: int) -> Slurm:
        assert self.study is not None
        folder = (self.study.path / "slurm").resolve()
        return Slurm(folder, self.cluster, slots, self.tasks.max_retries, self.parameters)

    def show(self, stacks: int) -> None:
        if stacks and self.cluster == "slurm":
            print(f"\nWhat Slurm would be given:\n{self.hire(self.tasks.tasks).script(stacks)}")


class RayLauncher(_ClusterLauncher):
    """Tasks of Ray."""

    def __init__(self, address: str | None, tasks: int | None, **others: Any) -> None:
        from joblib import cpu_count

        super().__init__(tasks=cpu_count() if tasks is None else tasks, **others)
        self.address = address

    def hire(self, slots: int) -> Crew:
        return Ray(self.address, slots, self.tasks.max_retries)
