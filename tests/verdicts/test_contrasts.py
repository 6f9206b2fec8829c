"""Main effects and interactions, worked by hand; their error rate and their power, simulated."""

import itertools
import math

import numpy as np
import pytest

from ssc_sweep.verdicts.contrasts import Cell, Contrast, contrasts_of, is_complete, judge_contrast, log_contrast
from ssc_sweep.verdicts.evidence import Matters
from ssc_sweep.verdicts.rule import Rule
from ssc_sweep.verdicts.sequential import log_wealth, spreads
from tests.verdicts.noise import real_noise

RULE = Rule(target=15.0)
AUTO = Rule(target=15.0, sequential=True)
NAN = math.nan
A, B, C = ("a", "1"), ("b", "1"), ("c", "1")


def crossing(**levels: int) -> dict[Cell, str]:
    """Arms of a crossing: factor -> number of levels; each arm is named by its levels, 0 the control's: "01"."""
    arms: dict[Cell, str] = {}
    for choice in itertools.product(*(range(n) for n in levels.values())):
        cell = tuple((factor, str(level)) for factor, level in zip(levels, choice, strict=True) if level)
        arms[cell] = "".join(map(str, choice))
    return arms


def named(arms: dict[Cell, str]) -> dict[str, Contrast]:
    return {one.name: one for one in contrasts_of(arms)}


def at_one_seed(**log_rmse: float) -> dict[str, dict[int, float]]:
    """Log RMSE of each arm at seed 0: arm x01 is "01"."""
    return {name.removeprefix("x"): {0: math.exp(value)} for name, value in log_rmse.items()}


def test_two_by_two_by_hand() -> None:
    found = named(crossing(a=2, b=2))
    assert list(found) == ["a=1", "b=1", "a=1 x b=1"]
    assert found["a=1"].weights == {"10": 0.5, "00": -0.5, "11": 0.5, "01": -0.5}
    assert found["b=1"].weights == {"01": 0.5, "00": -0.5, "11": 0.5, "10": -0.5}
    assert found["a=1 x b=1"].weights == {"11": 1, "01": -1, "10": -1, "00": 1}
    rmse = at_one_seed(x00=1, x01=3, x10=2, x11=7)
    # a: (2 - 1 + 7 - 3) / 2; b: (3 - 1 + 7 - 2) / 2; a x b: (7 - 3) - (2 - 1).
    assert [log_contrast(one, rmse)[0] for one in found.values()] == pytest.approx([2.5, 3.5, 3])


def test_two_by_three_by_hand() -> None:
    """Each level against the first; the level that is not asked about has no weight."""
    found = named(crossing(a=2, b=3))
    assert list(found) == ["a=1", "b=1", "b=2", "a=1 x b=1", "a=1 x b=2"]
    rmse = at_one_seed(x00=1, x01=2, x02=4, x10=3, x11=8, x12=16)
    # a: (2 + 6 + 12) / 3; b=1: (1 + 5) / 2; b=2: (3 + 13) / 2; a x b=1: 6 - 2; a x b=2: 12 - 2.
    assert [log_contrast(one, rmse)[0] for one in found.values()] == pytest.approx([20 / 3, 3, 8, 4, 10])
    assert set(found["b=1"].weights) == {"00", "01", "10", "11"}


def test_two_by_two_by_two_by_hand() -> None:
    """y = 1 + a + 2 b + 4 c + 3 a b: a by itself is 1 + 3/2, b is 2 + 3/2, c is 4; a x b is 3, the others 0."""
    arms = crossing(a=2, b=2, c=2)
    rmse = {}
    for cell, name in arms.items():
        a, b, c = (change in cell for change in (A, B, C))
        rmse[name] = {0: math.exp(1 + a + 2 * b + 4 * c + 3 * a * b)}
    found = named(arms)
    assert list(found) == ["a=1", "b=1", "c=1", "a=1 x b=1", "a=1 x c=1", "b=1 x c=1"]
    assert [log_contrast(one, rmse)[0] for one in found.values()] == pytest.approx([2.5, 3.5, 4, 3, 0, 0], abs=1e-12)
    assert all(sum(one.weights.values()) == pytest.approx(0) for one in found.values())
    assert found["a=1 x b=1"].weights["000"] == 0.5 and found["a=1"].weights["000"] == -0.25


