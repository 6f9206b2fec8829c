"""Figures of a search: data -> Figure, in the style of `plots`."""

from typing import Any

import numpy as np

# isort: split
# Before matplotlib, which this imports without the user's settings.
from ssc_sweep.findings.drawing.style import styled

# isort: split
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from ssc_sweep.findings.drawing.plots import COLOURS, CONTROL_COLOUR, WIDTH, plain_log
from ssc_sweep.findings.searched.search_reading import Search
from ssc_sweep.findings.searched.search_results import complete, confirmations, importance
from ssc_sweep.study.search.trials import FINISHED

BLUE, VERMILION, _, _, _, ORANGE, GREY = COLOURS
# Colour and marker of a trial by how it ended.
STATES = {TrialState.COMPLETE: (BLUE, "o"), TrialState.PRUNED: (ORANGE, "v"), TrialState.FAIL: (VERMILION, "X")}


@styled()
def best_so_far(search: Search) -> Figure:
    """Draw the lowest score up to each trial, with each candidate's means on fresh seeds and their intervals."""
    figure, axes = _figure(search, "RMSE")
    trials = complete(search)
    scores = np.array([trial.values[0] for trial in trials])
    numbers = [trial.number for trial in trials]
    axes.plot(numbers, scores, ".", color=GREY, label="score of a trial")
    axes.step(numbers, np.minimum.accumulate(scores), where="post", color=BLUE, label="best so far")
    found = confirmations(search)
    fresh = [(c.trial, c.confirmed) for c in found]
    test = [(c.trial, c.test) for c in found if c.test]
    for means, shift, marker, colour, words in (
        (fresh, 0.0, "D", VERMILION, "fresh seeds, validation rows"),
        (test, 0.3, "s", ORANGE, "fresh seeds, test rows"),
    ):
        known = [(trial + shift, mean) for trial, mean in means if np.isfinite(mean.high)]
        bars = [[m.value - m.low for _, m in known], [m.high - m.value for _, m in known]]
        x, y = [trial for trial, _ in known], [m.value for _, m in known]
        axes.errorbar(x, y, bars, fmt=marker, ms=5, capsize=3, color=colour, label=words)
    plain_log(axes, "y")
    figure.legend(loc="outside upper left", ncols=2)
    return figure


@styled()
def all_trials(search: Search) -> Figure:
    """Draw every seed of every trial with the target; trials without a score are at the bottom."""
    figure, axes = _figure(search, "RMSE of each seed")
    for trial in search.record.trials(*FINISHED):
        colour, marker = STATES[trial.state]
        values = [value for value in trial.user_attrs.get("rmse", []) if value is not None]
        axes.plot([trial.number] * len(values), values, marker, ms=3, mew=0, color=colour, alpha=0.6)
        if not values:
            # x in trials, y in shares of the axis
            axes.plot(trial.number, 0.02, marker, ms=5, mew=0, color=colour, transform=axes.get_xaxis_transform())
    for state, (colour, marker) in STATES.items():
        axes.plot([], [], marker, color=colour, mew=0, label=state.name.lower())
    plain_log(axes, "y")
    figure.legend(loc="outside upper left", ncols=2)
    return figure


@styled()
def parallel_coordinates(search: Search) -> Figure:
    """Draw one line per trial through its parameters, dark if its RMSE is low."""
    figure = Figure(figsize=(1.5 * WIDTH, 4), layout="constrained")
    axes = figure.subplots()
    trials = sorted(complete(search), key=lambda trial: -trial.values[0])
    names = sorted({name for trial in trials for name in trial.distributions})
    scores = np.log([trial.values[0] for trial in trials])
    spread = max(float(np.ptp(scores)), 1e-9) if trials else 1.0
    for trial, value in zip(trials, scores, strict=True):
        share = (value - scores.min()) / spread
        heights = [_height(trial, name) for name in names]
        axes.plot(range(len(names)), heights, color=str(0.9 * share), lw=1 + 1.5 * (1 - share))
    white = {"fc": "white", "ec": "none", "pad": 0.8, "alpha": 0.85}
    for x, name in enumerate(names):
        for height, text in _ticks(next(t for t in trials if name in t.distributions), name):
            axes.annotate(
                text, (x, height), xytext=(4, 0), textcoords="offset points", color=BLUE, size=9.5, zorder=9, bbox=white
            )
        axes.axvline(x, color="0.8", lw=0.8, zorder=0)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_yticks([])
    axes.set_xlim(-0.1, len(names) - 0.3)  # room for the labels of the last one
    axes.set_title(f"{len(trials)} trials, the darker the lower their RMSE")
    return figure


@styled()
def importances(search: Search) -> Figure:
    """Draw how well each parameter tells the best trials from the others, by Optuna's importance API."""
    figure = Figure(figsize=(WIDTH, 3), layout="constrained")
    axes = figure.subplots()
    found = importance(search)
    axes.barh(list(found)[::-1], list(found.values())[::-1], color=BLUE)
    axes.set_xlabel("importance for RMSE")
    return figure


@styled()
def pareto(search: Search) -> Figure | None:
    """Draw the first two objectives of every trial, the Pareto front in colour; None for a single objective."""
    if len(search.study.directions) < 2:
        return None
    names = search.study.user_attrs["search"]["objectives"]
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    axes = figure.subplots()
    front = sorted(search.study.best_trials, key=lambda trial: trial.values[0])
    everyone = complete(search)
    axes.plot([t.values[0] for t in everyone], [t.values[1] for t in everyone], ".", color=GREY, label="trial")
    axes.plot([t.values[0] for t in front], [t.values[1] for t in front], "o-", color=BLUE, label="Pareto front")
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    axes.legend()
    return figure


def _figure(search: Search, y: str) -> tuple[Figure, Any]:
    """Make a figure with RMSE by trial and a line at the target."""
    figure = Figure(figsize=(WIDTH, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.axhline(
        search.rule.threshold, color=CONTROL_COLOUR, ls="--", lw=1.3, label=f"target {search.rule.threshold:g}"
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trial")
    axes.set_ylabel(y)
    return figure, axes


def _height(trial: FrozenTrial, name: str) -> float:
    """Return where a trial crosses the axis of a parameter, 0 to 1; NaN if it has no such parameter."""
    if name not in trial.params:
        return float("nan")
    value, distribution = trial.params[name], trial.distributions[name]
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices.index(value) / max(len(distribution.choices) - 1, 1)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high = distribution.low, distribution.high
    if distribution.log:
        low, high, value = np.log(low), np.log(high), np.log(value)
    return float((value - low) / (high - low)) if high > low else 0.5


def _ticks(trial: FrozenTrial, name: str) -> list[tuple[float, str]]:
    """Return heights and names of the choices of a parameter, or of its bounds."""
    distribution = trial.distributions[name]
    if isinstance(distribution, CategoricalDistribution):
        last = max(len(distribution.choices) - 1, 1)
        return [(i / last, str(choice)) for i, choice in enumerate(distribution.choices)]
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return [(0.0, f"{distribution.low:g}"), (1.0, f"{distribution.high:g}")]
