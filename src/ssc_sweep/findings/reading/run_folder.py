"""Read and validate a run folder. What is half-written, edited by hand or damaged is Unreadable."""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ssc_sweep.data.cohort import HIDDEN, Floats
from ssc_sweep.findings.reading.run_files import RunYamls, Table, Unreadable, load_yaml, one_line, read_table
from ssc_sweep.probe import Probe, Tells
from ssc_sweep.schema import AnyShare, NotNegative, admits
from ssc_sweep.study.folder import TRIAL, RunFolder
from ssc_sweep.study.job import Status
from ssc_sweep.training.metrics import accuracy, rmse
from ssc_sweep.training.scores import MAY_LACK, NUMBERS, TEXTS
from ssc_sweep.training.scores import NAMES as SCORE_NAMES

UNFINISHED, LEFT_OUT = "unfinished", "left out"
METRICS = (*TEXTS, "val_rows", *SCORE_NAMES, "train_rmse", *NUMBERS, *MAY_LACK[:3], "p_fail", "code")
CODE = r"|([^\s,]+ ([0-9a-f]{8}|unknown)(, (?!$)|$))+"  # as `versions_of` writes it
# Allowed values of numbers that have limits.
POSSIBLE = dict.fromkeys((*NUMBERS, *MAY_LACK, "rmse", "mean_predictor_rmse", "rmse_per_batch", "brier"), NotNegative)
POSSIBLE |= dict.fromkeys(("accuracy", "majority_share", "auroc", "coverage_50", "coverage_90", "p_fail"), AnyShare)


def read_metrics(folder: RunFolder) -> dict[str, Any]:
    """Read metrics.json and check what the findings use.

    Raises:
        Unreadable: it is missing, not JSON, lacks keys, or holds values that no run writes.
    """
    try:
        metrics = folder.read_metrics()
    except (OSError, ValueError, RecursionError) as error:
        raise Unreadable(f"metrics.json cannot be read: {one_line(error)}") from error
    if not isinstance(metrics, dict):
        raise Unreadable("metrics.json holds no mapping")
    lacking = [name for name in (*TEXTS, "rmse", *NUMBERS, "first_bad") if name not in metrics]
    if lacking:
        raise Unreadable(f"metrics.json lacks {', '.join(lacking)}")
    status = metrics["status"]
    if status not in (Status.FINISHED, Status.DIVERGED, Status.PRUNED):
        raise Unreadable(f"metrics.json has status {status!r}: a run with DONE is finished, diverged or pruned")
    if status != Status.FINISHED and metrics["rmse"] is not None:
        raise Unreadable(f"metrics.json has an RMSE of {metrics['rmse']!r} for a run that {status}")
    for name, value in metrics.items():
        needed = name in NUMBERS or (name == "rmse" and status == Status.FINISHED)
        if name not in (*NUMBERS, *MAY_LACK, *SCORE_NAMES) or (value is None and not needed):
            continue
        if not admits(POSSIBLE.get(name, float), value):
            raise Unreadable(f"metrics.json has {name}={value!r}, which is no possible value")
    code = metrics.get("code", "")
    if not (isinstance(code, str) and re.fullmatch(CODE, code)):
        raise Unreadable(f"metrics.json has code={code!r}: names of modules and hashes are expected")
    bad = metrics["first_bad"]
    if bad is not None and not (isinstance(bad, dict) and admits(NotNegative, bad.get("step")) and "tensor" in bad):
        raise Unreadable(f"metrics.json has first_bad={bad!r}: step and tensor are expected, or null")
    if (bad is not None) != (status == Status.DIVERGED):
        raise Unreadable(f"metrics.json has first_bad={bad!r} for a run that {status}")
    if status == Status.PRUNED and not folder.path.parent.name.startswith(TRIAL):
        raise Unreadable("metrics.json has status 'pruned', but only trials of a search are")
    return metrics


@dataclass(frozen=True)
class RunHistory:
    """A history.csv: the kind of each row, and the other columns as numbers, shape (rows,) each."""

    kinds: tuple[str, ...]
    columns: Mapping[str, Floats]


