"""Compare arms: their scores, their probes, published numbers, and the effect of the treatment.

Everything is shown from declarations in the runs: no model, score or probe is known here by name, except the score
`effect` and the column groups of the terminal.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ssc_sweep.audit.forecast import fails
from ssc_sweep.findings.drawing.views import titled
from ssc_sweep.findings.judging.arm_verdicts import unit_of
from ssc_sweep.findings.judging.watched import ends
from ssc_sweep.findings.reading.collect import Study
from ssc_sweep.study.job import Status
from ssc_sweep.training.scores import SCORES
from ssc_sweep.verdicts.paired import t_interval

# A column of summary.csv that is no declared score but is compared too.
SECONDS = "seconds"


@dataclass(frozen=True)
class ScoreColumn:
    """A score as a table shows it. `better`: "lower", "higher" or None."""

    name: str
    title: str
    better: str | None


@dataclass(frozen=True)
class Cell:
    """Mean and standard deviation over the seeds of an arm; `best`: whether it is the best of its column."""

    mean: float
    sd: float
    best: bool = False


@dataclass(frozen=True)
class ScoreRow:
    """An arm: ended runs, those without an RMSE, and a cell per column (None if the arm has no such number)."""

    label: str
    runs: int
    lost: int
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class ScoreTable:
    columns: tuple[ScoreColumn, ...]
    rows: tuple[ScoreRow, ...]


def with_unit(title: str, unit: str, study: Study) -> str:
    """Return a title with its unit; "y" stands for the outcome's unit."""
    shown = unit_of(study) if unit == "y" else unit
    return f"{title}, {shown}" if shown else title


def score_columns(study: Study) -> list[ScoreColumn]:
    """Return the scores that any run of the study has: ours, the user's own, those of test rows, and seconds."""
    columns = [ScoreColumn(s.name, with_unit(s.title, s.unit, study), s.better) for s in SCORES]
    own = study.own_scores.items()
    columns += [ScoreColumn(name, with_unit(title, unit, study), None) for name, (title, unit) in own]
    columns += [ScoreColumn(f"test_{c.name}", f"test rows: {c.title}", c.better) for c in columns]
    columns.append(ScoreColumn(SECONDS, "seconds a run", "lower"))
    return [c for c in columns if c.name in study.runs and study.runs[c.name].notna().any()]


def score_table(study: Study) -> ScoreTable:
    """Return every arm with every score."""
    columns = score_columns(study)
    rows = []
    for folder, label in arms_of(study):
        mine = study.ended[study.ended["arm"] == folder]
        values = [mine[column.name].dropna().astype(float) for column in columns]
        cells = [Cell(v.mean(), v.std(ddof=1) if len(v) > 1 else math.nan) if len(v) else None for v in values]
        rows.append(ScoreRow(label, len(mine), int(mine["rmse"].isna().sum()), tuple(cells)))
    return ScoreTable(tuple(columns), tuple(_with_best(columns, rows)))


def arms_of(study: Study) -> list[tuple[str, str]]:
    """Return folder and label of every arm that has runs, each folder once."""
    there = set(study.runs["arm"])
    return [
        (arm.folder, arm.label)
        for arm in {a.folder: a for a in reversed(study.plan.arms)}.values()
        if arm.folder in there
    ][::-1]


def _with_best(columns: Sequence[ScoreColumn], rows: Sequence[ScoreRow]) -> list[ScoreRow]:
    best: dict[int, float] = {}
    for i, column in enumerate(columns):
        means = [row.cells[i].mean for row in rows if row.cells[i] is not None]  # type: ignore[union-attr]
        if column.better and len(means) > 1:
            best[i] = min(means) if column.better == "lower" else max(means)
    marked = []
    for row in rows:
        cells = tuple(
            Cell(cell.mean, cell.sd, best=cell.mean == best.get(i)) if cell else None
            for i, cell in enumerate(row.cells)
        )
        marked.append(ScoreRow(row.label, row.runs, row.lost, cells))
    return marked


@dataclass(frozen=True)
class ProbeRow:
    """A probe, and for each arm its median over runs in the first and the last epoch; NaN if it has none.

    A model that was solved has no epochs: its only number is the last, and the first is NaN.
    """

    title: str
    cells: tuple[tuple[float, float], ...]


def probe_table(study: Study) -> tuple[list[str], list[ProbeRow]]:
    """Return (labels of the arms, rows): a row for every declared probe that was recorded."""
    arms, rows = arms_of(study), []
    solved = study.history[study.history["kind"] == "solved"]
    for probe in study.probes.values():
        first, last = (values.groupby("arm").median() for values in ends(study.history, probe.name))
        once = solved.groupby("arm")[probe.name].median().dropna() if probe.name in solved else first.iloc[:0]
        if last.empty and once.empty:
            continue
        by_arm = (first, last.combine_first(once))
        cells = tuple(tuple(float(m.get(folder, math.nan)) for m in by_arm) for folder, _ in arms)
        rows.append(ProbeRow(titled(probe), cells))  # type: ignore[arg-type]
    return [label for _, label in arms], rows


