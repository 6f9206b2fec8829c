"""From RMSE by seed to a verdict: evidence, both answers, the sentence, advice, the verdict on a hypothesis."""

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from ssc_sweep.errors import UserError
from ssc_sweep.verdicts import judge as judging
from ssc_sweep.verdicts.causes import Cause, conclude
from ssc_sweep.verdicts.evidence import Matters, Works, difference, log_differences, share_working
from ssc_sweep.verdicts.judge import SENTENCES, Judgement, Verdict, claims_of, judge_study
from ssc_sweep.verdicts.planning import MORE_FOR_LOOKS, seeds_for_difference, seeds_for_share
from ssc_sweep.verdicts.rule import Rule
from tests.verdicts.alone import judge
from tests.verdicts.noise import real_noise

Floats = NDArray[np.float64]
RULE = Rule(target=15.0)
AUTO = Rule(target=15.0, sequential=True)
NAN = math.nan


def runs(values: object) -> dict[int, float]:
    return dict(enumerate(np.asarray(values, dtype=float).tolist()))


def around(centre: float, n: int, spread: float = 0.05) -> dict[int, float]:
    """n values whose logs lie evenly and symmetrically around log(centre), in an order that tells nothing."""
    return runs(np.random.default_rng(n).permutation(centre * np.exp(np.linspace(-spread, spread, n))))


def judged(arm: object, control: object, rule: Rule = RULE) -> Judgement:
    return judge(
        arm if isinstance(arm, dict) else runs(arm), control if isinstance(control, dict) else runs(control), rule
    )


# The rule


def test_margin_is_symmetric_on_the_log_scale() -> None:
    assert Rule(target=15.0, margin=0.1).log_margin == pytest.approx(math.log(1.1))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("target", 0.0), ("target", -1.0), ("target", NAN), ("target", "15"), ("target", True), ("works_share", 0.0),
        ("works_share", 1.0), ("alpha", 0.0), ("alpha", 0.5), ("alpha", None), ("margin", 0.0), ("margin", math.inf),
        ("sequential", "perhaps"),
    ],
)  # fmt: skip
def test_a_rule_out_of_bounds_is_refused(field: str, value: object) -> None:
    with pytest.raises(UserError, match=f"{field}=.* is out of bounds: allowed is"):
        Rule.read({"target": 15.0} | {field: value})


# Evidence


def test_differences_by_hand() -> None:
    # Logs of the ratios 1/2, 1/2, 2, 1: mean -log(2)/4; deviations -3/4, -3/4, 5/4, 1/4 -> sd log(2) sqrt(2.75/3).
    found = judged([10, 20, 80, 30], [20, 40, 40, 30])
    seen = found.matters
    assert seen.log_mean == pytest.approx(-math.log(2) / 4)
    assert seen.ratio == pytest.approx(2**-0.25)
    assert seen.log_sd == pytest.approx(math.log(2) * math.sqrt(2.75 / 3))
    assert seen.d_z == pytest.approx(-0.25 / math.sqrt(2.75 / 3))
    assert (seen.n, seen.wins, seen.ties, seen.losses) == (4, 2, 1, 1)
    assert (found.works.works, found.works.n, found.control.works) == (1, 4, 0)
    assert seen.p == 1.0  # of three signs no pattern has a mean nearer to 0


def test_the_centre_of_a_growing_number_is_the_hodges_lehmann_median() -> None:
    # Logs 0, 1, 5: means of pairs 0, 0.5, 2.5, 1, 3, 5 -> median 1.75.
    seen = difference(np.array([0.0, 1.0, 5.0]), 0.05, AUTO)
    assert seen.ratio == pytest.approx(math.exp(1.75))


def test_the_target_itself_does_not_work() -> None:
    assert share_working({0: 15.0, 1: 14.999}, 0.05, RULE).works == 1


def test_only_seeds_of_both_sides_are_pairs_and_all_runs_count_for_the_share() -> None:
    found = judge({0: 5.0, 1: 5.0, 2: 5.0}, {1: 50.0, 2: 50.0, 7: 50.0}, RULE)
    assert (found.matters.n, found.works.n, found.control.n) == (2, 3, 3)


def test_a_diverged_run_is_worse_than_any_number() -> None:
    # Seed by seed: arm lost; control lost; both lost; arm wins; tie.
    x = log_differences(runs([NAN, 10, NAN, 10, 20]), runs([20, NAN, NAN, 20, 20]))
    assert x.tolist() == [math.inf, -math.inf, 0.0, pytest.approx(-math.log(2)), 0.0]
    seen = difference(x, 0.05, RULE)
    assert (seen.lost_alone, seen.lost_alone_control, seen.wins, seen.ties, seen.losses) == (1, 1, 2, 2, 1)
    assert seen.log_mean == pytest.approx(-math.log(2) / 5)  # the lost ones count as 1 either way


