"""The fit of the forecast: its pieces by hand, and on runs whose cause of failure is known."""

import math
from pathlib import Path

import numpy as np
import pytest
import yaml

from ssc_sweep.audit.forecast import read
from ssc_sweep.findings.failure_map import (
    CANDIDATES,
    Map,
    as_yaml,
    auroc,
    calibration_error,
    fit,
    fit_terms,
    leave_tables_out,
    log_loss,
    main,
    read_map,
)
from ssc_sweep.study.folder import StudyFolder
from tests.command import TINY, Command, make_command

command = pytest.fixture(make_command)


def made(tables: int = 24, runs: int = 4) -> Map:
    """Runs that fail where a column is constant in training, whatever their other characteristics are."""
    draw = np.random.default_rng(0)
    table = np.repeat([f"table{k:02}" for k in range(tables)], runs)
    n = len(table)
    x = {name: np.abs(draw.normal(1.0, 0.3, n)) for name in (*CANDIDATES, "domain_auc")}
    x["constant_columns"] = np.repeat(np.arange(tables) % 2, runs) * draw.integers(1, 4, n).astype(float)
    return Map(x, x["constant_columns"] > 0, table)


def test_every_table_has_the_same_weight() -> None:
    runs = Map({}, np.zeros(4, bool), np.array(["a", "a", "a", "b"]))
    assert runs.weights == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])
    p = np.array([0.5, 0.5, 0.5, 0.2])
    assert log_loss(p, runs) == pytest.approx(-(math.log(0.5) + math.log(0.8)) / 2)


def test_scores_by_hand() -> None:
    failed = np.array([True, True, False, False])
    assert auroc(np.array([0.9, 0.4, 0.5, 0.1]), failed) == 0.75  # three of four pairs stand right
    assert auroc(np.array([0.9, np.nan, 0.5, 0.1]), failed) == 0.625  # NaN counts as the lowest: one tie
    assert auroc(np.ones(4), np.ones(4, bool)) == 0.5
    # Bins 0.0-0.1 (mean p 0.05, none failed), 0.4-0.5 (0.45, one of two), 0.9-1.0 (0.95, one of one).
    p, came = np.array([0.05, 0.45, 0.45, 0.95]), np.array([False, True, False, True])
    assert calibration_error(p, came) == pytest.approx((0.05 + 2 * 0.05 + 0.05) / 4)


def test_the_cause_is_found_and_carries_over_to_tables_left_out() -> None:
    runs = made(tables=8, runs=3)
    assert next(iter(fit(runs).weights)) == "constant_columns"
    held_out = leave_tables_out(runs)
    assert auroc(held_out, runs.failed) == 1.0 and calibration_error(held_out, runs.failed) < 0.1


def test_a_weight_has_the_sign_that_is_fixed() -> None:
    """Where more extreme values go with fewer failures by chance, the term is left at 0."""
    runs = made()
    wrong = Map({**runs.x, "max_z": np.where(runs.failed, 1.0, 20.0)}, runs.failed, runs.table)
    assert fit_terms(wrong, ["max_z"]).weights["max_z"] == 0.0
    assert fit_terms(runs, ["constant_columns"]).weights["constant_columns"] > 0


def test_what_is_unknown_adds_nothing() -> None:
    runs = made()
    fitted = fit_terms(runs, ["constant_columns"])
    unknown = Map({"constant_columns": np.array([np.nan, 0.0])}, np.zeros(2, bool), np.array(["a", "b"]))
    p = fitted.p_fail(unknown)
    assert p[0] == p[1] == pytest.approx(1 / (1 + math.exp(-fitted.intercept)))


def test_a_model_that_fails_on_few_tables_has_a_constant_forecast() -> None:
    runs = made()
    rare = Map(runs.x, (runs.table == "table01") | (runs.table == "table03"), runs.table)
    fitted = fit(rare)
    assert fitted.weights == {}
    assert fitted.p_fail(rare)[0] == pytest.approx(8.5 / 97)


def test_the_file_is_read_back_as_it_was_fitted(tmp_path: Path) -> None:
    runs = made()
    fitted = fit(runs)
    path = tmp_path / "forecast.yaml"
    path.write_text(as_yaml({"flow_ssc": fitted}, {"flow_ssc": runs}, "python -m x"))
    content = yaml.safe_load(path.read_text())
    assert content["command"] == "python -m x"
    assert content["models"]["flow_ssc"]["failed"] == 48 and content["models"]["flow_ssc"]["tables"] == 24
    back = read(path)["flow_ssc"]
    assert back.intercept == pytest.approx(fitted.intercept, abs=1e-4)
    assert {t.characteristic: t.weight for t in back.terms} == pytest.approx(
        {name: w for name, w in fitted.weights.items() if w}, abs=1e-4
    )


def test_a_study_is_read_and_fitted(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    words = [word for word in TINY if not word.startswith("model.")]
    ended = command("-m", *words, "model=linear,mean", "seeds=2", "probes=false")
    assert ended.code == 0, ended.err
    study = StudyFolder(command.folder / "outputs" / "s")
    maps = read_map([study])
    assert sorted(maps) == ["linear", "mean"]
    assert list(maps["mean"].table) == ["synthetic"] * 2 and not maps["mean"].failed.any()
    assert {"domain_auc", *CANDIDATES} <= set(maps["mean"].x)
    assert main([str(study.path)]) == 0
    assert "mean" in capsys.readouterr().out
    assert main([str(command.folder / "nothing")]) == 2
    assert "error:" in capsys.readouterr().err
