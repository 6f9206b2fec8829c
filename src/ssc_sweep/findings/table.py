"""The table at the end of a study: one row an arm, and predict-the-mean beside them."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ssc_sweep.findings.collect import Study
from ssc_sweep.findings.comparison import Cell, effects, finite, published, score_table
from ssc_sweep.findings.judging import ArmVerdict, rmse_of, scaled_rmse_of, unit_of
from ssc_sweep.study.hypothesis import Arm
from ssc_sweep.study.job import Status
from ssc_sweep.verdicts.paired import t_interval
from ssc_sweep.verdicts.rule import Rule


@dataclass(frozen=True)
class Paired:
    """Arm minus control over the seeds both have: mean difference and its 95% t interval, in the outcome's unit."""

    n: int
    mean: float
    low: float
    high: float


def paired_difference(arm: pd.Series, control: pd.Series) -> Paired | None:
    """Compare two series of RMSE indexed by seed; None where fewer than two seeds have both."""
    difference = (arm - control).dropna()
    n = len(difference)
    if n < 2:
        return None
    return Paired(n, *t_interval(difference.to_numpy(dtype=float)))


def arm_table(study: Study) -> Table:
    """Build the table. RMSE in the outcome's unit, over the runs that have one."""
    runs, plan = study.runs, study.plan
    table = Table(
        title=f"RMSE in {unit_of(study)}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    table.add_column("arm", overflow="fold", min_width=12)
    for name in ("n", "mean", "sd", "median", "range", "acc.", study.rule.short if study.rule else "works"):
        table.add_column(name, justify="right", no_wrap=True)
    in_pairs = any(arm.control for arm in plan.arms)
    if in_pairs:
        table.add_column("minus control, 95% CI", justify="right", min_width=14)
    shown = None
    for arm in plan.arms:
        if arm.hypothesis != shown:
            conf = plan.hypotheses[arm.hypothesis] if arm.hypothesis else None
            table.add_section()
            if conf is not None:
                table.add_row(f"[bold]{conf.letter} {escape(arm.hypothesis or '')}[/bold]")
            shown = arm.hypothesis
        table.add_row(*_cells(study, arm), *([_difference(study, arm)] if in_pairs else []))
    table.add_section()
    # One number a split: arms share the splits of their seeds.
    baseline = runs.drop_duplicates(["seed", "mean_predictor_rmse"])["mean_predictor_rmse"].dropna()
    floor = study.rule.scaled(baseline, baseline) if study.rule else baseline
    table.add_row("predict the mean", *_numbers(baseline), "", _works(floor, len(baseline), study.rule))
    return table


def _numbers(rmse: pd.Series) -> list[str]:
    """n, mean, sd, median and range as text."""
    n = len(rmse)
    if n == 0:
        return ["0", "-", "-", "-", "-"]
    sd = f"{rmse.std(ddof=1):.1f}" if n > 1 else "-"
    span = f"{rmse.min():.1f}\u2013{rmse.max():.1f}" if n > 1 else "-"
    return [str(n), f"{rmse.mean():.1f}", sd, f"{rmse.median():.1f}", span]


def _works(scaled: pd.Series, runs: int, rule: Rule | None) -> str:
    """How many of the runs work, by their RMSE as the rule wants it; a run without one does not."""
    return f"{int((scaled < rule.threshold).sum())}/{runs}" if rule else "-"


def _cells(study: Study, arm: Arm) -> list[str]:
    runs = study.runs
    mine = runs[runs["arm"] == arm.folder]
    ended = rmse_of(study, arm.folder)
    rmse = ended.dropna()
    accuracy = f"{mine['accuracy'].mean():.3f}" if mine["accuracy"].notna().any() else "-"
    return [
        escape(arm.label),
        *_numbers(rmse),
        accuracy,
        _works(scaled_rmse_of(study, arm.folder), len(ended), study.rule),
    ]


def _difference(study: Study, arm: Arm) -> str:
    """Arm minus control with its interval, as text."""
    if arm.control is None:
        return "-"
    paired = paired_difference(rmse_of(study, arm.folder), rmse_of(study, arm.control))
    return f"{paired.mean:+.1f} [{paired.low:+.1f}, {paired.high:+.1f}]" if paired else "-"


def _endings(runs: pd.DataFrame) -> str:
    """How the runs ended, e.g. "58 finished, 2 diverged (no RMSE, left out of n)"."""
    counts = runs["status"].value_counts()
    parts = [f"{count} {status}" for status, count in counts.items()]
    lost = "" if set(counts.index) <= {Status.FINISHED} else " (runs without an RMSE are left out of n)"
    return f"{len(runs)} runs: {', '.join(parts)}{lost}"


def verdict_lines(verdicts: Sequence[ArmVerdict], unit: str) -> list[str]:
    """One line an arm: its verdict, and how many seeds would decide where these do not."""
    lines = []
    for verdict in verdicts:
        if verdict.judgement is None:
            lines.append(f"{verdict.letter} {verdict.arm.label}: {verdict.note}")
            continue
        told = f"{verdict.judgement.verdict} {verdict.judgement.advice}"
        lines.append(f"{verdict.letter} {verdict.arm.label}: {told}".rstrip())
    if any(verdict.judgement for verdict in verdicts):
        lines.append(
            f"(verdicts: log RMSE in pairs, adjusted for all arms; intervals above: each arm alone, in {unit})"
        )
    return lines


def make_console() -> Console:
    """The terminal; a pipe or a file has no width of its own."""
    console = Console()
    return console if console.is_terminal else Console(width=120)


def print_places(study: Study) -> None:
    """Print where the study and its report lie."""
    console = make_console()
    for line in (f"study folder: {study.folder.path}", f"report: {study.folder.path / 'report.html'}"):
        console.print(line, highlight=False, soft_wrap=True, markup=False)


# What the terminal shows of the scores, a table each; the report has all. Name -> a short title.
OUTCOME = {
    "rmse": "RMSE", "rmse_per_batch": "by batch", "skill": "skill", "nll": "NLL", "coverage_50": "50%",
    "coverage_90": "90%", "effect": "effect", "effect_error": "off by", "seconds": "s",
}  # fmt: skip
TREATMENT = {
    "accuracy": "accuracy", "majority_share": "majority", "auroc": "AUROC", "log_loss": "log loss", "brier": "Brier",
    "test_rmse": "test RMSE",
}  # fmt: skip


def score_tables(study: Study) -> list[Table]:
    """The scores of every arm: of the outcome and of the treatment where there are several models, and the user's."""
    found = score_table(study)
    places = {column.name: i for i, column in enumerate(found.columns)}
    several = len(study.runs["model"].dropna().unique()) > 1
    groups = {"Outcome": OUTCOME, "Treatment": TREATMENT} if several else {}
    own = {name: escape(found.columns[places[name]].title) for name in study.own_scores if name in places}
    if own:
        groups |= {"Scores of your own": own}
    tables = []
    for title, wanted in groups.items():
        shown = {name: short for name, short in wanted.items() if name in places}
        table = Table(
            title=f"{title}: mean over seeds", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0),
            pad_edge=False, show_edge=False,
        )  # fmt: skip
        table.add_column("arm", overflow="fold", min_width=20)
        for short in shown.values():
            table.add_column(short, justify="right", no_wrap=wanted is not own)
        for row in found.rows:
            table.add_row(escape(row.label), *(_score(row.cells[places[name]]) for name in shown))
        tables.append(table)
    return tables


