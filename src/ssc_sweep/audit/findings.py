"""Turn measurements into findings: thresholds, each stated once with its reason, and sentences."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ssc_sweep.audit.characteristics import RUNS_WITH_ROWS, ColumnAudit, SplitMeasures, measurable, measure
from ssc_sweep.audit.column_measures import FAR
from ssc_sweep.audit.remedies import ABOUT, override
from ssc_sweep.config import RunConfig
from ssc_sweep.data.salvage import Refusal
from ssc_sweep.data.splitting import DataSplit

# A difference between the sides counts only beyond this many standard errors; by chance one in 400 is.
ERRORS = 3.0
FEW_ROWS, MANY_ROWS = 0.01, 0.05  # shares of the validation rows that deserve a warning, and that spoil an RMSE
# Difference of means of a quarter of a standard deviation: the usual limit of balance (Stuart 2010, after Rubin).
OUT_OF_BALANCE = 0.25
STEP = 0.1  # change in a share of gaps, codes or treatments
# The ratio of distances is 1 if the sides are alike; samples of 50 rows do not reach 1.5 by chance.
FARTHER, FEWEST_FAR = 1.5, 50
LEAK_R2, LEAK_AUC = 0.99, 0.95  # no covariate measured beforehand is known to predict so well
# Rows per column: the rule of ten (Harrell), and as many unknowns as a straight line through each column has.
ROWS_PER_COLUMN, TOO_FEW_PER_COLUMN = 10, 2
FEWEST_IN_ARM = 10
APART_AUC, APART_P = 0.7, 0.01
LEAKS = OUTCOME_LEAK, TREATMENT_LEAK = "outcome leak", "treatment leak"  # kinds
MOST_FAR = 8  # columns that are named if all of them contribute


class Severity(StrEnum):
    """Severity of a finding, the worst first."""

    REFUSED = "refused"  # training stops at it
    SEVERE = "severe"  # it spoils a model, or makes its result meaningless
    WARNING = "warning"
    NOTE = "note"


RANK = {severity: rank for rank, severity in enumerate(Severity)}


@dataclass(frozen=True)
class Finding:
    """One thing that may go wrong.

    Attributes:
        kind: key of `remedies.ABOUT`.
        what: a short sentence with its numbers.
        columns: that cause it, the worst first.
        override: that would help; "" if none is known.
    """

    severity: Severity
    kind: str
    what: str
    columns: tuple[str, ...] = ()
    override: str = ""


Found = tuple[Severity, str, str, Sequence[str]]


def findings(
    measured: SplitMeasures, config: RunConfig, faults: Sequence[Refusal] = (), extra: Mapping[str, Any] | None = None
) -> tuple[Finding, ...]:
    """Return the findings, the worst first.

    Args:
        faults: why a run would refuse the data.
        extra: keys of the data set besides its arguments: a clamp is compared with the outcomes.
    """
    beside = extra or {}
    by_name = {column.name: column for column in measured.columns}
    found = [
        Finding(Severity.REFUSED, "refused", fault.line, (fault.column,) if fault.column else ()) for fault in faults
    ]
    for severity, kind, what, names in (
        *_values(measured),
        *_reach(measured),
        *_leaks(measured),
        *_size(measured.characteristics),
        *_shift(measured),
        *_order(measured, config),
        *_clamp(measured.characteristics, beside),
    ):
        helps = override(kind, config, beside, names, by_name)
        found.append(Finding(severity, kind, what, tuple(names), helps))
    return tuple(sorted(found, key=lambda one: RANK[one.severity]))


def leak_lines(config: RunConfig, data: DataSplit) -> list[str]:
    """Return a line for each leak of a split: no verdict of a study would show it."""
    if not measurable(data):
        return []
    found = findings(measure(data, quick=True), config)
    return [_leak_line(one) for one in found if one.kind in LEAKS]


def _leak_line(leak: Finding) -> str:
    more = f" and {len(leak.columns) - MOST_FAR} more" if len(leak.columns) > MOST_FAR else ""
    helps = f" Leave them out: {leak.override}" if leak.override else ""
    return f"audit: {', '.join(leak.columns[:MOST_FAR])}{more} {leak.what}. {ABOUT[leak.kind].why}{helps}"


def _error(a: float, b: float, n: float, m: float) -> float:
    """Return the standard error of the difference of two shares."""
    return math.sqrt(a * (1 - a) / n + b * (1 - b) / m + 0.25 / max(n, m) ** 2)


def _named(columns: Sequence[ColumnAudit]) -> tuple[str, ...]:
    return tuple(column.name for column in columns)


def _percent(share: float) -> str:
    """Format a share: 98%, 0.6%; a positive share is never 0%."""
    return f"{100 * share:.0f}%" if share in (0, 1) or 0.095 <= share < 0.995 else f"{100 * share:.2g}%"


def _values(measured: SplitMeasures) -> Iterator[Found]:
    c, columns = measured.characteristics, measured.columns
    if same := [column for column in columns if math.isnan(column.max_z) and not column.constant]:
        yield Severity.NOTE, "same", "constant in all rows", _named(same)
    if still := [column for column in columns if column.constant]:
        yield Severity.SEVERE, "constant", "constant in training, not in validation", _named(still)
    coded = sorted((column for column in columns if column.code is not None), key=lambda one: -_step(one))
    n, m = c["rows_train"], c["rows_validation"]
    moved = [one for one in coded if _step(one) > STEP + ERRORS * _error(one.code_train, one.code_val, n, m)]
    if moved:
        a, b = moved[0].code_train, moved[0].code_val
        what = f"code for missing? {_percent(a)} -> {_percent(b)} of rows"
        yield Severity.SEVERE, "codes", what, _named(moved)
    if rest := [one for one in coded if one not in moved]:
        yield Severity.NOTE, "codes alike", "code for missing? on both sides", _named(rest)
    unseen = sorted((column for column in columns if column.unseen), key=lambda one: -one.unseen_share)
    lone = min(1.0, sum(column.lone_share for column in columns))
    if unseen and c["unseen_rows"] > FEW_ROWS + lone + ERRORS * _error(lone, c["unseen_rows"], m, m):
        spoils = any(one.unseen_share >= MANY_ROWS and (one.outside >= MANY_ROWS or one.levels) for one in unseen)
        what = f"{_percent(c['unseen_rows'])} of rows: a value new to training"
        yield Severity.SEVERE if spoils else Severity.WARNING, "unseen", what, _named(unseen)
    gaps = [column for column in columns if abs(column.gaps_val - column.gaps_train) > STEP]
    gaps = [
        one for one in gaps if abs(one.gaps_val - one.gaps_train) > ERRORS * _error(one.gaps_train, one.gaps_val, n, m)
    ]
    if gaps:
        worst = max(gaps, key=lambda one: abs(one.gaps_val - one.gaps_train))
        what = f"gaps: {_percent(worst.gaps_train)} -> {_percent(worst.gaps_val)} of rows"
        yield Severity.WARNING, "gaps", what, _named(gaps)


def _step(column: ColumnAudit) -> float:
    return abs(column.code_val - column.code_train)


def _reach(measured: SplitMeasures) -> Iterator[Found]:
    c, columns = measured.characteristics, measured.columns
    n, m = c["rows_train"], c["rows_validation"]
    beyond, before = c["share_beyond_5"], c["share_beyond_5_train"]
    more = beyond - before
    if more > FEW_ROWS + ERRORS * _error(before, beyond, n, m):
        far = sorted((one for one in columns if one.max_z > FAR and one.outside > 0), key=lambda one: -one.max_z)
        severity = Severity.SEVERE if more > MANY_ROWS else Severity.WARNING
        what = f"{_percent(beyond)} of rows beyond {FAR:g} sd (to {c['max_z']:.3g})"
        yield severity, "beyond", what, _named(far)
    # If the sides are alike, a new row is beyond either end of a column with probability 1 / (n + 1).
    chance = min(1.0, 2 * c["columns"] / (n + 1))
    if c["outside_box"] > FEW_ROWS + chance + ERRORS * _error(chance, c["outside_box"], m, m):
        out = sorted((one for one in columns if one.outside > 0), key=lambda one: -one.outside)
        yield Severity.WARNING, "outside", f"{_percent(c['outside_box'])} of rows out of training's range", _named(out)
    noise = ERRORS * math.sqrt(1 / n + 1 / m)
    moved = sorted((one for one in columns if abs(one.smd) > OUT_OF_BALANCE + noise), key=lambda one: -abs(one.smd))
    if moved:
        yield Severity.WARNING, "mean", f"means differ, up to {abs(moved[0].smd):.3g} pooled sd", _named(moved)
    farther = {"centre": c["mahalanobis_ratio"], "neighbour": c["neighbour_ratio"]}
    if min(n, m) >= FEWEST_FAR and any(ratio > FARTHER for ratio in farther.values()):
        what = ", ".join(f"{name} {ratio:.3g}x" for name, ratio in farther.items() if ratio > FARTHER) + " as far"
        yield Severity.WARNING, "far", what, measured.far[:MOST_FAR]
    if c.get("domain_p", 1.0) <= APART_P and c["domain_auc"] > APART_AUC:
        blamed = list(dict.fromkeys([*_named([one for one in columns if one.constant]), *measured.far]))
        yield Severity.NOTE, "domain", f"told from training rows: AUC {c['domain_auc']:.2f}", blamed[:MOST_FAR]


def _leaks(measured: SplitMeasures) -> Iterator[Found]:
    c = measured.characteristics
    if c["outcome_r2"] >= LEAK_R2:
        what = f"tell the outcome: R2 {c['outcome_r2']:.3f}"
        yield Severity.SEVERE, OUTCOME_LEAK, what, measured.outcome_leak
    if c["treatment_auc"] >= LEAK_AUC:
        what = f"tell the treatment: AUC {c['treatment_auc']:.3f}"
        yield Severity.SEVERE, TREATMENT_LEAK, what, measured.treatment_leak


def _size(c: Mapping[str, float]) -> Iterator[Found]:
    rows = c["rows_per_column"]
    if rows < ROWS_PER_COLUMN:
        severity = Severity.SEVERE if rows < TOO_FEW_PER_COLUMN else Severity.WARNING
        yield severity, "rows", f"{rows:.2g} training rows a column", ()
    if c["smallest_arm"] < FEWEST_IN_ARM:
        yield Severity.WARNING, "arm", f"{c['smallest_arm']:.0f} visible training rows in an arm", ()


def _shift(measured: SplitMeasures) -> Iterator[Found]:
    c = measured.characteristics
    n, m = c["rows_train"], c["rows_validation"]
    if c["treatment_shift"] > STEP + ERRORS * _error(0.5, 0.5, n, m):
        what = f"treatments shift by {100 * c['treatment_shift']:.0f} points"
        yield Severity.WARNING, "treatment", what, ()
    if c["outcome_shift"] > OUT_OF_BALANCE + ERRORS * math.sqrt(1 / n + 1 / m):
        yield Severity.WARNING, "outcome", f"mean outcome shifts by {c['outcome_shift']:.3g} sd", ()


def _order(measured: SplitMeasures, config: RunConfig) -> Iterator[Found]:
    c = measured.characteristics
    least = max(RUNS_WITH_ROWS, ERRORS / math.sqrt(c["rows_train"] + c["rows_validation"]))
    runs = sorted((one for one in measured.columns if abs(one.order) > least), key=lambda one: -abs(one.order))
    in_order = config.split.order == "file_order" and config.dataset_size.rows is None
    severity = Severity.WARNING if in_order else Severity.NOTE
    if runs:
        yield severity, "order", f"run with the row number: r {abs(runs[0].order):.2f}", _named(runs)
    for what in ("treatment", "outcome"):
        if c[f"{what}_order"] > least:
            yield severity, "order", f"the {what} runs with the row number: r {c[f'{what}_order']:.2f}", ()


def _clamp(c: Mapping[str, float], extra: Mapping[str, Any]) -> Iterator[Found]:
    clamp = extra.get("clamp")
    if isinstance(clamp, int | float) and c["largest_outcome"] > clamp:
        yield Severity.WARNING, "clamp", f"outcomes up to {c['largest_outcome']:.4g}, clamp at {clamp:g}", ()
