"""Read the run folders of a study: a table row each, and their histories in one table.

An invalid run keeps its row, but no numbers. Only what findings use is kept of a run, so that thousands of runs fit in
memory.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ssc_sweep.errors import DamagedTable
from ssc_sweep.findings.reading.run_files import RunYamls, Unreadable
from ssc_sweep.findings.reading.run_folder import LEFT_OUT, METRICS, UNFINISHED, Run, RunHistory, read_model, read_run
from ssc_sweep.probe import Probe
from ssc_sweep.study.folder import StudyFolder
from ssc_sweep.study.hypothesis import Arm
from ssc_sweep.study.job import Status

COLUMNS = ("arm", "seed", *METRICS, "first_bad_step", "first_bad_tensor", "overrides", "folder", "left_out")


@dataclass(frozen=True)
class Runs:
    """The contents of a study's run folders."""

    table: pd.DataFrame
    history: pd.DataFrame
    remarks: list[str]
    probes: dict[str, Probe]
    own_scores: dict[str, tuple[str, str]]
    datasets: dict[str, str]
    damaged: str


def _looked_at(name: str, run: Run) -> bool:
    """Return whether findings use this column of history.csv; most others are spreads of parts of a loss."""
    kept = name in ("epoch", "step", "val_rmse", "val_clamped") or name.endswith((".loss", ".clipped_share"))
    return kept or ".gradient_norm" in name or any(name == probe.name for probe in run.probes)


def _history(parts: Sequence[tuple[str, int, RunHistory]]) -> pd.DataFrame:
    """Return the histories (arm, seed, history) in one table; NaN where a run lacks a column."""
    names = dict.fromkeys(name for _, _, part in parts for name in part.columns)
    lengths = [len(part.kinds) for _, _, part in parts]
    table: dict[str, object] = {"kind": [kind for _, _, part in parts for kind in part.kinds]}
    for name in names or ("epoch", "step"):
        found = [part.columns.get(name) for _, _, part in parts]
        known = [np.full(n, np.nan) if one is None else one for n, one in zip(lengths, found, strict=True)]
        column = np.concatenate([np.empty(0), *known])
        table[name] = column.astype(np.int64) if name in ("epoch", "step") else column
    table["arm"] = np.repeat(np.array([arm for arm, _, _ in parts], dtype=object), lengths)
    table["seed"] = np.repeat(np.array([seed for _, seed, _ in parts]), lengths)
    return pd.DataFrame(table, copy=False)


def read_runs(study: StudyFolder, arms: Sequence[Arm], every_column: bool) -> Runs:
    """Read the runs. Numbers are read only for planned arms, unless nothing is planned.

    Args:
        every_column: keep all columns of the histories, not only those that findings use.
    """
    damaged = ""
    try:
        study.look()
    except DamagedTable as error:
        damaged = str(error)
    rows: list[dict[str, object]] = []
    histories: dict[int, RunHistory] = {}
    yamls = RunYamls()
    configs: dict[int, str] = {}
    planned, remarks = {arm.folder for arm in arms}, [damaged] if damaged else []
    probes: dict[str, Probe] = {}
    own_scores: dict[str, tuple[str, str]] = {}
    datasets: dict[int, str] = {}
    for folder in study.runs():
        name = folder.path.relative_to(study.path).as_posix()
        if not re.fullmatch(r"seed=(0|-?[1-9]\d*)", folder.path.name):
            remarks.append(f"The folder {name} is left out: its name is not seed=<number>, so it is no run.")
            continue
        arm = folder.path.parent.relative_to(study.path).as_posix()
        seed = int(folder.path.name.removeprefix("seed="))
        row: dict[str, object] = {"arm": arm, "seed": seed}
        row |= {"overrides": yamls.overrides(folder), "folder": name}
        if planned and arm not in planned:
            row |= {"status": LEFT_OUT, "left_out": "study.yaml does not name its arm"}
        elif folder.has(folder.done):
            try:
                run = read_run(folder, seed, yamls)
            except Unreadable as error:
                row |= {"status": LEFT_OUT, "left_out": str(error)}
            else:
                row |= run.cells
                configs[len(rows)] = run.config
                datasets[len(rows)] = run.dataset
                kept = run.history.columns.items()
                columns = {name: column for name, column in kept if every_column or _looked_at(name, run)}
                histories[len(rows)] = RunHistory(run.history.kinds, columns)
                probes |= {probe.name: probe for probe in run.probes}
                own_scores |= run.own_scores
        elif folder.has(folder.failed):
            row |= {"status": Status.FAILED.value, "model": read_model(folder)}
        else:
            row |= {"status": UNFINISHED, "left_out": "no DONE: it was broken off, or is still running"}
        rows.append(row)
    names = [str(row["arm"]) for row in rows]
    doubted = dict.fromkeys(_copies(names, configs, arms), "its config is that of its control: was the folder copied?")
    strange = "its config is not that of the arm's other runs: was it copied or edited?"
    doubted |= dict.fromkeys(_strangers(names, configs), strange)
    for i, why in doubted.items():
        still = {key: rows[i][key] for key in ("arm", "seed", "overrides", "folder")}
        rows[i] = still | {"status": LEFT_OUT, "left_out": why}
        del histories[i]
    history = _history([(names[i], int(str(rows[i]["seed"])), one) for i, one in histories.items()])
    known = {name for row in rows for name in row}
    table = pd.DataFrame(rows, columns=[*COLUMNS, *sorted(known - set(COLUMNS))])
    return Runs(table, history, remarks, probes, own_scores, {names[i]: datasets[i] for i in histories}, damaged)


def _strangers(arms: Sequence[str], configs: Mapping[int, str]) -> list[int]:
    """Return rows whose config differs from that of most runs of their arm; all rows if there is no majority."""
    by_arm: dict[str, Counter[str]] = {}
    for i, config in configs.items():
        by_arm.setdefault(arms[i], Counter())[config] += 1
    return [i for i, config in configs.items() if 2 * by_arm[arms[i]][config] <= by_arm[arms[i]].total()]


def _copies(names: Sequence[str], configs: Mapping[int, str], arms: Sequence[Arm]) -> list[int]:
    """Return rows of an arm with its control's config. Equal configs share a folder, so these are copies."""
    by_arm: dict[str, set[str]] = {}
    for i, config in configs.items():
        by_arm.setdefault(names[i], set()).add(config)
    controls = {arm.folder: by_arm.get(arm.control, set()) for arm in arms if arm.control not in (None, arm.folder)}
    return [i for i, config in configs.items() if config in controls.get(names[i], ())]
