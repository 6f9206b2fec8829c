"""The figures of docs/FINDINGS.md, from the studies that it names: python -m tests.bench.case <outputs> [docs].

The studies, by the names that it looks for:

    python -m ssc_sweep -m hypothesis=epochs,lr,batch,ema,precision seeds=20 study=plan
    python -m ssc_sweep -m hypothesis=split,codes,scale_floor,support_clip,clamp,scale_law,px,size,leak,labels seeds=20 study=causes
    python -m ssc_sweep -m hypothesis=dose split=shuffled seeds=10 study=dose
    python -m ssc_sweep -m experiment=attribution study=attribution
    python -m ssc_sweep -m experiment=attribution dataset_size=n100 study=attribution100
"""  # noqa: E501

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from ssc_sweep.data import nhefs
from ssc_sweep.findings.drawing.style import styled  # before matplotlib

import matplotlib.pyplot as plt  # isort: skip
from matplotlib.axes import Axes  # isort: skip
from matplotlib.colors import ListedColormap  # isort: skip
from matplotlib.figure import Figure  # isort: skip

CODED = ("pica", "diabetes", "hbpmed", "boweltrouble", "hbp")
BLUE, ORANGE, GREY, PALE = "#20639b", "#d1603d", "#888888", "#dbe5ee"
MEAN, TARGET = 7.92, 15.0
ARMS = {
    "as it fails": ("plan", "control"),
    "A  one epoch": ("plan", "epochs/epochs=1"),
    "B  learning rate 1e-4": ("plan", "lr/optimizer.lr=1e-4"),
    "C  batches of 64": ("plan", "batch/batch=b64"),
    "D  precomputed statistics": ("plan", "ema/stats_mode=precomputed"),
    "E  double precision": ("plan", "precision/precision=float64"),
    "rows shuffled": ("causes", "split/split=shuffled"),
    "codes read as missing": ("causes", "codes/scaling.codes=missing"),
}


def column_values() -> Figure:
    """What the five columns hold down the file: 0 or 1 where rows train, 2 where they validate."""
    cohort = nhefs.load()
    x = cohort.x[:, [cohort.names.index(name) for name in CODED]]
    figure, axis = plt.subplots(figsize=(8, 2.4), layout="constrained")
    # A bar for each column, with white between them; repeated rows, so that a single "yes" stays visible.
    bars = np.full((10 * len(CODED), len(x)), 3)
    for j in range(len(CODED)):
        ones = np.convolve(x[:, j] == 1, np.ones(3), "same") > 0
        bars[10 * j + 1 : 10 * j + 9] = np.where((x[:, j] != 2) & ones, 1, x[:, j])
    colours = ListedColormap([PALE, BLUE, ORANGE, "white"])
    extent = (0, len(x), len(CODED) - 0.5, -0.5)
    axis.imshow(bars, cmap=colours, vmin=0, vmax=3, aspect="auto", interpolation="nearest", extent=extent)
    axis.axvline(len(x) / 2, color="black", linewidth=1)
    for at, text in ((0.25, "rows that train"), (0.75, "rows that validate")):
        axis.text(at * len(x), -0.75, text, ha="center", va="bottom")
    axis.set(yticks=range(len(CODED)), yticklabels=CODED, xlabel="row of the file", ylim=(len(CODED) - 0.5, -1.3))
    axis.grid(visible=False)
    handles = [plt.Line2D([], [], color=c, linewidth=6) for c in (PALE, BLUE, ORANGE)]
    figure.legend(handles, ["0, no", "1, yes", "2, not asked"], loc="outside right center")
    return figure


