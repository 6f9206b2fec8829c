"""Make a model from the `model` of a config."""

import importlib.util
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from ssc_sweep import admission
from ssc_sweep.config import StatsMode
from ssc_sweep.errors import UserError
from ssc_sweep.models.contract import Predictor, Sizes
from ssc_sweep.models.ordinary import GIVEN, Adapted, Ordinary
from ssc_sweep.schema import check_arguments


@dataclass(frozen=True)
class Choice:
    """A checked class and its arguments. `adapted`: whether it is an ordinary module."""

    cls: type[nn.Module]
    arguments: dict[str, Any]
    adapted: bool

    @property
    def name(self) -> str:
        """Return the model's name in reports."""
        return self.cls.__name__

    @property
    def stacks(self) -> bool:
        return issubclass(self.cls, Predictor) and self.cls.stacks

    def build(self, sizes: Sizes, seeds: Sequence[int], stats: Sequence[StatsMode]) -> Predictor:
        """Make the model of these runs; a model that does not stack gets a single run."""
        if self.adapted:
            return Adapted(sizes, seeds, stats, self.cls, self.arguments)
        return self.cls(sizes, seeds, stats, **self.arguments)  # type: ignore[return-value]


def choose(node: Mapping[str, Any]) -> Choice:
    """Return the model that a config names.

    Raises:
        UserError: it is not admitted, is no model, lacks a package, or rejects these arguments.
    """
    cls, arguments = admission.target("model", node)
    named = f"model._target_={node['_target_']}"
    if not isinstance(cls, type) or not issubclass(cls, nn.Module):
        raise UserError(f"{named} is no model: allowed is a Predictor (models/contract.py) or a torch module.")
    ours = issubclass(cls, Predictor)
    lacking = [
        name for name in ("loss", "outcome_mean", "treatment_log_prob") if not callable(getattr(cls, name, None))
    ]
    if not ours and not issubclass(cls, Ordinary):
        raise UserError(f"{named} is no model: it lacks {', '.join(lacking)}. docs/MODEL.md shows a whole one.")
    if inspect.isabstract(cls):
        abstract = sorted(
            name for name, value in inspect.getmembers(cls) if getattr(value, "__isabstractmethod__", False)
        )
        raise UserError(f"{named} is no whole model: it lacks {', '.join(abstract)} (models/contract.py).")
    for package, extra in cls.needs.items() if issubclass(cls, Predictor) else ():
        if importlib.util.find_spec(package) is None:
            raise UserError(f"{named} needs the package {package}: pip install 'ssc_sweep[{extra}]'.")
    given = dict.fromkeys(("sizes", "seeds", "stats") if ours else GIVEN)
    try:
        inspect.signature(cls).bind_partial(**given)
    except TypeError as error:
        raise UserError(f"{named}: its constructor must take {', '.join(given)} by name ({error}).") from error
    check_arguments("model", cls, arguments, ("sizes", "seeds", "stats") if ours else GIVEN)
    return Choice(cls, arguments, adapted=not ours)
