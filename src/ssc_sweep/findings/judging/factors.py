"""Effects of the factors of a study: its contrasts from disk, in sentences, on the terminal and as contrasts.csv."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ssc_sweep.findings.judging.arm_verdicts import seen_in, unit_of
from ssc_sweep.findings.reading.collect import Study
from ssc_sweep.study.judged import Runs, cells_in, claims_in, judge_contrasts
from ssc_sweep.terminal_table import TableColumn, TableRow, TerminalTable
from ssc_sweep.verdicts.contrasts import Cell, JudgedContrast, is_complete
from ssc_sweep.verdicts.evidence import Difference, Matters
from ssc_sweep.verdicts.shown import forest_of, interval_text, short

TITLE = "lower | higher".center(23)
ACROSS_ROWS = "over that of predicting the mean, as validation rows differ"
ALONE = "Each level against the first of its factor, averaged over the other factors"
OVER_THE_MEAN = "times that of predicting the mean"
TOGETHER = "Two together, over what their effects, multiplied, would give"


@dataclass(frozen=True)
class Factorial:
    """A hypothesis with factors, at one point of a grid.

    Attributes:
        control: folder of its control; `at` names it if there are several.
        levels: factor -> its levels, the control's first.
        contrasts: none if `note` says why.
        cells: RMSE of each combination of levels in `unit`: geometric mean over the seeds at which all cells have a
            run, without those that diverged; NaN if there are none.
        unit: of the outcome, or "times that of predicting the mean" where runs have other rows, or no target is set.
        relative: whether a contrast uses RMSE over that of predicting the mean, for its runs have other rows.
    """

    hypothesis: str
    control: str
    at: str
    levels: Mapping[str, Sequence[str]]
    contrasts: Sequence[JudgedContrast]
    note: str
    cells: Mapping[Cell, float]
    unit: str
    relative: bool

    @property
    def rows(self) -> list[dict[str, object]]:
        """Return the rows of contrasts.csv."""
        named = {"hypothesis": self.hypothesis, "control": self.control}
        return [named | one.row() for one in self.contrasts]

    @property
    def sentences(self) -> list[str]:
        """Return a sentence for each factor, then one for each interaction that was found."""
        told = []
        for factor in self.levels:
            mine = [one for one in self.contrasts if [f for f, _ in one.contrast.changes] == [factor]]
            if mine:
                told.append(f"{factor}{self.at}: {'; '.join(map(_main_effect, mine))}.")
        return told + [_interaction(one, self) for one in self.contrasts if _is_there(one)]


def _is_there(one: JudgedContrast) -> bool:
    return one.contrast.is_interaction and one.seen.answer in (Matters.BETTER, Matters.WORSE)


def _main_effect(one: JudgedContrast) -> str:
    """Return for example "shuffled divides RMSE by 6.30 [4.10, 9.80]"."""
    ((_, level),) = one.contrast.changes
    seen = one.seen
    over = (f" ({ACROSS_ROWS})" if one.relative else "") + _decided_by_diverged(seen)
    if seen.identical:
        return f"{level} changes nothing: the results are the same to the last digit"
    if seen.answer is Matters.BETTER:
        return f"{level} divides RMSE by {short(_inverse(seen.ratio))} [{_inverted(seen)}]{over}"
    if seen.answer is Matters.WORSE:
        return f"{level} multiplies RMSE by {interval_text(seen)}{over}"
    if not seen.n:
        return f"{level} is open, for there is no seed at which all its runs count"
    if seen.low == 0 and math.isinf(seen.high):
        return f"{level} is open: RMSE times {short(seen.ratio)}, with too few seeds for an interval{over}"
    told = "makes no difference beyond the margin" if seen.answer is Matters.SAME else "is open"
    return f"{level} {told}: RMSE times {interval_text(seen)}{over}"


def _interaction(one: JudgedContrast, factorial: Factorial) -> str:
    """Return for example "a=1 x b=2: RMSE is 60 with neither, 6 with a=1, 7 with b=2, 6 with both. ..."."""
    both = dict(one.contrast.changes)
    neither = {factor: factorial.levels[factor][0] for factor in both}
    alone = {f"{factor}={level}": neither | {factor: level} for factor, level in both.items()}
    places = {"neither": neither, **alone, "both": both}
    means = ", ".join(f"{_mean(factorial, levels)} with {name}" for name, levels in places.items())
    times = interval_text(one.seen) + _decided_by_diverged(one.seen)
    over = factorial.unit == OVER_THE_MEAN
    in_what = "over that of predicting the mean" if over else f"in {factorial.unit}"
    return (
        f"{one.contrast.name}{factorial.at}: RMSE {in_what} is {means}. With both that is {times} times what the two "
        "effects, multiplied, would give."
    )


def _mean(factorial: Factorial, levels: Mapping[str, str]) -> str:
    mean = mean_of(factorial, levels)
    return short(mean) if math.isfinite(mean) else "unknown (diverged)"


def _decided_by_diverged(seen: Difference) -> str:
    """Say at how many seeds a diverged run decides the sign."""
    lost = seen.lost_alone + seen.lost_alone_control
    return f" (diverged runs decide {lost} of {seen.n} seeds)" if lost else ""


def _inverse(ratio: float) -> float:
    return math.inf if ratio == 0 else 1 / ratio


def _inverted(seen: Difference) -> str:
    return f"{short(_inverse(seen.high))}, {short(_inverse(seen.low))}"


def answer_text(one: JudgedContrast) -> str:
    """Return the answer in short: "lower together" for an interaction whose changes strengthen each other."""
    seen = one.seen
    if one.contrast.is_interaction and seen.answer in (Matters.BETTER, Matters.WORSE):
        return "lower together" if seen.answer is Matters.BETTER else "higher together"
    needed = f", about {one.seeds:,} seeds" if one.seeds is not None else ""
    return seen.answer.value + needed


def factorials_of(study: Study) -> list[Factorial]:
    """Return every hypothesis with factors, at each grid point."""
    arms, cells = study.plan.arms, cells_in(study.plan.arms)
    if not cells:
        return []
    labels = study.plan.labels
    runs = seen_in(study, study.rule) if study.rule else {}
    judged = judge_contrasts(arms, runs, study.rule, claims_in(arms, study.rule)) if study.rule else {}
    found = []
    for (hypothesis, control), of in cells.items():
        note = _no_contrasts(study, of)
        contrasts = [] if note else judged[hypothesis, control]
        relative = any(one.relative for one in contrasts)
        found.append(
            Factorial(
                hypothesis=hypothesis,
                control=control,
                at=f" ({labels.get(control, control)})" if len(cells) > 1 else "",
                levels=_levels(study, hypothesis, of),
                contrasts=contrasts,
                note=note,
                cells=_typical(of, runs, relative),
                unit=OVER_THE_MEAN if relative or study.rule is None or study.rule.target is None else unit_of(study),
                relative=relative,
            )
        )
    return found


def _no_contrasts(study: Study, cells: Mapping[Cell, str]) -> str:
    """Return why there are no contrasts; "" if there are."""
    if study.rule is None:
        return "No contrasts: study.yaml has no usable rule."
    if not is_complete(cells):
        return "No contrasts: study.yaml lacks arms of the crossing, or has others: it was edited, or its factors were."
    units = set(study.ended[study.ended["arm"].isin(cells.values())]["unit"].dropna())
    if len(units) > 1:
        return f"No contrasts: the RMSE of its arms are in different units, {' and '.join(sorted(units))}."
    return ""


def _levels(study: Study, hypothesis: str, cells: Mapping[Cell, str]) -> dict[str, list[str]]:
    """Return the levels by factor; the control's level is named as in study.yaml."""
    conf = study.plan.hypotheses.get(hypothesis)
    declared = conf.factors if conf else {}
    levels: dict[str, list[str]] = {}
    for factor, level in dict.fromkeys(change for cell in sorted(cells, key=len, reverse=True) for change in cell):
        first = next(iter(declared.get(factor, {})), "control's")
        levels.setdefault(factor, [first])
        levels[factor].append(level)
    return levels


