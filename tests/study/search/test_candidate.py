"""Candidates: what is kept of them, their share of alpha, and how often a search calls one what it is not."""

import math

import numpy as np
import optuna
import pytest

from ssc_sweep.errors import UserError
from ssc_sweep.study.search.candidate import Candidate, check_seeds, fewest, fresh_seeds, from_json, level_of
from ssc_sweep.study.search.trials import Record, begin
from ssc_sweep.verdicts.evidence import Works
from ssc_sweep.verdicts.rule import Rule

RULE = Rule(target=15.0, sequential=True)


def record(most: int = 100) -> Record:
    return begin(optuna.create_study(), RULE, most)


def with_runs(of: Record, trial: int, works: np.ndarray) -> Works:
    """Give this trial, as the next candidate, fresh seeds that work or do not; what the record makes of it."""
    rmse = tuple(np.where(works, 10.0, 20.0).tolist())
    of.keep(Candidate(trial, of.candidate(trial).place, fresh_seeds(trial, len(rmse)), rmse, rmse))
    return of.share(of.candidates()[trial]).answer


def test_it_comes_back_from_a_storage_as_it_was() -> None:
    one = Candidate(3, 2, (4000, 4001, 4003), (9.0, None, 8.0), (7.0, None, 16.0), failed=(4002,))
    assert from_json(3, one.as_json()) == one
    alone = Candidate(3, 2, (4000,), (9.0,), None)
    assert from_json(3, alone.as_json()) == alone
    assert from_json(0, [1.0, None]) == Candidate(0, 0, (1000, 1001), (1.0, None))


def test_the_worse_of_validation_and_test_decides() -> None:
    one = Candidate(0, 1, (1000, 1001, 1002), (9.0, 16.0, None), (14.0, 1.0, None))
    assert list(one.worse)[:2] == [1000, 1001] and (one.worse[1000], one.worse[1001]) == (14.0, 16.0)
    assert math.isnan(one.worse[1002])


def test_the_levels_of_all_candidates_add_up_to_alpha() -> None:
    levels = [level_of(k, RULE) for k in range(1, 10_000)]
    assert levels[:3] == pytest.approx([0.05 / 2, 0.05 / 6, 0.05 / 12])
    assert sum(levels) == pytest.approx(0.05, rel=1e-3) and sum(levels) < 0.05


def test_how_few_seeds_can_decide() -> None:
    # All of t seeds work: wealth B(t + 1.2, 0.3) / B(1.2, 0.3) / 0.8^t is 33.7 at 20, 41.5 at 21; 40 are needed.
    assert fewest(0.025, 0.8, works=True) == 21
    # None of t does: 0.0501 / 0.2^4 = 31.3, and 0.0392 / 0.2^5 = 122.
    assert fewest(0.025, 0.8, works=False) == 5
    check_seeds(21, RULE)
    with pytest.raises(UserError, match=r"confirm_seeds=20 is too few to confirm anything: .* at least 21 seeds"):
        check_seeds(20, RULE)


def test_machines_that_begin_candidates_at_the_same_moment_share_no_level() -> None:
    one = record()
    for trial, place in ((7, 1), (3, 2), (9, 2), (4, 4)):
        one.keep(Candidate(trial, place))
    assert [(c.trial, c.place) for c in one.candidates().values()] == [(7, 1), (3, 2), (9, 3), (4, 4)]
    assert one.candidate(11).place == 5


def test_a_slower_machine_takes_no_seeds_away() -> None:
    one = record()
    with_runs(one, 0, np.ones(27, bool))
    assert with_runs(one, 0, np.ones(6, bool)) is Works.YES and len(one.candidates()[0].seeds) == 27


def test_what_gets_no_more_seeds() -> None:
    one = record()
    assert not one.settled(0)
    one.candidate(0)
    assert not one.settled(0)
    with_runs(one, 0, np.ones(20, bool))
    assert not one.settled(0)
    with_runs(one, 0, np.ones(21, bool))
    assert one.settled(0) and one.holds(0)
    one.keep(Candidate(1, 2, fresh_seeds(1, 2), (1.0, 1.0), None, failed=fresh_seeds(1, 6)[2:]))
    assert one.settled(1) and not one.holds(1)  # four of six failed
    spent = record(most=20)
    assert with_runs(spent, 0, np.ones(20, bool)) is Works.OPEN and spent.settled(0)
    # 32 of 40 is what is tested itself: 100 seeds will not tell.
    assert with_runs(one, 2, np.array([1, 1, 1, 1, 0] * 8, bool)) is Works.OPEN and one.settled(2)


def called(share: float, searches: int, candidates: int, seed: int) -> tuple[float, float]:
    """Of simulated searches in which every candidate works in this share of seeds: those that say of any candidate that
    it holds, that it does not. Each gets seeds as a search gives them: one at a time here, so with the most looks."""
    rng = np.random.default_rng(seed)
    holds = fails = 0
    for _ in range(searches):
        one, answers = record(), []
        for trial in range(candidates):
            works = rng.random(100) < share
            # An excluded share stays excluded, so that one look at the end sees what any look saw.
            answers.append(with_runs(one, trial, works))
        holds += Works.YES in answers
        fails += Works.NO in answers
    return holds / searches, fails / searches


def test_five_candidates_that_work_in_four_fifths_of_seeds_do_not_pass() -> None:
    """The count that was used before, at least nine of ten, lets one of five such candidates pass nine times of ten."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    holds, fails = called(0.8, searches=400, candidates=5, seed=0)
    assert holds + fails <= 0.05
    rng = np.random.default_rng(0)
    assert ((rng.random((10_000, 5, 10)) < 0.8).sum(axis=2) >= 9).any(axis=1).mean() > 0.88


def test_what_works_is_found_and_what_does_not_is_told_so() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    assert called(0.97, searches=100, candidates=1, seed=1)[0] >= 0.9
    assert called(0.3, searches=100, candidates=1, seed=2)[1] == 1.0
