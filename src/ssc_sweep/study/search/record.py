"""What an Optuna study of ours has found so far: its trials, what was confirmed, and whether the target is met."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from ssc_sweep.study.rule import Rule
from ssc_sweep.study.search.score import works

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
CONFIRMED = "confirmed:"


@dataclass(frozen=True)
class Record:
    """A study and the rule it is judged by. Everything is read from the storage, where other processes write too."""

    study: optuna.Study
    rule: Rule

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Trials in these states, in all of them if none is named, by number."""
        return self.study.get_trials(deepcopy=False, states=states or None)

    def ranked(self) -> list[FrozenTrial]:
        """Trials with a score, best RMSE first, one of each configuration; of several objectives the Pareto front."""
        trials = self.trials(TrialState.COMPLETE) if len(self.study.directions) == 1 else self.study.best_trials
        found: dict[str, FrozenTrial] = {}
        for trial in sorted(trials, key=lambda trial: (trial.values[0], trial.number)):
            found.setdefault(trial.user_attrs["folder"], trial)
        return list(found.values())

    def promising(self) -> list[FrozenTrial]:
        """Trials with a score below the target that have not been confirmed, the best first."""
        known = self.confirmed()
        return [t for t in self.ranked() if t.values[0] < self.rule.target and t.number not in known]

    def confirmed(self) -> dict[int, list[float | None]]:
        """RMSE on fresh seeds by trial; None for a seed that diverged or failed."""
        attrs = self.study.user_attrs
        return {int(key.removeprefix(CONFIRMED)): rmse for key, rmse in attrs.items() if key.startswith(CONFIRMED)}

    def confirm(self, trial: int, rmse: Sequence[float | None]) -> None:
        self.study.set_user_attr(f"{CONFIRMED}{trial}", list(rmse))

    def winner(self) -> int | None:
        """The confirmed trial with the lowest mean RMSE: first of those that hold the target, then of the others."""
        known = self.confirmed()
        return min(known, key=lambda n: (not self.holds(n), mean(known[n])), default=None)

    def holds(self, trial: int) -> bool:
        """Whether the trial was confirmed below the target: in the mean, and in the share of seeds the rule asks."""
        return works(self.confirmed().get(trial, []), self.rule.target, self.rule.works_share)

    def met(self) -> bool:
        winner = self.winner()
        return winner is not None and self.holds(winner)

    def progress(self, n_trials: int) -> str:
        """Where the search stands, in a few words."""
        ranked, done = self.ranked(), len(self.trials(*FINISHED))
        best = f"best {ranked[0].values[0]:.2f} (trial={ranked[0].number:04d})" if ranked else "no score yet"
        return f"{done}/{n_trials} trials, {best}, {len(self.confirmed())} confirmed"


def mean(rmse: Sequence[float | None]) -> float:
    """Mean RMSE; infinite where a seed has none."""
    values = [math.inf if value is None else value for value in rmse]
    return math.fsum(values) / len(values) if values else math.inf