def _history_columns(table: Table) -> dict[str, Floats]:
    """Return every column except kind.

    Raises:
        Unreadable: a column is missing, duplicate, or holds text.
    """
    if not {"kind", "epoch", "step"} <= set(table.names):
        raise Unreadable("history.csv lacks kind, epoch or step: it is of another version")
    columns = {}
    for place, name in enumerate(table.names):
        if name in columns:
            raise Unreadable(f"history.csv has the column {name} twice")
        if name == "kind":
            continue
        try:
            columns[name] = table.numbers(place)
        except ValueError as error:
            raise Unreadable(f"history.csv holds text in {name}") from error
    return columns


def read_history(folder: RunFolder, metrics: Mapping[str, Any]) -> RunHistory:
    """Read history.csv.

    Raises:
        Unreadable: it is missing, cut off, or holds text where numbers belong.
    """
    found = read_columns(folder)
    kinds, columns = found.kinds, found.columns
    for name in ("epoch", "step"):
        if not (np.isfinite(columns[name]) & (columns[name] == np.rint(columns[name]))).all():
            raise Unreadable("history.csv has rows without an epoch or a step")
    for kind in ("step", "epoch"):
        counted = columns[kind][[one == kind for one in kinds]]
        if not np.array_equal(counted, np.arange(1, len(counted) + 1)):
            raise Unreadable(f"history.csv has rows missing, or twice: its {kind}s are not 1, 2, 3 ...")
    last = int(columns["step"].max(initial=0))
    status, bad = metrics["status"], metrics["first_bad"]
    if status == Status.FINISHED and last != metrics["steps"]:
        raise Unreadable(f"history.csv is cut off: it ends at step {last} of {metrics['steps']:g}")
    if status == Status.DIVERGED and last != bad["step"] - (bad["tensor"] != "prediction"):
        raise Unreadable(f"history.csv ends at step {last}, but metrics.json has its first NaN or Inf at {bad['step']}")
    if status == Status.FINISHED and "val_rmse" in columns:
        said = float(columns["val_rmse"][-1])
        # Single precision rounds outcomes, so an RMSE near 0 is rounding error.
        if not abs(said - metrics["rmse"]) <= 1e-4 * metrics["rmse"] + 1e-6 * metrics.get("mean_predictor_rmse", 0.0):
            raise Unreadable(f"metrics.json has rmse={metrics['rmse']:.6g}, but history.csv ends with {said:.6g}")
    return found


def read_columns(folder: RunFolder) -> RunHistory:
    """Read history.csv, whether or not its run came to an end.

    Raises:
        Unreadable: it is missing, or holds text where numbers belong.
    """
    table = read_table(folder.history, folder.read)
    columns = _history_columns(table)
    # Interned: the same few words are in every row of every run.
    return RunHistory(tuple(sys.intern(kind) for kind in table.cells[table.names.index("kind")]), columns)


def check_predictions(folder: RunFolder, metrics: Mapping[str, Any]) -> None:
    """Recompute RMSE and accuracy of a finished run from predictions.csv.

    Raises:
        Unreadable: the file is missing, cut off or of another version, or disagrees with metrics.json.
    """
    table = read_table(folder.predictions, folder.read)
    if metrics["status"] != Status.FINISHED:
        return
    # By position, as an outcome may have any name.
    names = list(table.names)
    n_chances = next((k for k, name in enumerate(names[2:]) if name != f"p(t={k})"), len(names) - 2)
    first = 2 + n_chances
    true, predicted = names[first::2], names[first + 1 :: 2]
    if names[:2] != ["row", "t"] or not n_chances or not true or predicted != [f"{name}_predicted" for name in true]:
        raise Unreadable("predictions.csv lacks t, p(t=...), an outcome or its prediction: it is of another version")
    if table.rows != metrics["rows_val"]:
        raise Unreadable(f"predictions.csv is cut off: it has {table.rows} rows of {metrics['rows_val']:g}")
    try:
        cells = np.stack([table.numbers(place) for place in range(1, len(names))], axis=1)
    except ValueError as error:
        raise Unreadable("predictions.csv holds cells that are no numbers") from error
    if np.isnan(cells).any() or (cells[:, 0] != np.rint(cells[:, 0])).any():
        raise Unreadable("predictions.csv holds cells that are no numbers")
    known = cells[cells[:, 0] != HIDDEN]
    t, chances, y, prediction = known[:, 0], known[:, 1 : first - 1], known[:, first - 1 :: 2], known[:, first::2]
    again = {
        "rmse": rmse(y, prediction),
        "accuracy": accuracy(t.astype(np.int64), chances),
    }
    # The table has seven digits; a row with almost equal probabilities may change class.
    allowed = {"rmse": 1e-4 * again["rmse"] + 1e-6 * float(abs(y).max()), "accuracy": 1.5 / len(t)}
    for name, value in again.items():
        if metrics.get(name) is not None and abs(metrics[name] - value) > allowed[name]:
            raise Unreadable(f"metrics.json has {name}={metrics[name]:.6g}, but predictions.csv gives {value:.6g}")