@pytest.mark.parametrize("rule", [RULE, AUTO])
def test_an_arm_that_diverges_is_worse_and_does_not_work(rule: Rule) -> None:
    found = judged([NAN] * 40, around(50, 40), rule)
    assert (found.verdict, found.matters.ratio) == (Verdict.WORSE, math.inf)
    saved = judged(around(5, 40), [NAN] * 40, rule)
    assert saved.verdict is Verdict.MAKES_IT_WORK


@pytest.mark.parametrize("rule", [RULE, AUTO])
def test_one_lost_run_of_thirty_is_not_held_against_an_arm(rule: Rule) -> None:
    arm = around(5, 30) | {3: NAN}
    assert judged(arm, around(50, 30), rule).matters.answer is Matters.BETTER


@pytest.mark.parametrize("rule", [RULE, AUTO])
def test_an_arm_that_loses_a_third_of_its_runs_is_not_called_the_same(rule: Rule) -> None:
    control = around(50, 30, 0.001)
    arm = {seed: NAN if seed % 3 == 0 else value for seed, value in control.items()}
    seen = judged(arm, control, rule).matters
    assert seen.log_mean == pytest.approx(1 / 3)  # a lost run counts as a factor of e at least
    assert seen.answer is not Matters.SAME and seen.high > 1.1


@pytest.mark.parametrize("rule", [RULE, AUTO])
def test_swapping_sides_mirrors_the_numbers(rule: Rule) -> None:
    arm, control = np.exp(np.random.default_rng(0).normal(size=(2, 20)))
    there, back = judged(arm, control, rule).matters, judged(control, arm, rule).matters
    assert there.p == pytest.approx(back.p)
    assert there.low == pytest.approx(1 / back.high)
    assert (there.wins, there.losses) == (back.losses, back.wins)


# Answers and sentences


@pytest.mark.parametrize("rule", [RULE, AUTO])
def test_answers(rule: Rule) -> None:
    failing = around(50, 30)
    noisy = runs([2.0 * 50 if i % 2 else 0.5 * 50 for i in range(30)])
    told = {
        judged(around(5, 30), failing, rule).verdict: Verdict.MAKES_IT_WORK,
        judged(around(30, 30), failing, rule).verdict: Verdict.HELPS,
        judged(around(50, 30, 0.02), around(50, 30, 0.02), rule).verdict: Verdict.FAILS_SAME,
        judged(around(70, 30), failing, rule).verdict: Verdict.WORSE,
        judged(noisy, failing, rule).verdict: Verdict.FAILS,
        judged(around(4, 30), around(8, 30), rule).verdict: Verdict.WORKS_BETTER,
        judged(around(8, 30), around(4, 30), rule).verdict: Verdict.WORKS_WORSE,
    }
    assert all(got is expected for got, expected in told.items())
    assert judged([], [], rule).verdict is Verdict.TOO_FEW_SEEDS


def test_every_pair_of_answers_has_a_sentence_of_its_own() -> None:
    assert set(SENTENCES) == set(itertools.product(Works, Matters))
    assert set(SENTENCES.values()) | {Verdict.MAKES_IT_WORK} == set(Verdict)
    assert len(set(SENTENCES.values())) == len(SENTENCES)


def test_an_interval_never_contradicts_its_sentence() -> None:
    rng = np.random.default_rng(5)
    for rule in (RULE, AUTO):
        for _ in range(40):
            one = judged(real_noise(rng, (20,)) * rng.choice([0.3, 1.0, 2.0]), real_noise(rng, (20,)), rule)
            seen = one.matters
            assert (seen.answer is Matters.BETTER) == (seen.high < 1 and seen.low <= 1 / 1.1)
            assert (seen.answer is Matters.WORSE) == (seen.low > 1 and seen.high >= 1.1)
            assert (one.works.answer is Works.NO) == (one.works.high < 0.8)
            assert seen.low <= seen.ratio <= seen.high


def test_a_certain_difference_within_the_margin_is_none() -> None:
    found = judged(around(50 * 0.97, 12, 0.001), around(50, 12, 0.001))
    assert found.matters.high < 1
    assert found.matters.answer is Matters.SAME


