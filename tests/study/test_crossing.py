"""Hypotheses with factors: their arms, what is refused, and when a study of them may stop. Nothing is trained here."""

from collections.abc import Sequence

import numpy as np
import pytest

from ssc_sweep.errors import UserError
from ssc_sweep.study.crossing import Changed, cross
from ssc_sweep.study.hypothesis import Arm, arms_at, read_hypothesis
from ssc_sweep.study.job import Outcome, Status
from ssc_sweep.study.judged import Seen, claims_in, contrasts_in, judge_contrasts
from ssc_sweep.study.plan import Plan
from ssc_sweep.study.rounds import Limits, Progress, until_decided
from ssc_sweep.verdicts.evidence import Matters
from ssc_sweep.verdicts.rule import Rule
from tests.study.conftest import MakePlan

ORDER = {"file": {}, "shuffled": {"split": "shuffled"}}
BATCH = {"b10": {}, "b32": {"batch": "b32"}, "b64": {"batch": "b64"}}
TWO = {"order": ORDER, "batch": BATCH}
RULE = Rule(target=15.0, sequential=True)


def read(factors: object, **more: object):  # type: ignore[no-untyped-def]
    return read_hypothesis("x", {"letter": "X", "claim": "c", "expect": "improves", "factors": factors} | more)


def arms_of(factors: object) -> list[Arm]:
    return arms_at((), (), {"x": read(factors)}, "control")


def test_every_combination_but_the_first_is_an_arm() -> None:
    shuffled = ("order", "shuffled")
    assert cross(TWO) == [
        Changed((("batch", "b32"),), {"batch": "b32"}),
        Changed((("batch", "b64"),), {"batch": "b64"}),
        Changed((shuffled,), {"split": "shuffled"}),
        Changed((shuffled, ("batch", "b32")), {"split": "shuffled", "batch": "b32"}),
        Changed((shuffled, ("batch", "b64")), {"split": "shuffled", "batch": "b64"}),
    ]


def test_arms_have_the_names_of_their_levels() -> None:
    arms = arms_of({"order": ORDER, "rate": {"5e-4": {}, "slow": {"optimizer.lr": 1e-4, "epochs": 20}}})
    assert [arm.label for arm in arms] == ["control", "rate=slow", "order=shuffled", "order=shuffled, rate=slow"]
    assert arms[3].folder == "x/order=shuffled,rate=slow" and arms[3].control == "control"
    assert arms[3].overrides == ("split=shuffled", "optimizer.lr=1e-4", "epochs=20")


def test_names_may_look_like_numbers() -> None:
    conf = read({"batch": {10: {}, 32: {"batch": "b32"}}, "lr": {5e-4: {}, 1e-4: {"optimizer.lr": 1e-4}}})
    assert list(conf.factors["batch"]) == ["10", "32"] and list(conf.factors["lr"]) == ["5e-4", "1e-4"]


