"""A study's runs as the report shows them: curves, differences from the control, log, traceback."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ssc_sweep.errors import step_in
from ssc_sweep.findings.drawing.plots import plain, sparkline
from ssc_sweep.findings.reading.collect import Study
from ssc_sweep.findings.reading.run_files import RunYamls, Unreadable
from ssc_sweep.findings.reading.run_folder import LEFT_OUT, read_columns
from ssc_sweep.probe import Probe
from ssc_sweep.study.folder import RunFolder
from ssc_sweep.study.job import Status

LOG_LINES, LINE_LENGTH = 8, 240  # of a run's log, shown in its panel
LONGEST_TRACE = 12_000  # characters; the run's folder has the full one
NO_TRACE = "The file FAILED is empty."
FEWEST_EPOCHS = 3  # a curve by epoch that ends sooner shows less than its first steps
MOST_PANELS = 1000  # a page with more panels takes long to open

# Order of display: what went wrong comes first.
ORDER = (Status.FAILED.value, LEFT_OUT, "unfinished", Status.DIVERGED.value, Status.PRUNED.value, Status.FINISHED.value)


@dataclass(frozen=True)
class Curve:
    """A small curve of one run.

    Attributes:
        points: in a box of 100 x 30, on a log axis if `low` is above 0, else on that of arcsinh.
        count: of its finite values, one an epoch or step.
        low, high: values at the bottom and at the top of the box.
        first, lowest, last: values, as text.
    """

    name: str
    points: str
    count: int
    low: float
    high: float
    first: str
    lowest: str
    last: str


@dataclass(frozen=True)
class RunView:
    """One run as the table and its panel show it.

    Attributes:
        href: its folder; "" if it lies in a table.
        unpack: the words after `python -m ssc_sweep.findings` that make a folder of it then.
        panel: whether it has a panel; without one it has no curves, config, differences and log.
        by: what its curves are by, epoch or step.
        config: every key of its config.yaml with its value as text; None if it is unknown.
    """

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
    unpack: str
    reason: str
    panel: bool
    by: str
    curves: tuple[Curve, ...]
    config: Mapping[str, str] | None
    differences: tuple[tuple[str, str, str], ...]
    differences_note: str
    log: str
    trace: str
    is_control: bool

    @property
    def why(self) -> str:
        """Say in one line why the run has no result; "" if it has one."""
        if self.status == Status.FAILED:
            return self.trace.splitlines()[-1] if self.trace else NO_TRACE
        return self.reason or (
            f"NaN or Inf at step {self.first_bad_step:.0f}: {self.first_bad}" if self.first_bad else ""
        )

    @property
    def step(self) -> str:
        """Return the step in which the run failed; "" if it did not, or outside of one."""
        step = step_in(self.trace)
        return "" if step is None else str(step)


def titled(probe: Probe) -> str:
    """Return title and unit of a probe for a table."""
    return f"{probe.title}, {probe.unit}" if probe.unit else probe.title


def _text(run: RunFolder, file: Path) -> str:
    try:
        return run.read(file).decode("utf-8", errors="replace")
    except OSError:
        return ""


def _log(run: RunFolder) -> str:
    """Return the last lines of the run's log."""
    lines = _text(run, run.log).splitlines()[-LOG_LINES:]
    return "\n".join(line if len(line) <= LINE_LENGTH else f"{line[:LINE_LENGTH]}…" for line in lines)


def _curves(history: pd.DataFrame, rows: ArrayLike) -> tuple[Curve, ...]:
    """Return loss, validation RMSE and gradient norm of one run, from these rows of the history."""
    curves = []
    for name in history:
        if name != "val_rmse" and not str(name).endswith((".loss", ".gradient_norm")):
            continue
        values = history[name].to_numpy()[np.asarray(rows)]
        values = values[np.isfinite(values)]
        if len(values):
            low, high = float(values.min()), float(values.max())
            shown = (plain(float(value)) for value in (values[0], low, values[-1]))
            curves.append(Curve(str(name), sparkline(values), len(values), low, high, *shown))
    return tuple(curves)


def _curves_left(folder: RunFolder) -> tuple[str, tuple[Curve, ...]]:
    """Return what a run that failed has left: ("epoch" or, if it failed in its first epochs, "step", curves)."""
    try:
        left = read_columns(folder)
    except Unreadable:
        return "epoch", ()
    kinds = np.array(left.kinds)
    steps = (kinds == "step").any() and (kinds == "epoch").sum() < FEWEST_EPOCHS
    kind = "step" if steps else "epoch"
    return kind, _curves(pd.DataFrame(left.columns), np.flatnonzero(kinds == kind))


def _config(folder: RunFolder, yamls: RunYamls) -> dict[str, str] | None:
    try:
        return yamls.config(folder).leaves
    except Unreadable:
        return None


