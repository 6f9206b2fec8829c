"""Which trials this process trains next: those that a dead process left behind, otherwise new ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from ssc_sweep.study.search.owner import Owner
from ssc_sweep.study.search.trials import FINISHED, SURPLUS, Record


@dataclass(frozen=True)
class Claims:
    """Takes trials of a study for this process; whoever calls it holds the lock of the study's folder.

    Attributes:
        n_trials: begun trials that the study may have, whoever began them.
        n_jobs: trials that are taken at once.
    """

    study: optuna.Study
    record: Record
    owner: Owner
    n_trials: int
    n_jobs: int

    def claim(self, new: bool, configure: Callable[[Trial], Sequence[str]]) -> list[tuple[Trial, Sequence[str]]]:
        """Trials to train with their overrides; none where no trial was left behind and no new one is to begin.

        Args:
            new: whether new trials may begin.
            configure: gives a trial its parameters and returns its overrides. Called before the next trial is asked
                for, which is drawn with this one in view.
        """
        # Each is asked about, whether it can be taken now or not: some are lost only after having been watched.
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        left = [trial for trial in running if self.owner.finds_lost(trial)]
        for one in left:
            if SURPLUS in one.user_attrs:  # its owner died while it gave the trial up
                self.record.give_up(Trial(self.study, one._trial_id))
        lost = [trial for trial in left if SURPLUS not in trial.user_attrs]
        taken = [trial for trial in map(self._take, lost[: self.n_jobs]) if trial is not None]
        claimed = [(trial, configure(trial)) for trial in taken]
        while new and not lost and len(claimed) < self.n_jobs and (trial := self._ask()):
            claimed.append((trial, configure(trial)))
        return claimed

    def _take(self, lost: FrozenTrial) -> Trial | None:
        """A trial that was left behind, as this process's; None where its owner was slow and has ended it."""
        trial = Trial(self.study, lost._trial_id)
        try:
            self.owner.claim(trial)
        except UpdateFinishedTrialError:
            return None
        return trial

    def _ask(self) -> Trial | None:
        """A new trial; None where n_trials have begun."""
        if len(self.record.trials(TrialState.RUNNING, *FINISHED)) >= self.n_trials:
            return None
        trial = self.study.ask()
        self.owner.claim(trial)
        # Another machine may have asked at the same time. Numbers tell who was first, whoever looks.
        before = [t for t in self.record.trials(TrialState.RUNNING, *FINISHED) if t.number < trial.number]
        if len(before) >= self.n_trials:
            self.record.give_up(trial)
            return None
        return trial
