"""What a search found: searched against confirmed RMSE.

    search = read_search(collect(folder))        search_reading.py; None where the study is no search
    confirmations(search)                        one record a confirmed trial, the best first
    importance(search)                           how well each parameter tells the best trials from the others
    print_search(search)                         the table at the end; figures: search_plots.py

A trial's score was seen before the trial was chosen, so the best score is too good: seeds that no trial has used tell
by how much. That difference is the optimism.
"""

import shlex
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial
from rich import box
from rich.table import Table

from ssc_sweep.findings.search_reading import Search
from ssc_sweep.findings.table import make_console
from ssc_sweep.study.folder import CONFIRM, of_search
from ssc_sweep.study.search.record import FINISHED
from ssc_sweep.study.search.space import label
from ssc_sweep.verdicts.paired import t_interval


@dataclass(frozen=True)
class Confirmation:
    """One trial on fresh seeds. RMSE in the outcome's unit.

    Attributes:
        searched: mean RMSE on the seeds that chose it, whatever its score was made of.
        mean, low, high: of its RMSE on fresh seeds, with the 95% t interval; NaN where a seed has no RMSE.
        mean_predictor: RMSE of predicting the training rows' mean, averaged over the same seeds.
        works: fresh seeds below the target, of `seeds`.
        holds: whether it counts as confirmed below the target.
    """

    trial: int
    params: dict[str, Any]
    searched: float
    mean: float
    low: float
    high: float
    mean_predictor: float
    works: int
    seeds: int
    holds: bool

    @property
    def optimism(self) -> float:
        """By how much the search promised too much: mean - searched."""
        return self.mean - self.searched


def confirmations(search: Search) -> list[Confirmation]:
    """One record a confirmed trial: those that hold the target first, then by mean."""
    found = []
    for number, rmse in search.record.confirmed().items():
        values = np.array([np.nan if value is None else value for value in rmse])
        mean, low, high = t_interval(values)
        low = max(low, 0.0)  # of few seeds the interval of a mean may reach below what an RMSE can be
        works = int((values < search.rule.threshold).sum())
        holds = search.record.holds(number)
        trial = search.record.trial(number)
        searched = float(np.mean([np.nan if value is None else value for value in trial.user_attrs["rmse"]]))
        mine = search.of.runs[search.of.runs["arm"] == of_search(CONFIRM, number)]
        baseline = float(mine["mean_predictor_rmse"].mean())
        found.append(Confirmation(number, trial.params, searched, mean, low, high, baseline, works, len(values), holds))
    return sorted(found, key=lambda c: (not c.holds, np.isnan(c.mean), c.mean))


def complete(search: Search) -> list[FrozenTrial]:
    """Trials with a score."""
    return search.record.trials(TrialState.COMPLETE)


def importance(search: Search) -> dict[str, float]:
    """Importance by parameter, adding up to 1; empty below two trials with a score.

    Optuna's default: PED-ANOVA (Watanabe, Bansal & Hutter 2023, IJCAI), how far a parameter's values among the best
    tenth of the trials differ from those among all. It is no share of variance, and rough where that tenth is few.
    """
    if len(complete(search)) < 2:
        return {}
    study = search.study
    if len(study.directions) > 1:
        # The importance API takes one objective as what a study minimises: here RMSE alone.
        study = optuna.create_study()
        for trial in complete(search):
            study.add_trial(create_trial(value=trial.values[0], params=trial.params, distributions=trial.distributions))
    with warnings.catch_warnings():
        # That trials are few or equal, the figure shows as well.
        warnings.simplefilter("ignore")
        return optuna.importance.get_param_importances(study)


def leak_warning(search: Search) -> str | None:
    """A sentence where the winner uses columns that give the answer away; None where it does not."""
    winner = search.record.winner()
    leaks = {} if winner is None else search.record.leaks(winner)
    named = ", ".join(f"{name} {role}" for name, role in leaks.items())
    return f"Trial {winner} uses columns that give the answer away: {named}." if leaks else None


