import pytest

from ssc_sweep.data.synthetic import load
from ssc_sweep.errors import UserError
from tests.data.test_synthetic import PARAMETERS


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