def test_contrasts_do_not_see_what_a_seed_has_in_common() -> None:
    arms = crossing(a=2, b=3)
    rng = np.random.default_rng(0)
    y = {name: rng.normal(size=20) for name in arms.values()}
    shift = rng.normal(0, 5, 20)
    plain, shifted = (
        {name: dict(enumerate(np.exp(values + add).tolist())) for name, values in y.items()} for add in (0, shift)
    )
    for contrast in contrasts_of(arms):
        assert log_contrast(contrast, shifted) == pytest.approx(log_contrast(contrast, plain))


def test_one_factor_is_an_arm_against_its_control() -> None:
    (only,) = contrasts_of(crossing(a=2))
    assert only.weights == {"1": 1, "0": -1} and not only.is_interaction


def test_a_crossing_that_lacks_a_cell_is_told() -> None:
    arms = crossing(a=2, b=3)
    assert is_complete(arms)
    assert not is_complete({cell: name for cell, name in arms.items() if name != "12"})
    assert not is_complete({(): "control"})


def test_a_seed_counts_where_all_runs_of_the_contrast_count() -> None:
    """Seed 1 lacks arm 01 and seed 2 arm 12: neither is asked for both levels of b."""
    found = named(crossing(a=2, b=3))
    rmse = {name: dict.fromkeys(range(4), 1.0) for name in ("00", "01", "02", "10", "11", "12")}
    del rmse["01"][1], rmse["12"][2]
    counted = {name: len(log_contrast(one, rmse)) for name, one in found.items()}
    assert counted == {"a=1": 2, "b=1": 3, "b=2": 3, "a=1 x b=1": 3, "a=1 x b=2": 3}


def test_without_one_whole_seed_there_is_nothing_to_say() -> None:
    arms = crossing(a=2, b=2)
    rmse = {"00": {0: 1.0, 1: 1.0}, "01": {0: 1.0}, "10": {1: 1.0}}
    judged = judge_contrast(contrasts_of(arms)[0], rmse, 0.01, AUTO)
    assert judged.seen.n == 0 and judged.seen.answer is Matters.OPEN and judged.seeds is None


@pytest.mark.parametrize(
    ("lost", "a", "b", "both"),
    [
        (["11"], math.inf, math.inf, math.inf),
        (["10"], math.inf, -math.inf, -math.inf),
        (["00"], -math.inf, -math.inf, math.inf),
        # The change a alone loses runs. They cancel in the other two, where the cells without a say what is left.
        (["10", "11"], math.inf, (2 - 1) / 2, -(2 - 1)),
        (["00", "11"], (3 - 2) / 2, (2 - 3) / 2, math.inf),
        (["00", "01", "10", "11"], 0.0, 0.0, 0.0),
    ],
)
def test_a_diverged_run_is_one_rmse_beyond_all_others(lost: list[str], a: float, b: float, both: float) -> None:
    y = {"00": 1.0, "01": 2.0, "10": 3.0, "11": 4.0}
    rmse = {name: {0: NAN if name in lost else math.exp(value)} for name, value in y.items()}
    found = named(crossing(a=2, b=2))
    assert [log_contrast(one, rmse)[0] for one in found.values()] == pytest.approx([a, b, both])


def test_two_diverged_runs_of_a_pair_are_a_tie() -> None:
    (only,) = contrasts_of(crossing(a=2))
    rmse = {"0": {0: NAN, 1: NAN, 2: 5.0}, "1": {0: NAN, 1: 3.0, 2: NAN}}
    assert log_contrast(only, rmse).tolist() == [0.0, -math.inf, math.inf]


