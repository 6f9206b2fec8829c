"""Hydra launchers for stacks on other machines: `hydra/launcher=stack_slurm` and `hydra/launcher=stack_ray`.

Whatever a study is - hypotheses, a grid, a search - its stacks become tasks of Slurm or of Ray. docs/SCALING.md says
when to use which.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf
from pydantic import Field

from ssc_sweep.schema import Section
from ssc_sweep.study.clusters import Ray, Slurm
from ssc_sweep.study.job import Job, Outcome
from ssc_sweep.study.launcher import StackLauncher
from ssc_sweep.study.running import Running, read_running
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
OmegaConf.set_struct(_slurm.parameters, False)  # their names are submitit's
for _name, _node in (("stack_slurm", _slurm), ("stack_ray", OmegaConf.structured(StackRayConf))):
    ConfigStore.instance().store(group="hydra/launcher", name=_name, node=_node, provider="ssc_sweep")


class Tasks(Section):
    """What a cluster is asked for."""

    tasks: int = Field(ge=1, description="stacks at the same time")
    max_retries: int = Field(ge=0, description="how often a stack is sent again whose worker got lost")
    mem_gb: float = Field(gt=0, description="GiB of memory a task has; stacks are cut to half of it")


class _ClusterLauncher(StackLauncher):
    def __init__(self, tasks: int, max_retries: int, mem_gb: float) -> None:
        super().__init__()
        self.tasks = Tasks.read({"tasks": tasks, "max_retries": max_retries, "mem_gb": mem_gb}, "hydra.launcher")

    @abstractmethod
    def crew(self, jobs: Sequence[Job]) -> Crew:
        """Those who train these jobs."""

    def script(self, jobs: Sequence[Job], stacks: int) -> None:
        """What a dry run shows besides."""

    def train(self, jobs: Sequence[Job], begin: "Callable[[Prepared], None]") -> "list[Outcome | None]":
        assert self.config is not None
        from ssc_sweep.study.conduct import conduct

        running: Running = read_running(self.config)
        # Half of a task's memory is for its stack: the other half is Python, torch and what an estimate misses.
        budget = self.tasks.mem_gb * self.tasks.tasks / 2 if running.memory_budget is None else running.memory_budget
        here = running.model_copy(update={"workers": self.tasks.tasks, "memory_budget": budget})
        return conduct(
            jobs, here, lambda _: self.crew(jobs), begin, elsewhere=True, shown=lambda stacks: self.script(jobs, stacks)
        )


class SlurmLauncher(_ClusterLauncher):
    """Tasks of Slurm."""

    def __init__(
        self, cluster: str, tasks: int, max_retries: int, mem_gb: float, timeout_min: int, parameters: dict[str, Any]
    ) -> None:
        super().__init__(tasks, max_retries, mem_gb)
        self.cluster = cluster
        plain = OmegaConf.to_container(parameters) if OmegaConf.is_config(parameters) else parameters
        self.parameters = {"mem_gb": mem_gb, "timeout_min": timeout_min} | dict(plain)  # type: ignore[arg-type]

    def crew(self, jobs: Sequence[Job]) -> Slurm:
        folder, limits = (jobs[0].study.path / "slurm").resolve(), self.tasks
        return Slurm(folder, self.cluster, limits.tasks, limits.max_retries, self.parameters)

    def script(self, jobs: Sequence[Job], stacks: int) -> None:
        if stacks and self.cluster == "slurm":
            print(f"\nWhat Slurm would be given:\n{self.crew(jobs).script(stacks)}")


class RayLauncher(_ClusterLauncher):
    """Tasks of Ray."""

    def __init__(self, address: str | None, tasks: int | None, max_retries: int, mem_gb: float) -> None:
        from joblib import cpu_count

        super().__init__(cpu_count() if tasks is None else tasks, max_retries, mem_gb)
        self.address = address

    def crew(self, jobs: Sequence[Job]) -> Crew:  # noqa: ARG002
        return Ray(self.address, self.tasks.tasks, self.tasks.max_retries)
