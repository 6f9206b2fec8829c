"""The table at the end of a study: one row per arm, and one for predicting the mean."""

from collections.abc import Sequence
from itertools import groupby

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from ssc_sweep.findings.judging.answer import (
    headline,
    on_causes,
    on_hypotheses,
    score_lines,
    score_of,
)
from ssc_sweep.findings.judging.arm_verdicts import ArmVerdict, rmse_of, scaled_rmse_of, unit_of
from ssc_sweep.findings.judging.comparison import Cell, effects, finite, published, score_table
from ssc_sweep.findings.judging.factors import contrast_table, factorials_of
from ssc_sweep.findings.judging.remarks import remarks
from ssc_sweep.findings.reading.collect import Study
from ssc_sweep.lines import counted
from ssc_sweep.study.hypothesis import Arm
from ssc_sweep.study.job import Status
from ssc_sweep.study.judged import comparison
from ssc_sweep.terminal_table import TableColumn, TableRow, TerminalTable
from ssc_sweep.verdicts.evidence import Share
from ssc_sweep.verdicts.rule import Rule
from ssc_sweep.verdicts.scoring import Naming, NamingScore
from ssc_sweep.verdicts.shown import TITLE, forest, ratio_text, share_text

MOST_POINTS = 10  # with more planted faults the terminal shows only the score; the report has every arm


# Columns of the table, by how much a reader needs them: what a narrow terminal leaves out first comes last.
NEEDS = ("works", "times control", "mean", TITLE, "n", "acc.", "median", "sd", "range")


def arm_table(study: Study, verdicts: Sequence[ArmVerdict]) -> TerminalTable:
    """Build the table. RMSE in the outcome's unit, over the runs that have one; ratios and answers as judged."""
    runs, plan = study.runs, study.plan
    judged = {(v.arm.folder, v.arm.control): v.judgement for v in verdicts}
    controls = {v.arm.control: v.judgement.control for v in verdicts if v.judgement}
    in_pairs = any(arm.control for arm in plan.arms)
    names = ("n", "mean", "sd", "median", *(() if in_pairs else ("range",)), "acc.")
    rank = {name: max(0, place - 1) for place, name in enumerate(NEEDS)}
    columns = [TableColumn(name, rank[name]) for name in names]
    columns.append(TableColumn(study.rule.short if study.rule else "works"))
    if in_pairs:
        columns += [TableColumn("times control"), TableColumn(TITLE, rank[TITLE], right=False)]
    pictures = forest({comparison(v.arm): v.judgement for v in verdicts})
    sections = []
    for hypothesis, arms in groupby(plan.arms, lambda arm: arm.hypothesis):
        conf = plan.hypotheses[hypothesis] if hypothesis else None
        rows = [] if conf is None else [TableRow(f"{conf.letter} {hypothesis}")]
        for arm in arms:
            judgement = judged.get((arm.folder, arm.control))
            against = [ratio_text(judgement), pictures[comparison(arm)]] if judgement else ["-", ""]
            share = judgement.works if judgement else controls.get(arm.folder)
            rows.append(TableRow(arm.label, [*_cells(study, arm, share, in_pairs), *(against if in_pairs else [])]))
        sections.append(rows)
    # One number per split: arms share the splits of their seeds.
    baseline = runs.drop_duplicates(["seed", "mean_predictor_rmse"])["mean_predictor_rmse"].dropna()
    floor = study.rule.scaled(baseline, baseline) if study.rule else baseline
    cells = [*_numbers(baseline, in_pairs), "", _works(floor, len(baseline), study.rule)]
    sections.append([TableRow("predict the mean", [*cells, *(["", ""] if in_pairs else [])])])
    paired = ", and times that of the control, seed by seed" if in_pairs else ""
    return TerminalTable(f"RMSE in {unit_of(study)}{paired}", "arm", columns, sections)


