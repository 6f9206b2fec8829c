"""Claim the trials that this process trains next: those that a dead process abandoned, otherwise new ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from ssc_sweep.study.search.owner import Owner
from ssc_sweep.study.search.trials import FINISHED, SURPLUS, Record


@dataclass(frozen=True)
class Claims:
    """Claims trials of a study for this process; the caller must hold the lock of the study's folder.

    Attributes:
        n_trials: most begun trials of the study, by all processes.
        n_jobs: trials that are claimed at once.
    """

    study: optuna.Study
    record: Record
    owner: Owner
    n_trials: int
    n_jobs: int

    def claim(self, new: bool, configure: Callable[[Trial], Sequence[str]]) -> list[tuple[Trial, Sequence[str]]]:
        """Return trials to train with their overrides; none if no trial was abandoned and no new one may begin.

        Args:
            new: whether new trials may begin.
            configure: gives a trial its parameters and returns its overrides. Called before the next trial is drawn,
                which takes this one into account.
        """
        # Check every running trial, even if none can be taken now: some count as lost only after being watched.
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        left = [trial for trial in running if self.owner.finds_lost(trial)]
        for one in left:
            if SURPLUS in one.user_attrs:  # its owner died while giving the trial up
                self.record.give_up(Trial(self.study, one._trial_id))
        lost = [trial for trial in left if SURPLUS not in trial.user_attrs]
        taken = [trial for trial in map(self._take, lost[: self.n_jobs]) if trial is not None]
        claimed = [(trial, configure(trial)) for trial in taken]
        while new and not lost and len(claimed) < self.n_jobs and (trial := self._ask()):
            claimed.append((trial, configure(trial)))
        return claimed

    def _take(self, lost: FrozenTrial) -> Trial | None:
        """Take over an abandoned trial; None if its owner was only slow and has ended it."""
        trial = Trial(self.study, lost._trial_id)
        try:
            self.owner.claim(trial)
        except UpdateFinishedTrialError:
            return None
        return trial

    def _ask(self) -> Trial | None:
        """Return a new trial; None if n_trials have begun."""
        if len(self.record.trials(TrialState.RUNNING, *FINISHED)) >= self.n_trials:
            return None
        trial = self.study.ask()
        self.owner.claim(trial)
        # Another machine may have asked at the same time. The trial numbers tell every machine which was first.
        before = [t for t in self.record.trials(TrialState.RUNNING, *FINISHED) if t.number < trial.number]
        if len(before) >= self.n_trials:
            self.record.give_up(trial)
            return None
        return trial
