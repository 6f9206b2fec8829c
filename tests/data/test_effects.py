"""The five estimators: published values, a table worked by hand, known effects, and what they cannot be told from."""

import subprocess
import sys
import time
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student
from statsmodels.api import OLS, WLS, Logit
from statsmodels.treatment.treatment_effects import TreatmentEffect

from ssc_sweep.data import nhefs
from ssc_sweep.data.cohort import Adjustment, Floats, Ints
from ssc_sweep.data.effects import Estimate, effects_csv, estimate_effects
from ssc_sweep.errors import DoesNotFit, UserError
from tests.conftest import MakeConfig

ESTIMATORS = ["unadjusted", "IPW", "outcome regression", "standardisation", "AIPW"]
PLAIN = Adjustment()
CONFOUNDERS = nhefs.load().keep("confounders")
# Hernan & Robins: all nine confounders, four of them also squared, one of them a modifier.
BOOK = Adjustment(
    squared=("age", "smokeintensity", "smokeyrs", "wt71"),
    categories=("education", "exercise", "active"),
    modifiers=("smokeintensity",),
)


def estimate(x: dict[str, object], t: Ints, y: Floats, adjustment: Adjustment = PLAIN) -> dict[str, Estimate]:
    """The estimates of one outcome and two treatments by name of the estimator."""
    found = estimate_effects(pd.DataFrame(x), t, y[:, None], ("placebo", "drug"), ("weight",), adjustment)
    return {of.estimator: of for of in found}


def test_published_values() -> None:
    cohort = nhefs.load().keep("confounders")
    table = pd.DataFrame(cohort.x, columns=cohort.names)
    found = estimate_effects(table, cohort.t, cohort.y, cohort.treatments, cohort.outcomes, BOOK)
    assert [(of.estimator, of.treatment, of.outcome, of.rows) for of in found] == [
        (name, "quit", "wt82_71", 1566) for name in ESTIMATORS
    ]
    # Hernan & Robins, chapters 12, 13, 15; the last is causallib's AIPW, published without an interval.
    published = [(2.5, 1.7, 3.4), (3.4, 2.4, 4.5), (3.5, 2.6, 4.3), (3.5, 2.6, 4.5), (3.44, 2.5, 4.4)]
    for of, (effect, low, high) in zip(found, published, strict=True):
        assert of.effect == pytest.approx(effect, abs=0.1)
        # The book's intervals of the regressions take equal variances for granted; those who quit vary more.
        assert (of.low, of.high) == pytest.approx((low, high), abs=0.15)


def test_estimates_are_fast() -> None:
    cohort = nhefs.load().keep("confounders")
    table = pd.DataFrame(cohort.x, columns=cohort.names)
    started = time.process_time()
    estimate_effects(table, cohort.t, cohort.y, cohort.treatments, cohort.outcomes, BOOK)
    assert time.process_time() - started < 2


# One binary covariate. Mean outcome (rows), each cell's outcomes being its mean - 1 and its mean + 1 in turn:
#            x = 0    x = 1
#   t = 0    1 (6)    5 (2)
#   t = 1    3 (2)   10 (2)        gains 2 (8 rows) and 5 (4 rows)
X = np.repeat([0, 0, 1, 1], [6, 2, 2, 2])
T = np.repeat([0, 1, 0, 1], [6, 2, 2, 2])
Y = np.repeat([1.0, 3, 5, 10], [6, 2, 2, 2]) + np.tile([-1.0, 1], 6)


