"""Contrasts of a factorial study: what each factor does, and what two of them do together.

An arm is a cell of the crossing, named by its changes from the control; every factor has one level that is the
control's. Let y(C) be the log RMSE of cell C at one seed. With the mean over the cells R of the other factors,

    main effect of the change a       mean over R of  y(R + a) - y(R)
    interaction of the changes a, b   mean over R of  y(R + a + b) - y(R + a) - y(R + b) + y(R)

so that a factor with several levels has a main effect for each level but the first, against the first. exp of a main
effect is a ratio: RMSE with the change over RMSE without. exp of an interaction is the ratio of two ratios: RMSE with
both changes over what the two effects, multiplied, would give. (The convention of Box, Hunter & Hunter 2005, Statistics
for Experimenters, ch. 5, halves an interaction. Its exp is the square root of this one; the test is the same.)

A contrast is one number a seed, so it is judged as a paired difference is: `evidence.difference` is exact where the
numbers are symmetric about their centre. A change that does nothing makes R + a and R exchangeable, so its main effect
is symmetric about 0; so is an interaction where at least one of the two changes only shifts log RMSE.

A run that diverged stands for one RMSE beyond all others. If the weights of the diverged runs of a seed sum to more
than 0, the contrast is +inf there, if to less it is -inf; where they cancel, so does that RMSE, and the other cells say
what is left. For two cells that is how pairs are treated. A run that failed leaves its seed out.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ssc_sweep.verdicts.evidence import Difference, Matters, Runs, difference
from ssc_sweep.verdicts.paired import EQUAL, Floats
from ssc_sweep.verdicts.planning import out_of_reach, seeds_for_difference
from ssc_sweep.verdicts.rule import Rule

Change = tuple[str, str]  # a factor, and a level of it that is not the control's
Cell = tuple[Change, ...]  # where an arm differs from the control, factors in one order; () is the control


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of log RMSE over arms.

    Attributes:
        changes: one for a main effect, two for an interaction.
        weights: arm -> weight; they sum to 0.
    """

    changes: Cell
    weights: Mapping[str, float]

    @property
    def name(self) -> str:
        return " x ".join(f"{factor}={level}" for factor, level in self.changes)

    @property
    def is_interaction(self) -> bool:
        return len(self.changes) > 1


@dataclass(frozen=True)
class JudgedContrast:
    """A contrast and what its seeds say.

    Attributes:
        level: chance of being wrong that its interval has.
        seen: its numbers. Of an interaction BETTER means that both changes give less than their effects multiplied.
        relative: its cells have other validation rows, so that each RMSE is taken over that of predicting the mean.
        seeds: how many in total would give an answer that is open (80% power); None where that cannot be said.
        hopeless: whether an open answer is out of reach of the seeds that a study may have at most.
    """

    contrast: Contrast
    level: float
    seen: Difference
    relative: bool
    seeds: int | None
    hopeless: bool

    @property
    def settled(self) -> bool:
        return self.seen.answer is not Matters.OPEN

    def row(self) -> dict[str, Any]:
        """All fields in one flat dict: a row of contrasts.csv. lost_alone: seeds at which it is +inf."""
        return {
            "contrast": self.contrast.name,
            "kind": "interaction" if self.contrast.is_interaction else "main effect",
            "answer": self.seen.answer.value,
            **{name: value for name, value in asdict(self.seen).items() if name != "answer"},
            "level": self.level,
            "over_predicting_the_mean": self.relative,
            "seeds_needed": self.seeds,
        }


def contrasts_of(arms: Mapping[Cell, str]) -> list[Contrast]:
    """All main effects, then all two-way interactions.

    Args:
        arms: the arm of every cell, the control's too; none may lack.
    """
    changes = changes_of(arms)
    wanted: list[Cell] = [(change,) for change in changes]
    wanted += [(a, b) for i, a in enumerate(changes) for b in changes[i + 1 :] if a[0] != b[0]]
    return [Contrast(of, _weights(of, arms)) for of in wanted]


def changes_of(arms: Mapping[Cell, str]) -> list[Change]:
    """Every change, by factor."""
    order = [factor for factor, _ in max(arms, key=len)]
    found = dict.fromkeys(change for cell in arms for change in cell)
    return sorted(found, key=lambda change: order.index(change[0]))


def is_complete(arms: Mapping[Cell, str]) -> bool:
    """Whether every cell of the crossing has an arm."""
    levels: dict[str, int] = {}
    for factor, _ in {change for cell in arms for change in cell}:
        levels[factor] = levels.get(factor, 1) + 1
    return bool(levels) and len(arms) == math.prod(levels.values())


def _weights(of: Cell, arms: Mapping[Cell, str]) -> dict[str, float]:
    full = [cell for cell in arms if set(of) <= set(cell)]
    weights: dict[str, float] = {}
    for cell in full:
        # Every change of the contrast is taken back or not; each one taken back turns the sign.
        parts = [cell]
        for change in of:
            parts += [tuple(one for one in part if one != change) for part in parts]
        for part in parts:
            sign = (-1) ** (len(cell) - len(part))
            weights[arms[part]] = weights.get(arms[part], 0.0) + sign / len(full)
    return weights


def log_contrast(contrast: Contrast, rmse: Mapping[str, Runs]) -> Floats:
    """The contrast of log RMSE at every seed that all of its arms have, in their order, shape (n,).

    Args:
        rmse: of each arm, by seed; above 0, NaN for a run that diverged.
    """
    runs = [rmse.get(arm, {}) for arm in contrast.weights]
    weights = np.array(list(contrast.weights.values()))
    seeds = sorted(set(runs[0]).intersection(*runs[1:]))
    values = np.array([[mine[seed] for mine in runs] for seed in seeds], dtype=np.float64).reshape(-1, len(runs))
    lost = ~np.isfinite(values)
    x = np.log(np.where(lost, 1.0, values)) @ weights
    x[np.abs(x) <= EQUAL] = 0.0
    bent = np.where(lost, weights, 0.0).sum(axis=1)
    x[bent > EQUAL], x[bent < -EQUAL] = math.inf, -math.inf
    return np.asarray(x)


def judge_contrast(
    contrast: Contrast,
    rmse: Mapping[str, Runs],
    level: float,
    rule: Rule,
    relative: bool = False,
    most: int | None = None,
) -> JudgedContrast:
    """Judge a contrast at 1 - `level`.

    Args:
        rmse: of each arm, by seed, as `log_contrast` wants it; over that of predicting the mean if `relative`.
        most: seeds that the study may have; None: any number.
    """
    seen = difference(log_contrast(contrast, rmse), level, rule)
    is_open = seen.answer is Matters.OPEN
    needed = seeds_for_difference(seen, level, rule)
    beyond = most is not None and out_of_reach(seeds_for_difference(seen, level, rule, hopeful=True), seen.n, most)
    return JudgedContrast(
        contrast=contrast,
        level=level,
        seen=seen,
        relative=relative,
        # Those that are there did not do.
        seeds=max(needed, seen.n + 1) if is_open and needed is not None else None,
        hopeless=is_open and beyond,
    )
