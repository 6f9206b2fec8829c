import numpy as np
import pytest

from ssc_sweep.data.cohort import Cohort, Column, Role
from ssc_sweep.data.encoding import fit
from ssc_sweep.errors import UserError


def cohort(x: list[list[float]]) -> Cohort:
    values = np.array(x)
    n, d = values.shape
    columns = tuple(Column(f"c{j}", Role.BASELINE) for j in range(d))
    return Cohort("test", values, np.zeros(n, np.int64), np.zeros((n, 1)), columns, ("a", "b"), ("y",), "kg")


def test_by_hand() -> None:
    # Column 0: mean 3, sd 2. Column 1: a gap; mean of (2, 6) is 4; deviations -2, 2, 0 give variance 8/3.
    scaler = fit(cohort([[1, 2], [5, 6], [3, np.nan]]))
    assert scaler.mean == pytest.approx([3, 4])
    assert scaler.scale == pytest.approx([np.sqrt(8 / 3), np.sqrt(8 / 3)])
    assert scaler.transform(np.array([[3, np.nan]])) == pytest.approx(np.array([[0, 0]]))


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9 + 0.1])
def test_a_constant_column_keeps_its_unit(value: float) -> None:
    scaler = fit(cohort([[value]] * 7))
    assert scaler.scale == pytest.approx([1.0])
    assert scaler.transform(np.array([[value + 2.0]])) == pytest.approx(np.array([[2.0]]))


def test_an_empty_column_is_an_error() -> None:
    with pytest.raises(UserError, match="column c1 of test has no value"):
        fit(cohort([[1, np.nan], [2, np.nan]]))
