"""Read a study folder back: one table row a run."""

from dataclasses import dataclass

import pandas as pd

from ssc_sweep.study.folder import RunFolder, StudyFolder, read_yaml, write_file
from ssc_sweep.study.plan import Plan, read_plan

# Columns of summary.csv that come from metrics.json.
METRICS = (
    "status", "rmse", "accuracy", "mean_predictor_rmse", "unit", "rows_train", "rows_val", "covariates", "steps",
    "parameters", "seconds", "stack",
)  # fmt: skip


@dataclass(frozen=True)
class Study:
    """A study as it lies on disk: its plan and one row a run (columns: see `summarise`)."""

    folder: StudyFolder
    plan: Plan
    runs: pd.DataFrame


def _row(folder: RunFolder, study: StudyFolder) -> dict[str, object]:
    arm = folder.path.parent.relative_to(study.path).as_posix()
    row: dict[str, object] = {"arm": arm, "seed": int(folder.path.name.removeprefix("seed="))}
    if folder.done.exists():
        metrics = folder.read_metrics()
        row |= {name: metrics[name] for name in METRICS}
        row["first_bad_step"] = metrics["first_bad"] and metrics["first_bad"]["step"]
        row["first_bad_tensor"] = metrics["first_bad"] and metrics["first_bad"]["tensor"]
    else:
        row["status"] = "failed" if folder.failed.exists() else "unfinished"
    row["overrides"] = " ".join(read_yaml(folder.overrides)) if folder.overrides.exists() else ""
    row["folder"] = folder.path.relative_to(study.path).as_posix()
    return row


def summarise(folder: StudyFolder) -> pd.DataFrame:
    """One row a run: arm, seed, status, its metrics (RMSE in the outcome's unit), overrides and folder.

    A run that diverged, failed or is unfinished has no RMSE: NaN here, an empty cell in summary.csv.
    """
    columns = ["arm", "seed", *METRICS, "first_bad_step", "first_bad_tensor", "overrides", "folder"]
    return pd.DataFrame([_row(run, folder) for run in folder.runs()], columns=columns)


def collect(folder: StudyFolder) -> Study:
    """Read the study and write its summary.csv; everything after this works on what was read back."""
    table = summarise(folder)
    write_file(folder.summary, lambda beside: table.to_csv(beside, index=False))
    return Study(folder, read_plan(folder), pd.read_csv(folder.summary, keep_default_na=True))
