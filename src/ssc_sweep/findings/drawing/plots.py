"""Figures: each is a pure function, data -> Figure.

Narrow and with large letters, so that they can be read on a phone. Arms differ in colour (Okabe & Ito 2008, safe for
the colour-blind, and a grey), marker and line style. Made without pyplot: nothing is shown, nothing is global.
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

# isort: split
# Before matplotlib, which this imports without the user's settings.
from ssc_sweep.findings.drawing.style import styled

# isort: split
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator, PercentFormatter
from numpy.typing import ArrayLike

from ssc_sweep.verdicts.evidence import Difference, Matters, Share, Works

CONTROL_COLOUR = "#000000"
BETTER, WORSE = "#0072B2", "#D55E00"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F7F7F")
MARKERS = ("s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (2, 1)))
MOST_ARMS = len(COLOURS)  # further arms besides the control go into another figure
MOST_VECTORS = 200  # more points than this are drawn as pixels: as shapes, each enlarges the page

DPI = 160
WIDTH = 4.8  # inches; 346 points, so that 11-point letters stay legible on a screen of 400 pixels


@dataclass(frozen=True)
class ArmRuns:
    """One arm as the figures need it.

    Attributes:
        label: its name in the legend.
        rmse: RMSE by seed, NaN for a run without one.
        history: one row per epoch and run; columns as in history.csv, and seed.
    """

    label: str
    rmse: pd.Series
    history: pd.DataFrame


def plain(value: float, _: object = None) -> str:
    """Format a number plainly: 0.02, 15, 2,500, 3e+07."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e5 else f"{value:.3g}"


def shortened(label: str, length: int = 46) -> str:
    """Cut a long label in the middle: labels of one study often differ at their ends alone."""
    tail = length // 3
    text = label if len(label) <= length else f"{label[: length - 1 - tail]}…{label[-tail:]}"
    # The legend would leave out a label that starts with _.
    return text.replace("_", " _", text.startswith("_"))


def line_style(i: int) -> tuple[str, str, Any]:
    """Return colour, marker and line style of the i-th arm; 0 is the control."""
    if i == 0:
        return CONTROL_COLOUR, "o", "-"
    return COLOURS[(i - 1) % MOST_ARMS], MARKERS[(i - 1) % MOST_ARMS], LINES[(i - 1) % MOST_ARMS]


def plain_log(ax: Axes, which: str) -> None:
    """Make a log axis whose ticks are plain numbers, even if it spans less than a decade."""
    axis = ax.xaxis if which == "x" else ax.yaxis
    (ax.set_xscale if which == "x" else ax.set_yscale)("log")
    low, high = sorted(axis.get_view_interval())
    if high / low < 3:
        axis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]))
    elif high / low < 30:
        axis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7) if high / low < 8 else (1, 2, 5)))
    if high / low < 30:
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(plain))
    axis.set_minor_formatter(NullFormatter())


@dataclass(frozen=True)
class ForestRow:
    """An arm in the forest plot."""

    label: str
    matters: Difference
    works: Share


MOST_ROWS = 40  # more arms than this are not drawn
ROW = 0.46  # inches
NEAR = {0.9: 1.28, 0.8: 1.6, 2 / 3: 2.1}  # tick below 1: on axes that end before this


