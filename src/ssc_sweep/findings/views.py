"""A study's runs as the report shows them: curves, differences from the control, log, traceback."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd

from ssc_sweep.config import leaves
from ssc_sweep.findings.collect import Study
from ssc_sweep.findings.plots import plain, sparkline
from ssc_sweep.findings.reading import LEFT_OUT, Unreadable, load_yaml
from ssc_sweep.probe import Probe
from ssc_sweep.study.folder import RunFolder
from ssc_sweep.study.job import Status

LOG_LINES, LINE_LENGTH = 8, 240  # of a run's log, in its panel
LONGEST_TRACE = 12_000  # characters; the whole one is in the run's folder


# What is shown first: what went wrong.
ORDER = (Status.FAILED.value, LEFT_OUT, "unfinished", Status.DIVERGED.value, Status.PRUNED.value, Status.FINISHED.value)


@dataclass(frozen=True)
class Curve:
    """A small curve of one run: points in a box of 100 x 30, and its first, lowest and last value."""

    name: str
    points: str
    first: str
    lowest: str
    last: str


@dataclass(frozen=True)
class RunView:
    """One run as the table and its panel show it."""

    number: int
    arm: str
    seed: int
    status: str
    rmse: float
    accuracy: float
    first_bad: str
    first_bad_step: float
    seconds: float
    overrides: str
    href: str
    reason: str
    curves: tuple[Curve, ...]
    differences: tuple[tuple[str, str, str], ...]
    differences_note: str
    log: str
    trace: str


def titled(probe: Probe) -> str:
    """Title and unit of a probe, as a table has them."""
    return f"{probe.title}, {probe.unit}" if probe.unit else probe.title


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _tail(path: Path) -> str:
    lines = _read_text(path).splitlines()[-LOG_LINES:]
    return "\n".join(line if len(line) <= LINE_LENGTH else f"{line[:LINE_LENGTH]}…" for line in lines)


def _curves(history: pd.DataFrame | None) -> tuple[Curve, ...]:
    """Loss, validation RMSE and gradient norm of one run by epoch."""
    if history is None:
        return ()
    wanted = [name for name in history.columns if name.endswith((".loss", ".gradient_norm")) or name == "val_rmse"]
    curves = []
    for name in wanted:
        values = history[name].to_numpy(dtype=float)
        values = values[np.isfinite(values)]
        if len(values):
            shown = (plain(float(value)) for value in (values[0], values.min(), values[-1]))
            curves.append(Curve(name, sparkline(values), *shown))
    return tuple(curves)


def _config(folder: RunFolder) -> dict[str, str] | None:
    try:
        content = load_yaml(folder.config)
    except Unreadable:
        return None
    return {key: str(value) for key, value in leaves(content if isinstance(content, dict) else {"": content}).items()}


def _differences(
    mine: dict[str, str] | None, control: dict[str, str] | None
) -> tuple[tuple[tuple[str, str, str], ...], str]:
    if mine is None or control is None:
        return (), f"not known: {'this run' if mine is None else 'the control with this seed'} has no config.yaml"
    keys = [key for key in dict.fromkeys([*control, *mine]) if mine.get(key) != control.get(key)]
    return tuple((key, control.get(key, "-"), mine.get(key, "-")) for key in keys), "" if keys else "none"


def view_runs(study: Study) -> list[RunView]:
    """All runs, those that went wrong first."""
    arms = {arm.folder: arm for arm in reversed(study.plan.arms)}
    configs = {name: _config(RunFolder(study.folder.path / name)) for name in study.runs["folder"]}
    by_epoch = study.history[study.history["kind"] == "epoch"]
    histories = {name: table.dropna(axis=1, how="all") for name, table in by_epoch.groupby(["arm", "seed"])}
    places = {arm.folder: place for place, arm in enumerate(reversed(study.plan.arms))}
    ranked = study.runs.assign(
        rank=study.runs["status"].map(ORDER.index), place=study.runs["arm"].map(lambda arm: -places.get(arm, -1))
    ).sort_values(["rank", "place", "arm", "seed"])
    paired = any(arm.control for arm in study.plan.arms)
    views = []
    for number, run in enumerate(ranked.to_dict("records")):
        arm, seed, folder = str(run["arm"]), int(run["seed"]), RunFolder(study.folder.path / str(run["folder"]))
        planned = arms.get(arm)
        control = arms.get(planned.control) if planned and planned.control else None
        if control:
            beside = configs.get(f"{control.folder}/seed={seed}")
            differences, note = _differences(configs[run["folder"]], beside)
        else:
            differences, note = (), "this run has no control" if planned else "its arm is not in study.yaml"
        shared = set(control.overrides) if control else set()
        changes = [text for text in planned.overrides if text not in shared] if planned else []
        failed = run["status"] == Status.FAILED
        views.append(
            RunView(
                number=number,
                arm=arm,
                seed=seed,
                status=str(run["status"]),
                rmse=float(run["rmse"]),
                accuracy=float(run["accuracy"]),
                first_bad="" if pd.isna(run["first_bad_step"]) else str(run["first_bad_tensor"]),
                first_bad_step=float(run["first_bad_step"]),
                seconds=float(run["seconds"]),
                overrides=" ".join(changes) if control or not planned or not paired else "",
                href="./" + quote(f"{run['folder']}/", safe="/=,+"),
                reason="" if pd.isna(run["left_out"]) else str(run["left_out"]),
                curves=_curves(histories.get((arm, seed))),
                differences=differences,
                differences_note=note,
                log=_tail(folder.log),
                trace=_read_text(folder.failed)[-LONGEST_TRACE:] if failed else "",
            )
        )
    return views


def tracebacks(runs: Sequence[RunView]) -> list[tuple[str, list[RunView]]]:
    """Each different traceback once, with the runs that ended in it."""
    groups: dict[str, list[RunView]] = {}
    for run in runs:
        if run.status == Status.FAILED:
            groups.setdefault(run.trace.strip() or "The file FAILED is empty.", []).append(run)
    return list(groups.items())


def never_started(study: Study) -> list[str]:
    """The seeds of the study that an arm has no folder for, a line an arm."""
    there = set(zip(study.runs["arm"], study.runs["seed"], strict=True))
    lines = []
    for arm in dict.fromkeys(arm.folder for arm in study.plan.arms):
        seeds = [str(seed) for seed in study.plan.seeds if (arm, seed) not in there]
        if seeds:
            lines.append(f"{arm}: seed {', '.join(seeds)}")
    return lines
