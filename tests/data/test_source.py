"""From the `dataset` of a config to a cohort: what is refused, what is kept."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ssc_sweep.admission import admitting
from ssc_sweep.data import nhefs
from ssc_sweep.data.cohort import Cohort
from ssc_sweep.data.source import Data, load
from ssc_sweep.errors import DoesNotFit, UserError
from tests.conftest import MakeConfig

COHORT = nhefs.load()


def all_treated() -> Cohort:
    return replace(COHORT, t=np.ones_like(COHORT.t))


def a_number() -> int:
    return 3


HERE = __name__


@pytest.mark.parametrize(
    ("function", "error", "said"),
    [
        (a_number, UserError, "returned int: a data set's function returns a Cohort"),
        (all_treated, DoesNotFit, "whose code is 0; its t holds 1"),
    ],
)
def test_a_function_of_the_users_own(function: Callable[[], object], error: type[UserError], said: str) -> None:
    node = {"_target_": f"{HERE}.{function.__name__}"}
    with admitting([f"admit={HERE.partition('.')[0]}"]), pytest.raises(error) as refused:
        load(node)
    assert said in str(refused.value)


def test_what_returns_no_cohort_is_no_data_set() -> None:
    with pytest.raises(UserError, match="is no data set: allowed is a function that returns"):
        load({"_target_": "ssc_sweep.data.splitting.encode"})


def test_only_the_rows_of_some_runs(make_config: MakeConfig) -> None:
    one, two = make_config("split=shuffled", "seed=1"), make_config("split=shuffled", "seed=2")
    data = Data()
    rows = data.split(one)
    data.split(two)
    few = data.only([one])
    assert few.notes == ()  # no cohort is kept,
    assert few.split(one) is rows and few.notes == ()  # none is loaded again for these rows,
    assert few.split(two) is not data.split(two) and few.notes == data.notes  # but for others
