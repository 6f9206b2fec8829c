"""The rule a study is judged by. Fixed in study.yaml before the first run starts, so that no result can change it."""

import math
from typing import TYPE_CHECKING, Literal, TypeVar

from omegaconf import DictConfig, OmegaConf
from pydantic import Field

from ssc_sweep.errors import UserError
from ssc_sweep.schema import Section

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T", float, "pd.Series[float]")

# Fields that are elsewhere in a config than under `rule`.
ELSEWHERE = ("target", "sequential")


class Rule(Section):
    """What counts as working, as a difference, and as certain. How it is applied: docs/VERDICTS.md.

    >>> Rule(target=15).working, Rule().working
    ('below 15', 'below 90% of that of predicting the mean')
    """

    target: float | None = Field(
        default=None,
        gt=0,
        description="a run works if its RMSE is below this, in the outcome's unit; null: if it beats predicting the "
        "mean by the share `beats_mean`",
    )
    works_share: float = Field(
        default=0.8, gt=0, lt=1, description="an arm works if a larger share of its runs do, does not if a smaller one"
    )
    alpha: float = Field(
        default=0.05, gt=0, lt=0.5, description="accepted chance of any false claim in a study, over all its arms"
    )
    family: Literal["study", "point"] = Field(
        default="study",
        description="claims that share alpha: all of the study, or those of each point of a grid by itself",
    )
    margin: float = Field(default=0.1, gt=0, description="relative change of RMSE that does not matter")
    beats_mean: float = Field(
        default=0.1, gt=0, lt=1, description="without a target: a run works below (1 - this) times the mean's RMSE"
    )
    sequential: bool = Field(
        default=False,
        description="whether seeds are added until all questions are answered (seeds=auto), at any look",
    )

    @property
    def log_margin(self) -> float:
        """Return the margin on the log scale, where the ratios 1 + margin and 1 / (1 + margin) are symmetric."""
        return math.log1p(self.margin)

    @property
    def threshold(self) -> float:
        """Return the RMSE, as by `scaled`, below which a run works."""
        return 1 - self.beats_mean if self.target is None else self.target

    @property
    def working(self) -> str:
        """Return which RMSE works, in words: "below 15"."""
        if self.target is None:
            return f"below {1 - self.beats_mean:.0%} of that of predicting the mean"
        return f"below {self.target:g}"

    @property
    def short(self) -> str:
        """Return the same as a column title: "< 15"."""
        return f"beats mean by {self.beats_mean:.0%}" if self.target is None else f"< {self.target:g}"

    def scaled(self, rmse: T, mean_predictor_rmse: T) -> T:
        """Return RMSE on the scale of the threshold: unchanged if there is a target, else over the mean's RMSE."""
        return rmse / mean_predictor_rmse if self.target is None else rmse

    @property
    def together(self) -> str:
        """Return which claims share alpha, in words."""
        return "the study" if self.family == "study" else "a grid point"

    def level(self, claims: int) -> float:
        """Return the error probability of each of `claims` intervals, so that all hold with probability 1 - alpha.

        Bonferroni rather than Holm, so that each claim depends on its own interval alone.

        Seven arms and their control make 2 * 7 + 1 claims:

        >>> round(Rule(alpha=0.05).level(15), 5)
        0.00333
        """
        return self.alpha / max(1, claims)


def read_rule(cfg: DictConfig, sequential: bool = False) -> Rule:
    """Read the rule of a composed config: `target` and the values under `rule`.

    Args:
        sequential: whether seeds are added until the questions are answered.

    Raises:
        UserError: a value is missing or out of bounds.
    """
    given = OmegaConf.to_container(cfg.rule) if isinstance(cfg.rule, DictConfig) else None
    names = [name for name in Rule.model_fields if name not in ELSEWHERE]
    if not isinstance(given, dict) or any(name not in given for name in names):
        shown = "null" if cfg.rule is None else cfg.rule
        raise UserError(f"rule={shown} is no rule: it needs {', '.join(names)}. Set one of them: rule.alpha=0.05.")
    own = [name for name in given if name in ELSEWHERE]
    if own:
        where = {"target": "target=15", "sequential": "seeds=auto or seeds=10"}[own[0]]
        raise UserError(f"rule.{own[0]} is not set there: give {where}.")
    Rule.read(given, "rule")
    return Rule.read({**given, "target": cfg.target, "sequential": sequential}, "rule")