@pytest.mark.parametrize(
    ("factors", "said"),
    [
        ({}, "no arms, or an empty one"),
        ({"order": {"file": {}}}, "factor order has one level, file: a factor compares two or more"),
        (TWO | {"lr": {}}, "factor lr has no level"),
        ({"order": dict(reversed(ORDER.items()))}, r"shuffled, the first level of factor order, .* write shuffled: {}"),
        ({"batch": BATCH | {"large": {"batch": "b64"}}}, "factor batch has the overrides of level b64 again in large"),
        ({"batch": BATCH | {"small": {}}}, "the overrides of level b10 again in small"),
        (TWO | {"size": {"s": {}, "t": {"batch": "b32"}}}, "factors batch and size both set batch"),
        ({"seeds": {"few": {}, "many": {"seeds": 9}}}, "sets seeds, which belongs to the study"),
        ({"order": {"file": {}, "a, b": {"split": "shuffled"}}}, "'a, b' is no name"),
        ({"order": {"file": {}, "shuffled": "split"}}, r"factors.order=split is out of bounds"),
        ({"order": "shuffled"}, "factors.order=shuffled is out of bounds: allowed is a mapping"),
        ({f"f{i}": {"0": {}, "1": {f"k{i}": 1}} for i in range(11)}, "2,048 combinations .* allowed are 1,024"),
    ],
)  # fmt: skip
def test_factors_that_are_none(factors: object, said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        read(factors)
    assert "\n" not in str(error.value)


def test_arms_or_factors() -> None:
    with pytest.raises(UserError, match="x has arms and factors: allowed is one of them"):
        read(TWO, arms=[{"epochs": 2}])


def test_a_level_that_changes_nothing_is_refused(plan: MakePlan) -> None:
    made = plan("experiment=batch_by_statistics")
    assert isinstance(made, Plan) and len(made.arms) == 8 and len(made.hypotheses) == 1
    with pytest.raises(UserError, match="batch=b64 has the config of control: a level of a factor has to change"):
        plan("experiment=batch_by_statistics", "batch=b64")


def test_a_grid_has_contrasts_at_each_of_its_points(plan: MakePlan) -> None:
    made = plan("experiment=batch_by_statistics", "split=file_order,shuffled")
    found = contrasts_in(made.arms)
    assert [control for _, control in found] == ["split=file_order/control", "split=shuffled/control"]
    assert all(len(contrasts) == 6 for contrasts in found.values())
    # 14 arms with two claims, 2 controls, 12 contrasts.
    first, second = (control for _, control in found)
    assert claims_in(made.arms, RULE) == dict.fromkeys((first, second), 14 * 2 + 2 + 12)
    assert claims_in(made.arms, RULE.model_copy(update={"family": "point"})) == dict.fromkeys((first, second), 21)


# Judging


def runs_of(arms: Sequence[Arm], rows: dict[str, str], log_rmse: dict[str, float], n: int = 30):  # type: ignore[no-untyped-def]
    """Runs by arm and seed: log RMSE around that of the label; the mean's RMSE is 8 on rows "a" and 16 on rows "b"."""
    rng = np.random.default_rng(0)
    found = {}
    for arm in arms:
        values = np.exp(log_rmse[arm.label] + rng.normal(0, 0.05, n))
        of = rows[arm.label]
        mean = {"a": 8.0, "b": 16.0}[of]
        found[arm.folder] = {seed: Seen(float(v), of, float(v) / mean) for seed, v in enumerate(values)}
    return found


def test_other_rows_are_compared_over_predicting_the_mean() -> None:
    """Shuffled rows are twice as hard for everyone, and RMSE is four times as large: an effect of 2."""
    arms = arms_of({"order": ORDER, "batch": {"b10": {}, "b32": {"batch": "b32"}}})
    rows = {arm.label: "b" if "shuffled" in arm.label else "a" for arm in arms}
    log_rmse = {
        "control": 0.0,
        "batch=b32": 1.0,
        "order=shuffled": np.log(4),
        "order=shuffled, batch=b32": np.log(4) + 1,
    }
    (judged,) = judge_contrasts(arms, runs_of(arms, rows, log_rmse), RULE, claims_in(arms, RULE)).values()
    order, batch, both = judged
    assert order.relative and order.seen.ratio == pytest.approx(2, rel=0.05)
    # Batches are compared on equal rows, whatever the order.
    assert not batch.relative and batch.seen.ratio == pytest.approx(np.e, rel=0.05)
    assert not both.relative and both.seen.low < 1 < both.seen.high


def test_runs_of_a_version_that_did_not_name_its_rows_are_compared() -> None:
    arms = arms_of({"order": ORDER})
    runs = {arm.folder: {seed: Seen(10.0 + seed) for seed in range(12)} for arm in arms}
    ((only,),) = judge_contrasts(arms, runs, RULE, claims_in(arms, RULE)).values()
    assert not only.relative and only.seen.n == 12 and only.seen.ratio == 1


def test_a_crossing_that_lost_an_arm_has_no_contrasts() -> None:
    assert contrasts_in(arms_of(TWO)[:-1]) == {}


# seeds=auto


def simulated(log_rmse: dict[str, float], spread: float, failing: str = ""):  # type: ignore[no-untyped-def]
    """A `train` that draws log RMSE around that of the arm's folder, the same for the same run; and the runs it had."""
    had: list[tuple[str, int]] = []

    def train(wanted: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Outcome | None]:
        had.extend(wanted)
        outcomes: dict[tuple[str, int], Outcome | None] = {}
        for folder, seed in wanted:
            rng = np.random.default_rng([seed, *folder.encode()])
            value = float(np.exp(log_rmse[folder] + rng.normal(0, spread)))
            metrics = {"rmse": value, "mean_predictor_rmse": 8.0, "val_rows": "a"}
            failed = Outcome(Status.FAILED, {}, "boom")
            outcomes[folder, seed] = failed if folder == failing else Outcome(Status.FINISHED, metrics, None)
        return outcomes

    return train, had


def grow(factors: object, log_rmse: Sequence[float], spread: float, failing: str = "") -> tuple[Progress, set[str]]:
    """Where a study of factors ends, and the arms of its last seed."""
    arms = arms_of(factors)
    shown: list[Progress] = []
    folders = [arm.folder for arm in arms]
    train, had = simulated(dict(zip(folders, log_rmse, strict=True)), spread, failing and folders[int(failing)])
    until_decided(arms, arms, RULE, Limits(max_seeds=100, time_budget_s=None, first_seed=0), train, shown.append)
    last = max(seed for _, seed in had)
    return shown[-1], {folder for folder, seed in had if seed == last}


def test_a_study_goes_on_until_its_contrasts_are_settled() -> None:
    """All arms are far from the control and the target at once; a small interaction takes more seeds, of all arms."""
    factors = {"order": ORDER, "batch": {"b10": {}, "b32": {"batch": "b32"}}}
    ended, last = grow(factors, [5.0, 7.0, 7.0, 8.75], 0.25)
    assert all(one.settled for one in ended.judged.values()) and not ended.open
    assert all(one.settled for one in ended.contrasts) and len(ended.contrasts) == 3
    assert ended.contrasts[2].seen.answer is Matters.BETTER
    assert last == {"control", "x/order=shuffled", "x/batch=b32", "x/order=shuffled,batch=b32"}
    alone, _ = grow({"order": ORDER}, [5.0, 7.0], 0.25)
    assert ended.seeds > alone.seeds


def test_an_arm_that_fails_does_not_hold_its_contrasts_open() -> None:
    factors = {"order": ORDER, "batch": {"b10": {}, "b32": {"batch": "b32"}}}
    ended, _ = grow(factors, [5.0, 7.0, 7.0, 8.75], 0.25, failing="3")
    assert ended.seeds < 100 and not any(one.settled for one in ended.contrasts)
