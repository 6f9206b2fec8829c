"""The one writer of run folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

from ssc_sweep.data.cohort import Cohort, Floats
from ssc_sweep.data.splitting import Rows
from ssc_sweep.study.folder import RunFolder, write_file, write_json, write_text, write_yaml
from ssc_sweep.training.history import Row


@dataclass(frozen=True)
class Result:
    """What training one run left behind. Arrays: outcome (n, d_y), treatment_log_prob (n, K)."""

    metrics: dict[str, Any]
    history: list[Row]
    val: Rows
    cohort: Cohort
    outcome: Floats
    treatment_log_prob: Floats
    state: dict[str, np.ndarray]


def predictions_table(result: Result) -> pd.DataFrame:
    """One line a validation row: its place in the cohort, treatment and outcomes, true and predicted, in this order."""
    cohort, val = result.cohort, result.val
    columns: dict[str, Any] = {"row": val.row, "t": val.t}
    columns |= {f"p(t={k})": np.exp(result.treatment_log_prob[:, k]) for k in range(len(cohort.treatments))}
    for i, name in enumerate(outcome_columns(cohort.outcomes)):
        columns |= {name: val.y[:, i], f"{name}_predicted": result.outcome[:, i]}
    return pd.DataFrame(columns)


def outcome_columns(outcomes: Sequence[str]) -> list[str]:
    """What predictions.csv calls the outcomes: their names, or y[name] for all where one is like a column of ours.

    >>> outcome_columns(["weight"]), outcome_columns(["t", "weight"])
    (['weight'], ['y[t]', 'y[weight]'])
    """
    names = [*outcomes, *(f"{name}_predicted" for name in outcomes)]
    ours = any(name in ("row", "t") or name.startswith("p(t=") for name in outcomes)
    return [f"y[{name}]" for name in outcomes] if ours or len(set(names)) < len(names) else list(outcomes)


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    write_file(path, lambda beside: table.to_csv(beside, index=False, float_format="%.7g"))


def _log_text(result: Result) -> str:
    """A line an epoch with what is watched first, then how it ended; history.csv has the rest."""
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
    ending = " ".join(f"{name}={value}" for name, value in metrics.items() if not isinstance(value, list | dict))
    return "\n".join([*lines, ending]) + "\n"


def write_start(folder: RunFolder, content: dict[str, Any], overrides: Sequence[str]) -> None:
    write_yaml(folder.config, content)
    write_yaml(folder.overrides, list(overrides))


def write_run(folder: RunFolder, content: dict[str, Any], overrides: Sequence[str], result: Result) -> None:
    """Write a run that came to its end, diverged ones included; DONE last.

    Raises:
        UserError: the folder cannot be written.
    """
    write_start(folder, content, overrides)
    _write_csv(
        folder.history,
        pd.DataFrame(result.history or [], columns=None if result.history else ["kind", "epoch", "step"]),
    )
    _write_csv(folder.predictions, predictions_table(result))
    write_file(folder.model, lambda beside: save_file(result.state, beside))
    write_json(folder.metrics, result.metrics)
    write_text(folder.log, _log_text(result))
    folder.failed.unlink(missing_ok=True)
    write_text(folder.done, datetime.now().astimezone().isoformat(timespec="seconds") + "\n")


def write_failure(folder: RunFolder, content: dict[str, Any], overrides: Sequence[str], trace: str) -> None:
    """Write a run that raised: its config and the traceback; no metrics, no DONE."""
    write_start(folder, content, overrides)
    write_text(folder.log, trace)
    write_text(folder.failed, trace)
