"""What the bench of verdicts counts is what verdicts say."""

import math

import numpy as np
import pytest

from ssc_sweep.verdicts.evidence import Matters, Works, difference, share_working
from ssc_sweep.verdicts.rule import Rule
from tests.bench.simulated import effects, first_outside, first_within, real_runs, share_chances

AUTO = Rule(target=15.0, sequential=True)
LEVEL = 0.02


@pytest.mark.parametrize("seed", range(4))
def test_answers_of_the_bench_are_those_of_the_intervals(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(rng.choice([0.0, -0.5]), rng.choice([0.05, 0.5]), (1, 30))
    x[0, rng.random(30) < 0.1] += 1.0
    told = [difference(x[0, :n], LEVEL, AUTO) for n in range(1, 31)]
    outside = [one.low > 1 or one.high < 1 for one in told]
    within = [one.answer is Matters.SAME for one in told]
    assert first_outside(x, 0.0, LEVEL)[0] == (outside.index(True) + 1 if any(outside) else math.inf)
    assert first_within(x, AUTO.log_margin, LEVEL)[0] == (within.index(True) + 1 if any(within) else math.inf)


def test_chances_of_a_share_are_those_of_all_outcomes() -> None:
    """Six runs have 64 outcomes: each is judged, and weighed by its chance."""
    true, n = 0.3, 6
    yes, no = share_chances(true, AUTO.works_share, 0.2, n)
    found = dict.fromkeys(Works, 0.0)
    for outcome in range(2**n):
        works = [bool(outcome >> i & 1) for i in range(n)]
        told = share_working({i: 5.0 if one else 50.0 for i, one in enumerate(works)}, 0.2, AUTO).answer
        found[told] += true ** sum(works) * (1 - true) ** (n - sum(works))
    assert (yes[n], no[n]) == pytest.approx((found[Works.YES], found[Works.NO]))
    assert no[n] > 0.3 and (np.diff(no) >= 0).all()


def test_real_runs_are_whole() -> None:
    table = real_runs()
    assert len(table) == 40 and "control" in table and not table.isna().any(axis=None) and (table > 0).all(axis=None)
    assert len(effects()) == 7 + 1 + len(table.columns) - 1
