"""What an Optuna study of ours has found so far: its trials, what was confirmed, and whether the target is met."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import GridSampler
from optuna.trial import FrozenTrial, Trial, TrialState

from ssc_sweep.study.folder import TRIAL, of_search
from ssc_sweep.study.search.candidate import BEST_FIRST, Candidate, Values, from_json, level_of
from ssc_sweep.study.search.score import works
from ssc_sweep.verdicts.evidence import Share, Works, share_working
from ssc_sweep.verdicts.planning import out_of_reach, seeds_for_share
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


@dataclass(frozen=True)
class Record:
    """A study and the rule it is judged by. Everything is read from the storage, where other processes write too.

    Attributes:
        rule: sequential, but in a search of a version that confirmed on a fixed number of seeds and counted them.
        confirm_seeds: how many fresh seeds a candidate may have, or, where they are counted, must have.
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
        """Trials that may hold and have not been confirmed to their end, the best first.

        Their score is below the target and so are enough of their own seeds: the others would waste levels and seeds.
        """
        return [t for t in self.ranked() if self._may_hold(t) and not self.settled(t.number)]

    def _may_hold(self, trial: FrozenTrial) -> bool:
        rmse = trial.user_attrs["rmse"]
        below = sum(value < self.rule.threshold for value in rmse)
        return trial.values[0] < self.rule.threshold and below >= self.rule.works_share * len(rmse)

    def candidates(self) -> dict[int, Candidate]:
        """Every candidate by its trial, in the order of their places."""
        attrs = self.study.user_attrs
        numbers = [(int(key.removeprefix(CONFIRMED)), kept) for key, kept in attrs.items() if key.startswith(CONFIRMED)]
        found = sorted((from_json(*pair) for pair in numbers), key=lambda c: (c.place, c.trial))
        if not self.rule.sequential:
            return {c.trial: c for c in found}
        # Machines that begin a candidate at the same moment write the same place. Whoever reads it gives them two.
        return {c.trial: replace(c, place=k) for k, c in enumerate(found, start=1)}

    def candidate(self, trial: int) -> Candidate:
        """This candidate; where the trial is none yet, it becomes the next one."""
        known = self.candidates()
        if trial not in known:
            self.keep(Candidate(trial, len(known) + 1))
        return self.candidates()[trial]

    def keep(self, candidate: Candidate) -> None:
        """Record what fresh seeds have made of it; where another machine has recorded more of them, that stands."""
        known = self.candidates().get(candidate.trial)
        if known is not None and known.begun > candidate.begun:
            return
        self.study.set_user_attr(f"{CONFIRMED}{candidate.trial}", candidate.as_json())

    def level(self, candidate: Candidate) -> float:
        """Chance that its interval leaves out the true share."""
        return level_of(candidate.place, self.rule) if self.rule.sequential else self.rule.alpha

    def share(self, candidate: Candidate) -> Share:
        """How many of its fresh seeds work, and whether it holds; open where runs are missing."""
        found = share_working(candidate.worse, self.level(candidate), self.rule)
        if candidate.missing:
            return replace(found, low=0.0, high=1.0, answer=Works.OPEN)
        if self.rule.sequential:
            return found
        if len(candidate.seeds) < self.confirm_seeds:
            return replace(found, answer=Works.OPEN)
        counted = works(candidate.rmse, self.rule.threshold, self.rule.works_share)
        return replace(found, answer=Works.YES if counted else Works.NO)

    def settled(self, trial: int) -> bool:
        """Whether it gets no more fresh seeds: it is decided, they are spent, too many fail, or it is out of reach."""
        one = self.candidates().get(trial)
        if one is None:
            return False
        found = self.share(one)
        if found.answer is not Works.OPEN or one.begun >= self.confirm_seeds or one.broken:
            return True
        needed = seeds_for_share(found, self.level(one), self.rule, hopeful=True)
        return out_of_reach(needed, found.n, self.confirm_seeds)

    def winner(self) -> int | None:
        """The candidate with the lowest mean RMSE: first of those that hold, then of those that are open.

        The mean is that on validation rows, so that no choice is made by test rows but whether a candidate holds.
        """
        known = [one for one in self.candidates().values() if one.seeds]
        ranked = [(BEST_FIRST[self.share(one).answer], mean(one.rmse), one.trial) for one in known]
        return min(ranked)[-1] if ranked else None

    def holds(self, trial: int) -> bool:
        """Whether the trial is confirmed below the target, in more than the share of seeds that the rule asks."""
        one = self.candidates().get(trial)
        return one is not None and self.share(one).answer is Works.YES

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
        return f"{done}/{n_trials} trials, {best}, {len(self.candidates())} candidates"


def begin(study: optuna.Study, rule: Rule, confirm_seeds: int) -> Record:
    """The record of a search that is started, or started again."""
    study.set_user_attr(CONFIRM_SEEDS, confirm_seeds)
    study.set_user_attr(ENDING, NOT_ENDED)
    return Record(study, rule, confirm_seeds)


def read(study: optuna.Study, rule: Rule) -> Record:
    """The record of a search as its last start has left it, by the rule that it had.

    Args:
        rule: where the study does not say which.
    """
    told = study.user_attrs.get("search", {}).get("rule")
    own = rule if told is None else Rule.read(told, "rule")
    return Record(study, own, study.user_attrs.get(CONFIRM_SEEDS, 1))


def mean(rmse: Values | Sequence[float | None]) -> float:
    """Mean RMSE; infinite where a seed has none."""
    values = [math.inf if value is None else value for value in rmse]
    return math.fsum(values) / len(values) if values else math.inf
