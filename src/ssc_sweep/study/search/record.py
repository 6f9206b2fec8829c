"""What an Optuna study of ours has found so far: its trials, what was confirmed, and whether the target is met."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import GridSampler
from optuna.trial import FrozenTrial, Trial, TrialState

from ssc_sweep.study.folder import TRIAL, of_search
from ssc_sweep.study.search.score import works
from ssc_sweep.study.search.settings import SEEDS_APART
from ssc_sweep.verdicts.rule import Rule

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
CONFIRMED = "confirmed:"
# A trial with this attribute was not trained and does not count: n_trials had begun elsewhere, or it was no config.
SURPLUS = "surplus"
# Of the study: columns that give the answer away, by winner; what has ended it; seeds a confirmation must have.
LEAKS = "leaks"
ENDING = "ending"
NOT_ENDED = "it has not ended"
CONFIRM_SEEDS = "confirm_seeds"


def fresh_seeds(trial: int, count: int) -> tuple[int, ...]:
    """The seeds that confirm a trial: no trial and no other confirmation has them."""
    first = SEEDS_APART * (trial + 1)
    return tuple(range(first, first + count))


@dataclass(frozen=True)
class Record:
    """A study and the rule it is judged by. Everything is read from the storage, where other processes write too.

    Attributes:
        confirm_seeds: how many fresh seeds a confirmation must have to count.
    """

    study: optuna.Study
    rule: Rule
    confirm_seeds: int

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Trials in these states, in all of them if none is named, by number; those that do not count left out."""
        return [t for t in self.study.get_trials(deepcopy=False, states=states or None) if SURPLUS not in t.user_attrs]

    def trial(self, number: int) -> FrozenTrial:
        return self.study.get_trials(deepcopy=False)[number]

    def tell(
        self, trial: Trial, values: list[float] | None, state: TrialState, said: Mapping[str, object] | None = None
    ) -> None:
        """Record how a trial ended, with what else is `said` of it as its attributes.

        What another process has recorded of it meanwhile stands: it trained the same runs.
        """
        try:
            for key, value in (said or {}).items():
                trial.set_user_attr(key, value)
            self.study.tell(trial, values=values, state=state, skip_if_finished=True)
        except UpdateFinishedTrialError:
            print(f"{of_search(TRIAL, trial.number)} was finished by another process meanwhile", file=sys.stderr)
        except RuntimeError:
            # GridSampler stops the study at its last point, which Optuna allows in study.optimize alone.
            if not isinstance(self.study.sampler, GridSampler):
                raise

    def give_up(self, trial: Trial) -> None:
        """End a trial that nothing was trained for, so that it does not count."""
        self.tell(trial, None, TrialState.FAIL, {SURPLUS: True})

    def ranked(self) -> list[FrozenTrial]:
        """Trials with a score, best RMSE first, one of each configuration; of several objectives the Pareto front."""
        trials = self.trials(TrialState.COMPLETE) if len(self.study.directions) == 1 else self.study.best_trials
        found: dict[str, FrozenTrial] = {}
        for trial in sorted(trials, key=lambda trial: (trial.values[0], trial.number)):
            found.setdefault(trial.user_attrs["folder"], trial)
        return list(found.values())

    def promising(self) -> list[FrozenTrial]:
        """Trials with a score below the target that have not been confirmed on enough seeds, the best first."""
        return [t for t in self.ranked() if t.values[0] < self.rule.threshold and not self.has_confirmed(t.number)]

    def has_confirmed(self, trial: int) -> bool:
        return len(self.confirmed().get(trial, ())) >= self.confirm_seeds

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
        rmse = self.confirmed().get(trial, [])
        return self.has_confirmed(trial) and works(rmse, self.rule.threshold, self.rule.works_share)

    def met(self) -> bool:
        winner = self.winner()
        return winner is not None and self.holds(winner)

    def leaks(self, trial: int) -> dict[str, str]:
        """Covariates of a winner that give the answer away, with what they do; empty where nobody has looked."""
        return self.study.user_attrs.get(LEAKS, {}).get(str(trial), {})

    def progress(self, n_trials: int) -> str:
        """Where the search stands, in a few words."""
        ranked, done = self.ranked(), len(self.trials(*FINISHED))
        best = f"best {ranked[0].values[0]:.2f} ({of_search(TRIAL, ranked[0].number)})" if ranked else "no score yet"
        return f"{done}/{n_trials} trials, {best}, {len(self.confirmed())} confirmed"


def begin(study: optuna.Study, rule: Rule, confirm_seeds: int) -> Record:
    """The record of a search that is started, or started again."""
    study.set_user_attr(CONFIRM_SEEDS, confirm_seeds)
    study.set_user_attr(ENDING, NOT_ENDED)
    return Record(study, rule, confirm_seeds)


def read(study: optuna.Study, rule: Rule) -> Record:
    """The record of a search as its last start has left it."""
    return Record(study, rule, study.user_attrs.get(CONFIRM_SEEDS, 1))


def mean(rmse: Sequence[float | None]) -> float:
    """Mean RMSE; infinite where a seed has none."""
    values = [math.inf if value is None else value for value in rmse]
    return math.fsum(values) / len(values) if values else math.inf
