"""The forecast, from a file of coefficients that is written here."""

import math
from pathlib import Path

import pytest
import yaml

from ssc_sweep.audit.forecast import Coefficients, forecast, read
from ssc_sweep.errors import UserError

TERMS = [
    {"characteristic": "share_beyond_5", "scale": "identity", "usual": 0.5, "weight": 4.0},
    {"characteristic": "max_z", "scale": "log", "usual": 1.0, "weight": 1.0},
    {"characteristic": "constant_columns", "scale": "log1p", "usual": 0.0, "weight": 2.0},
]
CONTENT = {"command": "python -m x", "models": {"flow": {"intercept": -1.0, "terms": TERMS}}}


def fitted(path: Path, content: object = CONTENT) -> dict[str, Coefficients]:
    path.write_text(yaml.safe_dump(content))
    return read(path)


def test_by_hand(tmp_path: Path) -> None:
    """-1 + 4 (0.75 - 0.5) + log(e) + 2 log(1) = 1."""
    model = fitted(tmp_path / "f.yaml")["flow"]
    numbers = {"share_beyond_5": 0.75, "max_z": math.e, "constant_columns": 0.0}
    p, reasons = forecast(numbers, model)
    assert p == pytest.approx(1 / (1 + math.exp(-1)))
    assert [reason.split()[0] for reason in reasons] == ["share_beyond_5", "max_z"]
    assert reasons[0].startswith("share_beyond_5 0.75: share of the validation rows")


def test_what_is_unknown_says_nothing_and_what_is_huge_is_finite(tmp_path: Path) -> None:
    model = fitted(tmp_path / "f.yaml")["flow"]
    usual = {"share_beyond_5": 0.5, "max_z": math.nan, "constant_columns": 0.0}
    assert forecast(usual, model) == (pytest.approx(1 / (1 + math.e)), ())
    assert forecast(usual | {"share_beyond_5": 1e9}, model)[0] == 1.0
    assert 0 <= forecast(usual | {"share_beyond_5": -1e9}, model)[0] < 1e-300


def test_without_a_file_there_is_no_forecast(tmp_path: Path) -> None:
    assert read(tmp_path / "none.yaml") == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"characteristic": "luck"}, "f.models.flow.terms.0.characteristic=luck"),
        ({"scale": "cube"}, "identity"),
        ({"weight": "big"}, "weight"),
    ],
)
def test_a_file_that_is_wrong_is_refused(tmp_path: Path, change: dict[str, object], said: str) -> None:
    model = {"intercept": 0.0, "terms": [TERMS[0] | change]}
    with pytest.raises(UserError, match=said):
        fitted(tmp_path / "f.yaml", CONTENT | {"models": {"flow": model}})


def test_what_the_package_has_can_be_read() -> None:
    assert all(model.terms for model in read().values())
