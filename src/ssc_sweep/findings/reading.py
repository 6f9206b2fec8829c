"""Read one run's folder and believe nothing: half-written, edited by hand or of another version is Unreadable."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from ssc_sweep.bounds import ABOVE_ZERO, ANY_NUMBER, ANY_SHARE, NOT_NEGATIVE
from ssc_sweep.config import without_seed
from ssc_sweep.study.folder import TRIAL, RunFolder
from ssc_sweep.study.job import Status
from ssc_sweep.training.metrics import accuracy, rmse

UNFINISHED, LEFT_OUT = "unfinished", "left out"
# Columns of summary.csv that come from metrics.json.
METRICS = (
    "status", "model", "rmse", "accuracy", "nll", "train_rmse", "mean_predictor_rmse", "unit", "rows_train", "rows_val",
    "covariates", "batch", "steps", "parameters", "seconds", "stack",
)  # fmt: skip
TEXTS = ("status", "model", "unit")
# What a finished run may have none of, and what the others may be where it is not any number >= 0.
MAY_LACK = ("accuracy", "nll", "train_rmse")
POSSIBLE = {"rmse": ABOVE_ZERO, "accuracy": ANY_SHARE, "nll": ANY_NUMBER}

# libyaml's: ten times faster, same result.
_LOADER: Any = yaml.CSafeLoader


class Unreadable(Exception):
    """A run's folder cannot be believed; the message says what is wrong with which file."""


