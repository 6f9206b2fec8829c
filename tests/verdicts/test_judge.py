"""Verdicts: small cases worked by hand, the bad input, and simulated studies for what a formula cannot promise."""

import math
import textwrap
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

from ssc_sweep.errors import UserError
from ssc_sweep.verdicts import judge as verdicts
from ssc_sweep.verdicts import paired
from ssc_sweep.verdicts.evidence import seeds_needed, weigh
from ssc_sweep.verdicts.judge import Judgement, Verdict, judge, judge_study
from ssc_sweep.verdicts.paired import equivalence, fewest, holm, sign_flip
from ssc_sweep.verdicts.rule import Rule
from tests.bench.power import log_mean, real_noise

Floats = NDArray[np.float64]
RULE = Rule(target=15.0)
NAN = math.nan


def around(centre: float, n: int, spread: float = 0.05) -> Floats:
    """n values whose logs lie evenly and symmetrically around log(centre)."""
    return centre * np.exp(np.linspace(-spread, spread, n))


# The rule


def test_margin_is_symmetric_on_the_log_scale() -> None:
    assert Rule(target=15.0, margin=0.1).log_margin == pytest.approx(math.log(1.1))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("target", 0.0), ("target", -1.0), ("target", NAN), ("target", "15"), ("target", True), ("works_share", 0.0),
        ("works_share", 1.01), ("alpha", 0.0), ("alpha", 0.5), ("alpha", None), ("margin", 0.0), ("margin", math.inf),
    ],
)  # fmt: skip
def test_a_rule_out_of_bounds_is_refused(field: str, value: object) -> None:
    with pytest.raises(UserError, match=f"{field}=.* is out of bounds: allowed is"):
        Rule.read({"target": 15.0} | {field: value})


# Differences


def test_differences_by_hand() -> None:
    # Logs of the ratios 1/2, 1/2, 2, 1: mean -log(2)/4; deviations -3/4, -3/4, 5/4, 1/4 -> sd log(2) sqrt(2.75/3).
    seen = judge([10, 20, 80, 30], [20, 40, 40, 30], RULE).evidence
    assert (seen.n_seeds, seen.n_pairs, seen.n_lost) == (4, 4, 0)
    assert seen.log_mean == pytest.approx(-math.log(2) / 4)
    assert seen.ratio == pytest.approx(2**-0.25)
    assert seen.log_sd == pytest.approx(math.log(2) * math.sqrt(2.75 / 3))
    assert seen.d_z == pytest.approx(-0.25 / math.sqrt(2.75 / 3))
    assert (seen.wins, seen.ties, seen.losses) == (2, 1, 1)
    assert (seen.works, seen.works_control) == (1, 0)


def test_the_target_itself_does_not_work() -> None:
    assert judge([15.0, 14.999], [15.0, 15.0], RULE).evidence.works == 1


def test_swapping_sides_mirrors_the_numbers() -> None:
    rng = np.random.default_rng(0)
    arm, control = np.exp(rng.normal(size=(2, 20)))
    there, back = judge(arm, control, RULE).evidence, judge(control, arm, RULE).evidence
    assert there.p_value == back.p_value
    assert there.ratio_low == pytest.approx(1 / back.ratio_high)
    assert (there.wins, there.losses) == (back.losses, back.wins)


def test_the_order_of_seeds_and_the_unit_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    arm, control = np.exp(rng.normal(size=(2, 20)))
    order = rng.permutation(20)
    first = judge(arm, control, RULE).evidence
    second = judge(1000 * arm[order], 1000 * control[order], Rule(target=15_000.0)).evidence
    assert first.p_value == second.p_value
    assert first.ratio_high == pytest.approx(second.ratio_high)
    assert first.works == second.works


# Test and interval


