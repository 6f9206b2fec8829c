"""Write run folders, and tables of them; nothing else does."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import save

from ssc_sweep.data.cohort import Cohort, Floats
from ssc_sweep.data.splitting import Rows
from ssc_sweep.study import packed
from ssc_sweep.study.folder import RunFolder, StudyFolder, reading, write_json, write_yaml
from ssc_sweep.study.job import Job, config_text
from ssc_sweep.training.history import Row
from ssc_sweep.writing import settle, write_bytes, write_file, write_text


@dataclass(frozen=True)
class Result:
    """The result of training one run. Arrays: outcome (n, d_y), treatment_log_prob (n, K)."""

    metrics: dict[str, Any]
    history: list[Row]
    val: Rows
    cohort: Cohort
    outcome: Floats
    treatment_log_prob: Floats
    state: dict[str, np.ndarray]


def predictions_table(result: Result) -> pd.DataFrame:
    """Return a line per validation row: place in the cohort, treatment and outcomes, true and predicted, in order."""
    cohort, val = result.cohort, result.val
    columns: dict[str, Any] = {"row": val.row, "t": val.t}
    columns |= {f"p(t={k})": np.exp(result.treatment_log_prob[:, k]) for k in range(len(cohort.treatments))}
    for i, name in enumerate(outcome_columns(cohort.outcomes)):
        columns |= {name: val.y[:, i], f"{name}_predicted": result.outcome[:, i]}
    return pd.DataFrame(columns)


def outcome_columns(outcomes: Sequence[str]) -> list[str]:
    """Return column names of the outcomes in predictions.csv: their names, or y[name] for all if one clashes with ours.

    >>> outcome_columns(["weight"]), outcome_columns(["t", "weight"])
    (['weight'], ['y[t]', 'y[weight]'])
    """
    names = [*outcomes, *(f"{name}_predicted" for name in outcomes)]
    ours = any(name in ("row", "t") or name.startswith("p(t=") for name in outcomes)
    return [f"y[{name}]" for name in outcomes] if ours or len(set(names)) < len(names) else list(outcomes)


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    write_file(path, lambda beside: table.to_csv(beside, index=False, float_format="%.7g"))


def _log_text(result: Result) -> str:
    """Return a line per epoch with the main quantities, then how the run ended; history.csv has the rest."""
    watched = ("epoch", "step", ".loss", ".gradient_norm", "val_rmse", "val_accuracy")
    lines = [
        " ".join(f"{name}={value:.6g}" for name, value in row.items() if name.endswith(watched))
        for row in result.history
        if row["kind"] == "epoch"
    ]
    metrics = result.metrics
    if metrics["unused"]:
        lines.append(f"parameters without a gradient: {', '.join(metrics['unused'])}")
    lines += [f"score {name} could not be computed: {error}" for name, error in metrics["failed_scores"].items()]
    if metrics["unseen_levels"]:
        unseen = ", ".join(f"{name} in {count}" for name, count in metrics["unseen_levels"].items())
        lines.append(f"rows with a level that no training row has: {unseen}")
    if metrics["rows_without_outcome"]:
        lines.append(f"rows of the source without an outcome, left out: {metrics['rows_without_outcome']}")
    shown = {name: value for name, value in metrics.items() if not isinstance(value, list | dict) and value != ""}
    ending = " ".join(f"{name}={value}" for name, value in shown.items())
    return "\n".join([*lines, ending]) + "\n"


def write_start(job: Job) -> None:
    """Write the config and overrides of a run before it is trained.

    Raises:
        CannotWrite: the folder cannot be written.
    """
    write_text(job.folder.config, config_text(job.config))
    write_yaml(job.folder.overrides, list(job.overrides))


def write_run(job: Job, result: Result) -> None:
    """Write a run that ended, also one that diverged; DONE last. Call `write_start` first.

    Raises:
        CannotWrite: the folder cannot be written.
    """
    folder = job.folder
    if not (folder.config.exists() and folder.overrides.exists()):  # the folder was removed meanwhile
        write_start(job)
    _write_history(folder, result.history)
    _write_csv(folder.predictions, predictions_table(result))
    if job.weights:
        write_bytes(folder.model, save(result.state))
    write_json(folder.metrics, result.metrics)
    write_text(folder.log, _log_text(result))
    folder.failed.unlink(missing_ok=True)
    write_text(folder.done, datetime.now().astimezone().isoformat(timespec="seconds") + "\n")


def write_table(study: StudyFolder, runs: Sequence[RunFolder]) -> None:
    """Gather finished runs in one table; their folders go when the runs are released. Hold their locks.

    Runs that lie in a table, have not finished or lack a file are left as they are.

    Raises:
        CannotWrite: the study's folder cannot be written.
        CannotRead: a run cannot be read.
    """
    rows = []
    for run in runs:
        arm, seed = run.path.parent.relative_to(study.path).as_posix(), int(run.path.name.removeprefix("seed="))
        files = [run.path / name for name in packed.FILES]
        # A column of numbers has 64 bits.
        if packed.find(run.path) is None and all(file.exists() for file in files) and seed < 2**63:
            with reading(run.path):
                rows.append((arm, seed, [file.read_bytes() for file in files]))
    if rows:
        write_file(study.tables / f"{uuid.uuid4().hex}.parquet", lambda beside: packed.write(beside, rows))
        settle(study.tables)
        study.look()


def _write_history(folder: RunFolder, rows: Sequence[Row]) -> None:
    _write_csv(folder.history, pd.DataFrame(rows, columns=None if rows else ["kind", "epoch", "step"]))


def write_failure(job: Job, trace: str, history: Sequence[Row] = ()) -> None:
    """Write a run that raised, or whose process died: its config and the reason; no metrics, no DONE.

    Args:
        history: of the steps before the one that raised.

    Raises:
        CannotWrite: the folder cannot be written.
    """
    write_start(job)
    _write_history(job.folder, history)
    write_text(job.folder.log, trace)
    write_text(job.folder.failed, trace)