def _differences(
    mine: dict[str, str] | None, control: dict[str, str] | None
) -> tuple[tuple[tuple[str, str, str], ...], str]:
    if mine is None or control is None:
        return (), f"not known: {'this run' if mine is None else 'the control with this seed'} has no config.yaml"
    keys = [key for key in dict.fromkeys([*control, *mine]) if mine.get(key) != control.get(key)]
    # An empty mapping is a key, and none once it has keys of its own.
    keys = [key for key in keys if not any(other.startswith(f"{key}.") for other in keys)]
    return tuple((key, control.get(key, "-"), mine.get(key, "-")) for key in keys), "" if keys else "none"


def _chosen(ranked: pd.DataFrame) -> set[int]:
    """Return which runs get a panel, by place: if over MOST_PANELS, the first seeds of every arm and status."""
    turn = ranked.groupby(["arm", "status"]).cumcount().to_numpy()
    return set(np.argsort(turn, kind="stable")[:MOST_PANELS].tolist())


def view_runs(study: Study) -> list[RunView]:
    """Return all runs, those that went wrong first."""
    arms = {arm.folder: arm for arm in reversed(study.plan.arms)}
    yamls = RunYamls()
    by_epoch = study.history[study.history["kind"] == "epoch"]
    rows = by_epoch.groupby(["arm", "seed"]).indices
    places = {arm.folder: place for place, arm in enumerate(reversed(study.plan.arms))}
    ranked = study.runs.assign(
        rank=study.runs["status"].map(ORDER.index), place=study.runs["arm"].map(lambda arm: -places.get(arm, -1))
    ).sort_values(["rank", "place", "arm", "seed"])
    paired = any(arm.control for arm in study.plan.arms)
    controls = {arm.control for arm in study.plan.arms}
    chosen, views = _chosen(ranked), []
    for number, run in enumerate(ranked.to_dict("records")):
        arm, seed, folder = str(run["arm"]), int(run["seed"]), RunFolder(study.folder.path / str(run["folder"]))
        planned, panel = arms.get(arm), number in chosen
        control = arms.get(planned.control) if planned and planned.control else None
        config = _config(folder, yamls) if panel else None
        differences: tuple[tuple[str, str, str], ...] = ()
        if not control:
            alone = "" if arm in controls else "this run has none"
            note = alone if planned else "its arm is not in study.yaml"
        elif panel:
            beside = _config(study.folder.run(control.folder, seed), yamls)
            differences, note = _differences(config, beside)
        else:
            note = ""
        shared = set(control.overrides) if control else set()
        changes = [text.lstrip("+") for text in planned.overrides if text not in shared] if planned else []
        failed = run["status"] == Status.FAILED
        by, curves = "epoch", _curves(by_epoch, rows[arm, seed]) if panel and (arm, seed) in rows else ()
        if panel and failed:
            by, curves = _curves_left(folder)
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
                href="./" + quote(f"{run['folder']}/", safe="/=,+") if folder.path.is_dir() else "",
                unpack=shlex.join([str(study.folder.path), f"unpack={run['folder']}"]),
                reason="" if pd.isna(run["left_out"]) else str(run["left_out"]),
                panel=panel,
                by=by,
                curves=curves,
                config=config,
                differences=differences,
                differences_note=note,
                log=_log(folder) if panel else "",
                trace=_text(folder, folder.failed)[-LONGEST_TRACE:].strip() if failed else "",
                is_control=control is None and arm in controls,
            )
        )
    return views


def tracebacks(runs: Sequence[RunView]) -> list[tuple[str, list[RunView]]]:
    """Return one traceback for each place and type of error, with the runs that ended there, whatever their step."""
    groups: dict[tuple[str, ...], list[RunView]] = {}
    for run in runs:
        if run.status == Status.FAILED:
            lines = run.trace.splitlines()
            frames = [line for line in lines if line.startswith("  File ")]
            # The message may hold a number that differs from run to run.
            place = (*frames, lines[-1].partition(":")[0]) if frames else tuple(lines)
            groups.setdefault(place, []).append(run)
    return [(failed[0].trace or NO_TRACE, failed) for failed in groups.values()]


def base_config(runs: Sequence[RunView]) -> Mapping[str, str]:
    """Return the config of the first run that has one: the page states it once, and of others what is different."""
    return next((run.config for run in runs if run.config is not None), {})


def config_apart(config: Mapping[str, str], base: Mapping[str, str]) -> dict[str, str | None]:
    """Return the keys whose values differ from the base; None for a key that only the base has."""
    keys = [key for key in dict.fromkeys([*base, *config]) if base.get(key) != config.get(key)]
    return {key: config.get(key) for key in keys}


def never_started(study: Study) -> list[str]:
    """Return the seeds for which an arm has no folder, one line per arm."""
    there = set(zip(study.runs["arm"], study.runs["seed"], strict=True))
    lines = []
    for arm in dict.fromkeys(arm.folder for arm in study.plan.arms):
        seeds = [str(seed) for seed in study.plan.seeds if (arm, seed) not in there]
        if seeds:
            lines.append(f"{arm}: seed {', '.join(seeds)}")
    return lines
