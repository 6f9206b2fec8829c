"""The rule a study is judged by. Fixed in study.yaml before the first run starts, so that no result can bend it."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from omegaconf import DictConfig

from ssc_sweep.errors import UserError


def _bounded(name: str, value: object, allowed: str, holds: Callable[[float], bool]) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not (number and holds(value)):  # type: ignore[arg-type]
        raise UserError(f"rule: {name}={value} is out of bounds: allowed is {allowed}.")


@dataclass(frozen=True)
class Rule:
    """What counts as working, as a difference, and as certain. How it is applied: `ssc_sweep.findings.verdicts`.

    Attributes:
        target: a run works if its RMSE lies below this; in the outcome's unit, above 0.
        works_share: an arm works if at least this share of its runs do; in (0, 1].
        alpha: chance of a false claim that is accepted, over all arms of a study together; in (0, 0.5). Intervals
            cover 1 - alpha.
        margin: relative change of RMSE that does not matter, log(1 + margin) on the log scale; above 0.
    """

    target: float
    works_share: float = 0.9
    alpha: float = 0.05
    margin: float = 0.1

    def __post_init__(self) -> None:
        _bounded("target", self.target, "a number above 0", lambda value: value > 0)
        _bounded("works_share", self.works_share, "a number above 0, at most 1", lambda value: 0 < value <= 1)
        _bounded("alpha", self.alpha, "a number between 0 and 0.5, both excluded", lambda value: 0 < value < 0.5)
        _bounded("margin", self.margin, "a number above 0, e.g. 0.1 for 10%", lambda value: value > 0)

    @property
    def log_margin(self) -> float:
        """The margin on the log scale: the ratios 1 + margin and 1 / (1 + margin) lie equally far from none."""
        return math.log1p(self.margin)


def read_rule(cfg: DictConfig) -> Rule:
    """The rule of a composed config: `target` and the values under `rule`."""
    return Rule(cfg.target, cfg.rule.works_share, cfg.rule.alpha, cfg.rule.margin)