def load_yaml(path: Path) -> Any:
    """Read YAML.

    Raises:
        Unreadable: there is no such file, or it is not YAML.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
    # PyYAML lets a date that does not exist through as a ValueError.
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise Unreadable(f"{path.name} cannot be read: {one_line(error)}") from error


def one_line(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return " ".join(str(error).split())[:200]


def read_metrics(folder: RunFolder) -> dict[str, Any]:
    """Read metrics.json and check what the findings rest on.

    Raises:
        Unreadable: it is missing, not JSON, lacks keys, or holds something that no run writes.
    """
    try:
        metrics = folder.read_metrics()
    except (OSError, ValueError, RecursionError) as error:
        raise Unreadable(f"metrics.json cannot be read: {one_line(error)}") from error
    if not isinstance(metrics, dict):
        raise Unreadable("metrics.json holds no mapping")
    lacking = [name for name in (*METRICS, "first_bad") if name not in metrics]
    if lacking:
        raise Unreadable(f"metrics.json lacks {', '.join(lacking)}")
    status = metrics["status"]
    if status not in (Status.FINISHED, Status.DIVERGED, Status.PRUNED):
        raise Unreadable(f"metrics.json has status {status!r}: a run with DONE is finished, diverged or pruned")
    if status != Status.FINISHED and metrics["rmse"] is not None:
        raise Unreadable(f"metrics.json has an RMSE of {metrics['rmse']!r} for a run that {status}")
    for name in METRICS:
        value = metrics[name]
        if name in TEXTS or (value is None and (status != Status.FINISHED or name in MAY_LACK)):
            continue
        if not POSSIBLE.get(name, NOT_NEGATIVE).admits(value):
            raise Unreadable(f"metrics.json has {name}={value!r}, which is no possible value")
    bad = metrics["first_bad"]
    if bad is not None and not (isinstance(bad, dict) and NOT_NEGATIVE.admits(bad.get("step")) and "tensor" in bad):
        raise Unreadable(f"metrics.json has first_bad={bad!r}: step and tensor are expected, or null")
    if (bad is not None) != (status == Status.DIVERGED):
        raise Unreadable(f"metrics.json has first_bad={bad!r} for a run that {status}")
    if status == Status.PRUNED and not folder.path.parent.name.startswith(TRIAL):
        raise Unreadable("metrics.json has status 'pruned', but only trials of a search are")
    return metrics


def _read_table(path: Path) -> pd.DataFrame:
    """Read a CSV file whose every line is whole.

    Raises:
        Unreadable: it is missing, empty or cut off.
    """
    try:
        text = path.read_text(encoding="utf-8")
        lines = list(csv.reader(io.StringIO(text)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Unreadable(f"{path.name} cannot be read: {one_line(error)}") from error
    if not text.strip() or not text.endswith("\n") or any(len(line) != len(lines[0]) for line in lines):
        raise Unreadable(f"{path.name} is cut off: {'its last line is not whole' if text.strip() else 'it is empty'}")
    return pd.read_csv(io.StringIO(text))


def read_history(folder: RunFolder, metrics: Mapping[str, Any]) -> pd.DataFrame:
    """Read history.csv.

    Raises:
        Unreadable: it is missing, cut off, or holds text where numbers belong.
    """
    history = _read_table(folder.history)
    if not {"kind", "epoch", "step"} <= set(history.columns):
        raise Unreadable("history.csv lacks kind, epoch or step: it is of another version")
    wrong = [name for name in history.columns if name != "kind" and history[name].dtype.kind not in "fi"]
    if wrong and len(history):
        raise Unreadable(f"history.csv holds text in {wrong[0]}")
    if history[["epoch", "step"]].isna().any(axis=None):
        raise Unreadable("history.csv has rows without an epoch or a step")
    for kind in ("step", "epoch"):
        counted = history.loc[history["kind"] == kind, kind].tolist()
        if counted != list(range(1, len(counted) + 1)):
            raise Unreadable(f"history.csv has rows missing, or twice: its {kind}s are not 1, 2, 3 ...")
    last = int(history["step"].max()) if len(history) else 0
    status, bad = metrics["status"], metrics["first_bad"]
    if status == Status.FINISHED and last != metrics["steps"]:
        raise Unreadable(f"history.csv is cut off: it ends at step {last} of {metrics['steps']:g}")
    if status == Status.DIVERGED and last != bad["step"] - (bad["tensor"] != "prediction"):
        raise Unreadable(f"history.csv ends at step {last}, but metrics.json has its first NaN or Inf at {bad['step']}")
    if status == Status.FINISHED and "val_rmse" in history:
        said = float(history["val_rmse"].iloc[-1])
        if not abs(said - metrics["rmse"]) <= 1e-4 * metrics["rmse"]:
            raise Unreadable(f"metrics.json has rmse={metrics['rmse']:.6g}, but history.csv ends with {said:.6g}")
    return history


def check_predictions(folder: RunFolder, metrics: Mapping[str, Any]) -> None:
    """Compute RMSE and accuracy of a finished run again from predictions.csv.

    Raises:
        Unreadable: the file is missing, cut off or of another version, or metrics.json says something else.
    """
    table = _read_table(folder.predictions)
    if metrics["status"] != Status.FINISHED:
        return
    predicted = [name for name in table.columns if name.endswith("_predicted")]
    true = [name.removesuffix("_predicted") for name in predicted]
    chances = [name for name in table.columns if name.startswith("p(t=")]
    if not predicted or not chances or not {*true, "t"} <= set(table.columns):
        raise Unreadable("predictions.csv lacks t, p(t=...), an outcome or its prediction: it is of another version")
    if len(table) != metrics["rows_val"]:
        raise Unreadable(f"predictions.csv is cut off: it has {len(table)} rows of {metrics['rows_val']:g}")
    used = ["t", *true, *predicted, *chances]
    if any(table[name].dtype.kind not in "fi" for name in used) or table[used].isna().any(axis=None):
        raise Unreadable("predictions.csv holds cells that are no numbers")
    y, t = table[true].to_numpy(dtype=float), table["t"].to_numpy()
    again = {
        "rmse": rmse(y, table[predicted].to_numpy(dtype=float)),
        "accuracy": accuracy(t, table[chances].to_numpy(dtype=float)),
    }
    # The table has seven digits; a row whose chances are all but equal may change sides.
    allowed = {"rmse": 1e-4 * again["rmse"] + 1e-6 * float(abs(y).max()), "accuracy": 1.5 / len(t)}
    for name, value in again.items():
        if metrics[name] is not None and abs(metrics[name] - value) > allowed[name]:
            raise Unreadable(f"metrics.json has {name}={metrics[name]:.6g}, but predictions.csv gives {value:.6g}")


def read_run(folder: RunFolder, row: dict[str, object]) -> tuple[pd.DataFrame, str]:
    """Fill the row from a folder with DONE; return its history, and its config without the seed as text.

    Raises:
        Unreadable: the folder cannot be believed.
    """
    if folder.failed.exists():
        raise Unreadable("both DONE and FAILED are there")
    config = load_yaml(folder.config)
    if not isinstance(config, dict) or "seed" not in config:
        raise Unreadable("config.yaml is no config: it holds no seed")
    seed = config["seed"]
    if seed != row["seed"]:
        raise Unreadable(f"config.yaml is of seed {seed}, not of {folder.path.name}: was the folder copied?")
    metrics = read_metrics(folder)
    history = read_history(folder, metrics)
    if metrics["status"] == Status.FINISHED and config.get("epochs") != history["epoch"].max():
        raise Unreadable(
            f"config.yaml has epochs={config.get('epochs')}, but history.csv ends in epoch {history['epoch'].max()}"
        )
    check_predictions(folder, metrics)
    config = json.dumps(without_seed(config), sort_keys=True, default=str)
    row |= {name: metrics[name] for name in METRICS}
    if metrics["first_bad"]:
        row |= {f"first_bad_{name}": metrics["first_bad"][name] for name in ("step", "tensor")}
    return history, config


def read_model(folder: RunFolder) -> str | None:
    """The model of a run that left no metrics, by its config.yaml; None where that does not tell."""
    try:
        return str(load_yaml(folder.config)["model"]["_target_"]).rpartition(".")[2]
    except (Unreadable, KeyError, TypeError):
        return None


def read_overrides(folder: RunFolder) -> str:
    try:
        overrides = load_yaml(folder.overrides) if folder.overrides.exists() else []
    except Unreadable:
        return ""
    return " ".join(str(text) for text in overrides) if isinstance(overrides, list) else ""
