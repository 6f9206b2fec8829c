"""Splits for the tests of the audit: one small enough to be worked by hand, and those of NHEFS."""

import numpy as np

from ssc_sweep.data.cohort import Cohort, Column, Floats, Role
from ssc_sweep.data.source import Data
from ssc_sweep.data.splitting import DataSplit, Rows
from tests.conftest import MakeConfig

NAN = np.nan
# Four rows that train, four that validate: a number, one that is constant in training, a yes/no with a third answer,
# one with gaps.
RAW = np.array(
    [
        [0.0, 5, 0, NAN],
        [0, 5, 1, 1],
        [2, 5, 0, 1],
        [2, 5, 1, 1],
        [1, 5, 0, NAN],
        [4, 5, 1, NAN],
        [-3, 6, 2, 1],
        [2, 5, 0, 1],
    ]
)
T = np.array([0, 1, 0, 1, 0, 0, 0, 1])
SEEN = np.array([0, -1, 0, 1, 0, 0, 0, 1])
Y = np.array([1.0, 3, 1, 3, 2, 4, 2, 6])[:, None]


def by_hand() -> DataSplit:
    """RAW with its gaps filled with 1."""
    cohort = Cohort(
        name="hand",
        x=RAW,
        t=T,
        y=Y,
        columns=tuple(Column(name, Role.BASELINE) for name in "abcd"),
        treatments=("no", "yes"),
        outcomes=("y",),
        unit="kg",
    )
    x = np.where(np.isnan(RAW), 1.0, RAW)
    first, last = np.arange(4), np.arange(4, 8)
    train, val = (Rows(at, x[at], T[at], SEEN[at], Y[at]) for at in (first, last))
    return DataSplit(cohort, tuple("abcd"), train, val)


def normal(n: int, d: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal((n, d))


def of(make_config: MakeConfig, *words: str) -> DataSplit:
    return Data().split(make_config(*words))
