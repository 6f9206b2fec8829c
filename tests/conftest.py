"""Shared by all tests: a config to start from, composed from conf/ as a command would."""

import functools
import os
from collections.abc import Callable

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from ssc_sweep.config import RunConfig, check, conf_dir

MakeConfig = Callable[..., RunConfig]


@functools.cache
def composed(overrides: tuple[str, ...]) -> DictConfig:
    """Kept, as it takes 50 ms and many tests start from the same config."""
    with initialize_config_dir(str(conf_dir())):
        return compose("config", overrides=list(overrides))


@pytest.fixture
def make_config() -> MakeConfig:
    """make_config("batch=b32", "seed=3"): the checked config of these overrides."""
    return lambda *overrides: check(composed(overrides))


# Their tests wait for processes and servers. They begin first, so that all of xdist's processes end together.
FIRST = ("test_clusters.py", "test_faults.py", "test_workers.py", "test_survival.py", "test_stack_independence.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in FIRST)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Half as many again as there are cores: a third of the time of all tests is spent waiting for other processes."""
    return len(os.sched_getaffinity(0)) * 3 // 2


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Tensors are tiny here: a second thread only waits for the first, and for whatever else the machine does."""
    torch.set_num_threads(1)