def test_worked_by_hand() -> None:
    found = estimate({"x": X}, T, Y, Adjustment(modifiers=("x",)))
    effects = {name: of.effect for name, of in found.items()}
    assert effects == pytest.approx(
        {
            "unadjusted": 4.5,  # (2 * 3 + 2 * 10) / 4 - (6 * 1 + 2 * 5) / 8
            "IPW": 3.0,  # (8 * 2 + 4 * 5) / 12
            "outcome regression": 3.2,  # gains weighted by n p (1 - p) = 1.5 and 1: (1.5 * 2 + 1 * 5) / 2.5
            "standardisation": 3.0,
            "AIPW": 3.0,
        },
        abs=1e-9,
    )
    # Unadjusted: sums of squares 53 (t = 1) and 32 (t = 0) over squared numbers of rows, 12 rows, 2 columns.
    unadjusted = student.ppf(0.975, 10) * np.sqrt((53 / 16 + 32 / 64) * 12 / 10)
    # IPW: residuals from 3 * 2/3 + 10 * 1/3 = 16/3 and from 7/3, each weighted by 1 / p, over 12 rows.
    treated = 4**2 * ((2 - 16 / 3) ** 2 + (4 - 16 / 3) ** 2) + 2**2 * ((9 - 16 / 3) ** 2 + (11 - 16 / 3) ** 2)
    control = (4 / 3) ** 2 * 3 * ((0 - 7 / 3) ** 2 + (2 - 7 / 3) ** 2) + 2**2 * ((4 - 7 / 3) ** 2 + (6 - 7 / 3) ** 2)
    weighted = student.ppf(0.975, 10) * np.sqrt((treated + control) / 12**2 * 12 / 10)
    # The other two: gains 2 and 5 around 3 give 8 * 1 + 4 * 4 = 24; residuals +-1 times (rows of x) / (rows of the
    # cell) give 64 / 6 + 64 / 2 + 16 / 2 + 16 / 2; 12 rows, 4 columns.
    standardised = student.ppf(0.975, 8) * np.sqrt((24 + 64 / 6 + 64 / 2 + 16) / (12 * 8))
    halves = {name: (of.high - of.low) / 2 for name, of in found.items()}
    assert halves["unadjusted"] == pytest.approx(unadjusted)
    assert halves["IPW"] == pytest.approx(weighted)
    assert halves["standardisation"] == pytest.approx(standardised)
    assert halves["AIPW"] == pytest.approx(standardised)
    assert all((of.low + of.high) / 2 == pytest.approx(of.effect) for of in found.values())


def confounded(rows: int, seed: int) -> tuple[dict[str, object], Ints, Floats]:
    """Two treatments; the effect is 3 + x on average 3; x acts on the treatment too."""
    draw = np.random.default_rng(seed)
    x, u = draw.standard_normal((2, rows))
    t = (draw.logistic(size=rows) < 0.8 * x + 0.3).astype(np.int64)
    y = t * (3 + x) + 2 * x + u + (1 + t) * draw.standard_normal(rows)
    return {"x": x, "u": u}, t, y


def test_agrees_with_statsmodels() -> None:
    x, t, y = confounded(800, seed=0)
    found = estimate(x, t, y, Adjustment(modifiers=("x", "u")))
    z = np.column_stack([np.ones(800), *x.values()])
    propensity = Logit(t, z).fit(disp=False)
    reference = TreatmentEffect(OLS(y, z), t, results_select=propensity)
    assert found["AIPW"].effect == pytest.approx(reference.aipw(return_results=False)[0], rel=1e-6)
    assert found["standardisation"].effect == pytest.approx(reference.ra(return_results=False)[0], rel=1e-6)
    # Hajek's form of IPW, as statsmodels weights each treatment to one.
    assert found["IPW"].effect == pytest.approx(reference.ipw(return_results=False)[0], rel=1e-6)
    p = propensity.predict()
    crude, full = np.column_stack([np.ones(800), t]), np.column_stack([z, t])
    for name, fit in {
        "unadjusted": OLS(y, crude).fit(cov_type="HC1", use_t=True),
        "IPW": WLS(y, crude, weights=1 / np.where(t, p, 1 - p)).fit(cov_type="HC1", use_t=True),
        "outcome regression": OLS(y, full).fit(cov_type="HC1", use_t=True),
    }.items():
        assert (found[name].low, found[name].high) == pytest.approx(tuple(fit.conf_int()[-1]), rel=1e-6)


