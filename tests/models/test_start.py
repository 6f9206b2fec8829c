"""The linear start against fits that leave each row out, and what hidden treatments do to it."""

import numpy as np
import pytest

from ssc_sweep.models import start
from ssc_sweep.models.start import solve_outcome, solve_treatment


def rows(n: int = 12, d: int = 3, treatments: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x, t, y): the effect of each treatment on the first outcome is 3."""
    draw = np.random.default_rng(0)
    x, t = draw.standard_normal((n, d)), np.arange(n) % treatments
    y = x[:, [0]] + 3 * t[:, None] + 0.5 * draw.standard_normal((n, 2))
    return x, t, y


def plain(x: np.ndarray, p: np.ndarray, y: np.ndarray, weight: np.ndarray, l2: float) -> np.ndarray:
    """(K + d, d_y) coefficients of p and x, from the normal equations."""
    both = np.column_stack([p, x])
    penalty = np.diag([0.0] * p.shape[1] + [l2] * x.shape[1])
    return np.linalg.solve(both.T @ (weight[:, None] * both) + penalty, both.T @ (weight[:, None] * y))


@pytest.mark.parametrize("d", [3, 20])
def test_every_row_left_out_is_a_fit_without_it(d: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "L2", np.array([0.2]))
    x, t, y = rows(d=d)
    p, weight = np.eye(2)[t], np.ones(12)
    p[:3], weight[:3] = [[0.3, 0.7], [0.6, 0.4], [0.5, 0.5]], 0.5  # three hidden treatments
    found = solve_outcome(x, p, y, weight)
    l2 = 0.2 * weight.sum()
    np.testing.assert_allclose(np.vstack([found.intercept, found.coefficient]), plain(x, p, y, weight, l2))
    for row in range(12):
        others = np.arange(12) != row
        without = plain(x[others], p[others], y[others], weight[others], l2)
        np.testing.assert_allclose(found.left_out[row], y[row] - (without[:2] + x[row] @ without[2:]))


def test_a_row_without_weight_is_a_row_that_is_not_there() -> None:
    x, t, y = rows()
    weight = np.where(np.arange(12) < 3, 0.0, 1.0)
    found, without = solve_outcome(x, np.eye(2)[t], y, weight), solve_outcome(x[3:], np.eye(2)[t[3:]], y[3:], np.ones(9))
    np.testing.assert_allclose(found.coefficient, without.coefficient)
    np.testing.assert_allclose(found.left_out[3:], without.left_out)


def test_treatments_are_not_penalised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "L2", np.array([1e12]))
    x, t, y = rows(treatments=3)
    found = solve_outcome(x, np.eye(3)[t], y, np.ones(12))
    np.testing.assert_allclose(found.coefficient, 0, atol=1e-9)
    np.testing.assert_allclose(found.intercept, [y[t == k].mean(axis=0) for k in range(3)])


def test_a_linear_leak_is_found_among_more_columns_than_rows() -> None:
    draw = np.random.default_rng(1)
    x = draw.standard_normal((60, 20))
    t = (x[:, 5] > 0).astype(np.int64)
    y = (x[:, [3]] - x[:, [7]]) + 2.0 * t[:, None]
    found = solve_outcome(x, np.eye(2)[t], y, np.ones(60))
    assert abs(found.left_out[np.arange(60), t]).max() < 1e-5
    assert found.intercept[1] - found.intercept[0] == pytest.approx(2, abs=1e-5)


def test_the_penalty_is_the_largest_within_one_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    x, t, y = rows(n=40, d=15)
    p, one = np.eye(2)[t], y[:, :1]
    chosen = solve_outcome(x, p, one, np.ones(40))
    squares, fits = [], []
    for l2 in start.L2:
        monkeypatch.setattr(start, "L2", np.array([l2]))
        fits.append(solve_outcome(x, p, one, np.ones(40)))
        squares.append(fits[-1].left_out[np.arange(40), t, 0] ** 2)
        monkeypatch.undo()
    worse = np.array(squares) - squares[int(np.argmin(np.mean(squares, axis=1)))]
    expected = np.flatnonzero(worse.mean(axis=1) <= worse.std(axis=1) / np.sqrt(40))[-1]
    np.testing.assert_allclose(chosen.coefficient, fits[expected].coefficient)
    assert expected > np.argmin(np.mean(squares, axis=1))


def test_rows_with_hidden_treatments_sharpen_the_slope_and_leave_the_effect_unbiased() -> None:
    errors = []
    for seed in range(40):
        draw = np.random.default_rng(seed)
        x = draw.standard_normal((400, 8))
        true = 1 / (1 + np.exp(-x[:, 0]))
        t = (draw.random(400) < true).astype(np.int64)
        y = x @ np.ones((8, 1)) + 3 * t[:, None] + 2 * draw.standard_normal((400, 1))
        p, hidden = np.eye(2)[t], np.arange(400) >= 60
        p[hidden] = np.column_stack([1 - true, true])[hidden]
        fits = [solve_outcome(x, p, y, np.where(hidden, weight, 1.0)) for weight in (1.0, 0.0)]
        errors.append([[(fit.coefficient - 1).std(), np.diff(fit.intercept[:, 0])[0] - 3] for fit in fits])
    slope, effect = np.array(errors)[:, :, 0].mean(axis=0), np.array(errors)[:, :, 1]
    assert slope[0] < 0.6 * slope[1]
    assert abs(effect[:, 0].mean()) < 2 * effect[:, 0].std() / np.sqrt(40)


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
