"""Linear leaks: found where there is one, with its columns, and not found where there is none."""

import numpy as np
import pytest

from ssc_sweep.audit.leaks import Leak, Side, leaks
from ssc_sweep.data.cohort import HIDDEN, Floats, Ints

DRAW = np.random.default_rng(0)


def outcome_leak(x: Floats, y: Floats, v: Floats, y_val: Floats) -> Leak:
    unknown = [np.full(len(side), HIDDEN) for side in (x, v)]
    return leaks(Side(x, unknown[0], y), Side(v, unknown[1], y_val), 2)[0]


def treatment_leak(x: Floats, t: Ints, v: Floats, t_val: Ints, treatments: int) -> Leak:
    return leaks(Side(x, t, np.empty((len(x), 0))), Side(v, t_val, np.empty((len(v), 0))), treatments)[1]


def rows(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    return DRAW.standard_normal((n, d)), DRAW.standard_normal((n, d))


@pytest.mark.parametrize(("n", "d"), [(200, 20), (30, 100)])
def test_a_difference_of_two_columns_is_the_outcome(n: int, d: int) -> None:
    x, v = rows(n, d)
    found = outcome_leak(x, (x[:, [3]] - x[:, [7]]) * 2 + 5, v, (v[:, [3]] - v[:, [7]]) * 2 + 5)
    assert found.value > 0.999999 and set(found.columns) == {3, 7}


def test_a_sum_of_many_columns_is_the_outcome() -> None:
    x, v = rows(200, 20)
    found = outcome_leak(x, x[:, :12].sum(axis=1, keepdims=True), v, v[:, :12].sum(axis=1, keepdims=True))
    assert found.value > 0.999999 and set(found.columns) == set(range(12))


@pytest.mark.parametrize(("n", "d"), [(200, 20), (30, 100), (100, 99)])
def test_noise_tells_nothing(n: int, d: int) -> None:
    x, v = rows(n, d)
    y, y_val = rows(n, 1)
    assert outcome_leak(x, y, v, y_val).value < 0.3
    t, t_val = (y[:, 0] > 0).astype(int), (y_val[:, 0] > 0).astype(int)
    assert treatment_leak(x, t, v, t_val, 2).value < 0.75


def test_the_outcome_that_is_told_best_counts() -> None:
    x, v = rows(100, 5)
    y, y_val = (
        np.column_stack([DRAW.standard_normal(100), x[:, 2]]),
        np.column_stack([DRAW.standard_normal(100), v[:, 2]]),
    )
    found = outcome_leak(x, y, v, y_val)
    assert found.value > 0.999999 and found.columns == (2,)


def test_a_column_tells_the_treatment() -> None:
    x, v = rows(200, 10)
    t, t_val = (x[:, 4] > 0.5).astype(int), (v[:, 4] > 0.5).astype(int)
    found = treatment_leak(x, t, v, t_val, 2)
    assert found.value > 0.99 and found.columns[0] == 4


def test_an_unknown_treatment_is_left_out() -> None:
    x, v = rows(200, 3)
    t, t_val = (x[:, 1] > 0).astype(int), (v[:, 1] > 0).astype(int)
    t[::3] = HIDDEN
    assert treatment_leak(x, t, v, t_val, 2).value > 0.99
    assert np.isnan(treatment_leak(x, np.full(200, HIDDEN), v, t_val, 2).value)


def test_one_of_three_treatments_is_told() -> None:
    x, v = rows(300, 4)
    t, t_val = (np.where(a[:, 0] > 1, 2, (a[:, 1] * 1e6).astype(int) % 2) for a in (x, v))
    assert treatment_leak(x, t, v, t_val, 3).value > 0.99


def test_too_few_rows_say_nothing() -> None:
    x, v = rows(9, 3)
    assert np.isnan(outcome_leak(x, x[:, :1], v, v[:, :1]).value)
