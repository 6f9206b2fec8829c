"""A run's result depends neither on its neighbours in the stack nor on what is measured while it trains.

Bit for bit, in either precision.
"""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hydra.utils import get_class
from omegaconf import OmegaConf
from safetensors.numpy import load_file

from ssc_sweep.config import RunConfig, conf_dir
from ssc_sweep.data.source import Data
from ssc_sweep.models.choice import choose
from ssc_sweep.models.contract import Sizes
from ssc_sweep.study.channel import Silent
from ssc_sweep.study.execute import run_stack
from ssc_sweep.study.folder import RunFolder, StudyFolder
from ssc_sweep.study.job import Job, Outcome, Stack, Status
from ssc_sweep.study.prepare import optimizer_of
from ssc_sweep.training import measure
from ssc_sweep.training.loop import Schedule, subnormals_are_zero
from ssc_sweep.training.loop import train as train_stack
from ssc_sweep.training.stack import assemble
from tests.command import execute
from tests.conftest import MakeConfig

# 29 rows train in batches of 7: the last batch has one row.
SMALL = [
    *("dataset=synthetic", "dataset.rows=58", "dataset.d_x=4", "dataset.wave_columns=0", "split=shuffled"),
    *("batch.size=7", "epochs=2", "precision=float64"),
]
FLOW = ["model.width=16", "model.x_width=8"]
CONSTANT = "split.planted=[{rows: train, columns: [x4], value: 0}]"
RUNS = 17
TABLES = "predictions", "history"
# A stack of R holds the last R of the runs, so that each run stands at many places, the last one included.
STACKS = (2, 3, 5, 8, 13, 17)
ADDED = {"flow_ssc": ["model.width=24", "model.x_width=12", "model.samples=2"]}
ADDED |= {"mean_teacher": ["model.width=24", "model.running_stats=true"], "ganite": ["model.width=24"]}
# Every model of conf/model that stacks; "own" names none.
TARGETS = {path.stem: OmegaConf.load(path)["_target_"] for path in sorted((conf_dir() / "model").glob("*.yaml"))}
MODELS = [name for name, target in TARGETS.items() if target and get_class(target).stacks]
# Batches of 10; the last one has 1, 3 or 7 rows.
CASES = {
    "last batch of one": ["dataset.rows=102"],
    "hidden labels": ["dataset.rows=106", "labels=half_mcar"],
    "two outcomes, three treatments": ["dataset.rows=114", "dataset.d_y=2", "dataset.treatments=3"],
}


def train(configs: list[RunConfig], folder: Path) -> list[Outcome]:
    jobs = [Job(config, RunFolder(folder / str(i)), (), StudyFolder(folder)) for i, config in enumerate(configs)]
    outcomes = run_stack(Stack(tuple(jobs)), Silent())
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


def assert_identical(got: dict[str, object], expected: dict[str, object], *tables: str) -> None:
    assert got["metrics"] == expected["metrics"]
    for table in tables or ("predictions",):
        pd.testing.assert_frame_equal(got[table], expected[table], check_exact=True)
    assert got["model"].keys() == expected["model"].keys()
    for name, weights in expected["model"].items():
        np.testing.assert_array_equal(got["model"][name], weights, err_msg=name)


def mixed(make_config: MakeConfig, *more: str) -> list[RunConfig]:
    """Runs of one stack that differ in all that a stack allows: seed, rates, statistics, rows."""
    base, kinds = make_config(*SMALL, *more), []
    for i in range(6):
        part = make_config(
            f"stats_mode={['ema', 'precomputed'][i // 3]}",
            f"split={['shuffled', 'file_order'][i // 2 % 2]}",
            # A column that is constant in training, where its scale is 1; elsewhere a run may end as NaN.
            *(["stats_mode.constant=one", CONSTANT] if i % 2 else []),
        )
        rates = {"lr": [1e-4, 5e-4, 3e-3][i % 3], "weight_decay": [0.0, 0.1][i % 2]}
        changed = {"stats_mode": part.stats_mode, "split": part.split, "optimizer": base.optimizer | rates}
        kinds.append(base.model_copy(update=changed))
    return [kinds[i % len(kinds)].with_seed(i) for i in range(RUNS)]


def numbers(configs: list[RunConfig]) -> list[dict[str, object]]:
    """Train these runs as one stack, without files: everything that is known of each of them at the end."""
    data, first, seeds = Data(), configs[0], [config.seed for config in configs]
    splits = [data.split(config) for config in configs]
    rows = splits[0].train
    sizes = Sizes(rows.x.shape[1], rows.y.shape[1], len(splits[0].cohort.treatments))
    optimizer = partial(
        optimizer_of(first.optimizer),
        lr=[config.optimizer["lr"] for config in configs],
        weight_decay=[config.optimizer["weight_decay"] for config in configs],
    )
    schedule = Schedule(first.epochs, first.batch.size, first.batch.drop_last, first.clip_norm, first.probes)
    with subnormals_are_zero():
        model = choose(first.model).build(sizes, seeds, [config.stats_mode for config in configs]).float()
        stack = assemble(splits, torch.float32, torch.device("cpu"))
        trained = train_stack(model, stack, optimizer, schedule, lambda: None)
    val, answers = trained.val, ("density", "quantiles", "effects")
    return [
        {
            **{
                f"{row['kind']} {row['step']} {name}": value
                for row in trained.history.rows[i]
                for name, value in row.items()
            },
            **{name: getattr(val, name)[i] for name in answers if getattr(val, name) is not None},
            **{f"state {name}": value for name, value in model.run_state(i).items()},
            "outcome": val.predictions.outcome[i],
            "treatment": val.predictions.treatment_log_prob[i],
            "train_rmse": trained.train_rmse[i],
        }
        for i in range(len(configs))
    ]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("model", MODELS)
