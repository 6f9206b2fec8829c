"""What a search found: searched against confirmed RMSE, and figures of its trials. Reads search.db, trains nothing.

    search = read_search(collect(folder))        None where the study is no search
    confirmations(search)                        one record a confirmed trial, the best first
    best_so_far(search), all_trials(search), parallel_coordinates(search), importances(search), pareto(search)

A trial's score was seen before the trial was chosen, so the best score is too good: seeds that no trial has used tell
by how much. That difference is the optimism.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from matplotlib.figure import Figure
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from rich import box
from rich.console import Console
from rich.table import Table
from scipy import stats

from ssc_sweep.findings.collect import Study
from ssc_sweep.study.folder import StudyFolder
from ssc_sweep.study.rule import Rule
from ssc_sweep.study.search_record import FINISHED, Record
from ssc_sweep.study.search_space import label
from ssc_sweep.study.search_storage import DATABASE


@dataclass(frozen=True)
class Search:
    """A search as it lies on disk."""

    study: optuna.Study
    rule: Rule
    ending: str

    @property
    def record(self) -> Record:
        return Record(self.study, self.rule)


@dataclass(frozen=True)
class Confirmation:
    """One trial on fresh seeds. RMSE in the outcome's unit.

    Attributes:
        searched: the trial's score, on the seeds that chose it.
        mean, low, high: of its RMSE on fresh seeds, with the 95% t interval; NaN where a seed has no RMSE.
        works: fresh seeds below the target, of `seeds`.
        holds: whether it counts as confirmed below the target.
    """

    trial: int
    params: dict[str, Any]
    searched: float
    mean: float
    low: float
    high: float
    works: int
    seeds: int
    holds: bool

    @property
    def optimism(self) -> float:
        """By how much the search promised too much: mean - searched."""
        return self.mean - self.searched


def read_search(of: Study) -> Search | None:
    """Read the search of this study; None where there is none, or where it is kept elsewhere and has not ended."""
    path = of.folder.path / DATABASE
    if not path.exists() or of.rule is None:
        return None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = f"sqlite:///{path.resolve()}"
    names = optuna.get_all_study_names(storage)
    if not names:
        return None
    study = optuna.load_study(study_name=names[0], storage=storage)
    return Search(study, of.rule, study.user_attrs.get("ending", "it has not ended"))


def confirmations(search: Search) -> list[Confirmation]:
    """One record a confirmed trial: those that hold the target first, then by mean."""
    trials = search.record.trials()
    found = []
    for number, rmse in search.record.confirmed().items():
        values = np.array([np.nan if value is None else value for value in rmse])
        n = len(values)
        half = float(stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n))
        mean = float(values.mean())
        works = int((values < search.rule.target).sum())
        holds = search.record.holds(number)
        trial = trials[number]
        found.append(
            Confirmation(number, trial.params, trial.values[0], mean, mean - half, mean + half, works, n, holds)
        )
    return sorted(found, key=lambda c: (not c.holds, np.isnan(c.mean), c.mean))


def best_so_far(search: Search) -> Figure:
    """Lowest score up to each trial, with the confirmed mean of each confirmed trial and its interval."""
    figure, axes = _figure(search, "trial", "RMSE")
    trials = _complete(search)
    scores = np.array([trial.values[0] for trial in trials])
    numbers = [trial.number for trial in trials]
    axes.plot(numbers, scores, ".", color="0.7", label="score of a trial")
    axes.step(numbers, np.minimum.accumulate(scores), where="post", label="best so far")
    known = [c for c in confirmations(search) if np.isfinite(c.mean)]
    bars = [[c.mean - c.low for c in known], [c.high - c.mean for c in known]]
    axes.errorbar([c.trial for c in known], [c.mean for c in known], bars, fmt="o", capsize=3, label="on fresh seeds")
    axes.legend()
    return figure


def all_trials(search: Search) -> Figure:
    """Every seed of every trial against the target; a cross at the bottom for a trial that has no score."""
    figure, axes = _figure(search, "trial", "RMSE of each seed")
    colours = {TrialState.COMPLETE: "C0", TrialState.PRUNED: "C1", TrialState.FAIL: "C3"}
    for trial in search.record.trials(*FINISHED):
        values = [value for value in trial.user_attrs.get("rmse", []) if value is not None]
        axes.plot([trial.number] * len(values), values, ".", color=colours[trial.state], alpha=0.5)
        if trial.values is None:
            # x in trials, y in shares of the axis
            axes.plot(trial.number, 0.02, "x", color=colours[trial.state], transform=axes.get_xaxis_transform())
    for state, colour in colours.items():
        axes.plot([], [], "o", color=colour, label=state.name.lower())
    axes.legend()
    return figure


def parallel_coordinates(search: Search) -> Figure:
    """One line a trial through its parameters, dark where its RMSE is low."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    trials = sorted(_complete(search), key=lambda trial: -trial.values[0])
    names = sorted({name for trial in trials for name in trial.distributions})
    scores = np.log([trial.values[0] for trial in trials])
    spread = max(float(np.ptp(scores)), 1e-9) if trials else 1.0
    for trial, value in zip(trials, scores, strict=True):
        share = (value - scores.min()) / spread
        heights = [_height(trial, name) for name in names]
        axes.plot(range(len(names)), heights, color=str(0.9 * share), lw=1 + 1.5 * (1 - share))
    for x, name in enumerate(names):
        for height, text in _ticks(next(t for t in trials if name in t.distributions), name):
            axes.annotate(text, (x, height), xytext=(4, 0), textcoords="offset points", fontsize=8, color="C0")
        axes.axvline(x, color="0.8", lw=0.8, zorder=0)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks([])
    axes.set_title(f"{len(trials)} trials, the darker the lower their RMSE")
    return figure


