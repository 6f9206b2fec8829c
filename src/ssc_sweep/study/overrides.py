"""Read the overrides of a sweep: the last value of each key, the points of a grid, the seeds that are named."""

import itertools
import math
from collections.abc import Sequence

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override

from ssc_sweep.errors import UserError

MOST_RUNS = 1_000_000  # of a study; all are composed and checked before the first one trains


def values_of(override: Override) -> list[str]:
    """Return the values of a sweep, or the one value of a plain override, as written in an override.

    >>> from hydra.core.override_parser.overrides_parser import OverridesParser
    >>> grid = OverridesParser.create().parse_overrides(["batch=b10,b32", "seed=range(3,6)", "epochs=1"])
    >>> [values_of(one) for one in grid]
    [['b10', 'b32'], ['3', '4', '5'], ['1']]
    """
    if override.is_sweep_override():
        if not override.is_discrete_sweep():
            raise UserError(f"{override.input_line} is a range without steps: name its values, e.g. a,b,c.")
        # Take one more than is allowed: a range may have any number.
        return list(itertools.islice(override.sweep_string_iterator(), MOST_RUNS + 1))
    value = override.value()
    # Hydra's own syntax for several choices of a group, hypothesis=[lr,ema], means the same here.
    return [str(item) for item in value] if isinstance(value, list) else [override.get_value_element_as_str()]


def last_words(overrides: Sequence[Override]) -> list[Override]:
    """Return the last override of each key, which wins on a command line; those of an experiment come first.

    Raises:
        UserError: the last one undoes or replaces a sweep.
    """
    last: dict[str, Override] = {}
    for override in overrides:
        key = override.get_key_element().lstrip("+")
        before = last.pop(key, None)
        if before is not None and before.is_sweep_override():
            raise UserError(
                f"{before.input_line} and {override.input_line} both say what {key} is: allowed is one of them."
            )
        last[key] = override
    return list(last.values())


def too_many(what: str) -> UserError:
    return UserError(f"{what}: allowed are {MOST_RUNS:,} runs a study. Give fewer seeds or values.")


def axis_values(override: Override, loader: ConfigLoader) -> list[str]:
    """Return the values of a key that a grid varies.

    Raises:
        UserError: there are none.
    """
    values = values_of(override)
    if not values:
        choices = loader.get_group_options(override.key_or_group)
        allowed = f"allowed is {' | '.join(choices)}" if choices else "name its values, e.g. a,b,c"
        raise UserError(f"{override.input_line} has no values: {allowed}.")
    return values


def named_seeds(override: Override) -> tuple[int, ...]:
    """Return the seeds of seed=0,1,2, each once.

    Raises:
        UserError: there are none or too many, or one is no seed.
    """
    seeds = values_of(override)
    if len(seeds) > MOST_RUNS:
        raise too_many(f"{override.input_line} names too many seeds")
    wrong = [value for value in seeds if not value.isdecimal()]
    if wrong:
        raise UserError(f"seed={wrong[0]} is out of bounds: allowed is a whole number >= 0, or several: 0,1,2.")
    if not seeds:
        raise UserError(f"{override.input_line} has no values: give seeds, such as seed=0,1,2.")
    return tuple(dict.fromkeys(int(value) for value in seeds))


def points_of(axes: Sequence[Override], loader: ConfigLoader) -> list[tuple[str, ...]]:
    """Return every combination of the values of these keys, as overrides; without keys, one empty combination.

    Raises:
        UserError: a key has no values, or there are too many points.
    """
    values = [[f"{axis.get_key_element()}={value}" for value in axis_values(axis, loader)] for axis in axes]
    count = math.prod(map(len, values))
    if count > MOST_RUNS:
        raise too_many(f"this study would have {count:,} points")
    return list(itertools.product(*values))