def _typical(cells: Mapping[Cell, str], runs: Runs, relative: bool) -> dict[Cell, float]:
    members = [runs.get(folder, {}) for folder in cells.values()]
    seeds = set(members[0]).intersection(*members[1:])
    found = {}
    for cell, mine in zip(cells, members, strict=True):
        values = np.array([mine[seed].over_mean if relative else mine[seed].rmse for seed in sorted(seeds)])
        values = values[np.isfinite(values)]
        found[cell] = float(np.exp(np.log(values).mean())) if len(values) else math.nan
    return found


def mean_of(factorial: Factorial, levels: Mapping[str, str]) -> float:
    """Return RMSE at these levels, geometric mean over the other factors; NaN if a cell has none."""
    # A cell does not name the control's levels.
    at = {factor: None if level == factorial.levels[factor][0] else level for factor, level in levels.items()}
    chosen = [
        value
        for cell, value in factorial.cells.items()
        if all(dict(cell).get(factor) == level for factor, level in at.items())
    ]
    return float(np.exp(np.mean(np.log(chosen))))


def contrasts_csv(factorials: Sequence[Factorial]) -> pd.DataFrame:
    """Return contrasts.csv: one row per contrast."""
    return pd.DataFrame([row for one in factorials for row in one.rows])


def contrast_table(factorial: Factorial) -> TerminalTable:
    """Return a table of all contrasts: ratios with their intervals, drawn and in numbers, and the answers."""
    columns = (
        TableColumn("seeds", 4),
        TableColumn("times RMSE"),
        TableColumn(TITLE, 3, right=False),
        TableColumn("answer", right=False),
    )
    pictures = forest_of({one.contrast.name: one.seen for one in factorial.contrasts})
    sections: dict[str, list[TableRow]] = {}
    for one in factorial.contrasts:
        name, told = one.contrast.name, TOGETHER if one.contrast.is_interaction else ALONE
        rows = sections.setdefault(f"{told}; RMSE {ACROSS_ROWS}" if one.relative else told, [])
        rows.append(TableRow(name, (str(one.seen.n), interval_text(one.seen), pictures[name], answer_text(one))))
    return TerminalTable(
        f"Factors of {factorial.hypothesis}{factorial.at}, seed by seed", "contrast", columns,
        [(TableRow(told), *rows) for told, rows in sections.items()],
    )  # fmt: skip