def test_intervals_hold_what_they_promise() -> None:
    """An interval that holds the effect 95 times in 100 holds it 277 times or more in 300 with probability 98%."""
    held = dict.fromkeys(ESTIMATORS, 0)
    for seed in range(300):
        for name, of in estimate(*confounded(400, seed), Adjustment(modifiers=("x",))).items():
            held[name] += of.low < 3 < of.high
    assert held["unadjusted"] < 10
    assert held["standardisation"] >= 277 and held["AIPW"] >= 277 and held["IPW"] >= 277


def test_three_treatments_and_two_outcomes() -> None:
    draw = np.random.default_rng(1)
    rows = 3000
    x, u = draw.standard_normal((2, rows))
    t = np.argmax(np.arange(3) * 0.6 * x[:, None] + draw.gumbel(size=(rows, 3)), axis=1)
    effects = np.array([[0, 0], [1.0, -2], [3, 0.5]])  # of each treatment on each outcome
    y = effects[t] + np.column_stack([2 * x + u, -x]) + draw.standard_normal((rows, 2))
    table = pd.DataFrame({"x": x, "u": u})
    found = estimate_effects(table, t, y, ("none", "low", "high"), ("weight", "mood"), Adjustment(modifiers=("u",)))
    assert [(of.outcome, of.treatment, of.estimator) for of in found] == [
        (outcome, treatment, name)
        for outcome in ("weight", "mood")
        for treatment in ("low", "high")
        for name in ESTIMATORS
    ]
    truth = {(o, k): effects[i, j] for j, o in enumerate(("weight", "mood")) for i, k in ((1, "low"), (2, "high"))}
    for of in found:
        covered = of.low < truth[of.outcome, of.treatment] < of.high
        assert covered == (of.estimator != "unadjusted"), of
        assert of.high - of.low < 0.8


def test_aipw_survives_a_wrong_outcome_model() -> None:
    """The effect is 3 + 2 x, which the outcome models do not know; few with a small x are treated."""
    draw = np.random.default_rng(2)
    x = draw.standard_normal(4000)
    t = (draw.logistic(size=4000) < x - 1).astype(np.int64)
    found = estimate({"x": x}, t, t * (3 + 2 * x) + x + draw.standard_normal(4000))
    assert found["AIPW"].low < 3 < found["AIPW"].high
    assert found["IPW"].low < 3 < found["IPW"].high
    assert found["outcome regression"].low > 3.2 and found["standardisation"].low > 3.2


def test_unknown_treatments_are_left_out() -> None:
    x, t, y = confounded(300, seed=3)
    some = np.arange(300) % 3 == 0
    hidden = np.where(some, -1, t)
    y[some] = np.nan  # not even looked at
    known = {name: np.asarray(values)[~some] for name, values in x.items()}
    assert estimate(x, hidden, y) == estimate(known, t[~some], y[~some])
    assert estimate(x, hidden, y)["AIPW"].rows == 200


def test_gaps_constants_and_copies_change_little() -> None:
    x, t, y = confounded(500, seed=4)
    plain = estimate(x, t, y)
    more = {**x, "constant": 0.1, "copy": np.asarray(x["x"]) * 2.2, "empty": np.nan}
    for name, of in estimate(more, t, y).items():
        assert (of.effect, of.low, of.high) == pytest.approx((plain[name].effect, plain[name].low, plain[name].high))
    gaps = {**x, "u": np.where(np.arange(500) % 50 == 0, np.nan, np.asarray(x["u"]))}
    assert estimate(gaps, t, y)["AIPW"].effect == pytest.approx(plain["AIPW"].effect, abs=0.2)


def test_without_covariates_all_estimators_agree() -> None:
    found = estimate_effects(pd.DataFrame(index=range(12)), T, Y[:, None], ("a", "b"), ("y",), Adjustment())
    assert [of.effect for of in found] == pytest.approx([4.5] * 5)


