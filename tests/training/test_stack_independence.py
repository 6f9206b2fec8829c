"""A run's result depends neither on its neighbours in the stack nor on what is measured while it trains."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from ssc_sweep.config import RunConfig
from ssc_sweep.study.folder import RunFolder, StudyFolder
from ssc_sweep.study.job import Job, Outcome, Status
from ssc_sweep.training import measure
from tests.command import execute
from tests.conftest import MakeConfig

# 29 rows train in batches of 7: the last batch has one row.
SMALL = [
    *("dataset=synthetic", "dataset.rows=58", "dataset.d_x=4", "dataset.wave_columns=0", "split=shuffled"),
    *("model.width=16", "model.x_width=8", "batch.size=7", "epochs=3", "precision=float64"),
]
RUNS = 16
PREDICTED = {"rtol": 1e-6, "atol": 1e-6}


def train(configs: list[RunConfig], folder: Path) -> list[Outcome]:
    jobs = [Job(config, RunFolder(folder / str(i)), (), StudyFolder(folder)) for i, config in enumerate(configs)]
    outcomes = execute(jobs)
    for outcome in outcomes:
        if outcome.error is not None:
            raise AssertionError(outcome.error)
    return outcomes


def results(folder: Path) -> dict[str, object]:
    """Everything a run leaves behind that must not depend on its neighbours."""
    run = RunFolder(folder)
    metrics = {k: v for k, v in json.loads(run.metrics.read_text()).items() if k not in ("seconds", "stack")}
    return {
        "metrics": metrics,
        "predictions": pd.read_csv(run.predictions),
        "history": pd.read_csv(run.history),
        "model": load_file(run.model),
    }


def assert_close(got: dict[str, object], expected: dict[str, object]) -> None:
    metrics, other = got["metrics"], expected["metrics"]
    assert metrics.keys() == other.keys()
    for name in metrics:
        same = other[name] if not isinstance(other[name], float) else pytest.approx(other[name], rel=1e-6, abs=1e-6)
        assert metrics[name] == same, name
    for table in ("predictions", "history"):
        pd.testing.assert_frame_equal(got[table], expected[table], **PREDICTED)
    for name, weights in expected["model"].items():
        np.testing.assert_allclose(got["model"][name], weights, **PREDICTED, err_msg=name)


def assert_identical(got: dict[str, object], expected: dict[str, object]) -> None:
    assert got["metrics"] == expected["metrics"]
    pd.testing.assert_frame_equal(got["predictions"], expected["predictions"], check_exact=True)
    assert got["model"].keys() == expected["model"].keys()
    for name, weights in expected["model"].items():
        np.testing.assert_array_equal(got["model"][name], weights, err_msg=name)


def mixed(make_config: MakeConfig, *more: str) -> list[RunConfig]:
    """Runs of one stack that differ in all that a stack allows: seed, rates, statistics, rows."""
    return [
        make_config(
            *SMALL,
            f"seed={i}",
            f"optimizer.lr={[1e-4, 5e-4, 3e-3][i % 3]}",
            f"optimizer.weight_decay={[0.0, 0.1][i % 2]}",
            f"stats_mode={['ema', 'precomputed'][i // 2 % 2]}",
            f"split={['shuffled', 'file_order'][i // 4 % 2]}",
            *more,
        )
        for i in range(RUNS)
    ]


@pytest.mark.parametrize("more", [[], ["labels=half_mcar"], ["optimizer=sgd"]], ids=["seen", "hidden", "sgd"])
def test_a_run_gets_in_a_stack_what_it_gets_alone(make_config: MakeConfig, tmp_path: Path, more: list[str]) -> None:
    configs = mixed(make_config, *more)
    outcomes = train(configs, tmp_path / "stack")
    assert {outcome.metrics["stack"] for outcome in outcomes} == {RUNS}
    assert len({outcome.metrics["rmse"] for outcome in outcomes}) == RUNS
    for i, config in enumerate(configs):
        (alone,) = train([config], tmp_path / "alone" / str(i))
        assert alone.metrics["stack"] == 1
        assert_close(results(tmp_path / "stack" / str(i)), results(tmp_path / "alone" / str(i) / "0"))


def test_a_run_with_all_labels_beside_one_with_hidden_labels(make_config: MakeConfig, tmp_path: Path) -> None:
    configs = [make_config(*SMALL, f"labels={labels}") for labels in ("all", "half_mcar")]
    train(configs, tmp_path / "stack")
    for i, config in enumerate(configs):
        train([config], tmp_path / "alone" / str(i))
        assert_close(results(tmp_path / "stack" / str(i)), results(tmp_path / "alone" / str(i) / "0"))


def test_sampled_predictions_do_not_depend_on_the_size_of_the_stack(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two outcomes a prediction averages samples, and a large stack is measured some rows at a time."""
    monkeypatch.setattr(measure, "ROWS_AT_ONCE", 2 * 20)
    configs = [make_config(*SMALL, "dataset.d_y=2", "model.samples=5", f"seed={i}") for i in range(2)]
    train(configs, tmp_path / "stack")
    for i, config in enumerate(configs):
        train([config], tmp_path / "alone" / str(i))
        assert_close(results(tmp_path / "stack" / str(i)), results(tmp_path / "alone" / str(i) / "0"))


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("probes", ["true", "false"])
def test_a_run_that_turns_nan_harms_nobody(
    make_config: MakeConfig, tmp_path: Path, precision: str, probes: str
) -> None:
    def configs(lr: str) -> list[RunConfig]:
        shared = [*SMALL, f"precision={precision}", f"probes={probes}"]
        return [make_config(*shared, f"seed={i}", *([f"optimizer.lr={lr}"] if i == 1 else [])) for i in range(3)]

    train(configs("5e-4"), tmp_path / "sound")
    outcomes = train(configs("1e300"), tmp_path / "beside")
    assert [outcome.status for outcome in outcomes] == [Status.FINISHED, Status.DIVERGED, Status.FINISHED]
    for i in ("0", "2"):
        assert_identical(results(tmp_path / "beside" / i), results(tmp_path / "sound" / i))
    # The first step moves the weights beyond all bounds, the second one sees it.
    metrics = outcomes[1].metrics
    assert metrics["first_bad"] == {"step": 2, "tensor": "likelihood.log_scale"}
    assert (metrics["rmse"], metrics["accuracy"]) == (None, None)
    history = pd.read_csv(tmp_path / "beside" / "1" / "history.csv")
    assert set(history["step"]) == {1}
    unmeasured = [c for c in history if c.startswith("val_") or c == "kind"]
    # The probes of an epoch are taken after its last step, which this run did not reach.
    numbers = history[history["kind"] == "step" if probes == "true" else history["kind"] == "epoch"]
    assert np.isfinite(numbers.drop(columns=unmeasured)).all(axis=None)


def test_the_same_seed_twice_is_identical(make_config: MakeConfig, tmp_path: Path) -> None:
    configs = [make_config(*SMALL, "labels=half_mcar", f"seed={i}") for i in range(2)]
    for folder in ("first", "second"):
        train(configs, tmp_path / folder)
    for i in ("0", "1"):
        assert_identical(results(tmp_path / "second" / i), results(tmp_path / "first" / i))
    assert results(tmp_path / "first" / "0")["metrics"] != results(tmp_path / "first" / "1")["metrics"]


@pytest.mark.parametrize("d_y", [1, 2])
def test_a_probed_run_is_the_same_run(make_config: MakeConfig, tmp_path: Path, d_y: int) -> None:
    for probes in ("true", "false"):
        more = [f"dataset.d_y={d_y}", "model.samples=5", f"probes={probes}"]
        train([make_config(*SMALL, *more, f"seed={i}") for i in range(2)], tmp_path / probes)
    for i in ("0", "1"):
        assert_identical(results(tmp_path / "true" / i), results(tmp_path / "false" / i))
    measured = pd.read_csv(tmp_path / "true" / "0" / "history.csv")
    measured = measured.loc[measured["kind"] == "epoch", "val_rmse"]
    assert measured.notna().all()
