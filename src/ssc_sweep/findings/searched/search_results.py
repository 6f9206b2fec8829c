"""Findings of a search: searched, confirmed and test RMSE, and the share of seeds that work, which decides.

    search = read_search(collect(folder))        search_reading.py; None if the study is no search
    confirmations(search)                        one record per candidate, the best first
    importance(search)                           how well each parameter tells the best trials from the others
    print_search(search)                         the answer and the table at the end; figures: search_plots.py

Trials are chosen by their scores, so the best score is too good: fresh seeds show by how much. That difference is the
optimism. Rows that no trial was scored on show how well the trial does elsewhere.

The 95% t intervals of means are only for information. The number of fresh seeds depends on which seeds work, so these
intervals cover a little less: `python -m tests.bench.confirming` shows how much. The interval of the share has no such
flaw (`study.search.candidate`), and it alone decides.
"""

import shlex
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial
from rich import box
from rich.table import Table

from ssc_sweep.data.cohort import Floats
from ssc_sweep.findings.print_study import make_console
from ssc_sweep.findings.searched.search_reading import Search
from ssc_sweep.study.folder import CONFIRM, of_search
from ssc_sweep.study.search.candidate import BEST_FIRST, Candidate
from ssc_sweep.study.search.space import label
from ssc_sweep.study.search.trials import FINISHED, Record
from ssc_sweep.verdicts.evidence import Share, Works
from ssc_sweep.verdicts.paired import t_interval

FLOOR = "mean_predictor_rmse"


