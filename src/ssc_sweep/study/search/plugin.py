"""Hydra sweeper `search`: hydra-optuna-sweeper with several seeds per trial, confirmation, a target and resumption.

Its own config stays valid (sampler, direction, storage, study_name, n_trials, n_jobs, max_failure_rate,
custom_search_space, params); the rest is `Settings`. This module is loaded by every command, so Optuna is imported only
where a search begins: see `ssc_sweep.study.search.drive`.
"""

import functools
import importlib.util
from dataclasses import dataclass, field, fields, make_dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from hydra.utils import execution_whitelist, instantiate
from hydra_plugins.hydra_optuna_sweeper.config import OptunaSweeperConf, SamplerConfig
from omegaconf import DictConfig

from ssc_sweep.errors import UserError
from ssc_sweep.schema import AnyShare, checked
from ssc_sweep.study.search.settings import Settings

ALLOWED_SAMPLERS = ("hydra_plugins.hydra_optuna_sweeper.*", "optuna.samplers.*")


@dataclass
class TPEConf(SamplerConfig):
    """`hydra/sweeper/sampler=tpe_default`: TPE with Optuna's defaults, but multivariate and with the constant liar."""

    _target_: str = "optuna.samplers.TPESampler"
    seed: int | None = None


_Settings = make_dataclass(
    "_Settings",
    [(name, Any, field(default=one.default)) for name, one in Settings.model_fields.items()],
    bases=(OptunaSweeperConf,),
)


@dataclass
class SearchSweeperConf(_Settings):  # type: ignore[misc, valid-type]
    """Config of `hydra/sweeper=search`: that of hydra-optuna-sweeper, and `Settings`."""

    _target_: str = "ssc_sweep.study.search.plugin.SearchSweeper"
    params: dict[str, Any] | None = None  # as in hydra-optuna-sweeper, but a value may be null
    defaults: list[Any] = field(default_factory=lambda: [{"sampler": "tpe_default"}])
    n_jobs: int = 5
    max_failure_rate: float = 1.0


def _store(group: str, name: str, node: type) -> None:
    ConfigStore.instance().store(group=group, name=name, node=node, provider="ssc_sweep")


_store("hydra/sweeper", "search", SearchSweeperConf)
_store("hydra/sweeper/sampler", "tpe_default", TPEConf)


class SearchSweeper(Sweeper):
    """See the module."""

    def __init__(self, *, sampler: Any, **given: Any) -> None:
        """Keep the settings; what is not among `Settings` is passed to hydra-optuna-sweeper unchanged."""
        self.sampler = sampler
        self.settings = {name: given.pop(name) for name in Settings.model_fields}
        self.settings["objectives"] = list(self.settings["objectives"])
        self.plugin = given
        self.search: Sweeper | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the sampler and the search.

        Raises:
            UserError: the config names something that is no sampler, or has an unknown key.
        """
        known = [key.name for key in fields(SearchSweeperConf) if key.name not in ("_target_", "defaults")]
        for name in self.plugin:
            if name not in known:
                raise UserError(f"hydra.sweeper.{name} is unknown: allowed is {', '.join(known)}.")
        from optuna.samplers import BaseSampler, CmaEsSampler, GridSampler

        from ssc_sweep.study.search.drive import SearchDriver

        # hydra-optuna-sweeper would only assert this.
        checked("hydra.sweeper.max_failure_rate", AnyShare, self.plugin["max_failure_rate"])
        settings = Settings.read(self.settings, "hydra.sweeper")
        # reset: other targets that Hydra may call are no samplers.
        sampler = instantiate(self.sampler, _execution_whitelist_=execution_whitelist(ALLOWED_SAMPLERS, reset=True))
        # The search makes GridSampler, as it knows the grid.
        made = sampler.func if isinstance(sampler, functools.partial) else None
        if made is not GridSampler and not isinstance(sampler, BaseSampler):
            raise UserError(
                f"hydra.sweeper.sampler._target_={self.sampler._target_} makes no sampler: choose one with "
                "hydra/sweeper/sampler=<name>. See --hydra-help."
            )
        # Optuna would look for it only after the first trials.
        if isinstance(sampler, CmaEsSampler) and importlib.util.find_spec("cmaes") is None:
            raise UserError(
                "hydra/sweeper/sampler=cmaes needs the package cmaes, which is not installed: pip install "
                "'ssc_sweep[cmaes]', or choose another sampler."
            )
        self.search = SearchDriver(settings, sampler, self.plugin)
        self.search.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> None:
        assert self.search is not None
        self.search.sweep(arguments)
