"""Columns, one by one, worked by hand."""

import numpy as np
import pytest

from ssc_sweep.audit import column_measures
from ssc_sweep.audit.column_measures import most, reach, sources, with_row_number
from ssc_sweep.data.cohort import Cohort, Column, Kind, Role

TRAIN = np.array([[0.0, 5, 0], [0, 5, 1], [2, 5, 0], [2, 5, 1]])
VAL = np.array([[1.0, 5, 0], [4, 5, 1], [-3, 6, 2], [2, 5, 0]])


def test_reach_by_hand() -> None:
    found = reach(TRAIN, VAL)
    assert found.constant.tolist() == [False, True, False]
    assert found.departs.tolist() == [False, True, False]
    np.testing.assert_allclose(found.mean, [1, 5, 0.5])
    np.testing.assert_allclose(found.sd, [1, 1, 0.5])
    np.testing.assert_allclose(found.max_z, [4, np.nan, 3])
    np.testing.assert_allclose(found.max_z_train, [1, np.nan, 1])
    np.testing.assert_allclose(found.p99_z, [3.97, np.nan, 2.94])
    np.testing.assert_allclose(found.outside, [0.5, 0.25, 0.25])
    # (mean of validation - of training) / sqrt((variance + variance) / 2)
    np.testing.assert_allclose(found.smd, [0, 0.25 / np.sqrt(0.1875 / 2), 0.25 / np.sqrt((0.25 + 0.6875) / 2)])
    np.testing.assert_allclose(found.row_z, [1, 3, 4, 1])
    np.testing.assert_allclose(found.row_z_train, [1, 1, 1, 1])
    assert found.row_outside.tolist() == [False, True, True, False]
    np.testing.assert_allclose(found.z(VAL), [[0, -1], [3, 1], [-4, 3], [1, -1]])


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    train, val = draw.standard_normal((40, 7)), draw.standard_normal((30, 7))
    whole = reach(train, val)
    monkeypatch.setattr(column_measures, "BLOCK", 150)  # two columns at a time
    parts = reach(train, val)
    for name, value in vars(whole).items():
        np.testing.assert_array_equal(value, vars(parts)[name], err_msg=name)


def test_rounding_is_no_spread() -> None:
    train = np.full((9, 1), 0.1)
    train[3] += 1e-17
    found = reach(train, np.full((9, 1), 0.1 + 1e-16))
    assert found.constant.all() and not found.departs.any() and found.row_z.max() == 0


def test_the_row_number() -> None:
    row = np.array([30, 10, 20, 40])  # places 2, 0, 1, 3
    values = np.array([[2.0, 1, 7], [0, 0, 7], [1, 0, 7], [3, 1, 7]])
    found = with_row_number(values, row)
    np.testing.assert_allclose(found, [1, np.corrcoef([1, 0, 0, 1], [2, 0, 1, 3])[0, 1], 0])


def test_where_encoded_columns_come_from() -> None:
    known = (
        Column("age", Role.BASELINE, indicator=True),
        Column("town", Role.BASELINE, Kind.CATEGORY, ("a", "b")),
        Column("sex", Role.BASELINE, Kind.YES_NO),
    )
    cohort = Cohort("mine", np.zeros((1, 3)), np.zeros(1, int), np.zeros((1, 1)), known, ("a", "b"), ("y",), "")
    names = ("age", "town=a", "town=b", "sex", "age is missing")
    found = sources(cohort, names)
    assert found.tolist() == [0, 1, 1, 2, 0]
    assert most(np.array([1.0, 2, -3, np.nan, 0]), found, 3).tolist()[:2] == [1, -3]
    assert np.isnan(most(np.array([1.0, 2, -3, np.nan, 0]), found, 3)[2])