def test_interval_by_hand() -> None:
    # Means over the subsets of 1, 2, 6: 1, 1.5, 2, 3, 3.5, 4, 6. Of 8 patterns only the observed one is as extreme, so
    # p = 2 * 1/8. At alpha = 0.3, k = ceil(8 * 0.15) - 1 = 1: the ends are the smallest and the largest mean.
    p, low, high = sign_flip(np.array([6.0, 1.0, 2.0]), 0.3)
    assert (p, low, high) == (0.25, 1.0, 6.0)
    # At alpha = 0.2, k = 0: no interval.
    assert [float(end) for end in sign_flip(np.array([6.0, 1.0, 2.0]), 0.2)[1:]] == [-math.inf, math.inf]


def test_interval_keeps_exactly_the_centres_that_the_test_keeps() -> None:
    x = np.random.default_rng(3).standard_t(3, 9) + 0.7
    _, low, high = sign_flip(x, 0.05)
    for centre in (low + 1e-9, high - 1e-9, x.mean()):
        assert sign_flip(x - centre, 0.05)[0] >= 0.05
    for centre in (low - 1e-9, high + 1e-9):
        assert sign_flip(x - centre, 0.05)[0] < 0.05


@pytest.mark.parametrize("n", [3, 6, 8, 10, 20])
def test_p_and_interval_agree_on_zero(n: int) -> None:
    rng = np.random.default_rng(n)
    x = rng.standard_t(3, (300, n)) + rng.choice([0, 0.5, 1], (300, 1))
    x[:50] = np.round(x[:50])  # ties and zeros
    p, low, high = sign_flip(x, 0.05)
    assert (((low > 0) | (high < 0)) == (p < 0.05)).all()
    assert n < 6 or 0 < (p < 0.05).sum() < 300


@pytest.mark.parametrize("n", [2, 5, 9])
def test_p_is_that_of_scipy(n: int) -> None:
    arm, control = np.exp(np.random.default_rng(n).normal(size=(2, n)))
    logs = (np.log(arm), np.log(control))
    theirs = stats.permutation_test(logs, lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=10**6)
    assert judge(arm, control, RULE).p_holm == pytest.approx(theirs.pvalue)


def test_drawn_patterns_agree_with_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(1).normal(0.5, 1, 16)
    drawn = sign_flip(x, 0.05)
    paired._subsets.cache_clear()
    monkeypatch.setattr(paired, "PATTERNS", 2**16)
    exact = sign_flip(x, 0.05)
    paired._subsets.cache_clear()
    assert np.array(drawn) == pytest.approx(np.array(exact), abs=0.005)
    assert not np.array_equal(drawn, exact)


@pytest.mark.parametrize("n", [5, 20, 333])
def test_patterns_kept_as_bits_are_those_drawn_at_once(n: int) -> None:
    if 2**n <= paired.PATTERNS:
        rows = np.array([[(i >> j) & 1 for j in range(n)] for i in range(1, 2**n)])
    else:
        rows = np.random.default_rng(0).integers(0, 2, (paired.PATTERNS + 100, n))[: paired.PATTERNS - 1]
        assert rows.any(axis=1).all()  # none is empty, so none was passed over
    packed, sizes = paired._subsets(n)
    assert np.array_equal(np.unpackbits(packed, axis=1, count=n), rows)
    assert np.array_equal(sizes, rows.sum(axis=1))
    x = np.random.default_rng(n).normal(0.3, 1, (2, n))
    assert paired._subset_means(x) == pytest.approx(x @ rows.T / rows.sum(axis=1), abs=1e-12)


def test_thousands_of_pairs_need_little_memory() -> None:
    """As numbers, 32,768 patterns of 1,667 pairs take 437 MB."""
    x = np.random.default_rng(0).normal(0.1, 1, 1667)
    paired._subsets.cache_clear()
    tracemalloc.start()
    p, low, high = sign_flip(x, 0.05)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6
    assert p < 0.01 and 0 < low < x.mean() < high


def test_fewest_seeds_for_a_claim() -> None:
    # 2 / 2^5 = 0.0625, 2 / 2^6 = 0.03125; 2 / 2^8 = 0.0078, 2 / 2^9 = 0.0039 against 0.05 / 8 = 0.00625.
    assert (fewest(0.05), fewest(0.05 / 8), fewest(0.0625)) == (6, 9, 6)