def _numbers(rmse: pd.Series, in_pairs: bool) -> list[str]:
    """Return n, mean, sd, median and, unless pairs are compared, range as text."""
    n = len(rmse)
    if n == 0:
        return ["0", "-", "-", "-", *([] if in_pairs else ["-"])]
    sd = f"{rmse.std(ddof=1):.1f}" if n > 1 else "-"
    span = f"{rmse.min():.1f}\u2013{rmse.max():.1f}" if n > 1 else "-"
    return [str(n), f"{rmse.mean():.1f}", sd, f"{rmse.median():.1f}", *([] if in_pairs else [span])]


def _works(scaled: pd.Series, runs: int, rule: Rule | None) -> str:
    """Return how many runs work, by RMSE scaled as the rule asks; a run without RMSE does not."""
    return f"{int((scaled < rule.threshold).sum())}/{runs}" if rule else "-"


def _cells(study: Study, arm: Arm, share: Share | None, in_pairs: bool) -> list[str]:
    runs = study.runs
    mine = runs[runs["arm"] == arm.folder]
    rmse = rmse_of(study, arm.folder).dropna()
    accuracy = f"{mine['accuracy'].mean():.3f}" if mine["accuracy"].notna().any() else "-"
    scaled = scaled_rmse_of(study, arm.folder)
    works = share_text(share) if share else _works(scaled, len(scaled), study.rule)
    return [*_numbers(rmse, in_pairs), accuracy, works]


def _endings(runs: pd.DataFrame) -> str:
    """Return how the runs ended, e.g. "58 finished, 2 diverged (no RMSE, left out of n)"."""
    counts = runs["status"].value_counts()
    parts = [f"{count} {status}" for status, count in counts.items()]
    lost = "" if set(counts.index) <= {Status.FINISHED} else " (runs without an RMSE are left out of n)"
    return f"{counted(len(runs), 'run')}: {', '.join(parts)}{lost}"


def verdict_lines(study: Study, verdicts: Sequence[ArmVerdict]) -> list[str]:
    """Return a line for each hypothesis, then one for each arm, then what the intervals are."""
    lines = [*on_hypotheses(verdicts), *on_causes(verdicts), *remarks(study, verdicts)]
    for verdict in verdicts:
        advice = verdict.judgement.advice if verdict.judgement else ""
        lines.append(f"{verdict.letter} {verdict.arm.label}: {verdict.sentence} {advice}".strip())
    judged = next((verdict.judgement for verdict in verdicts if verdict.judgement), None)
    if judged is not None and study.rule is not None:
        looks = " however often one looks" if study.rule.sequential else ""
        lines.append(
            f"All intervals of {study.rule.together} hold together with {1 - study.rule.alpha:.0%}{looks}"
            f"{', if nobody looked before seeds were added' if study.added_seeds else ''}. An arm works if more than "
            f"{study.rule.works_share:.0%} of its runs do."
        )
    return lines


def make_console() -> Console:
    """Return a console for the terminal; a pipe or a file has no width of its own."""
    console = Console()
    return console if console.is_terminal else Console(width=120)


def print_places(study: Study, with_report: bool) -> None:
    """Print where the study and its report lie, or how to make one."""
    console, place = make_console(), study.folder.path
    report = f"report: {study.folder.report}" if with_report else f"no report: python -m ssc_sweep.findings {place}"
    for line in (f"study folder: {place}", report):
        console.print(line, highlight=False, soft_wrap=True, markup=False)


# Scores that the terminal shows, a table each; the report has all. Name -> short title.
OUTCOME = {
    "rmse": "RMSE", "rmse_per_batch": "by batch", "skill": "skill", "nll": "NLL", "coverage_50": "50%",
    "coverage_90": "90%", "effect": "effect", "effect_error": "off by", "seconds": "s",
}  # fmt: skip
TREATMENT = {
    "accuracy": "accuracy", "majority_share": "majority", "auroc": "AUROC", "log_loss": "log loss", "brier": "Brier",
    "test_rmse": "test RMSE",
}  # fmt: skip


