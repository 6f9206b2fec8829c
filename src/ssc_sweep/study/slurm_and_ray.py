"""Train stacks on other machines through Slurm (with submitit) or Ray. Each task is given a stack and nothing else.

All machines share one file system, at the same path. The progress of a stack and how its runs ended are read from
their folders; what a Slurm task returns is never unpickled.
"""

import contextlib
import logging
import os
import subprocess
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ssc_sweep.errors import UserError, message
from ssc_sweep.study.job import Outcome, Stack, Status, ended
from ssc_sweep.study.workers import Lost, Sent
from ssc_sweep.writing import writing

QUEUE_S = 10.0  # for an answer of Slurm's queue
CHECK_S = 15.0  # between two queries to Slurm about tasks without a result
LARGEST_ARRAY = 1000  # tasks; Slurm's default MaxArraySize is 1001
LOCK = ".lock"  # of a command's folder
OURS = {"name": "ssc_sweep", "cpus_per_task": 1}


def train_there(stack: Stack, threads: int, folder: str) -> list[Outcome]:
    """Train a stack in a cluster task, in the folder where the command was given: its paths may be relative.

    Raises:
        CannotWrite: a folder cannot be written.
    """
    os.chdir(folder)
    import torch

    from ssc_sweep.study.execute import run_stack

    torch.set_num_threads(threads)
    return run_stack(stack)


@dataclass
class _Task:
    """A stack submitted to Slurm, or to submitit in its place."""

    stack: Stack
    job: Any
    checked: float
    queued: bool  # by Slurm, not by submitit in its place

    def over(self) -> bool:
        result = self.job.paths.result_pickle
        os.scandir(result.parent.parent).close()  # makes a network file system refresh its listing
        if result.exists():
            return True
        if time.monotonic() - self.checked < CHECK_S:
            return False
        self.checked = time.monotonic()
        return bool(self.job.done(force_check=True)) or (self.queued and self._left_the_queue())

    def _left_the_queue(self) -> bool:
        """Return whether Slurm's queue lacks the task: without accounting, submitit never learns that one has ended."""
        task = str(self.job.job_id)
        call = ["squeue", "--noheader", f"--jobs={task}"]
        try:
            asked = subprocess.run(call, capture_output=True, text=True, check=False, timeout=QUEUE_S)
        except (OSError, subprocess.TimeoutExpired):
            return False  # no answer; ask again
        return not asked.stdout.strip() and (asked.returncode == 0 or "Invalid job id" in asked.stderr)

    def outcomes(self) -> list[Outcome]:
        found = []
        for job in self.stack.jobs:
            outcome = ended(job)
            if outcome is None:
                lock = job.folder.claim()
                if lock is not None:
                    job.folder.release(lock)
                    raise Lost(f"task {self.job.job_id} ended before it; its log: {self.job.paths.stderr}")
                outcome = Outcome(Status.HELD, {})
            found.append(outcome)
        return found


