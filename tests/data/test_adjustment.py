"""The columns that stand for the covariates: squares, indicators, gaps, and what cannot be used."""

import numpy as np
import pandas as pd
import pytest

from ssc_sweep.data.adjustment import adjustment_columns
from ssc_sweep.data.cohort import Adjustment, Floats, Ints
from ssc_sweep.errors import DoesNotFit, UserError

T = np.array([0, 1, 0, 1, 0, 1])
NAMES = ("placebo", "drug")
PLAIN = Adjustment()


def columns(data: dict[str, object], adjustment: Adjustment = PLAIN, t: Ints = T) -> tuple[Floats, Floats]:
    return adjustment_columns(pd.DataFrame(data), t, NAMES, adjustment)


def spans(basis: Floats, *expected: list[float]) -> bool:
    """Whether the basis and the intercept span exactly the intercept and the expected columns."""
    one = np.ones((len(basis), 1))
    wanted = np.hstack([one, np.array(expected).T])
    both = np.hstack([one, basis, wanted])
    return basis.shape[1] == len(expected) and np.linalg.matrix_rank(both) == np.linalg.matrix_rank(wanted)


def test_numbers_squares_and_modifiers() -> None:
    x = [1.0, 2, 3, 5, 8, 13]
    z, m = columns({"x": x}, Adjustment(squared=("x",), modifiers=("x",)))
    assert spans(z, x, [v**2 for v in x])
    assert spans(m, x)  # without the square
    assert np.allclose(z.mean(axis=0), 0) and np.allclose(z.T @ z / 6, np.eye(2))


@pytest.mark.parametrize("values", [list("aabbcc"), [3.0, 3, 1, 1, 2, 2], pd.Categorical(list("aabbcc"), list("abcd"))])
def test_a_category_is_an_indicator_a_value(values: object) -> None:
    z, m = columns({"g": values}, Adjustment(categories=("g",), modifiers=("g",)))
    assert spans(z, [1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0])
    assert spans(m, [1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0])


def test_gaps_of_a_number_are_its_mean_and_an_indicator() -> None:
    z, _ = columns({"x": [np.nan, np.nan, 1, 2, 3, 6]})
    assert spans(z, [3.0, 3, 1, 2, 3, 6], [1, 1, 0, 0, 0, 0])


def test_gaps_of_a_category_are_one_more_value() -> None:
    z, _ = columns({"g": ["a", "a", None, None, "b", "b"]}, Adjustment(categories=("g",)))
    assert spans(z, [1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0])


def test_constant_columns_and_sums_of_others_drop_out() -> None:
    x, u = [1.0, 2, 3, 5, 8, 13], [4.0, 1, 4, 1, 9, 9]
    total = [3 * a - b + 7 for a, b in zip(x, u, strict=True)]
    z, _ = columns({"c": [0.1] * 6, "x": x, "u": u, "total": total, "empty": [np.nan] * 6, "pounds": np.array(x) * 2.2})
    assert spans(z, x, u)


def test_no_covariates() -> None:
    z, m = adjustment_columns(pd.DataFrame(index=range(6)), T, NAMES, Adjustment())
    assert z.shape == m.shape == (6, 0)


@pytest.mark.parametrize("kind", ["bool", "Int64", "int8"])
def test_other_kinds_of_numbers(kind: str) -> None:
    z, _ = columns({"x": pd.array([1, 1, 0, 0, 1, 1], dtype=kind)})
    assert spans(z, [1, 1, 0, 0, 1, 1])


@pytest.mark.parametrize(
    ("values", "adjustment", "message"),
    [
        (list("aabbcc"), Adjustment(), "covariate 'x' is no number (str): add it to categories"),
        ([1, 2, np.inf, 4, 5, 6], Adjustment(), "covariate 'x' is infinite in 1 rows"),
        ([1, 2, 3, 4, 5, 6], Adjustment(squared=("age",)), "squared: 'age' is no covariate. Choices: x."),
        ([1, 2, 3, 4, 5, 6], Adjustment(modifiers=("age",)), "modifiers: 'age' is no covariate. Choices: x."),
        ([1, 1, 2, 2, 3, 3], Adjustment(squared=("x",), categories=("x",)), "in squared and in categories"),
    ],
)
def test_what_cannot_be_used(values: list[object], adjustment: Adjustment, message: str) -> None:
    with pytest.raises(UserError) as error:
        columns({"x": values}, adjustment)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "categories", "message"),
    [
        ([1.0, 1, 0, 1, 0, 1], (), "covariate 'x' is 0.0 in 2 rows, none of them with treatment 'drug'"),
        (list("abacab"), ("x",), "covariate 'x' is a in 3 rows, none of them with treatment 'drug'"),
        ([np.nan, 1, 2, 3, 4, 5], (), "covariate 'x' is a gap in 1 rows, none of them with treatment 'drug'"),
        ([1, None, 2, None, 3, None], (), "covariate 'x' is a number in 3 rows, none of them with treatment 'drug'"),
        (["a", "a", None, "a", "a", "a"], ("x",), "covariate 'x' is a gap in 1 rows"),
    ],
)
def test_a_value_without_rows_of_a_treatment(values: list[object], categories: tuple[str, ...], message: str) -> None:
    with pytest.raises(DoesNotFit) as error:
        columns({"x": values}, Adjustment(categories=categories))
    assert message in str(error.value) and "\n" not in str(error.value)
