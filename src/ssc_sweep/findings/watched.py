"""The runs that the questions of a study are asked of, and what they recorded at the two ends of their training."""

from dataclasses import dataclass

import pandas as pd

from ssc_sweep.findings.collect import Study


@dataclass(frozen=True)
class Watched:
    """The runs that the first three questions are about.

    Attributes:
        name: what they are called: "control run", or "run" in a study without controls.
        runs: their rows of `Study.runs`.
        history: their rows of `Study.history`.
    """

    name: str
    runs: pd.DataFrame
    history: pd.DataFrame

    def ends(self, column: str) -> tuple[pd.Series, pd.Series]:
        """A column in each run's first and last epoch: one value a run; none where nobody recorded it."""
        return ends(self.history, column)

    def columns(self, ending: str) -> list[str]:
        return [name for name in self.history.columns if name.endswith(ending)]

    def several_epochs(self) -> bool:
        return bool(self.history["epoch"].max() > 1)


def watch(study: Study) -> Watched:
    """The controls of a study, or all of its runs where it has none."""
    controls = {arm.control for arm in study.plan.arms if arm.control}
    arms = controls or {arm.folder for arm in study.plan.arms}
    runs, history = (table[table["arm"].isin(arms)] for table in (study.runs, study.history))
    return Watched("control run" if controls else "run", runs, history)


def ends(history: pd.DataFrame, column: str) -> tuple[pd.Series, pd.Series]:
    """A column in the first and last epoch of each run: one value a run; none where nobody recorded it."""
    if column not in history:
        return pd.Series(dtype=float), pd.Series(dtype=float)
    epochs = history[history["kind"] == "epoch"].sort_values("epoch")
    runs = epochs.groupby(["arm", "seed"])[column]
    return runs.first().dropna(), runs.last().dropna()