class Slurm:
    """Slurm tasks, one array for all stacks that are sent together.

    Args:
        folder: for scripts and logs, with a subfolder for each command; all machines must see it.
        cluster: "slurm", or "local" for processes that submitit starts on this machine, to try out the rest.
        slots: tasks that run at the same time.
        resends: see `Crew`.
        parameters: of submitit: slurm_partition, timeout_min, mem_gb ...

    Raises:
        UserError: submitit or Slurm is missing, or rejects these parameters.
    """

    asks = False
    apart = True

    def __init__(self, folder: Path, cluster: str, slots: int, resends: int, parameters: dict[str, Any]) -> None:
        try:
            import submitit
        except ImportError as error:
            raise UserError("hydra/launcher=stack_slurm needs submitit: pip install 'ssc_sweep[slurm]'.") from error
        # Where a cluster has no accounting, submitit warns at every query, and works all the same.
        logging.getLogger("submitit").setLevel(logging.ERROR)
        self.above, self.folder, self.resends = folder, folder / uuid.uuid4().hex, resends
        self.cluster, self.tasks = cluster, slots
        self.lock = FileLock(self.folder / LOCK)
        # Submit all stacks at once: Slurm decides what runs when.
        self.slots = 10**6
        self.threads = int(parameters.get("cpus_per_task", 1))
        self.sent: list[_Task] = []
        try:
            self.executor = submitit.AutoExecutor(folder=self.folder / "%j", cluster=cluster)
            limit = {"slurm_array_parallelism": slots}
            self.executor.update_parameters(**OURS | limit | parameters)
        except (RuntimeError, ValueError, TypeError, NameError) as error:
            raise UserError(f"hydra/launcher=stack_slurm cannot be used: {message(error)}") from error

    def script(self, stacks: int) -> str:
        """Return the script that Slurm would get for this many stacks."""
        from submitit.slurm import slurm

        real = slurm.SlurmExecutor(self.folder / "%j")
        real.update_parameters(**self.executor._executor.parameters)
        if stacks > 1:
            real.parameters["map_count"] = stacks
        return str(real._make_submission_file_text(real._submitit_command_str, "script"))

    def send(self, stacks: Sequence[Stack]) -> list[Sent]:
        if not self.lock.is_locked:
            with writing(self.folder):
                self.above.mkdir(mode=0o700, parents=True, exist_ok=True)
                self.folder.mkdir(exist_ok=True)
                self.lock.acquire()
            self._tidy_after_others()
        arrays = [stacks[i : i + LARGEST_ARRAY] for i in range(0, len(stacks), LARGEST_ARRAY)]
        if len(arrays) > 1:  # they run side by side
            self.executor.update_parameters(slurm_array_parallelism=max(1, self.tasks // len(arrays)))
        tasks: list[Sent] = []
        for array in arrays:
            tasks += self._send(array)
        return tasks

    def _send(self, stacks: Sequence[Stack]) -> list[_Task]:
        n, here = len(stacks), os.getcwd()
        try:
            jobs = self.executor.map_array(train_there, stacks, [self.threads] * n, [here] * n)
        except (RuntimeError, OSError) as error:  # sbatch refuses, or is missing
            raise UserError(f"hydra/launcher=stack_slurm: the tasks cannot be handed over: {message(error)}") from error
        now, queued = time.monotonic(), self.cluster == "slurm"
        tasks = [_Task(stack, job, now, queued) for stack, job in zip(stacks, jobs, strict=True)]
        self.sent += tasks
        return tasks

    def stop(self) -> None:
        if self.cluster == "slurm":  # a whole array at a time: thousands of tasks would take minutes
            arrays = {str(task.job.job_id).partition("_")[0] for task in self.sent}
            if arrays:
                subprocess.run(["scancel", *sorted(arrays)], capture_output=True, check=False)
            return
        for task in self.sent:
            if not task.job.done():
                task.job.cancel(check=False)

    def tidy(self) -> None:
        """Remove everything but scripts and logs."""
        if self.lock.is_locked:
            _only_logs(self.folder)
            self.lock.release()

    def _tidy_after_others(self) -> None:
        """Do the same for killed commands. Their tasks that have not begun then fail, and we send them again."""
        for folder in self.above.iterdir():
            lock = FileLock(folder / LOCK, blocking=False)
            if not (folder / LOCK).exists():
                continue
            try:
                lock.acquire()
            except Timeout:
                continue
            _only_logs(folder)
            lock.release()


def _only_logs(folder: Path) -> None:
    for path in [*folder.rglob("*.pkl"), *folder.glob(".submission_file_*"), folder / LOCK]:
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (folder / "%j").rmdir()


@dataclass
class _Remote:
    """A stack submitted to Ray."""

    reference: Any

    def over(self) -> bool:
        import ray

        return bool(ray.wait([self.reference], timeout=0)[0])

    def outcomes(self) -> list[Outcome]:
        import ray

        try:
            found: list[Outcome] = ray.get(self.reference)
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError, ray.exceptions.RaySystemError,
                ray.exceptions.NodeDiedError, ray.exceptions.TaskCancelledError) as error:  # fmt: skip
            raise Lost(f"its Ray worker is gone ({type(error).__name__})") from error
        return found


class Ray:
    """Tasks of a Ray instance: a running one, or one started on this machine that ends with the command.

    Args:
        address: of a running instance; None: start one here.
        slots: tasks at the same time, and processors of an instance that is started here.
        resends: see `Crew`.

    Raises:
        UserError: Ray is missing, or no instance answers at this address.
    """

    asks = False
    apart = True

    def __init__(self, address: str | None, slots: int, resends: int) -> None:
        try:
            import ray
        except ImportError as error:
            raise UserError("hydra/launcher=stack_ray needs ray: pip install 'ssc_sweep[ray]'.") from error
        self.slots, self.resends = slots, resends
        here = {"num_cpus": slots} if address is None else {"address": address}
        try:
            ray.init(
                include_dashboard=False if address is None else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
                **here,
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UserError(
                f"hydra.launcher.address={address}: no Ray instance answers there: {message(error)}"
            ) from error
        # max_retries: we send a lost stack again ourselves, without the runs that it has finished.
        self.task = ray.remote(num_cpus=1, max_retries=0)(train_there)
        self.sent: list[_Remote] = []

    def send(self, stacks: Sequence[Stack]) -> list[Sent]:
        tasks = [_Remote(self.task.remote(stack, 1, os.getcwd())) for stack in stacks]
        self.sent += tasks
        return list(tasks)

    def stop(self) -> None:
        import ray

        for task in self.sent:
            with contextlib.suppress(ray.exceptions.RayError):
                ray.cancel(task.reference, force=True)

    def tidy(self) -> None:
        import ray

        ray.shutdown()