def test_a_constant_outcome_has_no_effect() -> None:
    found = estimate({"x": X}, T, np.full(12, 7.0))
    assert all((of.effect, of.low, of.high) == pytest.approx((0, 0, 0), abs=1e-12) for of in found.values())


LINE = np.linspace(-1, 1, 12)
ALTERNATING = np.tile([0, 1], 6)


@pytest.mark.parametrize(
    ("x", "t", "adjustment", "message"),
    [
        ({"x": LINE}, np.full(12, -1), Adjustment(), "treatment 'placebo' has 0 rows"),
        ({"x": LINE}, np.array([1] + [0] * 11), Adjustment(), "treatment 'drug' has 1 rows"),
        ({"x": LINE}, (LINE > 0).astype(int), Adjustment(), "the covariates together settle"),
        ({"x": LINE, "u": LINE**2}, (np.abs(LINE) > 0.5).astype(int), Adjustment(), "the covariates together settle"),
        ({f"x{i}": LINE**i for i in range(1, 11)}, ALTERNATING, Adjustment(), "has 12 columns and 12 rows"),
        ({"x": np.where(ALTERNATING, 0.5, LINE)}, ALTERNATING, Adjustment(modifiers=("x",)), "the modifiers x vary"),
    ],
)
def test_effects_that_cannot_be_told(x: dict[str, object], t: Ints, adjustment: Adjustment, message: str) -> None:
    with pytest.raises(DoesNotFit) as error:
        estimate(x, t, LINE, adjustment)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_three_treatments_that_the_covariates_settle() -> None:
    with pytest.raises(DoesNotFit, match="settle which rows get which of the treatments a, b, c"):
        estimate_effects(
            pd.DataFrame({"x": LINE}), np.repeat([0, 1, 2], 4), LINE[:, None], ("a", "b", "c"), ("y",), Adjustment()
        )


def test_a_steep_propensity_is_no_separation() -> None:
    """Row 0 has next to no chance of the drug, but rows overlap in between: the logit has a maximum."""
    x = np.array([-60.0, *np.linspace(-1, 1, 60)])
    t = (x > 0).astype(np.int64)
    t[[25, 36]] = 1, 0
    found = estimate({"x": x}, t, 3.0 * t + x)
    assert found["AIPW"].effect == pytest.approx(3) and found["outcome regression"].effect == pytest.approx(3)


def test_one_treatment_and_an_infinite_outcome() -> None:
    with pytest.raises(DoesNotFit, match="compares 2 treatments or more: the data has 1"):
        estimate_effects(pd.DataFrame({"x": X}), T * 0, Y[:, None], ("a",), ("y",), Adjustment())
    with pytest.raises(UserError, match="outcome 'weight' is missing or infinite in 1 rows"):
        estimate({"x": X}, T, np.where(np.arange(12) == 5, np.inf, Y))


def test_importing_it_takes_neither_torch_nor_statsmodels() -> None:
    code = "import sys, ssc_sweep.data.effects; print(*{'torch', 'statsmodels', 'sklearn'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []


def test_the_table_of_a_study_is_that_of_its_rows_without_test_rows(make_config: MakeConfig) -> None:
    table = pd.read_csv(StringIO(effects_csv(make_config("split.test_share=0.2"))))
    assert table["estimator"].tolist() == ESTIMATORS and set(table["rows"]) == {1566 - 313}
    whole = pd.read_csv(StringIO(effects_csv(make_config())))
    found = estimate_effects(
        pd.DataFrame(CONFOUNDERS.x, columns=CONFOUNDERS.names), CONFOUNDERS.t, CONFOUNDERS.y, CONFOUNDERS.treatments,
        CONFOUNDERS.outcomes, CONFOUNDERS.adjustment,
    )  # fmt: skip
    assert whole["effect"].tolist() == pytest.approx([one.effect for one in found])