def _score(cell: Cell | None) -> str:
    if cell is None or not finite(cell.mean):
        return "-"
    text = f"{cell.mean:.1f}" if abs(cell.mean) >= 100 else f"{cell.mean:.2f}"
    return f"[bold]{text}[/bold]" if cell.best else text


def effect_table(study: Study) -> Table | None:
    """Every estimate of the treatment's effect; None where there are none."""
    found = effects(study)
    if not found:
        return None
    table = Table(
        title=f"Effect of treatment, {unit_of(study)}", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0),
        pad_edge=False, show_edge=False,
    )  # fmt: skip
    table.add_column("estimator", overflow="fold", min_width=20)
    for name in ("effect", "95% interval", "published"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("note", overflow="fold")
    for one in found:
        interval = f"{one.low:.2f} to {one.high:.2f}" if finite(one.low) else "-"
        table.add_row(
            escape(one.name), f"{one.effect:.2f}" if finite(one.effect) else "-", interval, one.published, one.note
        )
    return table


def published_lines(study: Study) -> list[str]:
    """A line for each published number: what ours is, and why they differ."""
    return [
        f"published {one.value:g}, ours {one.ours:.2f}: {one.title} of {one.arm} ({one.source}). {one.note}".rstrip()
        for one in published(study)
    ]


def print_study(study: Study, verdicts: Sequence[ArmVerdict]) -> None:
    """Print the table, scores and effects where there are any, the verdicts and how the runs ended."""
    console = make_console()
    console.print(arm_table(study))
    for table in (*score_tables(study), effect_table(study)):
        if table is not None:
            console.print(table)
    for line in published_lines(study):
        console.print(escape(line), highlight=False)
    for line in (*verdict_lines(verdicts, unit_of(study)), _endings(study.runs)):
        console.print(escape(line), highlight=False)
