"""conf/fault: what each planted fault does to config and rows, and whom it wants named."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from ssc_sweep.config import RunConfig, conf_dir
from ssc_sweep.data.source import Data
from ssc_sweep.data.splitting import DataSplit
from tests.command import TINY, Command, make_command
from tests.conftest import MakeConfig

command = pytest.fixture(make_command)
FAULTS = sorted((conf_dir() / "fault").glob("*.yaml"))
HYPOTHESES = {path.stem for path in (conf_dir() / "hypothesis").glob("*.yaml")}


def planted(make_config: MakeConfig, *words: str) -> tuple[RunConfig, DataSplit]:
    config = make_config("dataset=planted", *words)
    return config, Data().split(config)


@pytest.mark.parametrize("path", FAULTS, ids=lambda path: path.stem)
def test_a_fault_names_hypotheses_that_are_there(path: Path) -> None:
    named = yaml.safe_load(path.read_text())["fault"]["named_by"]
    assert set(named) <= HYPOTHESES and len(set(named)) == len(named)
    assert bool(named) is (path.stem != "none")


def test_nothing_planted_is_healthy(make_config: MakeConfig) -> None:
    config, data = planted(make_config, "fault=none")
    assert config == make_config("dataset=planted") and config.split.planted == []
    assert data.train.x.shape == (400, 10) and data.val.x.shape == (400, 10)
    assert abs(data.train.x.mean(axis=0) - data.val.x.mean(axis=0)).max() < 0.3
    assert abs(data.train.y.mean() - data.val.y.mean()) < 0.5


def test_settings_that_are_planted(make_config: MakeConfig) -> None:
    rate, few = make_config("dataset=planted", "fault=rate"), make_config("dataset=planted", "fault=batch")
    assert rate.optimizer["lr"] == 1.0 and rate.batch.size == 10
    assert (few.batch.size, few.stats_mode.momentum, few.optimizer["lr"]) == (2, 1.0, 5e-4)


@pytest.mark.parametrize(
    ("fault", "arm", "healthy"),
    [
        ("rate", "optimizer.lr=1e-4", lambda config: config.optimizer["lr"] == 1e-4),
        ("batch", "batch=b64", lambda config: config.batch.size == 64),
        ("batch", "stats_mode=precomputed", lambda config: config.stats_mode.mode == "precomputed"),
        ("coded_order", "split=shuffled", lambda config: config.split.order == "shuffled"),
        ("label_shift", "split=shuffled", lambda config: config.split.order == "shuffled"),
        ("few_rows", "dataset_size=full", lambda config: config.dataset_size.rows is None),
        ("constant", "stats_mode.constant=one", lambda config: config.stats_mode.constant == "one"),
        ("leak", "covariates=baseline", lambda config: config.covariates.keep == "baseline"),
    ],
)
def test_an_arm_wins_over_what_is_planted(make_config: MakeConfig, fault: str, arm: str, healthy: object) -> None:
    assert callable(healthy) and healthy(make_config("dataset=planted", f"fault={fault}", arm))


def test_a_code_from_half_way_down_the_file(make_config: MakeConfig) -> None:
    _, data = planted(make_config, "fault=coded_order")
    wave = [data.columns.index(f"x{j}") for j in range(6, 11)]
    assert all(len(np.unique(data.train.x[:, j])) == 2 and len(np.unique(data.val.x[:, j])) == 1 for j in wave)
    assert all(data.val.x[0, j] > data.train.x[:, j].max() for j in wave)
    _, read = planted(make_config, "fault=coded_order", "scaling.codes=missing")
    assert not read.val.x[:, wave].any()
    _, mixed = planted(make_config, "fault=coded_order", "split=shuffled")
    assert all(len(np.unique(mixed.train.x[:, j])) == 3 for j in wave)


def test_columns_constant_in_training_alone(make_config: MakeConfig) -> None:
    _, data = planted(make_config, "fault=constant")
    three = [data.columns.index(name) for name in ("x5", "x6", "x7")]
    assert not data.train.x[:, three].any() and (data.val.x[:, three].std(axis=0) > 0.8).all()
    _, held = planted(make_config, "fault=constant", "scaling.clip=range")
    assert not held.val.x[:, three].any()
    _, mixed = planted(make_config, "fault=constant", "split=shuffled")  # planted after the split, so no cure
    assert not mixed.train.x[:, three].any() and mixed.val.x[:, three].any()


def test_a_leak_that_holds_in_training_alone(make_config: MakeConfig) -> None:
    _, data = planted(make_config, "fault=leak")
    j = data.columns.index("leak")
    assert np.corrcoef(data.train.x[:, j], data.train.y[:, 0])[0, 1] == pytest.approx(1)
    assert abs(np.corrcoef(data.val.x[:, j], data.val.y[:, 0])[0, 1]) < 0.2
    assert "leak" not in planted(make_config, "fault=leak", "covariates=baseline")[1].columns


def test_few_rows(make_config: MakeConfig) -> None:
    _, data = planted(make_config, "fault=few_rows")
    assert len(data.train.t) == 64 and len(data.val.t) == 64
    assert len(planted(make_config, "fault=few_rows", "dataset_size=full")[1].train.t) == 3200


def test_outcomes_that_grow_down_the_file(make_config: MakeConfig) -> None:
    _, data = planted(make_config, "fault=label_shift")
    apart = (data.val.y.mean() - data.train.y.mean()) / np.concatenate([data.val.y, data.train.y]).std()
    assert apart > 1.3
    _, mixed = planted(make_config, "fault=label_shift", "split=shuffled")
    assert abs(mixed.val.y.mean() - mixed.train.y.mean()) < 0.5


def test_a_dose_of_codes(make_config: MakeConfig) -> None:
    """On the real data: no training row has a code, and so many validation rows have all of them."""
    for share, rows in ((0, 0), (0.01, 8), (0.25, 196), (1, 783)):
        config = make_config("split=shuffled", "fault=code", f"fault.share={share}")
        data = Data().split(config)
        j = data.columns.index("pica")
        assert (data.val.x[:, j] > data.train.x[:, j].max()).sum() == rows
        assert data.train.x[:, j].max() < data.val.x[:, j].max() or rows == 0


def test_a_fault_is_a_point_of_a_grid_of_hypotheses(command: Command) -> None:
    """Each fault has a control of its own, and the fault of the user's own YAML is as good as ours."""
    (command.folder / "mine" / "fault").mkdir(parents=True)
    (command.folder / "mine" / "fault" / "late.yaml").write_text(
        "# @package _global_\n# x1 is a gap wherever it is measured.\nfault: {named_by: [leak]}\n"
        "split: {planted: [{rows: validation, columns: [x1], value: null}]}\n"
    )
    words = [word for word in TINY if not word.startswith("dataset=")]
    faults = "fault=none,late,constant"
    ended = command(
        "-m", "--config-dir", "mine", "dataset=planted", *words, faults, "hypothesis=scale_floor", "seeds=1"
    )
    assert ended.code == 0, ended.err
    assert command.done() == [
        f"fault={fault}/{arm}/seed=0"
        for fault in ("constant", "late", "none")
        for arm in ("control", "scale_floor/stats_mode.constant=one")
    ]
    config = yaml.safe_load((command.folder / "outputs/s/fault=late/control/seed=0/config.yaml").read_text())
    assert config["split"]["planted"][0]["columns"] == ["x1"] and "fault" not in config
    plan = yaml.safe_load((command.folder / "outputs/s/study.yaml").read_text())
    assert plan["faults"]["fault=late/control"] == {"name": "late", "named_by": ["leak"]}
    assert "0 of 2 (0%, interval 0% to 84%) planted faults named, and only they; 0 of 1" in ended.out


def test_a_fault_says_what_names_it(command: Command) -> None:
    (command.folder / "mine" / "fault").mkdir(parents=True)
    (command.folder / "mine" / "fault" / "mute.yaml").write_text("# @package _global_\nfault: {share: 1}\n")
    words = [word for word in TINY if not word.startswith("dataset=")]
    ended = command("-m", "--config-dir", "mine", "dataset=planted", *words, "fault=mute", "hypothesis=ema", "seeds=1")
    assert ended.code == 2 and "fault.named_by is missing" in ended.err and ended.err.count("\n") == 1
