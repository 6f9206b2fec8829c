"""How often a search calls a candidate what it is not, and how many fresh seeds an answer takes. Trains nothing.

    python -m tests.bench.confirming [searches]        default: 400, about 5 minutes

Seeds are drawn and added in the rounds of a search, and each round is judged by its code. First a candidate that works
in a given share of seeds, as the first, second or fifth of its search; then searches of five candidates, each of which
works in four fifths of them; then how often the 95% t interval of the mean RMSE holds the true mean, although the
number of seeds followed those that work. RMSE there is log-normal with the sd of the plan's runs.
"""

import math
import statistics
import sys
from dataclasses import dataclass

import numpy as np
import optuna
from scipy.stats import norm

from ssc_sweep.study.search.candidate import Candidate
from ssc_sweep.study.search.confirm import next_round
from ssc_sweep.study.search.settings import Settings
from ssc_sweep.study.search.trials import Record, begin
from ssc_sweep.verdicts.evidence import Works
from ssc_sweep.verdicts.paired import t_interval
from ssc_sweep.verdicts.rule import Rule

RULE = Rule(target=15.0, sequential=True)
MOST = Settings().confirm_seeds
SHARES = (0.1, 0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99)
PLACES = (1, 2, 5)
LOG_SD = 0.45


@dataclass(frozen=True)
class Ended:
    answer: Works
    seeds: int
    covered: bool  # the true mean, by the t interval


def confirm(record: Record, trial: int, place: int, share: float, rng: np.random.Generator) -> Ended:
    """Confirm a candidate whose RMSE is below the target in this share of seeds."""
    centre = math.log(15.0) - LOG_SD * float(norm.ppf(share))
    record.keep(Candidate(trial, place))
    one = record.candidate(trial)
    while not record.settled(trial):
        seeds = next_round(one, record, 1)
        rmse = (*one.rmse, *np.exp(rng.normal(centre, LOG_SD, len(seeds))).tolist())
        one = Candidate(trial, one.place, (*one.seeds, *seeds), rmse, rmse)
        record.keep(one)
    _, low, high = t_interval(np.array(one.rmse))
    return Ended(record.share(one).answer, one.begun, low <= math.exp(centre + LOG_SD**2 / 2) <= high)


def fresh_record(before: int = 0) -> Record:
    """A search that has had so many candidates."""
    record = begin(optuna.create_study(), RULE, MOST)
    for trial in range(before):
        record.candidate(trial)
    return record


def main() -> None:
    searches = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rng = np.random.default_rng(0)
    print(f"{searches} candidates a line; alpha {RULE.alpha}, works_share {RULE.works_share}, at most {MOST} seeds")
    print("works in   place   holds   does not    open   seeds: mean, median where decided   t interval covers")
    for share in SHARES:
        for place in PLACES:
            ends = [confirm(fresh_record(place - 1), place - 1, place, share, rng) for _ in range(searches)]
            parts = [sum(e.answer is answer for e in ends) / searches for answer in (Works.YES, Works.NO, Works.OPEN)]
            decided = [e.seeds for e in ends if e.answer is not Works.OPEN]
            median = f"{statistics.median(decided):.0f}" if decided else "-"
            print(
                f"{share:8.0%}{place:8d}{parts[0]:8.1%}{parts[1]:11.1%}{parts[2]:8.1%}"
                f"{statistics.mean(e.seeds for e in ends):13.0f}{median:>10}{np.mean([e.covered for e in ends]):32.1%}",
                flush=True,
            )
    wrong = 0
    for _ in range(searches):
        record = fresh_record()
        answers = [confirm(record, trial, trial + 1, 0.8, rng).answer for trial in range(5)]
        wrong += any(answer is not Works.OPEN for answer in answers)
    counted = ((rng.random((searches, 5, 10)) < 0.8).sum(axis=2) >= 9).any(axis=1).mean()
    print(f"five candidates that work in 80%: a search calls any of them anything in {wrong / searches:.1%}, aim 5%")
    print(f"the count of 9 in 10, which was used before, calls one of them confirmed in {counted:.1%}")


if __name__ == "__main__":
    main()
