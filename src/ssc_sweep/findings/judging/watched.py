"""The runs that the questions of a study are about, and what they recorded while they trained."""

from dataclasses import dataclass

import pandas as pd

from ssc_sweep.findings.reading.collect import Study
from ssc_sweep.study.job import Status

# Runs with these statuses left a history; nothing is known of the others.
TRAINED = (Status.FINISHED, Status.DIVERGED, Status.PRUNED)


@dataclass(frozen=True)
class Watched:
    """The runs that the first three questions are about.

    Attributes:
        name: "control run", or "run" in a study without controls.
        runs: their rows of `Study.runs`, for those that have trained.
        unknown: how many others failed, are unfinished or were left out.
        history: their rows of `Study.history`.
    """

    name: str
    runs: pd.DataFrame
    unknown: int
    history: pd.DataFrame

    def ends(self, column: str) -> tuple[pd.Series, pd.Series]:
        """Return a column in each run's first and last epoch."""
        return ends(self.history, column)

    def epochs(self, column: str) -> pd.DataFrame:
        """Return a column by run, (arm, seed), and epoch."""
        return epochs(self.history, column)

    def columns(self, ending: str) -> list[str]:
        return [name for name in self.history.columns if name.endswith(ending) and self.history[name].notna().any()]

    def several_epochs(self) -> bool:
        return bool(self.history["epoch"].max() > 1)


def watch(study: Study) -> Watched:
    """Return the controls of a study, or all of its runs if it has none."""
    controls = {arm.control for arm in study.plan.arms if arm.control}
    arms = controls or {arm.folder for arm in study.plan.arms}
    runs, history = (table[table["arm"].isin(arms)] for table in (study.runs, study.history))
    trained = runs[runs["status"].isin(TRAINED)]
    return Watched("control run" if controls else "run", trained, len(runs) - len(trained), history)


def epochs(history: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return a column by run, (arm, seed), and epoch; empty if no run recorded it."""
    if column not in history:
        return pd.DataFrame()
    rows = history[history["kind"] == "epoch"]
    return rows.pivot(index=["arm", "seed"], columns="epoch", values=column).sort_index(axis=1)  # noqa: PD010


def ends(history: pd.DataFrame, column: str) -> tuple[pd.Series, pd.Series]:
    """Return a column in the first and the last epoch of each run that has it in both."""
    if column not in history:
        history = history.iloc[:0].assign(**{column: float("nan")})
    rows = history[history["kind"] == "epoch"].sort_values("epoch")
    runs = rows.groupby(["arm", "seed"])[column]
    both = pd.DataFrame({"first": runs.first(skipna=False), "last": runs.last(skipna=False)}).dropna()
    return both["first"], both["last"]
