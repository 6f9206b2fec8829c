"""Compose the configs of jobs with Hydra. Those that differ in values alone share one composition.

Hydra takes a tenth of a second to choose and merge the files of a config, and a grid has thousands of points. It sets
values (`optimizer.lr=1e-4`) after all choices (`batch=b32`), so they can as well be set in a copy of an earlier config.
"""

import copy
from collections.abc import Sequence
from functools import cache, lru_cache

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

KEPT = 64  # compositions


class Composer:
    """Composes overrides as Hydra does for one job of a sweep.

    Args:
        config: of the command.
        context: Hydra's.
    """

    def __init__(self, config: DictConfig, context: HydraContext) -> None:
        loader = context.config_loader
        self._parser = OverridesParser.create(config_loader=loader)
        self._is_group = cache(lambda key: bool(loader.get_group_options(key)))
        self._load = lru_cache(KEPT)(lambda words: loader.load_sweep_config(config, list(words)))

    def __call__(self, overrides: Sequence[str]) -> DictConfig:
        """Return the config of these overrides, the caller's own."""
        parsed = self._parser.parse_overrides(list(overrides))
        # Keys that are added or taken away count in their order among the values.
        free = [self._sets_value(one) or self._is_group(one.key_or_group) for one in parsed]
        last = max((i for i, is_free in enumerate(free) if not is_free), default=-1)
        values = [i for i, one in enumerate(parsed) if i > last and self._sets_value(one)]
        cfg = copy.deepcopy(self._load(tuple(text for i, text in enumerate(overrides) if i not in values)))
        try:
            for i in values:
                OmegaConf.update(cfg, parsed[i].key_or_group, parsed[i].value(), merge=True)
        except OmegaConfBaseException:
            return copy.deepcopy(self._load(tuple(overrides)))  # Hydra says what is wrong
        return cfg

    def _sets_value(self, override: Override) -> bool:
        """Return whether it gives one value to a key that is there already, and chooses no file."""
        plain = override.type is OverrideType.CHANGE and override.package is None and not override.is_sweep_override()
        return plain and not override.is_hydra_override() and not self._is_group(override.key_or_group)
