"""Stop unpromising trials between two epochs, by the study's pruner: see `worst_tenth`.

A stack is stopped only if all of its trials may be. A trial that shares its stack with a better one is trained to the
end, at no extra cost, and scored.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial

from ssc_sweep.study.job import Job
from ssc_sweep.study.search.score import over_seeds
from ssc_sweep.study.search.storage import UNREACHABLE


@dataclass(frozen=True)
class Pruning:
    """Called by the launcher after each epoch of a stack.

    Attributes:
        trials: of a batch, by the folder of their arm.
        seeds: that each of them trains.
        score: reduces the seeds to one number, as when the trial has ended.
    """

    trials: dict[str, Trial]
    seeds: Sequence[int]
    score: str | float

    def __call__(self, jobs: Sequence[Job], epoch: int, rmse: Sequence[float | None]) -> bool:
        """Report each trial's score after this epoch; return whether any trial is worth continuing."""
        by_arm: dict[str, list[float | None]] = {}
        for job, value in zip(jobs, rmse, strict=True):
            by_arm.setdefault(job.folder.path.parent.name, []).append(value)
        # Every trial must report, also after a promising one.
        promising = [self._promising(self.trials[arm], epoch, values) for arm, values in by_arm.items()]
        return any(promising)

    def _promising(self, trial: Trial, epoch: int, rmse: list[float | None]) -> bool:
        values = [value for value in rmse if value is not None]
        if len(values) < len(rmse):
            return False  # it has lost a seed, so it will have no score
        if len(values) < len(self.seeds):
            return True  # its other seeds are in other stacks, or were finished before a kill
        try:
            if epoch not in trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values:
                trial.report(over_seeds(values, self.score), epoch)
            return not trial.should_prune()
        except UpdateFinishedTrialError:
            return False  # this process was taken for dead, and another has finished the trial
        except UNREACHABLE:
            return True  # not the run's fault; a lost storage ends the search when the trial is told