def study(rng: np.random.Generator, arms: dict[Cell, str], n: int, **effects: float) -> dict[str, dict[int, float]]:
    """RMSE of failing runs, times exp of the effects whose changes a cell has: a, b or ab."""
    found = {}
    for cell, name in arms.items():
        factors = {factor for factor, _ in cell}
        log_effect = sum(size for key, size in effects.items() if set(key) <= factors)
        found[name] = dict(enumerate((real_noise(rng, (n,)) * math.exp(log_effect)).tolist()))
    return found


def test_of_null_studies_at_most_alpha_make_a_false_claim() -> None:
    """200 studies of 2 x 2 x 2 with 10 seeds, all cells alike: 6 contrasts, no claim on arms beside them."""
    rng, arms = np.random.default_rng(1), crossing(a=2, b=2, c=2)
    wrong = 0
    for _ in range(200):
        rmse = study(rng, arms, 10)
        answers = [judge_contrast(one, rmse, RULE.level(6), RULE).seen.answer for one in contrasts_of(arms)]
        wrong += any(answer in (Matters.BETTER, Matters.WORSE) for answer in answers)
    assert wrong / 200 <= 0.05


def test_looking_after_every_seed_does_not_add_false_claims() -> None:
    rng, arms = np.random.default_rng(2), crossing(a=2, b=2, c=2)
    needed = math.log(2 / AUTO.level(6))
    wrong = 0
    for _ in range(200):
        rmse = study(rng, arms, 60)
        x = np.stack([log_contrast(one, rmse) for one in contrasts_of(arms)])
        s = np.stack([spreads(row) for row in x])
        wrong += max(log_wealth(x, s).max(), log_wealth(-x, s).max()) >= needed
    assert wrong / 200 <= 0.05


@pytest.mark.parametrize("rule", [RULE, AUTO])
def test_a_planted_interaction_is_found(rule: Rule) -> None:
    """Each change alone does nothing; both together take RMSE to a tenth."""
    arms = crossing(a=2, b=2)
    rmse = study(np.random.default_rng(3), arms, 40, ab=math.log(0.1))
    found = {one.name: judge_contrast(one, rmse, rule.level(3), rule) for one in contrasts_of(arms)}
    both = found["a=1 x b=1"].seen
    assert both.answer is Matters.BETTER and both.low < 0.1 < both.high
    # Over both levels of the other factor each change takes RMSE to sqrt(0.1).
    assert found["a=1"].seen.low < math.sqrt(0.1) < found["a=1"].seen.high


def test_effects_that_only_multiply_are_no_interaction() -> None:
    rng, arms = np.random.default_rng(4), crossing(a=2, b=2)
    effect = {"00": 1.0, "01": 0.5, "10": 0.25, "11": 0.125}
    rmse = {name: dict(enumerate((30 * effect[name] * np.exp(rng.normal(0, 0.02, 30))).tolist())) for name in effect}
    found = {one.name: judge_contrast(one, rmse, 0.01, RULE) for one in contrasts_of(arms)}
    assert [one.seen.answer for one in found.values()] == [Matters.BETTER, Matters.BETTER, Matters.SAME]
    assert found["a=1"].seen.ratio == pytest.approx(0.25, rel=0.02) and found["a=1"].settled


def test_an_open_contrast_says_what_it_takes() -> None:
    arms = crossing(a=2, b=2)
    rmse = study(np.random.default_rng(5), arms, 25, a=0.2)
    judged = judge_contrast(contrasts_of(arms)[0], rmse, 0.01, RULE, most=30)
    assert judged.seen.answer is Matters.OPEN and judged.seeds is not None and judged.seeds > 25
    row = judged.row()
    assert (row["contrast"], row["kind"], row["n"], row["seeds_needed"]) == ("a=1", "main effect", 25, judged.seeds)
