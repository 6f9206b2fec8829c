"""Read and check the search space before the first trial: parameters in Hydra's sweep grammar."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl, create_optuna_distribution_from_override
from omegaconf import DictConfig, ListConfig
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.trial import Trial

from ssc_sweep import admission
from ssc_sweep.config import RunConfig, check, one_choice_each
from ssc_sweep.errors import DoesNotFit, UserError
from ssc_sweep.steering import changes_a_run
from ssc_sweep.study.hypothesis import value_text

# A trial is not given these: they are about the whole search.
OWN_KEYS = ("study", "outputs", "n_trials", "time_budget_s", "storage")


@dataclass(frozen=True)
class Space:
    """What varies, and what is fixed in every trial: values by key, and deletions."""

    distributions: dict[str, BaseDistribution]
    fixed: dict[str, Any]
    deleted: list[str]

    @property
    def fixed_overrides(self) -> list[str]:
        return [*(f"{key}={value}" for key, value in self.fixed.items()), *self.deleted]

    def described(self) -> dict[str, Any]:
        """Return the space as JSON, to tell whether a study searched the same one."""
        return {name: distribution_to_json(d) for name, d in sorted(self.distributions.items())}


def read_space(
    params: Mapping[str, Any], arguments: Sequence[str], extended: bool, config_loader: ConfigLoader
) -> Space:
    """Read the space of the config and the overrides of the command line, which win over it.

    Args:
        extended: whether a custom_search_space adds its own parameters.
        config_loader: knows the choices that glob(*) stands for.

    Raises:
        UserError: nothing varies, bounds are impossible, or a key that the search sets itself is to vary.
    """
    parser = OverridesParser.create(config_loader=config_loader)
    distributions: dict[str, BaseDistribution] = {}
    fixed: dict[str, Any] = {}
    deleted: list[str] = []
    for override in parser.parse_overrides(_words(params, parser.parse_overrides(list(arguments)))):
        if override.is_delete():
            deleted.append(str(override.input_line))
            continue
        values = _values(override)
        if isinstance(values, BaseDistribution):
            distributions[override.get_key_element()] = values
        else:
            fixed[override.get_key_element()] = values
    if not distributions and not extended:
        raise UserError(
            "the search space is empty, or has one value each: choose one with search_space=<name>, or name what may "
            "vary, e.g. 'optimizer.lr=tag(log,interval(1e-5,1e-2))'."
        )
    return Space(distributions, fixed, deleted)


def _words(params: Mapping[str, Any], arguments: Sequence[Override]) -> list[str]:
    """Return the overrides of a trial and what varies, the last word on each key.

    Raises:
        UserError: a key that the search sets itself is among them, or one of the whole study varies.
    """
    for key in params:
        if not changes_a_run(str(key)):
            raise UserError(
                f"search space: {key} belongs to the search or the study, no trial may change it. Leave it out."
            )
    texts = {str(key).lstrip("+"): f"{key}={_in_hydras_grammar(str(key), value)}" for key, value in params.items()}
    for override in arguments:
        own = override.key_or_group
        if own in ("seed", "seeds", "arm", "hypothesis"):
            told = "hydra.sweeper.seeds_per_trial=<n> sets how many" if own.startswith("seed") else "leave it out"
            raise UserError(f"{override.input_line}: a search sets {own} itself; {told}.")
        if override.is_sweep_override() and not changes_a_run(own):
            raise UserError(
                f"{override.input_line}: {own} belongs to the search or the study, no trial may change it. Give it one "
                "value."
            )
        if own not in OWN_KEYS:
            # ++key=value means the same as key=value; keep only one of them.
            texts[override.get_key_element().lstrip("+")] = str(override.input_line)
    return list(texts.values())


def _in_hydras_grammar(key: str, value: Any) -> str:
    """Write a value of a space's YAML as an override value; a list means choices.

    Raises:
        UserError: it is a mapping, or an empty list.
    """
    if isinstance(value, Mapping | DictConfig) or (isinstance(value, list | ListConfig) and not value):
        raise UserError(
            f"search space: {key}: {value} says no values. Allowed is a,b,c, a list, interval(low,high) or "
            "tag(log,interval(low,high))."
        )
    return ",".join(map(value_text, value)) if isinstance(value, list | ListConfig) else value_text(value)


def _values(override: Override) -> Any:
    """Return the distribution of a parameter, or its only value.

    Raises:
        UserError: it has no values.
    """
    try:
        if isinstance(override.value(), Glob):
            return CategoricalDistribution(list(override.sweep_string_iterator()))
        return create_optuna_distribution_from_override(override)
    except ValueError as error:
        raise UserError(f"search space: {override.input_line} has impossible bounds: {error}") from error


def grid_points(space: Space) -> dict[str, Sequence[Any]]:
    """Return every value of every parameter.

    Raises:
        UserError: a parameter has infinitely many.
    """
    points = {}
    for name, distribution in space.distributions.items():
        try:
            points[name] = OptunaSweeperImpl._to_grid_sampler_choices(distribution)
        except ValueError as error:
            raise UserError(
                f"hydra/sweeper/sampler=grid tries every value, and {name} has infinitely many: name them, as in "
                f"{name}=a,b,c, or choose another sampler."
            ) from error
    return points


Extender = Callable[[DictConfig, Trial], None]


def find_extender(name: str | None) -> Extender | None:
    """Return the function that custom_search_space names, which suggests further parameters of each trial; or None.

    Raises:
        UserError: there is no such function, or its package is not admitted.
    """
    if name is None:
        return None
    found: Extender = admission.find("hydra.sweeper.custom_search_space", name, None)
    if not callable(found):
        raise UserError(f"hydra.sweeper.custom_search_space={name} is no function of a config and a trial.")
    return found


def check_space(space: Space, compose: Callable[[Sequence[str]], DictConfig]) -> RunConfig:
    """Check every choice, or both bounds, of every parameter in composed configs; return the config without any.

    Raises:
        UserError: a parameter is unknown, or a value of it is not allowed.
    """
    # Imported here, so that an invalid space is reported without waiting a second for torch.
    from ssc_sweep.data.source import Data
    from ssc_sweep.study.prepare import check_targets

    one_choice_each(space.fixed_overrides)
    base = check(compose(space.fixed_overrides))
    data = Data()
    values = {name: _extremes(distribution) for name, distribution in space.distributions.items()}
    # Values are checked one by one, so the first values of all parameters share a config, then the second ones ...
    for i in range(max(map(len, values.values()), default=0)):
        words = [f"{name}={some[i % len(some)]}" for name, some in values.items()]
        try:
            config = check(compose([*space.fixed_overrides, *words]))
            if config.split.test_share != base.split.test_share:
                raise UserError(
                    f"split.test_share={config.split.test_share:g} and {base.split.test_share:g}: trials that hold "
                    "back different rows would be tested on rows of each other. Give it one value."
                )
            # Before the data: a config that does not fit them must not keep its other values from being checked.
            check_targets(config)
            data.split(config)
        except DoesNotFit:
            # Each value is valid, but some combinations are not: only such trials fail.
            continue
        except UserError as error:
            raise UserError(f"search space: {error}") from error
    return base


def _extremes(distribution: BaseDistribution) -> Sequence[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return (distribution.low, distribution.high)


def label(params: dict[str, Any]) -> str:
    """Return parameters for display, numbers to three digits."""
    short = {key: float(f"{value:.3g}") if isinstance(value, float) else value for key, value in params.items()}
    return ", ".join(f"{key}={value_text(value)}" for key, value in short.items())