# Holm, equivalence


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.03, 0.5 times 4, 3, 2, 1 = 0.04, 0.06, 0.06, 0.5.
    assert holm(np.array([0.03, 0.5, 0.01, 0.02])) == pytest.approx([0.06, 0.5, 0.04, 0.06])
    # 0.04 * 2 = 0.08, then 0.05 * 1 may not fall below it; 0.6 * 2 stops at 1.
    assert holm(np.array([[0.04, 0.05], [0.6, 0.7]])) == pytest.approx(np.array([[0.08, 0.08], [1.0, 1.0]]))
    assert holm(np.array([])).shape == (0,)


def test_equivalence_by_hand() -> None:
    # Mean 0.01, sd sqrt(0.001), n = 10: t = (0.05 - 0.01) / 0.01 = 4 for the nearer side; flips: 1 pattern of 2^10.
    x = np.tile([-0.02, 0.04], 5)
    assert equivalence(x, 0.05) == pytest.approx(stats.t.sf(4.0, 9))
    # Three pairs within the margin: t says 0.037, but the flips have 8 patterns.
    assert equivalence(np.array([-0.01, 0.01, 0.03]), 0.05) == pytest.approx(1 / 8)
    assert equivalence(-x, 0.05) == pytest.approx(equivalence(x, 0.05))
    assert equivalence(np.array([0.01]), 0.05) == 1.0 == equivalence(np.array([]), 0.05)


# Verdicts


def verdict(arm: Floats, control: Floats) -> Verdict:
    return judge(arm, control, RULE).verdict


def test_every_verdict_is_reached() -> None:
    failing = around(50, 10)
    reached = {
        verdict(around(5, 10)[::-1], failing): Verdict.MAKES_IT_WORK,
        verdict(around(30, 10)[::-1], failing): Verdict.HELPS,
        verdict(failing * np.tile([1.01, 0.99], 5), failing): Verdict.NO_DIFFERENCE,
        verdict(around(70, 10)[::-1], failing): Verdict.WORSE,
        verdict(failing * np.tile([1.5, 0.6], 5), failing): Verdict.TOO_FEW_SEEDS,
        verdict(around(4, 10), around(5, 10)): Verdict.CONTROL_WORKS,
    }
    assert all(got is expected for got, expected in reached.items())
    assert set(reached) == set(Verdict)


def test_nine_of_ten_work_eight_do_not() -> None:
    failing = around(50, 10)
    assert verdict(np.array([*[5.0] * 9, 20.0]), failing) is Verdict.MAKES_IT_WORK
    assert verdict(np.array([*[5.0] * 8, 20.0, 20.0]), failing) is Verdict.HELPS


def test_worse_is_said_even_where_the_control_works() -> None:
    assert verdict(around(9, 10), around(5, 10)) is Verdict.WORSE


def test_a_certain_difference_within_the_margin_is_none() -> None:
    found = judge(around(50, 10) * 0.97, around(50, 10), RULE)
    assert found.p_holm < 0.05
    assert found.verdict is Verdict.NO_DIFFERENCE


def test_five_seeds_are_too_few_for_any_claim() -> None:
    five = around(50, 5)
    for arm, control in ((around(5, 5), five), (five * 2, five), (five, five), (five, around(5, 5)[::-1])):
        found = judge(arm, control, RULE)
        assert found.verdict is Verdict.TOO_FEW_SEEDS
        assert found.seeds_needed is not None and found.seeds_needed > 5


def test_holm_takes_claims_back() -> None:
    # Six pairs, all better: p = 2/64 = 0.031 alone; with a second arm of p = 1, 0.0625.
    arm, control = around(25, 6)[::-1], around(50, 6)
    assert judge(arm, control, RULE).verdict is Verdict.HELPS
    found = judge_study({"a": (arm, control), "b": (control * [1, 2, 0.5, 1, 2, 0.5], control)}, RULE)
    assert found["a"].evidence.p_value == pytest.approx(2 / 64)
    assert found["a"].p_holm == pytest.approx(4 / 64)
    assert found["a"].verdict is Verdict.TOO_FEW_SEEDS
    assert found["a"].seeds_needed == fewest(0.025) == 7


