"""The linear start against fits that leave each row out, and what hidden treatments do to it."""

import numpy as np
import pytest

from ssc_sweep.data.cohort import HIDDEN
from ssc_sweep.models import start
from ssc_sweep.models.start import solve_outcome, solve_treatment


def rows(n: int = 12, d: int = 3, treatments: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x, t, y): the effect of each treatment on the first outcome is 3."""
    draw = np.random.default_rng(0)
    x, t = draw.standard_normal((n, d)), np.arange(n) % treatments
    y = x[:, [0]] + 3 * t[:, None] + 0.5 * draw.standard_normal((n, 2))
    return x, t, y


def plain(x: np.ndarray, p: np.ndarray, t: np.ndarray, y: np.ndarray, weight: np.ndarray, l2: float) -> np.ndarray:
    """(1, effect, p, x) coefficients for two treatments, effects penalised by 0.3, from the normal equations."""
    both = np.column_stack([np.ones(len(t)), np.where(t == HIDDEN, 0, t - p[:, 1]), p[:, 1], x])
    # p enters in units of its spread, which is that of all rows.
    penalty = np.diag([0, 0.3, l2 * SPREAD**2] + [l2] * x.shape[1])
    return np.linalg.solve(both.T @ (weight[:, None] * both) + penalty, both.T @ (weight * y))


def chances(n: int) -> np.ndarray:
    p = np.linspace(0.2, 0.7, n)
    return np.column_stack([1 - p, p])


SPREAD = chances(12)[:, 1].std()


@pytest.mark.parametrize("d", [3, 20])
def test_every_row_left_out_is_a_fit_without_it(d: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "L2", np.array([0.2]))
    x, t, y = rows(d=d)
    p, t = chances(12), np.where(np.arange(12) < 3, HIDDEN, t)
    weight = np.where(t == HIDDEN, 0.5, 1.0)
    l2 = 0.2 * weight.sum()
    found = start._fit(x, p, t, y[:, 0], 0.5, 0.3)

    def at(coefficient: np.ndarray, row: int) -> np.ndarray:
        """Both treatments of a row."""
        gaps = np.array([0.0, 1.0]) - p[row, 1]
        return coefficient[0] + coefficient[1] * gaps + coefficient[2] * p[row, 1] + x[row] @ coefficient[3:]

    fit = plain(x, p, t, y[:, 0], weight, l2)
    for row in range(12):
        linear = found.intercept[:, 0] + x[row] @ found.coefficient[:, 0] + p[row] @ found.chance[:, 0]
        np.testing.assert_allclose(linear, at(fit, row))
        others = np.arange(12) != row
        without = plain(x[others], p[others], t[others], y[others, 0], weight[others], l2)
        np.testing.assert_allclose(found.left_out[row, :, 0], y[row, 0] - at(without, row))


def test_a_row_without_weight_is_a_row_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "LEAST_SPREAD", 1.0)  # p in the same units with and without the rows
    x, t, y = rows()
    p, t = chances(12), np.where(np.arange(12) < 3, HIDDEN, t)
    found, without = solve_outcome(x, p, t, y, 0.0), solve_outcome(x[3:], p[3:], t[3:], y[3:], 1.0)
    np.testing.assert_allclose(found.coefficient, without.coefficient)
    np.testing.assert_allclose(found.left_out[3:], without.left_out)


def test_rows_beyond_those_that_are_fitted_have_plain_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    x, t, y = rows(n=30)
    p, fitted = chances(30), solve_outcome(x[:20], chances(30)[:20], t[:20], y[:20], 1.0)
    monkeypatch.setattr(start, "OUTCOME_ROWS", 20)
    found = solve_outcome(x, p, t, y, 1.0)
    np.testing.assert_array_equal(found.coefficient, fitted.coefficient)
    np.testing.assert_array_equal(found.left_out[:20], fitted.left_out)
    line = x[20:] @ fitted.coefficient + p[20:] @ fitted.chance
    expected = y[20:, None] - (line[:, None] + fitted.intercept)
    np.testing.assert_allclose(found.left_out[20:], expected)


def test_levels_are_those_of_the_treatments_where_covariates_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "L2", np.array([1e12]))
    x, t, y = rows(n=3000, treatments=3)
    found = solve_outcome(x, np.full((3000, 3), 1 / 3), t, y, 1.0)
    np.testing.assert_allclose(found.coefficient, 0, atol=1e-9)
    levels = found.intercept + found.chance.sum(axis=0) / 3
    np.testing.assert_allclose(levels, [y[t == k].mean(axis=0) for k in range(3)], atol=0.01)


def test_a_linear_leak_is_found_whatever_the_treatment_depends_on() -> None:
    draw = np.random.default_rng(1)
    x = draw.standard_normal((60, 20))
    true = 1 / (1 + np.exp(-2 * x[:, 5]))
    t = (draw.random(60) < true).astype(np.int64)
    y = (x[:, [3]] - x[:, [7]]) + 2.0 * t[:, None]
    found = solve_outcome(x, np.column_stack([1 - true, true]), t, y, 1.0)
    # A thousandth of the outcome's sd: what the prior on the effect leaves.
    assert abs(found.left_out[np.arange(60), t]).max() < 2e-3 * y.std()
    assert found.intercept[1] - found.intercept[0] == pytest.approx(2, abs=1e-2)


def test_the_penalty_is_the_largest_within_one_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    x, t, y = rows(n=40, d=15)
    y, p = y + 2 * np.random.default_rng(3).standard_normal(y.shape), chances(40)
    chosen = start._fit(x, p, t, y[:, 0], 1.0, 1.0)
    squares, fits = [], []
    for l2 in start.L2:
        with monkeypatch.context() as patch:
            patch.setattr(start, "L2", np.array([l2]))
            fits.append(start._fit(x, p, t, y[:, 0], 1.0, 1.0))
        squares.append(fits[-1].left_out[np.arange(40), t, 0] ** 2)
    least = int(np.argmin(np.mean(squares, axis=1)))
    worse = np.array(squares) - squares[least]
    expected = np.flatnonzero(worse.mean(axis=1) <= worse.std(axis=1) / np.sqrt(40))[-1]
    np.testing.assert_allclose(chosen.coefficient, fits[expected].coefficient)
    assert expected > least


def test_hidden_treatments_sharpen_the_slopes_and_leave_the_effect_unbiased() -> None:
    """Also where the treatment depends on a covariate whose coefficient is shrunk."""
    slopes, effects = [], []
    for seed in range(40):
        draw = np.random.default_rng(seed)
        x = draw.standard_normal((400, 8))
        true = 1 / (1 + np.exp(-x[:, 0]))
        t = (draw.random(400) < true).astype(np.int64)
        y = x @ np.ones((8, 1)) + 3 * t[:, None] + 2 * draw.standard_normal((400, 1))
        seen, p = np.where(np.arange(400) < 60, t, HIDDEN), np.column_stack([1 - true, true])
        fits = [solve_outcome(x, p, seen, y, weight) for weight in (1.0, 0.0)]
        slopes.append([(fit.coefficient[1:] - 1).std() for fit in fits])
        effects.append(fits[0].intercept[1, 0] - fits[0].intercept[0, 0] - 3)
    used, dropped = np.mean(slopes, axis=0)
    assert used < 0.6 * dropped
    assert abs(np.mean(effects)) < 2 * np.std(effects) / np.sqrt(40)


def test_the_rows_held_out_choose_the_penalty_of_the_treatment() -> None:
    draw = np.random.default_rng(0)
    x = draw.standard_normal((200, 30))
    noise, clear = draw.integers(2, size=200), (x[:, 0] > 0).astype(np.int64)
    sizes = []
    for t in (noise, clear):
        w, c = solve_treatment(x[:100], t[:100], x[100:], t[100:], 2)
        assert w.shape == (30, 2) and c.shape == (2,)
        sizes.append(abs(w).max())
    assert sizes[0] < 0.05 and sizes[1] > 1
    w, c = solve_treatment(x[:100], np.arange(100) % 3, x[:0], np.arange(0), 3)
    assert w.shape == (30, 3) and abs(w).max() < 0.05