def importances(search: Search) -> Figure:
    """Share of the score's variation that each parameter explains, by Optuna's importance API."""
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    found = importance(search)
    axes.barh(list(found)[::-1], list(found.values())[::-1])
    axes.set_xlabel("importance for RMSE")
    return figure


def importance(search: Search) -> dict[str, float]:
    """Importance by parameter, adding up to 1; empty below two trials with a score."""
    if len(_complete(search)) < 2:
        return {}
    study = search.study
    if len(study.directions) > 1:
        # The importance API takes one objective as what a study minimises: here RMSE alone.
        study = optuna.create_study()
        for trial in _complete(search):
            study.add_trial(create_trial(value=trial.values[0], params=trial.params, distributions=trial.distributions))
    return optuna.importance.get_param_importances(study)


def pareto(search: Search) -> Figure | None:
    """The first two objectives of every trial, the Pareto front in colour; None for a search of one objective."""
    if len(search.study.directions) < 2:
        return None
    names = search.study.user_attrs["search"]["objectives"]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    front = sorted(search.study.best_trials, key=lambda trial: trial.values[0])
    everyone = _complete(search)
    axes.plot([t.values[0] for t in everyone], [t.values[1] for t in everyone], ".", color="0.7", label="trial")
    axes.plot([t.values[0] for t in front], [t.values[1] for t in front], "o-", label="Pareto front")
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    axes.legend()
    return figure


def print_search(search: Search, folder: StudyFolder) -> None:
    """Print what was confirmed, beside what the search had promised, and how the trials ended."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    table = Table(title="RMSE, searched and on fresh seeds", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("configuration", overflow="fold")
    for name in ("trial", "searched", "confirmed, 95% CI", "optimism", f"< {search.rule.target:g}"):
        table.add_column(name, justify="right", no_wrap=True)
    for c in confirmations(search):
        confirmed = f"{c.mean:.2f} [{c.low:.2f}, {c.high:.2f}]"
        works = f"{c.works}/{c.seeds}"
        table.add_row(label(c.params), str(c.trial), f"{c.searched:.2f}", confirmed, f"{c.optimism:+.2f}", works)
    console.print(table)
    if len(search.study.directions) > 1:
        for trial in search.study.best_trials:
            values = ", ".join(f"{value:.4g}" for value in trial.values)
            console.print(f"Pareto front: trial {trial.number}: {values}  {label(trial.params)}", highlight=False)
    counts = {state.name.lower(): len(search.record.trials(state)) for state in FINISHED}
    ended = ", ".join(f"{count} {state}" for state, count in counts.items())
    console.print(f"trials: {ended}. The search ended: {search.ending}.", highlight=False)
    console.print(f"study folder: {folder.path}", highlight=False, soft_wrap=True, markup=False)


def _complete(search: Search) -> list[FrozenTrial]:
    return search.record.trials(TrialState.COMPLETE)


def _figure(search: Search, x: str, y: str) -> tuple[Figure, Any]:
    """A figure with logarithmic RMSE and a line at the target."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    axes.axhline(search.rule.target, color="C2", ls="--", label=f"target {search.rule.target:g}")
    axes.set_yscale("log")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def _height(trial: FrozenTrial, name: str) -> float:
    """Where a trial crosses the axis of a parameter, from 0 to 1; NaN where it has no such parameter."""
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
    """Heights and names of the choices of a parameter, or of its bounds."""
    distribution = trial.distributions[name]
    if isinstance(distribution, CategoricalDistribution):
        last = max(len(distribution.choices) - 1, 1)
        return [(i / last, str(choice)) for i, choice in enumerate(distribution.choices)]
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return [(0.0, f"{distribution.low:g}"), (1.0, f"{distribution.high:g}")]