def test_row_is_flat() -> None:
    row = judge(around(5, 10), around(50, 10), RULE).row()
    assert row["verdict"] == "The change makes it work."
    assert row["works"] == 10 and row["p_lost"] is None
    assert not any(isinstance(value, dict | list) for value in row.values())


# Lost runs


def test_lost_runs_by_hand() -> None:
    # Seed by seed: arm lost; control lost; both lost; arm wins; arm loses; tie.
    found = judge([NAN, 10, NAN, 10, 40, 20], [20, NAN, NAN, 20, 20, 20], RULE)
    seen = found.evidence
    assert (seen.n_seeds, seen.n_pairs) == (6, 3)
    assert (seen.n_lost, seen.n_lost_control, seen.n_lost_alone, seen.n_lost_alone_control) == (2, 2, 1, 1)
    assert (seen.wins, seen.ties, seen.losses) == (2, 2, 2)
    assert (seen.works, seen.works_control) == (2, 0)
    assert seen.log_mean == pytest.approx(0.0)
    assert seen.p_lost == 1.0


def test_lost_runs_join_the_family() -> None:
    # p of the pairs 2/64, p of the lost runs 1 (one each): Holm over two tests.
    found = judge([*around(25, 6)[::-1], NAN, 25], [*around(50, 6), 50, NAN], RULE)
    assert (found.evidence.p_value, found.evidence.p_lost) == (pytest.approx(2 / 64), 1.0)
    assert (found.p_holm, found.p_lost_holm) == (pytest.approx(4 / 64), 1.0)


def test_an_infinite_rmse_is_a_lost_run() -> None:
    assert judge([math.inf, 5.0], [50.0, 50.0], RULE).evidence.n_lost == 1


def test_an_arm_that_loses_its_runs_is_worse() -> None:
    # 10 lost against 0: p = 2 / 2^10; the other ten are the same.
    arm = np.concatenate([around(50, 10), np.full(10, NAN)])
    found = judge(arm, around(50, 20), RULE)
    assert found.evidence.p_lost == pytest.approx(2 / 1024)
    assert found.verdict is Verdict.WORSE


def test_lost_runs_and_the_others_that_contradict_each_other_decide_nothing() -> None:
    arm = np.concatenate([around(5, 10), np.full(10, NAN)])
    for found in (judge(arm, around(50, 20), RULE), judge(around(50, 20), arm, RULE)):
        assert (found.verdict, found.seeds_needed) == (Verdict.TOO_FEW_SEEDS, None)
        assert "cannot be said" in found.advice


def test_an_arm_that_works_in_its_share_of_runs_works_though_it_loses_some() -> None:
    # 54 of 60 work, none of the control does; six lost alone, p = 2 / 2^6, are no more than a tenth.
    found = judge(np.concatenate([around(5, 54), np.full(6, NAN)]), around(50, 60), RULE)
    assert found.p_lost_holm is not None and found.p_lost_holm < 0.05
    assert found.verdict is Verdict.MAKES_IT_WORK


def test_an_arm_that_saves_lost_runs_helps_though_no_pairs_are_left() -> None:
    assert verdict(around(30, 10), np.full(10, NAN)) is Verdict.HELPS
    assert verdict(around(5, 10), np.full(10, NAN)) is Verdict.MAKES_IT_WORK


def test_one_lost_run_of_ten_is_not_held_against_an_arm_three_are() -> None:
    arm, control = around(5, 10)[::-1].copy(), around(50, 10)
    arm[3] = NAN
    assert verdict(arm, control) is Verdict.MAKES_IT_WORK
    arm[:2] = NAN
    found = judge(arm, control, RULE)
    assert found.verdict is Verdict.TOO_FEW_SEEDS
    # 3 in 10 are lost, and 7 lost ones are needed: 2 / 2^7 < 0.05 / 2.
    assert found.seeds_needed == next(n for n in range(11, 99) if stats.binom.sf(6, n, 0.3) >= 0.8)