def test_eight_of_ten_is_not_called_working() -> None:
    """An arm that works in 80% of seeds was called working in 38% of ten-seed studies."""
    for works in range(11):
        share = share_working(runs([5.0] * works + [50.0] * (10 - works)), 0.05, RULE)
        # All ten: the Clopper-Pearson interval at 95% starts at 0.025^(1/10) = 0.69, below 0.8.
        assert share.answer is not Works.YES
    assert share_working(runs([5.0] * 20), 0.05, RULE).answer is Works.YES  # 0.025^(1/20) = 0.83


def test_none_of_forty_is_told_that_it_does_not_work() -> None:
    for rule in (RULE, AUTO):
        assert share_working(runs([50.0] * 40), 0.05 / 17, rule).answer is Works.NO


def test_other_validation_rows_leave_only_the_share() -> None:
    rmse, against = {"a": around(5, 30), "c": around(50, 30)}, {"a": ("a", "c")}
    found = judge_study(rmse, against, RULE, apart=["a"])["a"]
    assert found.matters.answer is Matters.APART
    assert found.matters.n == 0 and math.isnan(found.matters.ratio), "numbers of pairs that are none"
    assert found.verdict is Verdict.MAKES_IT_WORK  # it works, and the control is shown not to
    fails = judge_study({"a": around(40, 30), "c": around(50, 30)}, against, RULE, apart=["a"])["a"]
    assert fails.verdict is Verdict.FAILS_APART


def test_the_level_is_shared_by_all_claims() -> None:
    control = around(50, 8)
    rmse = {"c": control, "a": around(25, 8), "b": around(50, 8, 0.7)}
    against = {"a": ("a", "c"), "b": ("b", "c")}
    assert claims_of(against, RULE) == {"c": 5}
    found = judge_study(rmse, against, RULE)
    assert found["a"].level == 0.01
    # Eight pairs, all better: p = 2/256 = 0.0078, below 0.01, and not below 0.05 / 7 with a third arm.
    assert found["a"].matters.p == pytest.approx(2 / 256)
    assert found["a"].matters.answer is Matters.BETTER
    more = judge_study(rmse | {"d": control}, against | {"d": ("d", "c")}, RULE)
    assert more["a"].matters.answer is Matters.OPEN


def test_the_level_of_a_point_is_shared_by_its_own_claims() -> None:
    rmse = {name: around(50, 8) for name in ("c", "a", "b", "d", "e")}
    against = {"a": ("a", "c"), "b": ("b", "c"), "e": ("e", "d")}
    by_point = RULE.model_copy(update={"family": "point"})
    assert claims_of(against, RULE) == {"c": 8, "d": 8}
    assert claims_of(against, by_point) == {"c": 5, "d": 3}
    assert claims_of(against, by_point, {"d": 4}) == {"c": 5, "d": 7}
    found = judge_study(rmse, against, by_point)
    assert [found[name].level for name in ("a", "b", "e")] == [0.05 / 5, 0.05 / 5, 0.05 / 3]
    # A study of the point alone says the same.
    assert judge_study(rmse, {"e": ("e", "d")}, RULE)["e"] == found["e"]


def test_an_arm_without_runs_stays_a_claim() -> None:
    rmse, against = {"c": around(50, 8), "a": around(25, 8)}, {"a": ("a", "c"), "b": ("b", "c")}
    found = judge_study(rmse, against, RULE)
    assert found["a"].level == 0.01
    assert (found["b"].verdict, found["b"].works.n) == (Verdict.TOO_FEW_SEEDS, 0)


def test_row_is_flat() -> None:
    row = judged(around(5, 30), around(50, 30)).row()
    assert row["verdict"] == "The change makes it work."
    assert (row["works"], row["matters"], row["works_works"], row["control_n"]) == ("yes", "better", 30, 30)
    assert not any(isinstance(value, dict | list) for value in row.values())


# How many seeds


def test_seeds_for_a_difference_by_textbook() -> None:
    # Cohen (1988), table 2.4.1: a paired t test at d = 0.5, two-sided 0.05, power 0.8 needs 34 pairs.
    x = np.tile([0.0, 1.0], 5)
    x = 0.5 + (x - x.mean()) / x.std(ddof=1)
    seen = difference(x, 0.05, RULE)
    assert seen.d_z == pytest.approx(0.5)
    assert seeds_for_difference(seen, 0.05, RULE) == 34
    stricter = seeds_for_difference(seen, 0.05 / 8, RULE)
    assert stricter is not None and stricter > 34
    hopeful = seeds_for_difference(seen, 0.05, RULE, hopeful=True)
    assert hopeful is not None and hopeful < 34


