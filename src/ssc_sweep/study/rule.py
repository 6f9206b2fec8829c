"""The rule a study is judged by. Fixed in study.yaml before the first run starts, so that no result can bend it."""

import math
from dataclasses import dataclass, fields

from omegaconf import DictConfig

from ssc_sweep.bounds import ABOVE_ZERO, SHARE_OR_ALL, bounded, number
from ssc_sweep.errors import UserError


@dataclass(frozen=True)
class Rule:
    """What counts as working, as a difference, and as certain. How it is applied: `ssc_sweep.findings.verdicts`.

    Attributes:
        target: a run works if its RMSE lies below this; in the outcome's unit, above 0.
        works_share: an arm works if at least this share of its runs do; in (0, 1].
        alpha: chance of a false "helps", "works" or "worse" that is accepted, over all arms of a study together, and of
            a false "no difference", by arm; in (0, 0.5). Intervals, each for its arm alone, cover 1 - alpha. How far
            these two hold where differences are far from normal: docs/POWER.md.
        margin: relative change of RMSE that does not matter, log(1 + margin) on the log scale; above 0.
    """

    target: float
    works_share: float = 0.9
    alpha: float = 0.05
    margin: float = 0.1

    def __post_init__(self) -> None:
        bounded("target", self.target, ABOVE_ZERO)
        bounded("rule.works_share", self.works_share, SHARE_OR_ALL)
        bounded("rule.alpha", self.alpha, number("a number between 0 and 0.5, both excluded", lambda a: 0 < a < 0.5))
        bounded("rule.margin", self.margin, ABOVE_ZERO)

    @property
    def log_margin(self) -> float:
        """The margin on the log scale: the ratios 1 + margin and 1 / (1 + margin) lie equally far from none."""
        return math.log1p(self.margin)


def read_rule(cfg: DictConfig) -> Rule:
    """The rule of a composed config: `target` and the values under `rule`.

    Raises:
        UserError: a value is missing or out of bounds.
    """
    names = [field.name for field in fields(Rule) if field.name != "target"]
    if not isinstance(cfg.rule, DictConfig) or any(name not in cfg.rule for name in names):
        shown = "null" if cfg.rule is None else cfg.rule
        raise UserError(f"rule={shown} is no rule: it needs {', '.join(names)}. Set one of them: rule.alpha=0.05.")
    return Rule(cfg.target, cfg.rule.works_share, cfg.rule.alpha, cfg.rule.margin)