def test_lost_runs_of_the_control_are_not_held_against_the_arm() -> None:
    control = around(50, 20)
    control[:3] = NAN
    assert verdict(around(30, 20)[::-1], control) is Verdict.HELPS
    assert verdict(around(70, 20)[::-1], control) is Verdict.TOO_FEW_SEEDS


def test_nothing_but_lost_runs() -> None:
    found = judge([NAN] * 8, [NAN] * 8, RULE)
    assert (found.verdict, found.seeds_needed) == (Verdict.TOO_FEW_SEEDS, None)
    assert (found.evidence.ties, found.evidence.p_value) == (8, 1.0)
    assert math.isnan(found.evidence.ratio)


def test_a_level_below_the_smallest_p_needs_more_seeds_than_there_are() -> None:
    found = judge(around(45, 30)[::-1], around(50, 30), Rule(target=15.0, alpha=1e-4))
    assert found.verdict is Verdict.HELPS  # one arm can be told at this level, two cannot
    noisy = judge_study(
        {str(arm): (around(50, 30)[::-1] * np.tile([2, 0.5], 15), around(50, 30)) for arm in range(2)},
        Rule(target=15.0, alpha=1e-4),
    )
    assert {j.seeds_needed for j in noisy.values()} == {None}


# Bad and degenerate input: warnings are errors here


def test_no_seeds_at_all() -> None:
    found = judge([], [], RULE)
    assert (found.verdict, found.seeds_needed, found.evidence.n_seeds) == (Verdict.TOO_FEW_SEEDS, None, 0)
    assert judge_study({}, RULE) == {}


def test_one_pair() -> None:
    found = judge([5.0], [50.0], RULE)
    # From one pair no spread can be told; a claim takes at least six.
    assert (found.verdict, found.seeds_needed, found.p_holm) == (Verdict.TOO_FEW_SEEDS, 6, 1.0)
    assert found.advice == "At least 6 are needed."
    assert (found.evidence.ratio, found.evidence.ratio_low) == (pytest.approx(0.1), 0.0)
    assert found.evidence.ratio_high == math.inf
    assert math.isnan(found.evidence.log_sd) and math.isnan(found.evidence.d_z)


def test_seeds_that_both_sides_lost_make_no_pairs() -> None:
    """Of nine seeds five are lost on both sides; a claim takes six pairs, so that at least two more are needed."""
    arm, control = [5.0, 6.0, 7.0, 8.0, *[None] * 5], [50.0, 50.0, 50.0, 50.0, *[None] * 5]
    assert judge(arm, control, RULE).seeds_needed == 11
    # Four lost by the arm alone and four pairs: two tests, and seven of either kind are needed.
    arm, control = [5.0, 6.0, 7.0, 8.0, *[None] * 4], [50.0] * 8
    assert judge(arm, control, RULE).seeds_needed == 11


def test_two_pairs() -> None:
    found = judge([5.0, 6.0], [50.0, 50.0], RULE)
    assert (found.verdict, found.p_holm) == (Verdict.TOO_FEW_SEEDS, 0.5)
    assert found.seeds_needed == 6


def test_advice_says_how_far_it_can_be_trusted() -> None:
    evidence = judge(around(50, 10), around(50, 10)[::-1], RULE).evidence
    few = Judgement(Verdict.TOO_FEW_SEEDS, 40, 1.0, None, evidence)
    assert few.advice == "About 40 would decide (80% power; a rough guess)."
    assert replace(few, evidence=replace(evidence, n_pairs=20)).advice == "About 40 would decide (80% power)."
    assert replace(few, evidence=replace(evidence, n_pairs=4)).advice == "At least 40 are needed."
    assert replace(few, seeds_needed=None).advice.startswith("How many would decide cannot be said")
    assert replace(few, verdict=Verdict.HELPS).advice == ""