def baseline_warning(search: Search) -> str | None:
    """A sentence where the winner does no better than predicting the mean; None where it does."""
    best = next(iter(confirmations(search)), None)
    if best is None or not best.mean >= best.mean_predictor:
        return None
    return (
        f"Trial {best.trial} does no better than predicting the training rows' mean, whose RMSE on the same rows is "
        f"{best.mean_predictor:.2f}."
    )


def selection_warning(search: Search) -> str | None:
    """A sentence where the winner was chosen among several that were confirmed; None where it was the only one."""
    count, folder = len(search.record.confirmed()), search.of.folder.path
    if count < 2:
        return None
    place = f"outputs={shlex.quote(str(folder.parent))} " * (folder.parent != Path("outputs")) + f"study={folder.name}"
    return (
        f"The best of {count} that were confirmed is again a choice, so its figure may be too good. Seeds that decided "
        f"nothing settle it: python -m ssc_sweep -m experiment=best {place} 'seed=range(900,920)'."
    )


def outside(search: Search) -> list[str]:
    """A line for each arm that is no part of the search, such as its winner on further seeds.

    Seeds that chose or confirmed a trial would promise too much, and are left out.
    """
    lines, study = [], search.of.without_search()
    compared = {name for arm in study.plan.arms if arm.control for name in (arm.folder, arm.control)}
    used = search.of.runs["seed"].drop(study.runs.index)
    further = study.ended[~study.ended["arm"].isin(compared) & ~study.ended["seed"].isin(used)]
    for arm, mine in further.groupby("arm"):
        rmse = mine["rmse"].dropna()
        if rmse.empty:
            continue
        below = int((rmse < search.rule.threshold).sum())
        scores = f"RMSE {rmse.mean():.2f} +- {rmse.std(ddof=1):.2f}" if len(rmse) > 1 else f"RMSE {rmse.mean():.2f}"
        seeds = "1 seed that decided nothing" if len(mine) == 1 else f"{len(mine)} seeds that decided nothing"
        lines.append(f"{arm} on {seeds}: {scores}, {below} of {len(mine)} below {search.rule.threshold:g}")
    return lines


def search_notes(search: Search) -> list[str]:
    """What to be wary of, which runs are not believed, and what further seeds made of the winner."""
    cautions = (
        leak_warning(search),
        baseline_warning(search),
        selection_warning(search),
    )
    return [*(text for text in cautions if text), *search.missing, *outside(search)]


def print_search(search: Search) -> None:
    """Print what was confirmed, beside what the search had promised, and how the trials ended."""
    console = make_console()
    table = Table(title="RMSE, searched and on fresh seeds", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("trial", "searched", "confirmed, 95% CI", "optimism", "the mean", f"< {search.rule.threshold:g}"):
        table.add_column(name, justify="right", no_wrap=True)
    found = confirmations(search)
    for c in found:
        interval = f" [{c.low:.2f}, {c.high:.2f}]" if np.isfinite(c.mean) else ""
        numbers = (_number(c.searched), _number(c.mean) + interval, _number(c.optimism, "+"), _number(c.mean_predictor))
        table.add_row(str(c.trial), *numbers, f"{c.works}/{c.seeds}")
    lines = [f"trial {c.trial}: {label(c.params)}" for c in found]
    lines.append(
        "(optimism: confirmed minus searched; the mean: RMSE of predicting the training rows' mean on the same rows)"
    )
    lines += search_notes(search)
    if len(search.study.directions) > 1:
        names = search.study.user_attrs["search"]["objectives"]
        for trial in search.study.best_trials:
            values = ", ".join(f"{name} {value:.4g}" for name, value in zip(names, trial.values, strict=True))
            lines.append(f"Pareto front: trial {trial.number}: {values}; {label(trial.params)}")
    counts = {state.name.lower(): len(search.record.trials(state)) for state in FINISHED}
    ended = ", ".join(f"{count} {state}" for state, count in counts.items())
    lines.append(f"trials: {ended}. The search ended: {search.ending}.")
    console.print(table)
    for line in lines:
        console.print(line, highlight=False, markup=False)


def _number(value: float, sign: str = "") -> str:
    return f"{value:{sign}.2f}" if np.isfinite(value) else "-"