def test_looks_take_more_seeds_than_one_test() -> None:
    x = np.tile([0.0, 1.0], 5)
    x = 0.5 + (x - x.mean()) / x.std(ddof=1)
    assert seeds_for_difference(difference(x, 0.001, AUTO), 0.05, AUTO) == math.ceil(34 * MORE_FOR_LOOKS)
    works = share_working(runs([5.0] * 8 + [50.0] * 2), 0.05, RULE)
    planned, grown = seeds_for_share(works, 0.05, RULE), seeds_for_share(works, 0.05, AUTO)
    assert planned is not None and grown == math.ceil(planned * MORE_FOR_LOOKS)
    # Not so where the question is whether an answer is out of reach: that is said only where it is sure.
    assert seeds_for_share(works, 0.05, AUTO, True) == seeds_for_share(works, 0.05, RULE, True)


def test_seeds_for_no_difference() -> None:
    # Mean 0, sd 0.2, margin log 1.1 = 0.0953, both sides at 0.025: 0.2^2 (1.96 + 1.28)^2 / 0.0953^2 = 46, and 2 for t.
    x = np.tile([-1.0, 1.0], 5)
    needed = seeds_for_difference(difference(0.2 * x / x.std(ddof=1), 0.05, RULE), 0.05, RULE)
    assert needed is not None and 46 <= needed <= 50


def test_seeds_for_a_share_by_hand() -> None:
    # 8 of 10 below, with half of each added 8.5 of 11; against 0.8: (1.96 * 0.4 + 0.842 * 0.419)^2 / 0.0273^2 = 1738.
    share = share_working(runs([5.0] * 8 + [50.0] * 2), 0.05, RULE)
    needed = seeds_for_share(share, 0.05, RULE)
    assert needed == pytest.approx(1738, abs=2)
    assert seeds_for_share(share_working(runs([5.0] * 3), 0.05, RULE), 0.05, RULE) is None


def test_what_is_out_of_reach_is_hopeless_and_what_is_near_is_not() -> None:
    noisy, control = real_noise(np.random.default_rng(0), (2, 60))
    rmse, against = {"a": runs(noisy), "c": runs(control)}, {"a": ("a", "c")}
    assert judge_study(rmse, against, AUTO, most=60)["a"].hopeless
    assert not judge_study(rmse, against, AUTO, most=100_000)["a"].hopeless
    assert not judge_study(rmse, against, AUTO)["a"].hopeless
    few = {"a": runs(noisy[:12]), "c": runs(control[:12])}
    assert not judge_study(few, against, AUTO, most=100)["a"].hopeless


def test_advice() -> None:
    found = judged([10.0, 12.0, 60.0, 13.0, 5.0, 65.0], [50.0] * 6)
    assert found.advice.startswith("Seeds to tell whether it works: about ")
    assert found.advice.endswith("(80% power; a rough guess).")
    assert judged([5.0], [50.0]).advice == "", "too few runs for a guess"
    wild = judged([5e-9, 5e11] * 3, [50.0] * 6)
    assert "whether it matters: cannot be said" in wild.advice, "beyond 100,000 seeds"
    assert judged(around(5, 40), around(50, 40)).advice == ""


# The verdict on a hypothesis


def arm(works: Works, matters: Matters, control: Works = Works.NO) -> Judgement:
    from dataclasses import replace

    base = judged(around(5, 10), around(50, 10))
    mine, other = replace(base.works, answer=works), replace(base.control, answer=control)
    seen = replace(base.matters, answer=matters)
    return replace(base, works=mine, control=other, matters=seen, verdict=judging.sentence(mine, other, seen))


@pytest.mark.parametrize(
    ("arms", "cause"),
    [
        ([(Works.YES, Matters.BETTER), (Works.NO, Matters.WORSE)], Cause.CAUSE),
        ([(Works.YES, Matters.APART)], Cause.CAUSE),
        ([(Works.NO, Matters.BETTER), (Works.NO, Matters.OPEN)], Cause.PART),
        ([(Works.OPEN, Matters.BETTER)], Cause.AT_LEAST_A_PART),
        ([(Works.NO, Matters.OPEN), (Works.NO, Matters.SAME)], Cause.NOT_ALONE),
        ([(Works.NO, Matters.APART)], Cause.NOT_ALONE),
        ([(Works.OPEN, Matters.SAME), (Works.NO, Matters.WORSE)], Cause.NEITHER),
        ([(Works.OPEN, Matters.OPEN)], Cause.OPEN),
    ],
)
def test_what_is_concluded(arms: list[tuple[Works, Matters]], cause: Cause) -> None:
    assert conclude([arm(*one) for one in arms], "improves") is cause


