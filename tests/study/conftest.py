"""Shared by the tests of studies: what a sweep makes of its words."""

from collections.abc import Callable, Iterator

import pytest
from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import HydraContext, RunMode

from ssc_sweep.config import conf_dir
from ssc_sweep.study.plan import Plan
from ssc_sweep.study.sweeper import HypothesisSweeper

MakePlan = Callable[..., Plan]


@pytest.fixture
def plan() -> Iterator[MakePlan]:
    """plan("hypothesis=lr", "batch=b32"): what `-m` makes of these words."""
    with initialize_config_dir(str(conf_dir())):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None

        def make(*words: str, grids: list[dict[str, str]] | None = None) -> Plan:
            overrides = OverridesParser.create(config_loader=hydra.config_loader).parse_overrides(list(words))
            fixed = [str(o.input_line) for o in overrides if not o.is_sweep_override()]
            sweeper = HypothesisSweeper(grids=grids)
            sweeper.config = hydra.compose_config("config", [*fixed, "study=s"], run_mode=RunMode.MULTIRUN)
            sweeper.hydra_context = HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks())
            return sweeper.plan(overrides)

        yield make