def test_every_stack_gives_a_run_the_same_bits_in_single_precision(
    make_config: MakeConfig, model: str, case: str
) -> None:
    assert_the_same_bits(make_config, f"model={model}", *ADDED.get(model, []), *CASES[case])


@pytest.mark.parametrize("case", CASES)
def test_so_does_flow_ssc_with_free_scales_and_a_flow_over_x_that_learns(make_config: MakeConfig, case: str) -> None:
    switches = ["model.scale_law=free", "model.px=trained", "model.min_log_density=null"]
    assert_the_same_bits(make_config, *ADDED["flow_ssc"], *switches, *CASES[case])


def assert_the_same_bits(make_config: MakeConfig, *more: str) -> None:
    """Train every run alone and in stacks of all sizes."""
    configs = mixed(make_config, *more, "precision=float32", "batch.size=10", "epochs=1")
    alone = [numbers([config])[0] for config in configs]
    assert len({run["train_rmse"] for run in alone}) > 1
    for size in STACKS:
        for run, got in enumerate(numbers(configs[-size:]), RUNS - size):
            assert got.keys() == alone[run].keys()
            for name, value in alone[run].items():
                np.testing.assert_array_equal(got[name], value, err_msg=f"run {run} in a stack of {size}: {name}")


def test_the_same_holds_with_the_instructions_of_an_older_processor() -> None:
    chosen = [
        f"{__file__}::test_every_stack_gives_a_run_the_same_bits_in_single_precision",
        "-k",
        "hidden and (flow_ssc or mean_teacher)",
    ]
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *chosen],
        env=os.environ | {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
        check=True,
    )


@pytest.mark.parametrize("more", [[], ["labels=half_mcar"], ["optimizer=sgd"]], ids=["seen", "hidden", "sgd"])
def test_a_run_gets_in_a_stack_what_it_gets_alone(make_config: MakeConfig, tmp_path: Path, more: list[str]) -> None:
    configs = mixed(make_config, *FLOW, *more)
    outcomes = train(configs, tmp_path / "stack")
    assert {outcome.metrics["stack"] for outcome in outcomes} == {RUNS}
    assert len({outcome.metrics["rmse"] for outcome in outcomes}) == RUNS
    for i, config in enumerate(configs):
        (alone,) = train([config], tmp_path / "alone" / str(i))
        assert alone.metrics["stack"] == 1
        assert_identical(results(tmp_path / "stack" / str(i)), results(tmp_path / "alone" / str(i) / "0"), *TABLES)


def test_a_run_with_all_labels_beside_one_with_hidden_labels(make_config: MakeConfig, tmp_path: Path) -> None:
    """They never share a stack, whatever else is trained."""
    configs = [make_config(*SMALL, *FLOW, f"labels={labels}") for labels in ("all", "half_mcar")]
    folder = tmp_path / "stack"
    execute(
        [Job(config, RunFolder(folder / str(i) / "0"), (), StudyFolder(folder)) for i, config in enumerate(configs)]
    )
    for i, config in enumerate(configs):
        train([config], tmp_path / "alone" / str(i))
        assert_identical(results(folder / str(i) / "0"), results(tmp_path / "alone" / str(i) / "0"), *TABLES)


def test_sampled_predictions_do_not_depend_on_the_size_of_the_stack(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two outcomes a prediction averages samples, and a large stack is measured some rows at a time."""
    monkeypatch.setattr(measure, "ROWS_AT_ONCE", 2 * 20)
    configs = [make_config(*SMALL, *FLOW, "dataset.d_y=2", "model.samples=5", f"seed={i}") for i in range(2)]
    train(configs, tmp_path / "stack")
    for i, config in enumerate(configs):
        train([config], tmp_path / "alone" / str(i))
        assert_identical(results(tmp_path / "stack" / str(i)), results(tmp_path / "alone" / str(i) / "0"), *TABLES)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("probes", ["true", "false"])
def test_a_run_that_turns_nan_harms_nobody(
    make_config: MakeConfig, tmp_path: Path, precision: str, probes: str
) -> None:
    def configs(lr: str) -> list[RunConfig]:
        shared = [*SMALL, *FLOW, f"precision={precision}", f"probes={probes}"]
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
    configs = [make_config(*SMALL, *FLOW, "labels=half_mcar", f"seed={i}") for i in range(2)]
    for folder in ("first", "second"):
        train(configs, tmp_path / folder)
    for i in ("0", "1"):
        assert_identical(results(tmp_path / "second" / i), results(tmp_path / "first" / i))
    assert results(tmp_path / "first" / "0")["metrics"] != results(tmp_path / "first" / "1")["metrics"]


@pytest.mark.parametrize("d_y", [1, 2])
def test_a_probed_run_is_the_same_run(make_config: MakeConfig, tmp_path: Path, d_y: int) -> None:
    for probes in ("true", "false"):
        more = [f"dataset.d_y={d_y}", "model.samples=5", f"probes={probes}"]
        train([make_config(*SMALL, *FLOW, *more, f"seed={i}") for i in range(2)], tmp_path / probes)
    for i in ("0", "1"):
        assert_identical(results(tmp_path / "true" / i), results(tmp_path / "false" / i))
    measured = pd.read_csv(tmp_path / "true" / "0" / "history.csv")
    measured = measured.loc[measured["kind"] == "epoch", "val_rmse"]
    assert measured.notna().all()
