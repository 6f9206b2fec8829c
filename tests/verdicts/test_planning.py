"""How many seeds an answer takes, where there is nothing to compute: settled, a tie, out of sight."""

import math
from dataclasses import replace

import pytest

from ssc_sweep.verdicts.evidence import Matters, Share, Works, share_working
from ssc_sweep.verdicts.planning import MOST_SEEDS, seeds_for_difference, seeds_for_share
from ssc_sweep.verdicts.rule import Rule
from tests.verdicts.alone import judge

HALF = Rule(target=15.0, works_share=0.5)
DIFFERENCE = judge(dict.fromkeys(range(9), 40.0), dict.fromkeys(range(9), 50.0), HALF).matters


def share(works: int, n: int, answer: Works = Works.OPEN) -> Share:
    return Share(works, n, 0.0, 1.0, answer)


def test_an_answer_takes_the_seeds_it_has() -> None:
    assert seeds_for_share(share(8, 10, Works.YES), 0.05, HALF) == 10
    assert seeds_for_difference(replace(DIFFERENCE, answer=Matters.BETTER), 0.05, HALF) == 9


def test_a_share_at_the_limit_or_close_to_it_is_never_told_from_it() -> None:
    assert seeds_for_share(share(5, 10), 0.05, HALF) is None
    close = seeds_for_share(share(101, 200), 0.05, HALF)
    assert close is not None and close <= MOST_SEEDS
    assert seeds_for_share(share(1001, 2000), 0.05, HALF) is None


@pytest.mark.parametrize("sequential", [False, True])
@pytest.mark.parametrize(("works", "answer"), [(True, Works.YES), (False, Works.NO)])
def test_runs_that_all_agree_take_the_fewest_that_can_show_it(works: bool, answer: Works, sequential: bool) -> None:
    rule = Rule(target=15.0, works_share=0.9 if works else 0.1, sequential=sequential)
    needed = seeds_for_share(share(5 * works, 5), 0.05, rule)
    assert needed is not None
    assert seeds_for_share(share(5 * works, 5), 0.05, rule, hopeful=True) == needed, "no study is given up before it"
    if not sequential:
        # All of n runs work. The lower end is the share q with q^n = 0.025: above 0.9 from log 0.025 / log 0.9 on.
        assert needed == math.ceil(math.log(0.025) / math.log(0.9)) == 36
    rmse = 5.0 if works else 50.0
    shown = [share_working(dict.fromkeys(range(n), rmse), 0.05, rule).answer for n in (needed - 1, needed)]
    assert shown == [Works.OPEN, answer]


def test_a_difference_that_noise_hides_takes_more_than_is_reported() -> None:
    wide = replace(DIFFERENCE, answer=Matters.OPEN, log_mean=0.001)
    assert seeds_for_difference(replace(wide, log_sd=1000.0), 0.05, HALF) is None
    assert seeds_for_difference(replace(wide, log_sd=math.nan), 0.05, HALF) is None


def test_without_spread_the_fewest_seeds_do() -> None:
    still = replace(DIFFERENCE, answer=Matters.OPEN, log_mean=0.5, log_sd=0.0)
    assert seeds_for_difference(still, 0.05, HALF) == pytest.approx(6)
