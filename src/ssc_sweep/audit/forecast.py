"""Forecast the probability that a model fails on a split from the split's characteristics, with reasons.

    p_fail = 1 / (1 + exp(-(intercept + sum_i weight_i f_i(characteristic_i))))        f: identity, log1p or log

The coefficients are in forecast.yaml beside this module, small enough to be read:

    command: python -m ...             # what made the file
    models:
      flow_ssc:                        # name of the YAML in conf/model
        intercept: -2.0
        terms:
          - {characteristic: share_beyond_5, scale: identity, usual: 0.01, weight: 4.0}

`usual` is the characteristic if nothing is wrong: a term is a reason to the extent that it raises the log-odds.
"""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from pydantic import Field

from ssc_sweep.audit.characteristics import measurable, only
from ssc_sweep.audit.definitions import BY_NAME
from ssc_sweep.config import RunConfig
from ssc_sweep.data.splitting import DataSplit
from ssc_sweep.schema import Section

SCALES: dict[str, Callable[[Any], Any]] = {"identity": np.asarray, "log1p": np.log1p, "log": np.log}
COEFFICIENTS = Path(__file__).with_name("forecast.yaml")


class Term(Section):
    """One characteristic's part of the log-odds of failure."""

    characteristic: Literal[tuple(BY_NAME)]  # type: ignore[valid-type]
    scale: Literal["identity", "log1p", "log"]
    usual: float = Field(description="the characteristic where nothing is wrong, in its own unit")
    weight: float

    def part(self, value: float) -> float:
        """Return what a value adds to the log-odds compared with the usual one; 0 if it is unknown."""
        if math.isnan(value):
            return 0.0
        f = SCALES[self.scale]
        return self.weight * float(f(value) - f(self.usual))


class _Model(Section):
    """A model in the file."""

    runs: int
    tables: int
    failed: int
    intercept: float
    terms: list[Any]


class _File(Section):
    """forecast.yaml."""

    command: str
    models: dict[str, Any]


def model_name(node: Mapping[str, Any]) -> str:
    """Return the name of a config's model in the file: the module of its class.

    >>> model_name({"_target_": "ssc_sweep.models.flow_ssc.FlowSSC"})
    'flow_ssc'
    """
    target = str(node["_target_"])
    return target.split(".")[-2] if target.startswith("ssc_sweep.models.") else target


# A run fails if its RMSE is above this multiple of that of predicting the mean: the plan's 15 kg in relative terms.
FAILS_ABOVE = 1.9
FAILING = f"it diverges, or its RMSE is over {FAILS_ABOVE:g} times that of predicting the mean"
# From this probability on, a warning is printed.
LIKELY = 0.5
# A characteristic is a reason if it adds more than this to the log-odds.
NOTABLE = 0.3


def fails(rmse: float | None, mean_predictor_rmse: float) -> bool:
    """Return whether a run that ended failed; an RMSE of None means that it diverged.

    Predicting the mean has an RMSE of 8: 15 kg is 1.875 times as much, 16 kg twice as much. None: it diverged.

    >>> fails(15, 8), fails(16, 8), fails(None, 8)
    (False, True, True)
    """
    return rmse is None or not rmse <= FAILS_ABOVE * mean_predictor_rmse


@dataclass(frozen=True)
class Forecast:
    """The probability that a model fails on a split, and the reasons, the strongest first."""

    model: str
    p_fail: float
    reasons: tuple[str, ...]

    @property
    def warning(self) -> str:
        """Return the line to print before such a run trains; empty if no warning is needed."""
        if self.p_fail <= LIKELY:
            return ""
        why = "; ".join(self.reasons[:2])
        return (
            f"forecast: {self.model} fails on these rows with probability {self.p_fail:.2f} ({FAILING}): {why}. "
            "`python -m ssc_sweep.audit` with the same overrides names the columns."
        )


@functools.cache
def _known() -> "dict[str, Coefficients]":
    return read()


def foretell(config: RunConfig, data: DataSplit) -> Forecast | None:
    """Return the forecast for a run on its rows; None if there is none.

    That is so if the model has no coefficients, if it never failed where they were fitted, and if squares are not
    finite.
    """
    name = model_name(config.model)
    model = telling(_known(), name)
    if model is None or not measurable(data):
        return None
    needed = [term.characteristic for term in model.terms]
    return Forecast(name, *forecast(only(data, needed), model))


@dataclass(frozen=True)
class Coefficients:
    """The log-odds of failure of one model; the intercept is for the usual characteristics."""

    intercept: float
    terms: tuple[Term, ...]
    never_failed: bool = False  # where they were fitted


def read(path: Path | None = None) -> dict[str, Coefficients]:
    """Read the coefficients by name of the model, those of the package if no file is named; empty if none are fitted.

    Raises:
        UserError: the file does not have the format of this module.
    """
    path = path or COEFFICIENTS
    if not path.is_file():
        return {}
    content = _File.read(yaml.safe_load(path.read_text(encoding="utf-8")), path.stem)
    found = {}
    for name, node in content.models.items():
        key = f"{path.stem}.models.{name}"
        model = _Model.read(node, key)
        terms = (Term.read(term, f"{key}.terms.{i}") for i, term in enumerate(model.terms))
        found[name] = Coefficients(model.intercept, tuple(terms), never_failed=model.failed == 0)
    return found


def telling(models: Mapping[str, Coefficients], name: str) -> Coefficients | None:
    """Return the coefficients of a model that failed where they were fitted; of another nothing tells when it fails."""
    found = models.get(name)
    return None if found is None or found.never_failed else found


def forecast(characteristics: Mapping[str, float], model: Coefficients) -> tuple[float, tuple[str, ...]]:
    """Return the probability that the model fails, and the characteristics that raise it, the strongest first.

    Args:
        characteristics: by name, as from `characteristics.characteristics`.

    An intercept of -2 gives 1 / (1 + e^2) where nothing is wrong. A largest z of 25 adds 2 log(25 / 5) to it.

    >>> model = Coefficients(-2.0, (Term(characteristic="max_z", scale="log", usual=5.0, weight=2.0),))
    >>> round(forecast({"max_z": 5.0}, model)[0], 3), forecast({"max_z": 5.0}, model)[1]
    (0.119, ())
    >>> p, reasons = forecast({"max_z": 25.0}, model)
    >>> round(p, 3), reasons
    (0.772, ('max_z 25: largest absolute z of a validation row',))
    """
    parts = {term.characteristic: term.part(characteristics[term.characteristic]) for term in model.terms}
    log_odds = max(-700.0, min(700.0, model.intercept + sum(parts.values())))
    raising = sorted((name for name, part in parts.items() if part > NOTABLE), key=lambda name: -parts[name])
    reasons = tuple(f"{name} {characteristics[name]:.3g}: {BY_NAME[name].meaning}" for name in raising)
    return 1 / (1 + math.exp(-log_odds)), reasons