@dataclass(frozen=True)
class SeedMean:
    """Mean RMSE over seeds and its 95% t interval, in the outcome's unit; NaN if a seed has none."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Confirmation:
    """One candidate. Without test rows, `test` is None.

    Attributes:
        place: k, which sets the level of `share`; 0 in a search of a version without places.
        level: of the interval of the share.
        searched: on validation rows, by the seeds that chose it, whatever its score was.
        confirmed, test: by fresh seeds, on validation rows and on test rows.
        mean_predictor, test_mean_predictor: RMSE of predicting the training rows' mean on the same rows, averaged over
            these seeds.
        below, test_below: fresh seeds below the target on validation rows, on test rows.
        share: fresh seeds below it on both, and the answer.
        failed: seeds that raised or were killed, which do not count.
    """

    trial: int
    params: dict[str, Any]
    place: int
    level: float
    searched: SeedMean
    confirmed: SeedMean
    test: SeedMean | None
    mean_predictor: float
    test_mean_predictor: float
    below: int
    test_below: int
    share: Share
    failed: int

    @property
    def holds(self) -> bool:
        return self.share.answer is Works.YES

    @property
    def optimism(self) -> float:
        """Return by how much the search was too optimistic: confirmed - searched."""
        return self.confirmed.value - self.searched.value


def confirmations(search: Search) -> list[Confirmation]:
    """Return one record per candidate with fresh seeds: those that hold, then those that are open, each by mean."""
    record = search.record
    found = [_confirmation(search, record, one) for one in record.candidates().values() if one.seeds]
    return sorted(found, key=lambda c: (BEST_FIRST[c.share.answer], np.isnan(c.confirmed.value), c.confirmed.value))


def _confirmation(search: Search, record: Record, one: Candidate) -> Confirmation:
    trial, target = record.trial(one.trial), record.rule.threshold
    runs = search.of.runs[search.of.runs["arm"] == of_search(CONFIRM, one.trial)]
    floors = {name: runs[name].mean() if name in runs else np.nan for name in (FLOOR, f"test_{FLOOR}")}
    return Confirmation(
        trial=one.trial,
        params=trial.params,
        place=one.place,
        level=record.level(one),
        searched=_mean(trial.user_attrs["rmse"]),
        confirmed=_mean(one.rmse),
        test=None if one.test_rmse is None else _mean(one.test_rmse),
        mean_predictor=float(floors[FLOOR]),
        test_mean_predictor=float(floors[f"test_{FLOOR}"]),
        below=sum(value is not None and value < target for value in one.rmse),
        test_below=sum(value is not None and value < target for value in one.test_rmse or ()),
        share=record.share(one),
        failed=len(one.failed),
    )


def _mean(rmse: Sequence[float | None]) -> SeedMean:
    values = np.array([np.nan if value is None else value for value in rmse])
    if len(values) < 2:
        return SeedMean(float(values.mean()) if len(values) else np.nan, np.nan, np.nan)
    mean, low, high = t_interval(values)
    # With few seeds the interval of a mean may reach below 0, which no RMSE can.
    return SeedMean(mean, low if np.isnan(low) else max(low, 0.0), high)


def answer_of(search: Search) -> str:
    """Return what the search has found, in a sentence or two."""
    best = next(iter(confirmations(search)), None)
    if best is None:
        return "No trial was confirmed."
    share, target = best.share, search.rule.threshold
    rows = " on validation and on test rows" if best.test else ""
    seeds = (
        f"{share.works} of {share.n} fresh seeds have RMSE below {target:g}{rows}, so {share.low:.0%} to "
        f"{share.high:.0%} of all seeds do."
    )
    sentence = {
        Works.YES: f"Trial {best.trial} holds: {seeds}",
        Works.OPEN: f"Open: no trial is shown to hold. Of the best, trial {best.trial}, {seeds}",
        Works.NO: f"No candidate holds. Of the best, trial {best.trial}, {seeds}",
    }[share.answer]
    return " ".join(text for text in (sentence, baseline_warning(best)) if text)


def complete(search: Search) -> list[FrozenTrial]:
    """Return the trials with a score."""
    return search.record.trials(TrialState.COMPLETE)


def importance(search: Search) -> dict[str, float]:
    """Return importance by parameter, summing to 1; empty below two trials with a score.

    Optuna's default: PED-ANOVA (Watanabe, Bansal & Hutter 2023, IJCAI), how far a parameter's values in the best tenth
    of the trials differ from those in all. It is not a share of variance, and rough if that tenth is few trials.
    """
    if len(complete(search)) < 2:
        return {}
    study = search.study
    if len(study.directions) > 1:
        # The importance API needs a study with one objective: here RMSE alone.
        study = optuna.create_study()
        for trial in complete(search):
            study.add_trial(create_trial(value=trial.values[0], params=trial.params, distributions=trial.distributions))
    with warnings.catch_warnings():
        # The figure shows by itself that trials are few or equal.
        warnings.simplefilter("ignore")
        return optuna.importance.get_param_importances(study)


def leak_warning(search: Search) -> str | None:
    """Return a sentence if the winner uses columns that leak the answer; else None."""
    winner = search.record.winner()
    leaks = {} if winner is None else search.record.leaks(winner)
    named = ", ".join(f"{name} {role}" for name, role in leaks.items())
    return f"Trial {winner} uses columns that give the answer away: {named}." if leaks else None


def baseline_warning(best: Confirmation) -> str | None:
    """Return a sentence if this candidate does no better than predicting the mean; else None."""
    test = np.nan if best.test is None else best.test.value
    rows = (
        ("validation", best.confirmed.value, best.mean_predictor),
        ("test", test, best.test_mean_predictor),
    )
    beaten = " and ".join(f"{floor:.2f} on {name} rows" for name, rmse, floor in rows if rmse >= floor)
    if not beaten:
        return None
    return f"But it does no better than predicting the training rows' mean, whose RMSE is {beaten}."


def deciding_note(search: Search) -> str:
    """Return which of the numbers decides, and its error probability."""
    rule, record = search.rule, search.record
    target, share = f"RMSE below {rule.threshold:g}", f"{rule.works_share:.0%}"
    if not rule.sequential:
        return (
            f"This search is of a version that counted: a trial holds if its mean and at least {share} of its fresh "
            f"seeds have {target} on the validation rows, which chose it. That is no test, and has no error rate."
        )
    tested = any(one.test_rmse is not None for one in record.candidates().values())
    both = " and on the test rows, which no trial was scored on" if tested else ""
    note = (
        f"What decides is the share of fresh seeds with {target} on the validation rows{both}: a trial holds where it "
        f"is shown to lie above {share}, does not where it is shown to lie below, and is open otherwise. These answers "
        f"are right together with a chance of at least {1 - rule.alpha:.0%}, from however many trials they were chosen."
    )
    if not tested and record.candidates():
        note += " All of it is about the validation rows, which chose the trials: split.test_share=0.2 keeps others."
    return note


def failed_notes(search: Search) -> list[str]:
    """Return a sentence for each candidate with failed fresh seeds."""
    return [
        f"{of_search(CONFIRM, one.trial)}: {len(one.failed)} of {one.begun} fresh seeds failed. That says something of "
        "the machine, so they do not count; retry=failed trains them again."
        for one in search.record.candidates().values()
        if one.failed
    ]


def selection_warning(search: Search) -> str | None:
    """Return a sentence if the winner was chosen among several confirmed candidates; None if it was the only one."""
    count, folder = len(confirmations(search)), search.of.folder.path
    if count < 2:
        return None
    place = f"outputs={shlex.quote(str(folder.parent))} " * (folder.parent != Path("outputs")) + f"study={folder.name}"
    return (
        f"The best of {count} candidates is again a choice, so its means may be too good. Seeds that decided nothing "
        f"settle it: python -m ssc_sweep -m experiment=best {place} 'seed=range(900,920)'."
    )


def outside(search: Search) -> list[str]:
    """Return a line for each arm outside the search, such as its winner on further seeds.

    Seeds that chose or confirmed a trial would be too optimistic, and are left out.
    """
    lines, study = [], search.of.without_search()
    compared = {name for arm in study.plan.arms if arm.control for name in (arm.folder, arm.control)}
    used = search.of.runs["seed"].drop(study.runs.index)
    further = study.ended[~study.ended["arm"].isin(compared) & ~study.ended["seed"].isin(used)]
    for arm, mine in further.groupby("arm"):
        tested = "test_rmse" in mine and mine["test_rmse"].notna().any()
        rmse = {"": mine["rmse"].to_numpy()} | ({"on test rows ": mine["test_rmse"].to_numpy()} if tested else {})
        if np.isnan(rmse[""]).all():
            continue
        # NaN if either is: a lost run does not work.
        below = int((np.maximum.reduce(list(rmse.values())) < search.rule.threshold).sum())
        scores = ", ".join(f"{rows}RMSE {_spread(values[~np.isnan(values)])}" for rows, values in rmse.items())
        seeds = "1 seed that decided nothing" if len(mine) == 1 else f"{len(mine)} seeds that decided nothing"
        lines.append(f"{arm} on {seeds}: {scores}, {below} of {len(mine)} below {search.rule.threshold:g}")
    return lines


def _spread(rmse: Floats) -> str:
    return f"{rmse.mean():.2f} +- {rmse.std(ddof=1):.2f}" if len(rmse) > 1 else f"{rmse.mean():.2f}"


def search_notes(search: Search) -> list[str]:
    """Return warnings, which runs are invalid, and the winner's results on further seeds."""
    cautions = (leak_warning(search), selection_warning(search))
    return [*(text for text in cautions if text), *failed_notes(search), *search.missing, *outside(search)]