@dataclass(frozen=True)
class Published:
    """A published number beside ours: mean over the arm's seeds, NaN if the arm has no such number."""

    arm: str
    title: str
    value: float
    low: float | None
    high: float | None
    ours: float
    source: str
    note: str


def published(study: Study) -> list[Published]:
    """Return the hypotheses' references that belong to an arm of the study and to that arm's data set."""
    titles = {score.name: with_unit(score.title, score.unit, study) for score in SCORES}
    folders = {label: folder for folder, label in arms_of(study)}
    found = []
    for conf in study.plan.hypotheses.values():
        for ref in conf.references:
            if ref.arm not in folders or ref.score not in study.runs:
                continue
            if ref.dataset not in (None, study.datasets.get(folders[ref.arm])):
                continue
            ours = study.ended.loc[study.ended["arm"] == folders[ref.arm], ref.score].astype(float).mean()
            title = titles.get(ref.score, ref.score)
            found.append(Published(ref.arm, title, ref.value, ref.low, ref.high, float(ours), ref.source, ref.note))
    return found


@dataclass(frozen=True)
class Foretold:
    """The forecast of an arm before it trained, and the result.

    Attributes:
        p_fail: mean over its runs of the forecast probability of failure.
        failed, runs: how many failed, and how many ended.
    """

    label: str
    p_fail: float
    failed: int
    runs: int


def foretold(study: Study) -> list[Foretold]:
    """Return an entry for each arm that has a forecast."""
    found = []
    for folder, label in arms_of(study):
        runs = study.ended[study.ended["arm"] == folder].dropna(subset=["p_fail"])
        if len(runs):
            finite = runs["rmse"].astype(float).where(runs["status"] == Status.FINISHED.value)
            failed = sum(
                fails(None if math.isnan(r) else r, m) for r, m in zip(finite, runs["mean_predictor_rmse"], strict=True)
            )
            found.append(Foretold(label, float(runs["p_fail"].astype(float).mean()), failed, len(runs)))
    return found


@dataclass(frozen=True)
class Effect:
    """An estimate of the treatment's effect with its 95% interval, in the outcome's unit.

    Attributes:
        name: the estimator, or the label of an arm.
        of_model: whether the interval is over the seeds of a model, without the sampling error of the rows.
        published: the published value and interval, as text; "" if there is none.
        note: a caveat.
    """

    name: str
    effect: float
    low: float
    high: float
    of_model: bool
    published: str = ""
    note: str = ""


DOUBLY_ROBUST = "AIPW"


def effects(study: Study) -> list[Effect]:
    """Return classical estimates from effects.csv, then every arm; empty if the study has no estimates.

    An arm is called off if its interval over seeds does not overlap that of the doubly robust estimator.
    """
    path = study.folder.effects
    if not path.is_file():
        return []
    table = pd.read_csv(path)
    several = len(table[["treatment", "outcome"]].drop_duplicates()) > 1
    datasets = set(study.datasets.values())
    references = {
        ref.arm: ref
        for conf in study.plan.hypotheses.values()
        for ref in conf.references
        if ref.score == "effect" and (ref.dataset is None or datasets == {ref.dataset})
    }
    found = []
    for row in table.to_dict("records"):
        name = str(row["estimator"])
        ref = None if several else references.get(name)
        text = (
            "" if ref is None else f"{ref.value:g}" + (f" ({ref.low:g}, {ref.high:g})" if ref.low is not None else "")
        )
        note = "" if ref is None else f"{row['effect'] - ref.value:+.2f} from the published value ({ref.source})"
        shown = f"{name}, {row['treatment']}, {row['outcome']}" if several else name
        found.append(Effect(shown, row["effect"], row["low"], row["high"], of_model=False, published=text, note=note))
    robust = None if several else next((one for one in found if one.name == DOUBLY_ROBUST), None)
    if "effect" in study.runs:
        found += [_of_arm(study, folder, label, robust) for folder, label in arms_of(study)]
    return found


def _of_arm(study: Study, folder: str, label: str, robust: Effect | None) -> Effect:
    runs = study.ended[study.ended["arm"] == folder]
    values = runs["effect"].dropna().to_numpy(dtype=float)
    model = next(iter(runs["model"].dropna().unique()), "")
    name = f"{label} ({model})" if model and model not in label else label
    if not len(values):
        return Effect(name, math.nan, math.nan, math.nan, of_model=True, note="does not use the treatment")
    mean, low, high = t_interval(values) if len(values) > 1 else (float(values[0]), -math.inf, math.inf)
    note = ""
    if robust is not None and (high < robust.low or low > robust.high):
        note = f"off: outside the 95% interval of {robust.name}"
    elif robust is not None and not robust.low <= mean <= robust.high:
        note = f"its mean is outside the 95% interval of {robust.name}, its interval is not"
    return Effect(name, mean, low, high, of_model=True, note=note)


def finite(value: float | None) -> bool:
    return value is not None and bool(np.isfinite(value))