def test_other_claims() -> None:
    worse, same, other = (arm(Works.NO, m) for m in (Matters.WORSE, Matters.SAME, Matters.OPEN))
    assert conclude([worse, worse], "worsens") is Cause.HARMS
    assert conclude([worse, same], "worsens") is Cause.NOT_SO
    assert conclude([same], "nothing") is Cause.COMPARED
    assert conclude([same], "no_difference") is Cause.SAME
    assert conclude([same, other], "no_difference") is Cause.OPEN
    assert conclude([arm(Works.YES, Matters.BETTER, Works.YES)], "improves") is Cause.NOTHING_WRONG


def test_a_change_that_changes_nothing_is_not_tested() -> None:
    control = around(50, 10)
    same = judged(control, control)
    assert same.matters.identical and not judged(around(5, 10), control).matters.identical
    assert conclude([same, same], "improves") is conclude([same], "worsens") is Cause.VOID
    assert conclude([same], "no_difference") is Cause.SAME
    assert conclude([same, judged(around(5, 10), control)], "improves") is not Cause.VOID
    assert conclude([same], "improves", of=2) is Cause.OPEN


def test_of_an_arm_that_crashed_nothing_is_concluded() -> None:
    """Ten failed runs say nothing of the model, and what is said of every arm is not said without them."""
    no, yes, maybe = Works.NO, Works.YES, Works.OPEN
    assert conclude([], "improves", of=2) is None
    assert conclude([arm(no, Matters.SAME)], "improves", of=2) is Cause.OPEN
    assert conclude([arm(no, Matters.OPEN)], "improves", of=2) is Cause.OPEN
    assert conclude([arm(no, Matters.BETTER)], "improves", of=2) is Cause.AT_LEAST_A_PART
    assert conclude([arm(yes, Matters.BETTER)], "improves", of=2) is Cause.CAUSE
    assert conclude([arm(maybe, Matters.SAME)], "no_difference", of=2) is Cause.OPEN
    assert conclude([arm(maybe, Matters.WORSE)], "no_difference", of=2) is Cause.NOT_SO


# Bad and degenerate input: warnings are errors here


@pytest.mark.parametrize("rule", [RULE, AUTO])
@pytest.mark.parametrize(("factor", "expected"), [(1.0, Matters.SAME), (0.5, Matters.BETTER)])
def test_differences_without_spread(factor: float, expected: Matters, rule: Rule) -> None:
    control = np.random.default_rng(0).uniform(40, 90, 20)  # a constant ratio of unequal values: sd of rounding only
    found = judged(control * factor, control, rule)
    assert found.matters.answer is expected
    assert found.matters.log_sd == 0.0 and math.isnan(found.matters.d_z)


@pytest.mark.parametrize("rule", [RULE, AUTO])
def test_degenerate_numbers_do_not_warn(rule: Rule) -> None:
    assert judged(np.full(12, 1e300), np.full(12, 1e-300), rule).matters.ratio == math.inf
    assert judged([NAN] * 8, [NAN] * 8, rule).matters.ties == 8
    one = judged([5.0], [50.0], rule)
    assert (one.matters.low, one.matters.high) == (0.0, math.inf)
    assert judge_study({}, {}, rule) == {}


def test_an_rmse_without_logarithm_is_refused() -> None:
    with pytest.raises(UserError, match=r"arm: an RMSE of 0 has no logarithm: allowed are numbers above 0"):
        judged([5.0, 0.0], [5.0, 5.0])


# Simulated studies


def test_at_most_5_percent_of_studies_without_effect_make_a_false_claim() -> None:
    """400 studies of 4 arms, all runs alike and 15% of them lost, of which 80% work: any claim is false."""
    rng = np.random.default_rng(12)
    for rule in (RULE, AUTO):
        wrong = 0
        for _ in range(200):
            rmse = np.where(rng.random((5, 24)) < 0.15, NAN, real_noise(rng, (5, 24)))
            rmse[rng.random((5, 24)) < 0.8] = 10.0
            rmse *= np.exp(rng.normal(0, 0.2, rmse.shape))
            study = {str(i): runs(row) for i, row in enumerate(rmse)}
            # As judge_study answers it, without its plans for more seeds.
            level = rule.level(claims_of({str(i): (str(i), "0") for i in range(1, 5)}, rule)["0"])
            found = [difference(log_differences(study[str(i)], study["0"]), level, rule) for i in range(1, 5)]
            wrong += any(one.answer in (Matters.BETTER, Matters.WORSE) for one in found)
        assert wrong / 200 <= 0.05


def test_a_judgement_is_settled_once_both_questions_have_an_answer() -> None:
    assert judged(around(5.0, 40), around(50.0, 40)).settled
    assert not judged(around(5.0, 3), around(50.0, 3)).settled