def print_search(search: Search) -> None:
    """Print confirmed beside searched RMSE, and how the trials ended."""
    console = make_console()
    table = Table(
        title="RMSE of the candidates, with 95% intervals", title_justify="left", box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0), pad_edge=False, show_edge=False,
    )  # fmt: skip
    found = confirmations(search)
    tested = any(c.test for c in found)
    fresh = ("fresh seeds,\nvalidation", *(("fresh seeds,\ntest rows",) if tested else ()))
    for name in ("trial", "searched", *fresh, "seeds\nthat work", "holds?"):
        table.add_column(name, justify="right", no_wrap=True)
    for c in found:
        means = [c.searched, c.confirmed, *([c.test] if c.test else [])]
        share = f"{c.share.works}/{c.share.n}\n{c.share.low:.0%} to {c.share.high:.0%}"
        table.add_row(str(c.trial), *map(_cell, means), share, c.share.answer.value)
    lines = [f"trial {c.trial}: {label(c.params)}" for c in found]
    lines += [f"trial {c.trial}: {_details(c, search.rule.threshold)}" for c in found[:1]]
    lines.append(deciding_note(search))
    lines += search_notes(search)
    if len(search.study.directions) > 1:
        names = search.study.user_attrs["search"]["objectives"]
        for trial in search.study.best_trials:
            values = ", ".join(f"{name} {value:.4g}" for name, value in zip(names, trial.values, strict=True))
            lines.append(f"Pareto front: trial {trial.number}: {values}; {label(trial.params)}")
    counts = {state.name.lower(): len(search.record.trials(state)) for state in FINISHED}
    ended = ", ".join(f"{count} {state}" for state, count in counts.items())
    lines.append(f"trials: {ended}. The search ended: {search.ending}.")
    console.print(answer_of(search), highlight=False, markup=False)
    console.print()
    console.print(table)
    console.print()
    for line in lines:
        console.print(line, highlight=False, markup=False)


def _details(c: Confirmation, target: float) -> str:
    """Return what does not fit into the table: optimism, predicting the mean, seeds that work on each set of rows."""
    floors = _number(c.mean_predictor) + (f" and {_number(c.test_mean_predictor)} on test rows" if c.test else "")
    below = f"{c.below} of {c.share.n} seeds below {target:g}"
    below += f" on validation rows, {c.test_below} on test rows, {c.share.works} on both" if c.test else ""
    optimism = f"optimism (fresh seeds minus searched, validation rows) {_number(c.optimism, '+')}"
    return f"{below}; {optimism}; predicting the mean has {floors}"


def _cell(mean: SeedMean) -> str:
    interval = f"\n[{mean.low:.2f}, {mean.high:.2f}]" if np.isfinite(mean.low) else ""
    return _number(mean.value) + interval


def _number(value: float, sign: str = "") -> str:
    return f"{value:{sign}.2f}" if np.isfinite(value) else "-"
