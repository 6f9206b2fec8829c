"""Derive the verdicts of a study from its runs, for the findings and for a study that decides whether to stop."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ssc_sweep.lines import counted
from ssc_sweep.study.hypothesis import Arm
from ssc_sweep.verdicts.causes import Cause, conclude
from ssc_sweep.verdicts.contrasts import (
    Cell,
    Contrast,
    JudgedContrast,
    contrasts_of,
    is_complete,
    judge_contrast,
)
from ssc_sweep.verdicts.judge import Judgement, claims_of, judge_study
from ssc_sweep.verdicts.paired import EQUAL, fewest
from ssc_sweep.verdicts.rule import Rule


@dataclass(frozen=True)
class Seen:
    """A run that counts.

    Attributes:
        rmse: scaled as the rule asks (`Rule.scaled`); NaN for a run that diverged.
        val_rows: identifies its validation rows; None for a run of a version that did not record it.
        over_mean: RMSE divided by that of predicting the mean on the same rows; NaN if the run diverged or that is
            not known.
    """

    rmse: float
    val_rows: str | None = None
    over_mean: float = math.nan


SMALLEST = float(np.finfo(np.float64).tiny)  # an RMSE of exactly 0 has no logarithm


def seen(rmse: float | None, mean: float | None, val_rows: object, rule: Rule) -> Seen:
    """Return a run that ended, as the verdicts use it.

    Args:
        rmse: None or NaN if the run diverged.
        mean: RMSE of predicting the mean; None or NaN if not known.
        val_rows: as in its metrics.
    """
    value, baseline = _number(rmse), _number(mean)
    # The mean predicts a constant outcome exactly, so no RMSE can be taken relative to it.
    over_mean = value / baseline if baseline > 0 else math.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = float(rule.scaled(np.float64(value), np.float64(baseline)))
    return Seen(
        _above_zero(scaled),
        val_rows if isinstance(val_rows, str) else None,
        _above_zero(over_mean),
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _above_zero(value: float) -> float:
    return value if math.isnan(value) else max(value, SMALLEST)


# Folder of an arm -> seed -> run. Runs that failed or have not ended are left out.
Runs = Mapping[str, Mapping[int, Seen]]
# A hypothesis and the folder of its control: one for each point of a grid.
Test = tuple[str, str]


def comparison(arm: Arm) -> str:
    """Return a name for an arm and its control: a folder shared by equal configs may have several controls."""
    return f"{arm.folder} against {arm.control}"


def compared(arms: Sequence[Arm]) -> dict[str, tuple[str, str]]:
    """Return comparison -> (folder of the arm, folder of its control)."""
    return {
        comparison(arm): (arm.folder, arm.control)
        for arm in arms
        if arm.control is not None and arm.folder != arm.control
    }


def rmse_in(runs: Runs) -> dict[str, dict[int, float]]:
    """Return RMSE, scaled as the rule asks, by folder of the arm and seed."""
    return {folder: {seed: one.rmse for seed, one in mine.items()} for folder, mine in runs.items()}


def judge_arms(arms: Sequence[Arm], runs: Runs, rule: Rule, most: int | None = None) -> dict[str, Judgement]:
    """Judge every arm that has a control; keyed by `comparison`.

    Args:
        most: seeds that the study may have at most.

    Raises:
        UserError: an RMSE is 0 or negative.
    """
    against = compared(arms)
    rmse = rmse_in(runs)
    return judge_study(rmse, against, rule, apart(against, runs), claims_in(arms, rule), most)


def claims_in(arms: Sequence[Arm], rule: Rule) -> dict[str, int]:
    """Return for each control how many claims share alpha with those on its arms. A contrast is a claim, too."""
    contrasts = Counter[str]()
    for (_, control), found in contrasts_in(arms).items():
        contrasts[control] += len(found)
    return claims_of(compared(arms), rule, contrasts)


def too_few_seeds(arms: Sequence[Arm], seeds: Mapping[str, int], rule: Rule) -> list[str]:
    """Return a line if no change of a study with planned seeds can be shown to matter, whatever comes out.

    Args:
        arms: of the study.
        seeds: how many seeds an arm will have, by folder; arms that are not trained now are left out.
    """
    against = [pair for pair in compared(arms).values() if pair[0] in seeds]
    if rule.sequential or not against:
        return []
    claims = claims_in(arms, rule)
    needed = {arm: fewest(rule.level(claims[control])) for arm, control in against}
    if any(n is not None and n <= seeds[arm] for arm, n in needed.items()):
        return []
    shared = f"rule.alpha={rule.alpha:g} is shared by {max(claims.values()):,} claims"
    least = min((n for n in needed.values() if n is not None), default=None)
    if least is None:
        return [f"No planned number of seeds can show that a change matters: {shared}. seeds=auto can."]
    most = max(seeds[arm] for arm, _ in against)
    return [
        f"{counted(most, 'seed')} cannot show that a change matters: {shared}, which takes {least} seeds at least. "
        "seeds=auto adds seeds until it is shown, or max_seeds are spent."
    ]


def cells_in(arms: Sequence[Arm]) -> dict[Test, dict[Cell, str]]:
    """Return level combination -> folder of the arm for every hypothesis with factors, control included."""
    found: dict[Test, dict[Cell, str]] = {}
    for arm in arms:
        if arm.levels and arm.hypothesis is not None and arm.control is not None:
            found.setdefault((arm.hypothesis, arm.control), {(): arm.control})[arm.levels] = arm.folder
    return found


def contrasts_in(arms: Sequence[Arm]) -> dict[Test, list[Contrast]]:
    """Return main effects and interactions of every hypothesis with factors; none if it lacks an arm."""
    return {test: contrasts_of(cells) for test, cells in cells_in(arms).items() if is_complete(cells)}


def judge_contrasts(
    arms: Sequence[Arm], runs: Runs, rule: Rule, claims: Mapping[str, int], most: int | None = None
) -> dict[Test, list[JudgedContrast]]:
    """Judge all contrasts of these arms.

    RMSE is scaled as the rule asks. If a contrast compares runs on different validation rows, RMSE is divided by that
    of predicting the mean, so that a harder set of rows does not count as an effect.

    Args:
        claims: by control, how many share alpha with its contrasts.
        most: seeds that the study may have at most.
    """
    rmse = rmse_in(runs)
    over_mean = {
        folder: {seed: one.over_mean for seed, one in mine.items() if _lost(one) or not math.isnan(one.over_mean)}
        for folder, mine in runs.items()
    }
    found = {}
    for test, contrasts in contrasts_in(arms).items():
        level, judged = rule.level(claims[test[1]]), []
        for contrast in contrasts:
            relative = _across_rows(contrast, runs)
            judged.append(judge_contrast(contrast, over_mean if relative else rmse, level, rule, relative, most))
        found[test] = judged
    return found


def _lost(run: Seen) -> bool:
    return math.isnan(run.rmse)


def _across_rows(contrast: Contrast, runs: Runs) -> bool:
    """Return whether at some seed the weights of runs with the same validation rows do not cancel."""
    members = [runs.get(folder, {}) for folder in contrast.weights]
    for seed in set(members[0]).intersection(*members[1:]):
        weights: dict[str | None, float] = {}
        for weight, mine in zip(contrast.weights.values(), members, strict=True):
            weights[mine[seed].val_rows] = weights.get(mine[seed].val_rows, 0.0) + weight
        if None not in weights and any(abs(weight) > EQUAL for weight in weights.values()):
            return True
    return False


def apart(against: Mapping[str, tuple[str, str]], runs: Runs) -> list[str]:
    """Return the comparisons whose arm and control have different validation rows at some seed."""
    return [name for name, (arm, control) in against.items() if _differ(runs.get(arm, {}), runs.get(control, {}))]


def _differ(arm: Mapping[int, Seen], control: Mapping[int, Seen]) -> bool:
    return any(
        None not in (rows := {arm[seed].val_rows, control[seed].val_rows}) and len(rows) > 1
        for seed in set(arm) & set(control)
    )


def conclusions(
    arms: Sequence[Arm], judged: Mapping[str, Judgement], expects: Mapping[str, str]
) -> Iterator[tuple[str, str, Cause]]:
    """Yield (hypothesis, folder of the control, verdict) for every hypothesis at every grid point with a judged arm.

    Args:
        expects: what each hypothesis expects of its change.
    """
    against = compared(arms)
    groups: dict[Test, list[str]] = {}
    for arm in arms:
        name = comparison(arm)
        if arm.hypothesis is not None and name in against:
            groups.setdefault((arm.hypothesis, against[name][1]), []).append(name)
    for (name, control), members in groups.items():
        mine = [judged[member] for member in members if member in judged]
        cause = conclude(mine, expects.get(name, ""), len(members))
        if cause is not None:
            yield name, control, cause
