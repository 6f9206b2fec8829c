"""Values that training has not seen, and codes for missing ones."""

import numpy as np
import pytest

from ssc_sweep.audit.values import small_columns, suspected_codes
from ssc_sweep.data.cohort import Column, Floats, Kind, Role

N = 100


def numbers(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, Role.BASELINE) for name in names)


def codes(train: Floats, val: Floats, columns: tuple[Column, ...] | None = None) -> dict[str, float]:
    known = columns or numbers(*(f"x{j}" for j in range(train.shape[1])))
    small = small_columns(known, train, val)
    found = suspected_codes(np.concatenate([train, val]), known, small)
    return {known[j].name: code for j, code in found.items()}


def test_values_are_counted() -> None:
    train, val = np.array([[1.0], [1], [np.nan], [4]]), np.array([[4.0], [9], [9], [np.nan]])
    (one,) = small_columns(numbers("x"), train, val).values()
    assert one.values.tolist() == [1, 4, 9]
    assert one.train.tolist() == [2, 1, 0] and one.val.tolist() == [0, 1, 2]
    assert one.unseen.tolist() == [False, False, True]


@pytest.mark.parametrize(
    "column",
    [
        np.arange(N) / 3,
        np.arange(N) * 1.0,
        np.resize([0, 5000.0], N),
        np.full(N, np.nan),
        np.r_[0.5, np.ones(N - 1)],
    ],
)
def test_measurements_are_not_looked_at_value_by_value(column: Floats) -> None:
    assert small_columns(numbers("x"), column[:50, None], column[50:, None]) == {}


def test_a_category_of_many_levels_is() -> None:
    known = (Column("town", Role.BASELINE, Kind.CATEGORY, tuple(f"l{k}" for k in range(40))),)
    values = np.arange(40.0)[:, None]
    assert list(small_columns(known, values, values)) == [0]


def test_questions_that_were_not_asked_together() -> None:
    """Two yes/no questions with the code 2 in the same half of the rows on both sides, and one that is answered."""
    draw = np.random.default_rng(0)
    x = draw.integers(0, 2, (N, 3)).astype(float)
    x[::2, :2] = 2
    assert codes(x[:50], x[50:]) == {"x0": 2.0, "x1": 2.0}


def test_a_recoded_column_is_no_code() -> None:
    school = np.random.default_rng(0).integers(0, 6, N).astype(float)
    x = np.column_stack([school, np.minimum(school, 5) + 1, np.maximum(school, 3)])
    assert codes(x[:50], x[50:]) == {}


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ([1, 2, 3, 4, 9], 9.0),
        ([1, 2, 3, 99], 99.0),
        ([-9, 0, 1, 2], -9.0),
        ([-9, -8, 0, 1, 2], -9.0),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9], None),  # a scale from 1 to 9
        ([0, 1, 2], None),  # three answers, on both sides
        ([-1, 0, 1], None),
        ([0, 9], None),
    ],
)
def test_sentinels(values: list[float], code: float | None) -> None:
    x = np.resize(np.array(values, dtype=float), N)[:, None]
    assert codes(x[:50], x[50:]) == ({} if code is None else {"x0": code})


def test_a_sentinel_among_measurements_is_far_from_them() -> None:
    pressure = np.random.default_rng(0).normal(120, 15, (N, 1))
    pressure[::10] = 999
    assert codes(pressure[:50], pressure[50:]) == {"x0": 999.0}
    pressure[::10] = 99
    assert codes(pressure[:50], pressure[50:]) == {}


def test_a_third_answer_that_one_side_has_never() -> None:
    x = np.resize([0.0, 1.0], N)[:, None]
    x[60:70] = 2
    assert codes(x[:50], x[50:]) == {"x0": 2.0}
    x[:] = np.resize([0.0, 1.0], N)[:, None]
    x[99] = 2  # one row in fifty may be an answer that is rare
    assert codes(x[:50], x[50:]) == {}


def test_a_category_has_no_codes() -> None:
    known = (Column("town", Role.BASELINE, Kind.CATEGORY, ("a", "b", "c")),)
    x = np.resize([0.0, 1.0], N)[:, None]
    x[60:70] = 2
    assert codes(x[:50], x[50:], known) == {}