@dataclass(frozen=True)
class Run:
    """A valid run.

    Attributes:
        cells: of its row in summary.csv.
        config: without its seed, as text.
        probes: what its model recorded, as declared.
        own_scores: the user's own scores: name -> (title, unit).
        dataset: name of its data set: the module that loads it.
    """

    cells: dict[str, object]
    history: RunHistory
    config: str
    probes: tuple[Probe, ...]
    own_scores: dict[str, tuple[str, str]]
    dataset: str


def _dataset_of(node: object) -> str:
    """Return for example nhefs for ssc_sweep.data.nhefs.load; "" for a node without a target."""
    target = node.get("_target_") if isinstance(node, dict) else None
    return str(target or "").rpartition(".")[0].rpartition(".")[2]


def read_run(folder: RunFolder, expected_seed: int, yamls: RunYamls) -> Run:
    """Read and validate a folder with DONE.

    Raises:
        Unreadable: the folder is invalid.
    """
    if folder.has(folder.failed):
        raise Unreadable("both DONE and FAILED are there")
    config = yamls.config(folder)
    if not config.is_config:
        raise Unreadable("config.yaml is no config: it holds no seed")
    if config.seed != expected_seed:
        raise Unreadable(f"config.yaml is of seed {config.seed}, not of {folder.path.name}: was the folder copied?")
    metrics = read_metrics(folder)
    history = read_history(folder, metrics)
    learnt = metrics["status"] == Status.FINISHED and metrics["steps"] > 0
    if learnt and config.get("epochs") != history.columns["epoch"].max():
        ended = f"history.csv ends in epoch {history.columns['epoch'].max():.0f}"
        raise Unreadable(f"config.yaml has epochs={config.get('epochs')}, but {ended}")
    check_predictions(folder, metrics)
    own = {
        one["name"]: (one["title"], one["unit"]) for one in _declared(metrics, "own_scores", ("name", "title", "unit"))
    }
    tested = [name for name in metrics if name.startswith("test_")]
    cells = {name: metrics.get(name) for name in (*METRICS, *own, *tested)}
    if metrics["first_bad"]:
        cells |= {f"first_bad_{name}": metrics["first_bad"][name] for name in ("step", "tensor")}
    probes = tuple(
        Probe(one["name"], one["title"], one["unit"], Tells(one["tells"]))
        for one in _declared(metrics, "probes", ("name", "title", "unit", "tells"))
        if one["tells"] in list(Tells)
    )
    return Run(cells, history, config.without_seed, probes, own, _dataset_of(config.get("dataset")))


def _declared(metrics: Mapping[str, Any], key: str, names: tuple[str, ...]) -> list[dict[str, str]]:
    """Return the declarations under a key of metrics.json; none in a run of an older version.

    Raises:
        Unreadable: they are no declarations.
    """
    found = metrics.get(key, [])
    whole = isinstance(found, list) and all(
        isinstance(one, dict) and all(isinstance(one.get(name), str) for name in names) for one in found
    )
    if not whole:
        raise Unreadable(f"metrics.json has {key} that are no declarations")
    return found


def read_model(folder: RunFolder) -> str | None:
    """Return the model of a run without metrics, from its config.yaml; None if that does not tell."""
    try:
        return str(load_yaml(folder.config, folder.read)["model"]["_target_"]).rpartition(".")[2]
    except (Unreadable, KeyError, TypeError):
        return None
