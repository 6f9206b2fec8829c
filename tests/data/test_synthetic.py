import numpy as np
import pytest

from ssc_sweep.data.synthetic import load

PARAMETERS = {
    "rows": 20_000, "d_x": 8, "d_y": 2, "treatments": 3, "effect": 3.0, "confounding": 1.0, "noise": 1.0,
    "wave_columns": 0, "wave_share": 0.02, "data_seed": 1,
}  # fmt: skip


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
