"""What an Optuna study has found so far: its trials, what was confirmed, and whether the target is met."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import GridSampler
from optuna.trial import FrozenTrial, Trial, TrialState

from ssc_sweep.lines import counted
from ssc_sweep.progress import say
from ssc_sweep.study.folder import TRIAL, of_search
from ssc_sweep.study.search.candidate import BEST_FIRST, Candidate, Values, from_json, level_of
from ssc_sweep.study.search.score import works
from ssc_sweep.verdicts.evidence import Share, Works, share_working
from ssc_sweep.verdicts.planning import out_of_reach, seeds_for_share
from ssc_sweep.verdicts.rule import Rule

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
CONFIRMED = "confirmed:"
# A trial with this attribute was not trained and does not count: n_trials had begun, or its config was invalid.
SURPLUS = "surplus"
# Attributes of the study: columns that leak the answer, by winner; what ended it; seeds a confirmation must have.
LEAKS = "leaks"
ENDING = "ending"
NOT_ENDED = "it has not ended"
CONFIRM_SEEDS = "confirm_seeds"


@dataclass(frozen=True)
class Record:
    """A study and the rule it is judged by. Everything is read from the storage, where other processes write too.

    Attributes:
        rule: sequential, except in searches of older versions, which counted a fixed number of fresh seeds.
        confirm_seeds: fresh seeds that a candidate may have; must have, under such a rule.
    """

    study: optuna.Study
    rule: Rule
    confirm_seeds: int

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Return the trials that count and are in these states (default: any), by number."""
        return [t for t in self.study.get_trials(deepcopy=False, states=states or None) if SURPLUS not in t.user_attrs]

    def trial(self, number: int) -> FrozenTrial:
        return self.study.get_trials(deepcopy=False)[number]

    def tell(
        self, trial: Trial, values: list[float] | None, state: TrialState, said: Mapping[str, object] | None = None
    ) -> None:
        """Record how a trial ended, with `said` as its attributes.

        If another process has recorded it meanwhile, that record stands: it trained the same runs.
        """
        try:
            for key, value in (said or {}).items():
                trial.set_user_attr(key, value)
            self.study.tell(trial, values=values, state=state, skip_if_finished=True)
        except UpdateFinishedTrialError:
            say([f"{of_search(TRIAL, trial.number)} was finished by another process meanwhile"])
        except RuntimeError:
            # GridSampler stops the study at its last point, which Optuna allows only in study.optimize.
            if not isinstance(self.study.sampler, GridSampler):
                raise

    def give_up(self, trial: Trial) -> None:
        """End a trial for which nothing was trained, so that it does not count."""
        self.tell(trial, None, TrialState.FAIL, {SURPLUS: True})

    def ranked(self) -> list[FrozenTrial]:
        """Return scored trials, best RMSE first, one per configuration; the Pareto front for several objectives."""
        trials = self.trials(TrialState.COMPLETE) if len(self.study.directions) == 1 else self.study.best_trials
        found: dict[str, FrozenTrial] = {}
        for trial in sorted(trials, key=lambda trial: (trial.values[0], trial.number)):
            found.setdefault(trial.user_attrs["folder"], trial)
        return list(found.values())

    def promising(self) -> list[FrozenTrial]:
        """Return the trials that may hold and whose confirmation is not complete, best first.

        Their score and enough of their own seeds are below the target: other trials would waste levels and seeds.
        """
        return [t for t in self.ranked() if self._may_hold(t) and not self.settled(t.number)]

    def _may_hold(self, trial: FrozenTrial) -> bool:
        rmse = trial.user_attrs["rmse"]
        below = sum(value < self.rule.threshold for value in rmse)
        return trial.values[0] < self.rule.threshold and below >= self.rule.works_share * len(rmse)

    def candidates(self) -> dict[int, Candidate]:
        """Return every candidate by its trial, in order of place."""
        attrs = self.study.user_attrs
        numbers = [(int(key.removeprefix(CONFIRMED)), kept) for key, kept in attrs.items() if key.startswith(CONFIRMED)]
        found = sorted((from_json(*pair) for pair in numbers), key=lambda c: (c.place, c.trial))
        if not self.rule.sequential:
            return {c.trial: c for c in found}
        # Machines that begin a candidate at the same moment write the same place. Reading makes the places distinct.
        return {c.trial: replace(c, place=k) for k, c in enumerate(found, start=1)}

    def candidate(self, trial: int) -> Candidate:
        """Return the candidate of this trial; a new one takes the next place."""
        known = self.candidates()
        if trial not in known:
            self.keep(Candidate(trial, len(known) + 1))
        return self.candidates()[trial]

    def keep(self, candidate: Candidate) -> None:
        """Record the results of its fresh seeds, unless another machine has recorded more of them."""
        known = self.candidates().get(candidate.trial)
        if known is not None and known.begun > candidate.begun:
            return
        self.study.set_user_attr(f"{CONFIRMED}{candidate.trial}", candidate.as_json())

    def level(self, candidate: Candidate) -> float:
        """Return the probability that its interval misses the true share."""
        return level_of(candidate.place, self.rule) if self.rule.sequential else self.rule.alpha

    def share(self, candidate: Candidate) -> Share:
        """Return how many of its fresh seeds work, and whether it holds; open if runs are missing."""
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
        """Return whether it gets no more fresh seeds: decided, none left, too many failures, or out of reach."""
        one = self.candidates().get(trial)
        if one is None:
            return False
        found = self.share(one)
        if found.answer is not Works.OPEN or one.begun >= self.confirm_seeds or one.broken:
            return True
        needed = seeds_for_share(found, self.level(one), self.rule, hopeful=True)
        return out_of_reach(needed, found.n, self.confirm_seeds)

    def winner(self) -> int | None:
        """Return the candidate with the lowest mean RMSE: among those that hold, else among those that are open.

        The mean is over validation rows, so that test rows decide only whether a candidate holds.
        """
        known = [one for one in self.candidates().values() if one.seeds]
        ranked = [(BEST_FIRST[self.share(one).answer], mean(one.rmse), one.trial) for one in known]
        return min(ranked)[-1] if ranked else None

    def worth(self, winner: int) -> dict[str, object]:
        """Return how well a candidate did, for best.yaml: RMSE in the outcome's unit, and whether it holds."""
        one = self.candidates()[winner]
        share = self.share(one)
        return {
            "searched_rmse": mean(self.trial(winner).user_attrs["rmse"]),
            "seeds": list(one.seeds),
            "confirmed_rmse": list(one.rmse),
            "test_rmse": None if one.test_rmse is None else list(one.test_rmse),
            "works": f"{share.works} of {share.n}",
            "works_share": [share.low, share.high],
            "target_met": share.answer is Works.YES,
        }

    def holds(self, trial: int) -> bool:
        """Return whether the trial is confirmed: more seeds than the share that the rule asks are below the target."""
        one = self.candidates().get(trial)
        return one is not None and self.share(one).answer is Works.YES

    def met(self) -> bool:
        winner = self.winner()
        return winner is not None and self.holds(winner)

    def leaks(self, trial: int) -> dict[str, str]:
        """Return covariates of a winner that leak the answer, with what each does; empty if not checked."""
        return self.study.user_attrs.get(LEAKS, {}).get(str(trial), {})

    def progress(self, n_trials: int) -> str:
        """Return where the search stands, in a few words."""
        ranked, done = self.ranked(), len(self.trials(*FINISHED))
        best = f"best {ranked[0].values[0]:.2f} ({of_search(TRIAL, ranked[0].number)})" if ranked else "no score yet"
        return f"{done}/{n_trials} trials, {best}, {counted(len(self.candidates()), 'candidate')}"


def begin(study: optuna.Study, rule: Rule, confirm_seeds: int) -> Record:
    """Return the record of a search that is started or resumed."""
    study.set_user_attr(CONFIRM_SEEDS, confirm_seeds)
    study.set_user_attr(ENDING, NOT_ENDED)
    return Record(study, rule, confirm_seeds)


def read(study: optuna.Study, rule: Rule) -> Record:
    """Return the record of a search as its last start left it, with the rule that it had.

    Args:
        rule: used if the study does not name one.
    """
    told = study.user_attrs.get("search", {}).get("rule")
    own = rule if told is None else Rule.read(told, "rule")
    return Record(study, own, study.user_attrs.get(CONFIRM_SEEDS, 1))


def mean(rmse: Values | Sequence[float | None]) -> float:
    """Return the mean RMSE; infinite if a seed has none."""
    values = [math.inf if value is None else value for value in rmse]
    return math.fsum(values) / len(values) if values else math.inf