@pytest.mark.parametrize(("factor", "expected"), [(1.0, Verdict.NO_DIFFERENCE), (0.5, Verdict.HELPS)])
def test_differences_without_spread(factor: float, expected: Verdict) -> None:
    control = np.random.default_rng(0).uniform(40, 90, 10)  # a constant ratio of unequal values: sd of rounding only
    found = judge(control * factor, control, RULE)
    assert found.verdict is expected
    assert found.evidence.log_sd == 0.0 and math.isnan(found.evidence.d_z)
    assert found.evidence.ratio_low == pytest.approx(factor) == found.evidence.ratio_high
    assert verdict(np.full(10, 40.0) * factor, np.full(10, 40.0)) is expected


@pytest.mark.parametrize(("arm", "control"), [([1.0, 2.0], [1.0]), ([[1.0]], [[1.0]]), (1.0, 1.0)])
def test_what_cannot_be_paired_is_refused(arm: object, control: object) -> None:
    with pytest.raises(UserError, match=r"lr: RMSE of shape .* cannot be paired"):
        judge_study({"lr": (arm, control)}, RULE)  # type: ignore[dict-item]


def test_an_rmse_without_logarithm_is_refused() -> None:
    with pytest.raises(UserError, match=r"an RMSE of 0 has no logarithm: allowed are numbers above 0"):
        judge([5.0, 0.0], [5.0, 5.0], RULE)
    with pytest.raises(UserError, match=r"an RMSE of -2 "):
        judge([5.0], [-2.0], RULE)


def test_extreme_numbers_do_not_warn() -> None:
    found = judge(np.full(8, 1e300), np.full(8, 1e-300), RULE)
    assert (found.verdict, found.evidence.ratio) == (Verdict.WORSE, math.inf)


# How many seeds would decide


def test_seeds_needed_by_textbook() -> None:
    # Cohen (1988), table 2.4.1: a paired t test at d = 0.5, two-sided 0.05, power 0.8 needs 34 pairs.
    x = np.tile([0.0, 1.0], 5)
    x = 0.5 + (x - x.mean()) / x.std(ddof=1)
    seen = weigh(np.exp(x), np.ones(10), RULE)
    assert seen.d_z == pytest.approx(0.5)
    assert seeds_needed(seen, 1, RULE) == 34
    more = seeds_needed(seen, 8, RULE)
    assert more is not None and more > 34
    # Half of the seeds give no pair, on both sides alike: twice as many.
    lost = np.full(10, NAN)
    assert seeds_needed(weigh(np.append(np.exp(x), lost), np.append(np.ones(10), lost), RULE), 1, RULE) == 68


def test_seeds_needed_for_no_difference() -> None:
    # Mean 0, sd 0.2, margin log 1.1 = 0.0953: n = 41 from sd^2 (1.645 + 1.282)^2 / 0.0953^2 = 37.7, and some for t.
    x = np.tile([-1.0, 1.0], 5)
    needed = seeds_needed(weigh(np.exp(0.2 * x / x.std(ddof=1)), np.ones(10), RULE), 1, RULE)
    assert needed is not None and 38 <= needed <= 41


def test_seeds_needed_mostly_decide() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=12)
    x = 0.35 + 0.8 * (x - x.mean()) / x.std(ddof=1)
    found = judge(50 * np.exp(x), np.full(12, 50.0), RULE)
    assert found.verdict is Verdict.TOO_FEW_SEEDS and found.seeds_needed is not None
    p = sign_flip(rng.normal(0.35, 0.8, (400, found.seeds_needed)), 0.05)[0]
    assert 0.72 < np.mean(p < 0.05) < 0.88


# Simulated studies


