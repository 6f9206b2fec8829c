import numpy as np
import pytest

from ssc_sweep.data.synthetic import load
from ssc_sweep.errors import UserError
from tests.data.generated import PARAMETERS


def test_regression_on_the_causes_finds_the_effect() -> None:
    cohort = load(**PARAMETERS)
    design = np.column_stack([np.ones(len(cohort.t)), cohort.t, cohort.x])
    coefficients, *_ = np.linalg.lstsq(design, cohort.y, rcond=None)
    assert coefficients[1] == pytest.approx([3.0, 3.0], abs=0.05)
    assert coefficients[2:4] == pytest.approx(np.ones((2, 2)), abs=0.05)


def test_confounding_makes_the_raw_difference_wrong() -> None:
    cohort = load(**PARAMETERS | {"treatments": 2})
    naive = cohort.y[cohort.t == 1].mean() - cohort.y[cohort.t == 0].mean()
    assert naive > 3.5
    randomised = load(**PARAMETERS | {"treatments": 2, "confounding": 0.0})
    fair = randomised.y[randomised.t == 1].mean() - randomised.y[randomised.t == 0].mean()
    assert fair == pytest.approx(3.0, abs=0.1)


def test_the_planted_cause() -> None:
    cohort = load(**PARAMETERS | {"wave_columns": 5})
    first, second = cohort.x[:10_000, -5:], cohort.x[10_000:, -5:]
    assert set(np.unique(first)) == {0.0, 1.0}
    assert (second == 2.0).all()
    assert np.array_equal(cohort.x[:, :3], load(**PARAMETERS).x[:, :3])


def test_an_interaction_is_found_where_it_is_asked_for() -> None:
    for shape, expected in (("linear", 0.0), ("interaction", 2.0)):
        cohort = load(**PARAMETERS | {"shape": shape})
        product = cohort.x[:, 0] * cohort.x[:, 1]
        design = np.column_stack([np.ones(len(cohort.t)), cohort.t, cohort.x, product])
        coefficients, *_ = np.linalg.lstsq(design, cohort.y, rcond=None)
        assert coefficients[1] == pytest.approx([3.0, 3.0], abs=0.05)
        assert coefficients[-1] == pytest.approx([expected, expected], abs=0.05)


def test_a_leak_is_one_more_column_that_holds_the_outcome() -> None:
    plain, leaking = load(**PARAMETERS), load(**PARAMETERS | {"leak": True})
    np.testing.assert_array_equal(leaking.x[:, :-1], plain.x)
    np.testing.assert_array_equal(leaking.x[:, -1], plain.y[:, 0])
    assert leaking.names[-1] == "leak" and leaking.keep("baseline").names == plain.names


def test_a_label_shift_sorts_rows_by_their_outcome() -> None:
    normal = PARAMETERS | {"effect": 0.0}  # without an effect the outcome is normal
    plain, shifted = load(**normal), load(**normal | {"label_shift": 2.0})
    # The same rows in another order.
    np.testing.assert_array_equal(np.sort(shifted.y[:, 0]), np.sort(plain.y[:, 0]))
    pairs = {(row[0], y) for row, y in zip(plain.x, plain.y[:, 0], strict=True)}
    assert {(row[0], y) for row, y in zip(shifted.x, shifted.y[:, 0], strict=True)} == pairs
    gap = shifted.y[10_000:, 0].mean() - shifted.y[:10_000, 0].mean()
    # The key's correlation with the outcome is 2 / sqrt(5); two halves of a normal key lie 2 sqrt(2 / pi) sd apart.
    assert gap / plain.y[:, 0].std() == pytest.approx(2 * np.sqrt(2 / np.pi) * 2 / np.sqrt(5), abs=0.1)


def test_columns_of_the_second_wave_declare_their_code() -> None:
    cohort = load(**PARAMETERS | {"wave_columns": 2, "label_shift": 1.0})
    assert [column.codes for column in cohort.columns] == [()] * 6 + [(2.0,)] * 2
    assert (cohort.x[10_000:, -2:] == 2).all() and (cohort.x[:10_000, -2:] < 2).all()


def test_more_wave_columns_than_covariates_are_refused() -> None:
    with pytest.raises(UserError, match=r"dataset\.wave_columns=9 is out of bounds: allowed is at most dataset\.d_x=8"):
        load(**PARAMETERS | {"wave_columns": 9})
