import numpy as np
import pytest

from ssc_sweep.data.cohort import Cohort, Column, Kind, Role
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


def mixed(x: list[list[float]]) -> Cohort:
    """A number, a yes/no, a category of four levels, a number whose gaps have an indicator."""
    values = np.array(x)
    n = len(values)
    columns = (
        Column("age", Role.BASELINE),
        Column("asked", Role.BASELINE, Kind.YES_NO),
        Column("school", Role.BASELINE, Kind.CATEGORY, ("none", "some", "high", "other one"), indicator=True),
        Column("pica", Role.BASELINE, indicator=True),
    )
    return Cohort("mixed", values, np.zeros(n, np.int64), np.zeros((n, 1)), columns, ("a", "b"), ("y",), "kg")


GAP = np.nan
TRAIN = [[1, 0, 0, 5], [5, 1, 0, GAP], [3, GAP, 1, 7], [3, 1, GAP, 6]]


def test_every_kind_by_hand() -> None:
    encoder = fit(mixed(TRAIN))
    assert encoder.names == [
        "age",
        "asked",
        "school=none",
        "school=some",
        "pica",
        "school is missing",
        "pica is missing",
    ]
    age = np.sqrt(2)  # mean 3, deviations -2, 2, 0, 0
    pica = np.sqrt(0.5)  # mean 6; a filled gap deviates by 0: (1 + 0 + 1 + 0) / 4
    expected = [
        [-2 / age, 0, 1, 0, -1 / pica, 0, 0],
        [2 / age, 1, 1, 0, 0, 0, 1],
        [0, 2 / 3, 0, 1, 1 / pica, 0, 0],
        [0, 1, 0, 0, 0, 1, 0],
    ]
    assert encoder.transform(np.array(TRAIN)) == pytest.approx(np.array(expected))


def test_rare_levels_share_an_indicator_with_those_never_seen() -> None:
    rows = [[1, 0, 0, 1], [2, 1, 0, 2], [3, 0, 0, 3], [4, 1, 1, 4], [5, 0, 2, 5]]
    encoder = fit(mixed(rows), rare_share=0.3)  # below 1.5 of five rows
    assert encoder.names[2:4] == ["school=none", "school=other"]
    school = encoder.transform(np.array([[0, 0, level, 0] for level in range(4)], dtype=float))[:, 2:4]
    assert school.tolist() == [[1, 0], [0, 1], [0, 1], [0, 1]]
    assert encoder.unseen(np.array([[0, 0, level, 0] for level in (0, 3, 3, GAP)])) == {"school": 2}


def test_a_level_that_no_fitted_row_has_has_no_indicator() -> None:
    encoder = fit(mixed(TRAIN))
    assert encoder.transform(np.array([[3, 0, 3, 6]], dtype=float))[0, 2:4].tolist() == [0, 0]
    assert encoder.unseen(np.array([[3, 0, 3, 6]], dtype=float)) == {"school": 1}


def test_numbers_held_to_the_range_of_the_fitted_rows() -> None:
    rows = [[1, 0, 0, 5], [5, 1, 0, 7], [3, 1, 1, 6]]  # age: mean 3, sd sqrt(8/3); pica: mean 6
    beyond = np.array([[9.0, 0, 0, GAP], [-4.0, 1, 1, 6.5]])
    age = fit(mixed(rows), clip="range").transform(beyond)
    assert age[:, 0] == pytest.approx([2 / np.sqrt(8 / 3), -2 / np.sqrt(8 / 3)])
    assert age[:, -1] == pytest.approx([0, 0.5 / np.sqrt(2 / 3)])  # a gap, and a value inside
    held = fit(mixed(rows), clip=1.5).transform(beyond)
    assert held[:, 0] == pytest.approx([1.5, -1.5])
    np.testing.assert_array_equal(age[:, 1:4], held[:, 1:4])  # yes/no and category are as they were


def test_a_constant_held_to_its_range_stays_constant() -> None:
    scaler = fit(cohort([[4.0]] * 5), clip="range")
    assert scaler.transform(np.array([[6.0]])).tolist() == [[0.0]]
    assert fit(cohort([[4.0]] * 5), clip=1.0).transform(np.array([[6.0]])).tolist() == [[1.0]]
