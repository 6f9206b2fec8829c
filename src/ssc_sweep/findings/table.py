"""The table at the end of a study: one row an arm, and predict-the-mean beside them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from scipy import stats

from ssc_sweep.findings.collect import Study


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
    mean = float(difference.mean())
    half = float(stats.t.ppf(0.975, n - 1) * difference.std(ddof=1) / np.sqrt(n))
    return Paired(n, mean, mean - half, mean + half)


def rmse_by_seed(runs: pd.DataFrame, arm: str) -> pd.Series:
    """RMSE of the arm's runs, indexed by seed; NaN where a run diverged or failed."""
    mine = runs[runs["arm"] == arm].set_index("seed")["rmse"]
    return mine.sort_index()


def arm_table(study: Study) -> Table:
    """Build the table. RMSE in the outcome's unit, over the runs that have one."""
    runs, plan = study.runs, study.plan
    units = runs["unit"].dropna().unique()
    unit = units[0] if len(units) == 1 else "mixed units"
    table = Table(title=f"RMSE in {unit}; target {plan.target:g}", title_justify="left")
    columns = ("arm", "n", "mean", "sd", "median", "range", "accuracy", f"< {plan.target:g}", "minus control [95% CI]")
    for name in columns:
        table.add_column(name, justify="left" if name == "arm" else "right", overflow="fold")
    shown = None
    for arm in plan.arms:
        if arm.hypothesis != shown:
            conf = plan.hypotheses[arm.hypothesis] if arm.hypothesis else None
            table.add_section()
            if conf is not None:
                table.add_row(f"[bold]{conf.letter} {arm.hypothesis}[/bold]")
            shown = arm.hypothesis
        table.add_row(*_cells(study, arm.folder, arm.label, arm.control))
    table.add_section()
    baseline = runs["mean_predictor_rmse"].dropna()
    table.add_row("predict the mean", *_numbers(baseline.drop_duplicates()), "-", "-", "-")
    return table


def _numbers(rmse: pd.Series) -> list[str]:
    n = len(rmse)
    if n == 0:
        return ["0", "-", "-", "-", "-"]
    sd = f"{rmse.std(ddof=1):.2f}" if n > 1 else "-"
    return [str(n), f"{rmse.mean():.2f}", sd, f"{rmse.median():.2f}", f"{rmse.min():.2f} - {rmse.max():.2f}"]


def _cells(study: Study, folder: str, label: str, control: str | None) -> list[str]:
    runs = study.runs
    mine = runs[runs["arm"] == folder]
    by_seed = rmse_by_seed(runs, folder)
    rmse = by_seed.dropna()
    numbers = _numbers(rmse)
    lost = len(mine) - len(rmse)
    if lost:
        numbers[0] += f" (+{lost} without RMSE)"
    works = f"{int((rmse < study.plan.target).sum())}/{len(mine)}"
    accuracy = f"{mine['accuracy'].mean():.3f}" if mine["accuracy"].notna().any() else "-"
    paired = paired_difference(by_seed, rmse_by_seed(runs, control)) if control else None
    difference = f"{paired.mean:+.2f} [{paired.low:+.2f}, {paired.high:+.2f}]" if paired else "-"
    return [label, *numbers, accuracy, works, difference]


def print_study(study: Study) -> None:
    """Print the table, what did not finish, and where it all lies."""
    console = Console()
    console.print(arm_table(study))
    counts = study.runs["status"].value_counts()
    console.print(", ".join(f"{count} runs {status}" for status, count in counts.items()), highlight=False)
    console.print(f"study folder: {study.folder.path}", highlight=False, soft_wrap=True)