def score_tables(study: Study) -> list[TerminalTable]:
    """Return tables of every arm's scores: outcome and treatment if there are several models, and the user's own."""
    found = score_table(study)
    places = {column.name: i for i, column in enumerate(found.columns)}
    several = len(study.runs["model"].dropna().unique()) > 1
    groups = {"Outcome": OUTCOME, "Treatment": TREATMENT} if several else {}
    own = {name: found.columns[places[name]].title for name in study.own_scores if name in places}
    if own:
        groups |= {"Scores of your own": own}
    tables = []
    for title, wanted in groups.items():
        shown = {name: short for name, short in wanted.items() if name in places}
        columns = [TableColumn(short, rank) for rank, short in enumerate(shown.values())]
        rows = [TableRow(row.label, [_score(row.cells[places[name]]) for name in shown]) for row in found.rows]
        tables.append(TerminalTable(f"{title}: mean over seeds", "arm", columns, [rows]))
    return tables


def _score(cell: Cell | None) -> Text:
    if cell is None or not finite(cell.mean):
        return Text("-")
    text = f"{cell.mean:.1f}" if abs(cell.mean) >= 100 else f"{cell.mean:.2f}"
    return Text(text, style="bold" if cell.best else "")


def effect_table(study: Study) -> TerminalTable | None:
    """Return a table of all estimates of the treatment's effect; None if there are none."""
    found = effects(study)
    if not found:
        return None
    columns = [
        TableColumn("effect"),
        TableColumn("95% interval"),
        TableColumn("published", 1),
        TableColumn("note", 3, right=False),
    ]
    rows = []
    for one in found:
        interval = f"{one.low:.2f} to {one.high:.2f}" if finite(one.low) else "-"
        effect = f"{one.effect:.2f}" if finite(one.effect) else "-"
        rows.append(TableRow(one.name, [effect, interval, one.published, one.note]))
    return TerminalTable(f"Effect of treatment, {unit_of(study)}", "estimator", columns, [rows])


def published_lines(study: Study) -> list[str]:
    """Return a line for each published number: what ours is, and why they differ."""
    return [
        f"published {one.value:g}, ours {one.ours:.2f}: {one.title} of {one.arm} ({one.source}). {one.note}".rstrip()
        for one in published(study)
    ]


def fault_table(score: NamingScore) -> TerminalTable:
    """Return a table of what the verdicts name for each planted fault, in counts of studies."""
    columns = [TableColumn(naming.value) for naming in Naming]
    rows = [TableRow(name, [str(counts[naming]) for naming in Naming]) for name, counts in score.table]
    return TerminalTable("Planted faults: what the verdicts name, studies", "fault", columns, [rows])


def print_score(score: NamingScore) -> None:
    """Print what the verdicts name for the planted faults, and the studies in which they are wrong."""
    console = make_console()
    console.print(fault_table(score))
    for line in score_lines(score):
        console.print(escape(line), highlight=False)
    console.print(f"[bold]{escape(score.sentence)}[/bold]", highlight=False)


def print_study(study: Study, verdicts: Sequence[ArmVerdict]) -> None:
    """Print the answer, the table, any scores and effects, the verdicts and how the runs ended.

    With planted faults, their score comes last; with many, only the score is printed.
    """
    console = make_console()
    score = score_of(study, verdicts)
    if score is not None and len(score.studies) > MOST_POINTS:
        print_score(score)
        console.print(_endings(study.runs), highlight=False)
        return
    answer = headline(verdicts)
    factorials = factorials_of(study)
    if answer:
        console.print(f"[bold]{escape(answer)}[/bold]", highlight=False)
    for line in (line for factorial in factorials for line in factorial.sentences):
        console.print(escape(line), highlight=False)
    if answer or factorials:
        console.print()
    console.print(arm_table(study, verdicts))
    for factorial in factorials:
        if factorial.contrasts:
            console.print()
            console.print(contrast_table(factorial))
        if factorial.note:
            console.print(escape(f"{factorial.hypothesis}{factorial.at}: {factorial.note}"), highlight=False)
    for table in (*score_tables(study), effect_table(study)):
        if table is not None:
            console.print()
            console.print(table)
    console.print()
    for line in published_lines(study):
        console.print(escape(line), highlight=False)
    for line in (*verdict_lines(study, verdicts), _endings(study.runs)):
        console.print(escape(line), highlight=False)
    if score is not None:
        print_score(score)