def test_at_most_5_percent_of_studies_without_effect_make_a_claim() -> None:
    """Studies of 8 arms that share a control, all runs alike: count studies with any "helps" or "worse".

    Such a claim needs a Holm-adjusted p below alpha, so counting these counts at least every such verdict.
    """
    rng = np.random.default_rng(11)
    for n, studies in ((10, 2000), (20, 600)):
        claims = 0
        for _ in range(studies // 50):
            log_rmse = np.log(real_noise(rng, (50, 9, n)))
            p = sign_flip(log_rmse[:, 1:] - log_rmse[:, :1], RULE.alpha)[0]
            claims += int((holm(p) < RULE.alpha).any(axis=1).sum())
        assert claims / studies <= 0.05, f"{claims} of {studies} studies of {n} seeds"
        assert claims / studies >= 0.005  # the check itself has teeth


def test_lost_runs_do_not_add_false_claims() -> None:
    """400 studies of 4 arms, all runs alike, 15% of them lost: count studies with any claim of a difference."""
    rng = np.random.default_rng(12)
    claims = 0
    for _ in range(400):
        rmse = np.where(rng.random((5, 10)) < 0.15, NAN, real_noise(rng, (5, 10)))
        found = judge_study({str(arm): (rmse[arm], rmse[0]) for arm in range(1, 5)}, RULE)
        claims += any(j.verdict in (Verdict.WORSE, Verdict.HELPS, Verdict.MAKES_IT_WORK) for j in found.values())
    assert claims / 400 <= 0.05


def test_verdicts_make_the_claims_that_the_fast_path_counts() -> None:
    rng = np.random.default_rng(13)
    for _ in range(30):
        rmse = real_noise(rng, (9, 10)) * rng.choice([1.0, 2.0], (9, 1))
        p = holm(sign_flip(np.log(rmse[1:]) - np.log(rmse[0]), RULE.alpha)[0])
        found = judge_study({str(arm): (rmse[arm], rmse[0]) for arm in range(1, 9)}, RULE)
        assert [j.p_holm for j in found.values()] == pytest.approx(p)
        told = [j.verdict in (Verdict.WORSE, Verdict.HELPS, Verdict.MAKES_IT_WORK) for j in found.values()]
        assert all(told <= (p < RULE.alpha))


def t3(rng: np.random.Generator, n: int) -> Floats:
    return rng.standard_t(3, (4000, n))


def alike(rng: np.random.Generator, n: int) -> Floats:
    """Two arms with the noise of real failing runs."""
    first, second = np.log(real_noise(rng, (2, 4000, n)))
    return first - second


def against_a_calm_arm(rng: np.random.Generator, n: int) -> Floats:
    """The noise of real failing runs against an arm of little noise: skewed differences, their mean known."""
    return np.log(real_noise(rng, (4000, n))) - log_mean(0.4) + rng.normal(0, 0.3, (4000, n))


@pytest.mark.parametrize("noise", [t3, alike, against_a_calm_arm])
@pytest.mark.parametrize("n", [10, 20])
def test_the_interval_covers_93_to_97_percent(noise: object, n: int) -> None:
    assert callable(noise)
    x = noise(np.random.default_rng(n), n)
    covered = 0
    for part in np.array_split(x, 80):
        _, low, high = sign_flip(part, 0.05)
        covered += int(((low <= 0) & (high >= 0)).sum())
    assert 0.93 <= covered / 4000 <= 0.97


def test_the_rejected_interval_covers_too_little() -> None:
    x = t3(np.random.default_rng(0), 10)[:600]
    found = stats.bootstrap((x,), np.mean, axis=1, n_resamples=999, method="BCa", rng=np.random.default_rng(0))
    low, high = found.confidence_interval
    assert np.mean((low <= 0) & (high >= 0)) < 0.93


# Recompute by paste


def test_the_snippet_of_the_docstring_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("control", seed, "finished", 50.0 + seed) for seed in range(12)]
    rows += [("lr", seed, "finished", 5.0 + seed / 100) for seed in range(9)] + [("lr", 9, "diverged", NAN)]
    rows += [("lr", 10, "unfinished", NAN)]
    table = pd.DataFrame(rows, columns=["arm", "seed", "status", "rmse"])
    table.to_csv(tmp_path / "summary.csv", index=False)
    monkeypatch.chdir(tmp_path)
    text = str(verdicts.__doc__)
    pasted = text[text.index("    import pandas") :]
    snippet = textwrap.dedent(pasted)
    names: dict[str, object] = {}
    exec(snippet, names)
    assert "The change makes it work." in capsys.readouterr().out
    found = judge_study(names["both"], RULE)["lr"]  # type: ignore[arg-type]
    assert isinstance(found, Judgement)
    assert (found.evidence.n_seeds, found.evidence.n_lost, found.evidence.works) == (10, 1, 9)
