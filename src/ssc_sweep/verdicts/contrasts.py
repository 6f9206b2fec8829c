"""Contrasts of a factorial study: main effects and two-way interactions.

An arm is a cell of the crossing, named by its changes from the control, which has one level of every factor. Let y(C)
be the log RMSE of cell C at one seed. With the mean over the cells R of the other factors,

    main effect of the change a       mean over R of  y(R + a) - y(R)
    interaction of the changes a, b   mean over R of  y(R + a + b) - y(R + a) - y(R + b) + y(R)

so a factor with several levels has a main effect for each level but the first, against the first. exp of a main effect
is a ratio: RMSE with the change over RMSE without. exp of an interaction is a ratio of ratios: RMSE with both changes
over the product of the two effects. (The convention of Box, Hunter & Hunter 2005, Statistics for Experimenters, ch. 5,
halves an interaction. Its exp is the square root of this one; the test is the same.)

A contrast is one number per seed, so it is judged like a paired difference: `evidence.difference` is exact if the
numbers are symmetric about their centre. A change that does nothing makes R + a and R exchangeable, so its main effect
is symmetric about 0; so is an interaction if at least one of the two changes only shifts log RMSE.

Every diverged run has the same RMSE, beyond all others. If the weights of the diverged runs of a seed sum to more than
0, the contrast is +inf there; if to less, -inf; if they cancel, so does that RMSE, and the contrast is that of the
other cells. With two cells this is how pairs are treated. A run that failed excludes its seed.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ssc_sweep.data.cohort import Floats
from ssc_sweep.verdicts.evidence import Difference, Matters, Runs, difference
from ssc_sweep.verdicts.paired import EQUAL
from ssc_sweep.verdicts.planning import out_of_reach, seeds_for_difference
from ssc_sweep.verdicts.rule import Rule

Change = tuple[str, str]  # (factor, level other than the control's)
Cell = tuple[Change, ...]  # an arm's changes from the control, in factor order; () is the control


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
    """A contrast and what its seeds show.

    Attributes:
        level: error probability of its interval.
        seen: its numbers. BETTER for an interaction: both changes give a lower RMSE than the product of their effects.
        relative: its cells have different validation rows, so each RMSE is divided by that of predicting the mean.
        seeds: how many in total would settle an open answer (80% power); None if unknown.
        hopeless: whether an open answer is out of reach with the most seeds that the study may have.
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
        """Return all fields in one flat dict: a row of contrasts.csv. lost_alone: seeds at which it is +inf."""
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
    """Return all main effects, then all two-way interactions.

    Args:
        arms: the arm of every cell, control included; none may be missing.
    """
    changes = changes_of(arms)
    wanted: list[Cell] = [(change,) for change in changes]
    wanted += [(a, b) for i, a in enumerate(changes) for b in changes[i + 1 :] if a[0] != b[0]]
    return [Contrast(of, _weights(of, arms)) for of in wanted]


def changes_of(arms: Mapping[Cell, str]) -> list[Change]:
    """Return every change, by factor."""
    order = [factor for factor, _ in max(arms, key=len)]
    found = dict.fromkeys(change for cell in arms for change in cell)
    return sorted(found, key=lambda change: order.index(change[0]))


def is_complete(arms: Mapping[Cell, str]) -> bool:
    """Return whether every cell of the crossing has an arm."""
    levels: dict[str, int] = {}
    for factor, _ in {change for cell in arms for change in cell}:
        levels[factor] = levels.get(factor, 1) + 1
    return bool(levels) and len(arms) == math.prod(levels.values())


def _weights(of: Cell, arms: Mapping[Cell, str]) -> dict[str, float]:
    full = [cell for cell in arms if set(of) <= set(cell)]
    weights: dict[str, float] = {}
    for cell in full:
        # Each change of the contrast is kept or undone; each undone one flips the sign.
        parts = [cell]
        for change in of:
            parts += [tuple(one for one in part if one != change) for part in parts]
        for part in parts:
            sign = (-1) ** (len(cell) - len(part))
            weights[arms[part]] = weights.get(arms[part], 0.0) + sign / len(full)
    return weights


def log_contrast(contrast: Contrast, rmse: Mapping[str, Runs]) -> Floats:
    """Return the contrast of log RMSE at every seed that all of its arms have, in seed order, shape (n,).

    Args:
        rmse: of each arm, by seed; above 0, NaN for a run that diverged.

    By hand, as in docs/HYPOTHESES.md. Log RMSE is 1 (control), 3 (b), 2 (a) and 7 (both). Then a is
    ((2 - 1) + (7 - 3)) / 2, b is ((3 - 1) + (7 - 2)) / 2, and their interaction is (7 - 3) - (2 - 1).

    >>> a, b = ("a", "on"), ("b", "on")
    >>> arms = {(): "control", (b,): "b", (a,): "a", (a, b): "both"}
    >>> rmse = {arm: {0: math.exp(y)} for arm, y in {"control": 1, "b": 3, "a": 2, "both": 7}.items()}
    >>> {one.name: round(float(log_contrast(one, rmse)[0]), 6) for one in contrasts_of(arms)}
    {'a=on': 2.5, 'b=on': 3.5, 'a=on x b=on': 3.0}
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
        rmse: of each arm, by seed, as for `log_contrast`; divided by that of predicting the mean if `relative`.
        most: seeds that the study may have at most; None: no limit.
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
        # The seeds so far were not enough.
        seeds=max(needed, seen.n + 1) if is_open and needed is not None else None,
        hopeless=is_open and beyond,
    )