def _limits(axis: Axes) -> None:
    axis.axhline(TARGET, color=GREY, linestyle="--", linewidth=1)
    axis.axhline(MEAN, color=GREY, linestyle=":", linewidth=1.2)
    axis.text(1.01, TARGET, "target", transform=axis.get_yaxis_transform(), va="center", fontsize=9.5)
    axis.text(1.01, MEAN, "predict\nthe mean", transform=axis.get_yaxis_transform(), va="center", fontsize=9.5)
    axis.set_yscale("log")
    axis.set_yticks([5, 10, 20, 50, 100], labels=["5", "10", "20", "50", "100"])
    axis.minorticks_off()
    axis.set_ylabel("RMSE, kg")


def _strip(axis: Axes, at: float, values: np.ndarray, colour: str) -> None:
    spread = np.linspace(-0.22, 0.22, len(values))
    axis.plot(at + spread, values, "o", color=colour, markersize=4, alpha=0.7, markeredgewidth=0)
    axis.hlines(np.median(values), at - 0.3, at + 0.3, color="black", linewidth=1.6)


def arms(runs: dict[str, pd.DataFrame]) -> Figure:
    """RMSE of every run: the plan's five suspects and the two changes of the data."""
    figure, axis = plt.subplots(figsize=(8, 3.6), layout="constrained")
    for at, (study, arm) in enumerate(ARMS.values()):
        of_arm = (runs[study]["arm"] == arm) & (runs[study]["status"] == "finished")
        values = runs[study].loc[of_arm, "rmse"].to_numpy()
        _strip(axis, at, values, GREY if at == 0 else BLUE if study == "causes" else ORANGE)
    axis.set_xticks(range(len(ARMS)), labels=[name.replace("  ", "\n") for name in ARMS], fontsize=9)
    for label in axis.get_xticklabels():
        label.set(rotation=25, ha="right")
    _limits(axis)
    return figure


def dose(runs: pd.DataFrame) -> Figure:
    """RMSE against the share of validation rows that hold the codes; rows shuffled."""
    figure, axis = plt.subplots(figsize=(5.2, 3.2), layout="constrained")
    share = runs["arm"].str.extract(r"share=([0-9.]+)")[0].astype(float)
    shares = sorted(share.dropna().unique())
    for at, value in enumerate(shares):
        _strip(axis, at, runs.loc[share == value, "rmse"].to_numpy(), BLUE)
    axis.set_xticks(range(len(shares)), labels=[f"{value:.0%}" for value in shares])
    axis.set_xlabel("validation rows that hold the codes")
    _limits(axis)
    return figure


def factors(contrasts: dict[str, pd.DataFrame]) -> Figure:
    """Main effects of the five switches, with the intervals of the verdicts, for both failures."""
    figure, axes = plt.subplots(1, 2, figsize=(8, 2.6), layout="constrained", sharex=True, sharey=True)
    titles = {"attribution": "783 rows in file order", "attribution100": "50 rows, drawn at random"}
    for axis, (study, title) in zip(axes, titles.items(), strict=True):
        main = contrasts[study][~contrasts[study]["contrast"].str.contains(" x ")].iloc[::-1]
        y = np.arange(len(main))
        axis.hlines(y, main["low"], main["high"], color=BLUE, linewidth=2)
        axis.plot(main["ratio"], y, "o", color=BLUE)
        axis.axvline(1, color="black", linewidth=1)
        axis.set(xscale="log", title=title, xlabel="RMSE with / without")
        axis.set_yticks(y, labels=main["contrast"])
        axis.set_xticks([0.2, 0.5, 1, 2], labels=["0.2", "0.5", "1", "2"])
        axis.minorticks_off()
    return figure


def main() -> None:
    outputs, docs = Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "docs")
    runs = {name: pd.read_csv(outputs / name / "summary.csv") for name in ("plan", "causes", "dose")}
    contrasts = {name: pd.read_csv(outputs / name / "contrasts.csv") for name in ("attribution", "attribution100")}
    with styled():
        for name, figure in {
            "columns": column_values(),
            "arms": arms(runs),
            "dose": dose(runs["dose"]),
            "factors": factors(contrasts),
        }.items():
            figure.savefig(docs / f"findings_{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
