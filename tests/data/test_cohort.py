"""A cohort: what it takes, and what it keeps."""

from dataclasses import replace

import numpy as np
import pytest

from ssc_sweep.data.cohort import Cohort, Column, Role
from ssc_sweep.data.synthetic import load
from ssc_sweep.errors import UserError
from tests.data.generated import PARAMETERS


def test_keep_keeps_names_and_columns_together() -> None:
    cohort = load(**PARAMETERS | {"rows": 10})
    kept = cohort.keep("confounders")
    assert kept.names == ["x1", "x2"]
    assert (kept.x == cohort.x[:, :2]).all()


def test_keeping_nothing_is_an_error() -> None:
    cohort = load(**PARAMETERS | {"rows": 10}).keep("confounders")
    bare = cohort.__class__(**{**cohort.__dict__, "x": cohort.x[:, :0], "columns": ()})
    with pytest.raises(UserError, match="keeps no column of synthetic"):
        bare.keep("baseline")


CODES = [0, 1, 1, 0]
TREATMENTS: dict[str, tuple[object, list[int]]] = {
    "list": ([0, 1, 1, 0], CODES),
    "unsigned": (np.array(CODES, "uint8"), CODES),
    "floats": (np.array([0.0, 1, 1, 0]), CODES),
    "floats with a gap": (np.array([0.0, np.nan, 1, 0]), [0, -1, 1, 0]),
    "bools": (np.array([False, True, True, False]), CODES),
    "names": (np.array(["t0", "t1", "t1", "t0"]), CODES),
    "names with gaps": (np.array(["t0", None, "t1", float("nan")], object), [0, -1, 1, -1]),
}


@pytest.mark.parametrize("given", TREATMENTS)
def test_treatments_are_taken_as_people_write_them(given: str) -> None:
    t, codes = TREATMENTS[given]
    cohort = replace(load(**PARAMETERS | {"rows": 4, "treatments": 2}), t=t)
    assert cohort.treatments == ("t0", "t1")
    assert cohort.t.dtype == np.int64 and cohort.t.tolist() == codes


@pytest.mark.parametrize(
    ("t", "said"),
    [
        ([1, 2, 1, 2], "codes outside 0 to 1"),
        ([0.5, 1, 0, 1], "no codes, such as 0.5"),
        ([0, np.inf, 0, 1], "no codes"),
        (["t0", "b", "t1", "t0"], "t holds 'b', which is not among its treatments"),
        ([[0], [1], [1], [0]], r"t has shape \(4, 1\)"),
    ],
)
def test_treatments_that_are_none(t: list[object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        replace(load(**PARAMETERS | {"rows": 4, "treatments": 2}), t=t)


def test_numbers_are_kept_in_double_precision() -> None:
    cohort = load(**PARAMETERS | {"rows": 4, "treatments": 2})
    assert replace(cohort, x=cohort.x.astype("float32").tolist()).x.dtype == np.float64
    with pytest.raises(UserError, match="y has dtype <U1, not numbers"):
        replace(cohort, y=np.full((4, 2), "a"))


def test_declared_codes_become_gaps_with_an_indicator() -> None:
    columns = (Column("asked", Role.BASELINE, codes=(2.0, 9.0)), Column("age", Role.BASELINE))
    x = np.array([[0.0, 2.0], [2.0, 9.0], [9.0, 3.0], [1.0, np.nan]])
    made = Cohort("c", x, np.zeros(4), np.zeros((4, 1)), columns, ("a", "b"), ("y",), "kg")
    assert made.holds_code().tolist() == [[False, False], [True, False], [True, False], [False, False]]
    read = made.codes_as_gaps()
    np.testing.assert_array_equal(read.x, [[0, 2], [np.nan, 9], [np.nan, 3], [1, np.nan]])
    assert [column.indicator for column in read.columns] == [True, False]
    np.testing.assert_array_equal(made.x, x)  # the cohort itself is as it was