def draw_ratios(ax: Axes, rows: Sequence[tuple[str, Difference]], log_margin: float) -> None:
    """Draw a line for each ratio with its interval, on a log axis with the margin shaded; open marks: no answer yet."""
    ratios = [end for _, one in rows for end in (one.low, one.ratio, one.high)]
    known = [abs(math.log(end)) for end in ratios if end > 0 and math.isfinite(end)]
    reach = 1.1 * max([*known, 2 * log_margin])
    ax.axvspan(math.exp(-log_margin), math.exp(log_margin), color="#dddddd", lw=0)
    ax.axvline(1, color="#444444", lw=1.2)
    for y, (label, one) in enumerate(rows):
        if one.answer is Matters.APART or not one.n:
            note = Matters.APART.value if one.answer is Matters.APART else "no pairs"
            ax.annotate(note, (1, y), va="center", ha="center", bbox={"fc": "white", "ec": "none", "pad": 1})
        else:
            ends = [min(max(end, math.exp(-reach)), math.exp(reach)) for end in (one.low, one.high)]
            colour = {Matters.BETTER: BETTER, Matters.WORSE: WORSE}.get(one.answer, CONTROL_COLOUR)
            face = "white" if one.answer is Matters.OPEN else colour
            ax.plot(ends, [y, y], color=colour, lw=2)
            ax.plot(min(max(one.ratio, math.exp(-reach)), math.exp(reach)), y, "o", color=colour, mfc=face, ms=7)
        name = ax.annotate(
            shortened(label, 40), (0, y - 0.2), xycoords=("axes fraction", "data"), va="bottom", zorder=5,
            xytext=(2, 0), textcoords="offset points", bbox={"fc": "white", "ec": "none", "pad": 0.5},
        )  # fmt: skip
        name.set_in_layout(False)  # a long name would narrow the axes
    ax.set_xscale("log")
    ax.set_xlim(math.exp(-reach), math.exp(reach))
    # The same steps on both sides of no difference.
    step = 2.0 if reach < math.log(10) else 5.0 if reach < math.log(50) else 10.0 ** math.ceil(reach / 6)
    near = next((nearest for nearest, end in NEAR.items() if reach < math.log(end)), None)
    ticks = [step**i for i in range(-4, 5) if abs(i) * math.log(step) < reach] if near is None else [near, 1, 1 / near]
    ax.set_xticks(ticks, [plain(tick) for tick in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    without_lines(ax, len(rows))


def without_lines(ax: Axes, rows: int) -> None:
    """Set up the vertical axis of a forest plot: a place for each row, the first at the top, and no scale."""
    ax.set_ylim(rows - 0.6, -0.8)
    ax.set_yticks([])
    ax.grid(visible=False, axis="y")
    ax.spines["left"].set_visible(False)


def verdict_forest(rows: Sequence[ForestRow], log_margin: float, works_share: float) -> Figure:
    """Draw the intervals of all arms: ratio to the control on a log axis, and share of runs that work."""
    shown = rows[:MOST_ROWS]
    with styled():
        figure = Figure(figsize=(WIDTH, 0.9 + ROW * len(shown)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
        left.set_zorder(right.get_zorder() + 1)  # long labels reach over the right panel
        draw_ratios(left, [(row.label, row.matters) for row in shown], log_margin)
        right.axvline(works_share, color="#444444", lw=1.2, ls="--")
        for y, row in enumerate(shown):
            colour = {Works.YES: BETTER, Works.NO: WORSE}.get(row.works.answer, CONTROL_COLOUR)
            face = "white" if row.works.answer is Works.OPEN else colour
            right.plot([row.works.low, row.works.high], [y, y], color=colour, lw=2)
            if row.works.n:
                right.plot(row.works.works / row.works.n, y, "o", color=colour, mfc=face, ms=7, clip_on=False)
        right.set_xlim(0, 1)
        right.set_xticks([0, 0.5, 1])
        right.xaxis.set_major_formatter(PercentFormatter(1.0))
        without_lines(right, len(shown))
        left.set_title("RMSE ratio to control, log axis")
        right.set_title("runs that work")
        return figure


def strip(arms: Sequence[ArmRuns], target: float, mean_predictor: float, unit: str) -> Figure:
    """Draw every seed of every arm on a log RMSE axis; runs without an RMSE are at the right edge.

    Args:
        arms: the control first.
        target: a run works below it; NaN for none.
        mean_predictor: RMSE of predicting the mean; NaN for none.
        unit: of all RMSE.
    """
    with styled():
        figure = Figure(figsize=(WIDTH, 1.35 + 0.62 * len(arms)), layout="constrained")
        ax = figure.add_subplot()
        known = np.concatenate([arm.rmse.dropna().to_numpy(dtype=float) for arm in arms])
        marks = [value for value in (target, mean_predictor) if np.isfinite(value)]
        span = np.concatenate([known, marks]) if len(known) or marks else np.array([1.0, 10.0])
        low, high = span.min() / 1.15, span.max() * 1.15
        edge = high * (high / low) ** 0.06
        lost_any = any(arm.rmse.isna().any() for arm in arms)
        ax.set_xlim(low, edge * (high / low) ** 0.04 if lost_any else high)
        for i, arm in enumerate(arms):
            colour, marker, _ = line_style(i)
            rmse = arm.rmse.dropna().to_numpy(dtype=float)
            lost = int(arm.rmse.isna().sum())
            # Seeds are side by side in order, so that equal values can be told apart.
            place = i + np.linspace(-0.14, 0.14, len(arm.rmse))[arm.rmse.notna().to_numpy()]
            ax.plot(rmse, place, marker, color=colour, ms=5, alpha=0.65, mew=0, rasterized=len(rmse) > MOST_VECTORS)
            if len(rmse):
                ax.plot([np.median(rmse)] * 2, [i - 0.24, i + 0.24], color=colour, lw=2.5)
            if lost:
                ax.plot(edge, i, ">", color=colour, ms=9, mfc="white", mew=1.8, clip_on=False)
            note = f", {lost} lost" if lost else ""
            ax.annotate(
                f"{shortened(arm.label, 40)}{note}", (0, i - 0.3), xycoords=("axes fraction", "data"), va="bottom",
                xytext=(2, 0), textcoords="offset points", bbox={"fc": "white", "ec": "none", "pad": 0.5},
                zorder=5,
            )  # fmt: skip
        if np.isfinite(target):
            ax.axvline(target, color="#444444", ls="--", lw=1.3, label=f"target {target:g}")
        if np.isfinite(mean_predictor):
            ax.axvline(mean_predictor, color="#444444", ls=":", lw=1.6, label=f"predict the mean {mean_predictor:.3g}")
        ax.set_ylim(len(arms) - 0.6, -0.85)
        ax.set_yticks([])
        ax.grid(visible=False, axis="y")
        ax.spines["left"].set_visible(False)
        ax.set_xlabel(f"RMSE, {unit} (log axis)")
        plain_log(ax, "x")
        if marks:
            figure.legend(loc="outside upper left", ncols=2, handlelength=1.6, columnspacing=1.2)
        return figure


def _quartiles(history: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return epoch -> quartiles over the runs that have a value: columns 0.25, 0.5, 0.75."""
    known = history[np.isfinite(history[column])]
    return known.groupby("epoch")[column].quantile(np.array([0.25, 0.5, 0.75])).unstack().dropna()  # noqa: PD010


def _recorded(column: str, arm: ArmRuns) -> bool:
    return column in arm.history and bool(np.isfinite(arm.history[column]).any())


def _bands(panels: Mapping[str, str], arms: Sequence[ArmRuns]) -> Figure | None:
    """Draw one panel per column (column -> title): median over seeds by epoch, band between the quartiles.

    A panel of what no arm has recorded is left out; None: no panel is left.
    """
    panels = {column: title for column, title in panels.items() if any(_recorded(column, arm) for arm in arms)}
    if not panels:
        return None
    with styled():
        rows = len(panels)
        figure = Figure(figsize=(WIDTH, 0.5 + 0.24 * len(arms) + 1.75 * rows), layout="constrained")
        axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
        for ax, (column, title) in zip(axes, panels.items(), strict=True):
            lowest, highest = np.inf, 0.0
            for i, arm in enumerate(arms):
                colour, marker, line = line_style(i)
                if not _recorded(column, arm):
                    continue
                bands = _quartiles(arm.history, column)
                lowest = min(lowest, float(bands.to_numpy().min()))
                highest = max(highest, float(np.abs(bands.to_numpy()).max()))
                epochs = bands.index.to_numpy(dtype=float)
                ax.fill_between(epochs, bands[0.25], bands[0.75], color=colour, alpha=0.15, lw=0)
                every = max(1, len(bands) // 8)
                ax.plot(epochs, bands[0.5], color=colour, ls=line, marker=marker, ms=4.5, markevery=every, lw=1.6)
            ax.set_title(title)
            if lowest > 0:
                plain_log(ax, "y")
            else:
                # Between -1 and 1 symlog is linear, with one tick.
                if highest > 1:
                    ax.set_yscale("symlog", linthresh=1.0)
                else:
                    ax.yaxis.set_major_locator(MaxNLocator(nbins=4))
                ax.yaxis.set_major_formatter(FuncFormatter(plain))
                if lowest == 0:
                    ax.set_ylim(bottom=0)  # a distance; symlog would leave room below
        axes[-1].set_xlabel("epoch")
        axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        for i, arm in enumerate(arms):
            colour, marker, line = line_style(i)
            axes[0].plot([], [], color=colour, ls=line, marker=marker, ms=4.5, lw=1.6, label=shortened(arm.label))
        figure.legend(loc="outside upper left", ncols=1, handlelength=2.6, labelspacing=0.25)
        return figure


def _columns(arms: Sequence[ArmRuns]) -> list[str]:
    """Return the columns of all histories in order of first appearance."""
    return list(dict.fromkeys(name for arm in arms for name in arm.history.columns))


def training_curves(arms: Sequence[ArmRuns], unit: str) -> Figure | None:
    """Draw validation RMSE and each objective's loss by epoch; None without epochs, as for a model that is solved."""
    losses = {name: f"training {name.replace('.', ' ')}" for name in _columns(arms) if name.endswith(".loss")}
    return _bands({"val_rmse": f"validation RMSE, {unit}"} | losses, arms)


def gradient_norms(arms: Sequence[ArmRuns]) -> Figure | None:
    """Draw gradient norms before clipping by epoch, in total and, if a model has several modules, by module.

    None without any.
    """
    known = [arm.history.columns[arm.history.notna().any()] for arm in arms]
    panels = {}
    for name in _columns(arms):
        objective, norm, module = name.partition(".gradient_norm")
        modules = [columns[columns.str.startswith(f"{objective}{norm}.")] for columns in known]
        if norm and not module:
            panels[name] = f"{objective}, all modules"
        elif norm and any(name in mine and len(mine) > 1 for mine in modules):
            panels[name] = f"{objective}, {module.removeprefix('.')}"
    return _bands(panels, arms)


def statistics(arms: Sequence[ArmRuns], panels: Mapping[str, str]) -> Figure | None:
    """Draw what the models recorded by epoch; panels: column -> title; None if they recorded none of these."""
    return _bands(panels, arms)


def forest(rows: Sequence[tuple[str, float, float, float, bool]], title: str) -> Figure:
    """Draw estimates with their intervals, one per line.

    Args:
        rows: name, estimate, low, high, and whether it is drawn open; infinite ends are not drawn.
    """
    with styled():
        figure = Figure(figsize=(WIDTH, 0.9 + 0.5 * len(rows)), layout="constrained")
        ax = figure.add_subplot()
        ax.axvline(0, color="#444444", lw=1)
        for i, (name, value, low, high, open_mark) in enumerate(rows):
            colour = COLOURS[1] if open_mark else CONTROL_COLOUR
            if np.isfinite([low, high]).all():
                ax.plot([low, high], [i, i], color=colour, lw=1.8)
            ax.plot(
                value, i, "o" if open_mark else "s", color=colour, ms=6, mfc="white" if open_mark else colour, mew=1.6
            )
            ax.annotate(
                shortened(name, 50), (0, i - 0.22), xycoords=("axes fraction", "data"), va="bottom", xytext=(2, 0),
                textcoords="offset points", bbox={"fc": "white", "ec": "none", "pad": 0.5, "alpha": 0.8}, zorder=5,
            )  # fmt: skip
        ax.set_ylim(len(rows) - 0.5, -0.9)
        ax.set_yticks([])
        ax.grid(visible=False, axis="y")
        ax.spines["left"].set_visible(False)
        ax.set_xlabel(title)
        return figure


def sparkline(values: ArrayLike) -> str:
    """Return a polyline in a box of 100 x 30; log axis if all values are above 0. Empty below two values."""
    known = np.asarray(values, dtype=float)
    if len(known) < 2:
        return ""
    known = known[np.linspace(0, len(known) - 1, min(len(known), 100)).round().astype(int)]
    y = np.log(known) if (known > 0).all() else np.arcsinh(known)
    height = (y - y.min()) / max(float(np.ptp(y)), 1e-12)
    x = np.linspace(1, 99, len(known))
    return " ".join(f"{a:.0f},{29 - 28 * b:.1f}" for a, b in zip(x, height, strict=True))


def as_svg(figure: Figure) -> str:
    """Return the figure as SVG; afterwards its layout is fixed.

    Layout costs as much as drawing, so it is computed once, here. `Figure.savefig` would draw twice for each file.
    """
    with styled():
        text = io.StringIO()
        figure.set_dpi(DPI)  # of what is drawn as pixels
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None})  # type: ignore[no-untyped-call]
        figure.set_layout_engine("none")
        return text.getvalue()


def as_png(figure: Figure) -> bytes:
    """Return the figure as PNG, with the layout of the SVG if that was made before."""
    with styled():
        content = io.BytesIO()
        figure.set_dpi(DPI)
        FigureCanvasAgg(figure).print_png(content)  # type: ignore[no-untyped-call]
        return content.getvalue()
