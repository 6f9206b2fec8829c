"""Fit the forecast: python -m ssc_sweep.findings.failure_map <study> ... [--write].

Reads every finished run of studies that trained models on many tables (experiment=failure_map), measures the
characteristics of its rows again, and fits for each model how likely it fails. Prints how good that is on tables that
the fit has not seen; --write puts the coefficients into audit/forecast.yaml.

A run fails where its RMSE is above 1.9 times that of predicting the mean, the plan's 15 kg in relative terms, or where
it diverged. The log-odds of failure are a sum of few terms (audit/forecast.py), each of a sign that is fixed in
advance: no term may say that more of something bad makes failure less likely. Ridge penalty on standardised terms; all
tables weigh the same, however many runs they have. Terms are added one at a time as long as the log loss of tables
left out falls.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console
from scipy.optimize import minimize
from scipy.special import expit

from ssc_sweep import stop
from ssc_sweep.audit.arrays import auc
from ssc_sweep.audit.characteristics import characteristics
from ssc_sweep.audit.forecast import COEFFICIENTS, SCALES, fails, model_name
from ssc_sweep.config import RunConfig
from ssc_sweep.data.cohort import Floats
from ssc_sweep.data.source import Data
from ssc_sweep.errors import UserError
from ssc_sweep.findings.reading.run_folder import read_metrics
from ssc_sweep.study.folder import StudyFolder
from ssc_sweep.study.job import Status
from ssc_sweep.terminal_table import TableColumn, TableRow, TerminalTable
from ssc_sweep.writing import write_text

# Possible terms: characteristic -> (scale, value if nothing is wrong, sign of its weight). Left out: domain_auc, which
# shows that a shift exists, not that it hurts, and max_order, which depends by chance on the number of columns.
CANDIDATES = {
    "constant_columns": ("log1p", 0.0, 1),
    "max_z": ("log1p", 5.0, 1),
    "p99_z": ("log1p", 4.0, 1),
    "share_beyond_5": ("identity", 0.01, 1),
    "outside_box": ("identity", 0.01, 1),
    "unseen_rows": ("identity", 0.0, 1),
    "rows_per_column": ("log", 40.0, -1),
    "rows_train": ("log", 500.0, -1),
    "mahalanobis_ratio": ("log1p", 1.0, 1),
    "neighbour_ratio": ("log1p", 1.0, 1),
    "mean_smd": ("log1p", 0.1, 1),
    "max_smd": ("log1p", 0.2, 1),
    "treatment_shift": ("identity", 0.03, 1),
    "outcome_shift": ("log1p", 0.05, 1),
    "outcome_r2": ("identity", 0.2, 1),
    "outcome_offset": ("log1p", 0.5, 1),
    "largest_outcome": ("log1p", 50.0, 1),
}
# Penalties on the squared standardised weights, added to the mean log loss. The first one is used to choose the terms;
# then the best is taken.
RIDGES = (0.01, 0.001, 0.1)
MOST_TERMS = 4
# Tables with the same people are left out together.
SAME_PEOPLE = {"close_college": "card"}
BINS = 10  # of the calibration error
# Columns of the table, and which a narrow terminal leaves out first.
COLUMNS = {"failed": 0, "AUROC": 0, "calibration": 0, "best single (AUROC)": 3, "domain classifier": 4}
FEWEST_TABLES = 3  # a model that fails on fewer gets a constant forecast: too few to learn from and to leave out


@dataclass(frozen=True)
class Map:
    """The runs of one model: characteristics by name (n,), whether each failed (n,), and the table of each (n,)."""

    x: dict[str, Floats]
    failed: np.ndarray
    table: np.ndarray

    def only(self, rows: np.ndarray) -> "Map":
        return Map({name: values[rows] for name, values in self.x.items()}, self.failed[rows], self.table[rows])

    @property
    def weights(self) -> Floats:
        """Return weights of the runs that give every table the same weight; sum 1."""
        _, at, counts = np.unique(self.table, return_inverse=True, return_counts=True)
        weights = 1.0 / counts[at]
        return weights / weights.sum()


@dataclass(frozen=True)
class Fitted:
    """Log-odds of failure: `intercept` if nothing is wrong, and a weight for each named characteristic."""

    intercept: float
    weights: dict[str, float]

    def p_fail(self, of: Map) -> Floats:
        odds = np.full(len(of.failed), self.intercept)
        for name, weight in self.weights.items():
            odds += weight * _part(name, of.x[name])
        return expit(odds)


def _part(name: str, values: Floats) -> Floats:
    """Return what a weight multiplies: the scaled characteristic minus its value if nothing is wrong; 0 if unknown."""
    scale, usual, _ = CANDIDATES[name]
    return np.nan_to_num(SCALES[scale](values) - SCALES[scale](usual), nan=0.0, posinf=0.0, neginf=0.0)


def fit_terms(runs: Map, names: Sequence[str], ridge: float = RIDGES[0]) -> Fitted:
    """Fit a logistic regression on these characteristics, with signs and ridge penalty as the module says."""
    design = np.column_stack([np.ones(len(runs.failed)), *(_part(name, runs.x[name]) for name in names)])
    spread = np.concatenate([[1.0], np.maximum(design[:, 1:].std(axis=0), 1e-9)])
    x, y, w = design / spread, runs.failed.astype(float), runs.weights

    def loss(beta: Floats) -> tuple[float, Floats]:
        odds = x @ beta
        value = w @ (np.logaddexp(0, odds) - y * odds) + ridge * (beta[1:] @ beta[1:])
        slope = x.T @ (w * (expit(odds) - y))
        slope[1:] += 2 * ridge * beta[1:]
        return float(value), slope

    bounds = [(-15, 15), *((0, None) if CANDIDATES[name][2] > 0 else (None, 0) for name in names)]
    beta = minimize(loss, np.zeros(x.shape[1]), jac=True, bounds=bounds, method="L-BFGS-B").x / spread
    return Fitted(float(beta[0]), dict(zip(names, map(float, beta[1:]), strict=True)))


def log_loss(p: Floats, runs: Map) -> float:
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return float(runs.weights @ -np.where(runs.failed, np.log(p), np.log(1 - p)))


def _left_out(runs: Map, names: Sequence[str], ridge: float = RIDGES[0]) -> float:
    """Return the log loss on tables left out, one after another."""
    p = np.empty(len(runs.failed))
    for table in np.unique(runs.table):
        out = runs.table == table
        p[out] = fit_terms(runs.only(~out), names, ridge).p_fail(runs.only(out))
    return log_loss(p, runs)


def fit(runs: Map) -> Fitted:
    """Choose the terms of a model and the penalty, and fit them."""
    if len(np.unique(runs.table[runs.failed])) < FEWEST_TABLES:
        share = (runs.failed.sum() + 0.5) / (len(runs.failed) + 1)
        return Fitted(float(np.log(share / (1 - share))), {})
    chosen: list[str] = []
    best = _left_out(runs, chosen)
    while len(chosen) < MOST_TERMS:
        losses = {name: _left_out(runs, [*chosen, name]) for name in CANDIDATES if name not in chosen}
        name = min(losses, key=losses.__getitem__)
        if losses[name] >= best:
            break
        best = losses[name]
        chosen.append(name)
    return fit_terms(runs, chosen, min(RIDGES, key=lambda ridge: _left_out(runs, chosen, ridge)))


def leave_tables_out(runs: Map) -> Floats:
    """Return p_fail of each run by a fit, choice of terms included, that has not seen its table."""
    p = np.empty(len(runs.failed))
    for table in np.unique(runs.table):
        out = runs.table == table
        p[out] = fit(runs.only(~out)).p_fail(runs.only(out))
    return p


def calibration_error(p: Floats, failed: np.ndarray) -> float:
    """Return the mean over runs of |share failed - mean p| in the run's bin, of equal widths (Naeini et al. 2015).

    >>> round(calibration_error(np.array([0.05, 0.05, 0.95, 0.95]), np.array([False, False, True, False])), 3)
    0.25
    """
    at = np.minimum((p * BINS).astype(int), BINS - 1)
    gaps = [abs(failed[at == k].mean() - p[at == k].mean()) * (at == k).sum() for k in np.unique(at)]
    return float(sum(gaps) / len(p))


def auroc(score: Floats, failed: np.ndarray) -> float:
    """Return the probability that a failed run scores higher; 0.5 if none or all failed. NaN counts as the lowest."""
    if failed.all() or not failed.any():
        return 0.5
    return auc(np.nan_to_num(score, nan=float(np.nanmin(score)), posinf=1e300), failed)


def read_map(studies: Sequence[StudyFolder]) -> dict[str, Map]:
    """Read the runs of studies by model; leave out runs that failed or were pruned.

    Raises:
        UserError: a run or a table of runs cannot be read, or there is none.
    """
    data, known = Data(), {}
    for study in studies:
        study.look()
    rows: dict[str, list[tuple[dict[str, float], bool, str]]] = {}
    for folder in sorted((run for study in studies for run in study.runs()), key=lambda run: run.path):
        if not folder.has(folder.done):
            continue
        metrics = read_metrics(folder)
        if metrics["status"] == Status.PRUNED:
            continue
        config = RunConfig.read(folder.read_config())
        key = data.key(config)
        if key not in known:
            known[key] = _measured(config)
        found, name = known[key]
        rows.setdefault(model_name(config.model), []).append(
            (found, fails(metrics["rmse"], metrics["mean_predictor_rmse"]), name)
        )
    if not rows:
        raise UserError(f"{studies[0].path} holds no finished run: train the study first.")
    return {model: _as_map(runs) for model, runs in rows.items()}


def _measured(config: RunConfig) -> tuple[dict[str, float], str]:
    """Return the characteristics of a run's rows, the domain classifier's too, and the name of the table."""
    split = Data().split(config)
    full = characteristics(split)
    name = split.cohort.name
    return characteristics(split, quick=True) | {"domain_auc": full["domain_auc"]}, SAME_PEOPLE.get(name, name)


def _as_map(runs: Sequence[tuple[dict[str, float], bool, str]]) -> Map:
    names = runs[0][0]
    x = {name: np.array([found[name] for found, _, _ in runs]) for name in names}
    return Map(x, np.array([failed for _, failed, _ in runs]), np.array([table for _, _, table in runs]))


def as_yaml(fitted: dict[str, Fitted], maps: dict[str, Map], command: str) -> str:
    """Return the text of forecast.yaml."""
    models: dict[str, Any] = {}
    for model, one in sorted(fitted.items()):
        terms = [
            {"characteristic": name, "scale": CANDIDATES[name][0], "usual": CANDIDATES[name][1], "weight": round(w, 4)}
            for name, w in one.weights.items()
            if w
        ]
        runs = maps[model]
        models[model] = {
            "runs": len(runs.failed),
            "tables": len(np.unique(runs.table)),
            "failed": int(runs.failed.sum()),
            "intercept": round(one.intercept, 4),
            "terms": terms,
        }
    head = "# Log-odds that a model fails on a split: intercept + sum of weight (f(characteristic) - f(usual)).\n"
    return head + yaml.safe_dump({"command": command, "models": models}, sort_keys=False, default_flow_style=None)


def judge(runs: Map, held_out: Floats) -> list[str]:
    """Return the cells of a table row: how good the forecast is on tables left out, and the best characteristic."""
    of_all = {name: auroc(sign * runs.x[name], runs.failed) for name, (_, _, sign) in CANDIDATES.items()}
    single = max(of_all, key=of_all.__getitem__)
    share = f"{runs.failed.sum()} of {len(runs.failed)}"
    if not runs.failed.any():
        return [share, "-", f"{calibration_error(held_out, runs.failed):.3f}", "-", "-"]
    return [
        share,
        f"{auroc(held_out, runs.failed):.3f}",
        f"{calibration_error(held_out, runs.failed):.3f}",
        f"{of_all[single]:.3f} {single}",
        f"{auroc(runs.x['domain_auc'], runs.failed):.3f}",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit and print; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ssc_sweep.findings.failure_map", description=__doc__)
    parser.add_argument("study", type=Path, nargs="+", help="its folder")
    parser.add_argument("--write", action="store_true", help="put the coefficients into audit/forecast.yaml")
    given = parser.parse_args(arguments)
    try:
        maps = read_map([StudyFolder(path) for path in given.study])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    columns = [TableColumn(name, rank) for name, rank in COLUMNS.items()]
    fitted, rows = {}, []
    for model, runs in sorted(maps.items()):
        fitted[model] = fit(runs)
        rows.append(TableRow(model, judge(runs, leave_tables_out(runs))))
    Console().print(TerminalTable("", "model", columns, [rows]))
    studies = " ".join(map(str, given.study))
    text = as_yaml(fitted, maps, f"python -m ssc_sweep.findings.failure_map {studies} --write")
    print(text)
    if given.write:
        write_text(COEFFICIENTS, text)
    return 0


if __name__ == "__main__":
    stop.run(main)
