"""The example of docs/VERDICTS.md that a reader can follow with pencil, and its tables of sentences."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from ssc_sweep.verdicts.causes import Cause
from ssc_sweep.verdicts.judge import Verdict
from ssc_sweep.verdicts.sequential import BETS, confidence_sequence, log_wealth, spreads

TEXT = (Path(__file__).parents[2] / "docs" / "VERDICTS.md").read_text()
# Pair, control, arm, log ratio, spread, z, four factors, wealth.
FOUND = re.findall(r"^\|(?: -?[\d.]+ \|){11}$", TEXT, re.M)
ROWS = np.array([[float(cell) for cell in row.split("|")[1:-1]] for row in FOUND])


def test_every_step_of_the_example() -> None:
    assert ROWS.shape == (7, 6 + len(BETS) + 1)
    x = np.log(ROWS[:, 2] / ROWS[:, 1])
    s = spreads(x)
    factors = 1 + BETS[:, 0] * np.tanh(BETS[:, 1] * (-x / s)[:, None])
    wealth = np.cumprod(factors, axis=0).mean(axis=1)
    assert ROWS[:, 3] == pytest.approx(x, abs=0.005)
    assert ROWS[:, 4] == pytest.approx(s, abs=0.005)
    assert ROWS[:, 5] == pytest.approx(-x / s, abs=0.05)
    assert ROWS[:, 6:-1] == pytest.approx(factors, abs=0.005)
    assert ROWS[:, -1] == pytest.approx(wealth, abs=0.05)
    assert wealth == pytest.approx(np.exp(log_wealth(-x, s)))
    assert wealth[5] < 40 < wealth[6]


def test_the_interval_of_the_example() -> None:
    found = re.search(r"After seven pairs it\s+is (\d\.\d+) to (\d\.\d+)", TEXT)
    assert found is not None
    low, high = confidence_sequence(np.log(ROWS[:, 2] / ROWS[:, 1]), 0.05)
    assert [float(end) for end in found.groups()] == pytest.approx([math.exp(low), math.exp(high)], abs=0.005)
    assert high < 0


@pytest.mark.parametrize("sentence", [*Verdict, *Cause])
def test_every_sentence_is_explained(sentence: str) -> None:
    assert sentence in re.sub(r"\s+", " ", TEXT)
