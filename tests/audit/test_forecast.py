"""The forecast, from a file of coefficients that is written here."""

import math
from pathlib import Path

import pytest

from ssc_sweep.audit.characteristics import characteristics
from ssc_sweep.audit.forecast import Forecast, fails, forecast, foretell, model_name, read
from ssc_sweep.config import conf_dir
from ssc_sweep.data.source import Data
from ssc_sweep.errors import UserError
from tests.audit.coefficients import CONTENT, SIZES, TERMS, fitted
from tests.conftest import MakeConfig


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
    model = {**SIZES, "intercept": 0.0, "terms": [TERMS[0] | change]}
    with pytest.raises(UserError, match=said):
        fitted(tmp_path / "f.yaml", CONTENT | {"models": {"flow": model}})


def test_what_the_package_has_can_be_read() -> None:
    assert read()["flow_ssc"].terms and not read()["mean"].terms


@pytest.mark.parametrize(
    ("rmse", "mean", "failed"), [(1.9, 1.0, False), (1.91, 1.0, True), (None, 1.0, True), (math.inf, 1.0, True)]
)
def test_what_fails(rmse: float | None, mean: float, failed: bool) -> None:
    assert fails(rmse, mean) is failed


def test_a_warning_is_one_line_and_only_where_failure_is_likely() -> None:
    likely = Forecast("flow_ssc", 0.97, ("max_z 25: far", "constant_columns 2: so", "third"))
    assert likely.warning.startswith("forecast: flow_ssc fails on these rows with probability 0.97 (it diverges, or")
    assert "predicting the mean): max_z 25: far; constant_columns 2: so. " in likely.warning
    assert "\n" not in likely.warning and "third" not in likely.warning
    assert Forecast("flow_ssc", 0.5, ()).warning == ""


def test_models_are_known_by_the_file_of_their_class() -> None:
    assert model_name({"_target_": "ssc_sweep.models.linear.Linear"}) == "linear"
    assert model_name({"_target_": "mine.models.Linear"}) == "mine.models.Linear"


def test_every_model_of_the_house_has_coefficients() -> None:
    models = {path.stem for path in (conf_dir() / "model").glob("*.yaml")} - {"own"}
    assert set(read()) == models


def test_the_failure_of_the_plan_is_forecast_and_its_cure_too(make_config: MakeConfig) -> None:
    """NHEFS in file order fails; shuffled rows, or codes read as gaps, do not."""
    p = {}
    for words in ((), ("split=shuffled",), ("scaling.codes=missing",)):
        config = make_config(*words)
        found = foretell(config, Data().split(config))
        assert found is not None
        p[words] = found.p_fail
        # At run time only what the terms need is measured; the audit measures everything.
        whole, _ = forecast(characteristics(Data().split(config), quick=True), read()["flow_ssc"])
        assert found.p_fail == pytest.approx(whole)
    assert p[()] > 0.6 and max(p["split=shuffled",], p["scaling.codes=missing",]) < 0.5


def test_a_model_without_coefficients_has_no_forecast(make_config: MakeConfig) -> None:
    config = make_config("dataset=synthetic")
    own = config.model_copy(update={"model": {"_target_": "mine.models.Linear"}})
    assert foretell(own, Data().split(config)) is None
