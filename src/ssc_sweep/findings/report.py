"""The report of a study: verdicts.csv, contrasts.csv, figures/ and report.html, one file that needs no network.

Everything in a study folder is untrusted text: the templates escape it, and CSV cells cannot start a formula.
"""

import hashlib
import importlib.metadata
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd

# isort: split
# Before matplotlib, which this imports without the user's settings.
from ssc_sweep.findings.drawing import style  # noqa: F401

# isort: split
from matplotlib.figure import Figure

from ssc_sweep.audit.forecast import FAILS_ABOVE
from ssc_sweep.findings.drawing import plots
from ssc_sweep.findings.drawing.factor_plots import figures_of
from ssc_sweep.findings.drawing.pages import environment, number
from ssc_sweep.findings.drawing.pictures import Picture, picture, pictures_of_verdicts
from ssc_sweep.findings.drawing.plots import ArmRuns, plain
from ssc_sweep.findings.drawing.views import (
    ORDER,
    base_config,
    config_apart,
    never_started,
    titled,
    tracebacks,
    view_runs,
)
from ssc_sweep.findings.judging import answer
from ssc_sweep.findings.judging.arm_verdicts import (
    NAMES,
    UNKNOWN_UNIT,
    ArmVerdict,
    judge_arms,
    rmse_of,
    snippet,
    unit_of,
)
from ssc_sweep.findings.judging.comparison import effects, foretold, probe_table, published, score_table
from ssc_sweep.findings.judging.diagnosis import Answer
from ssc_sweep.findings.judging.factors import ACROSS_ROWS, Factorial, answer_text, contrasts_csv, factorials_of
from ssc_sweep.findings.judging.questions import answer_all
from ssc_sweep.findings.judging.remarks import remarks
from ssc_sweep.findings.reading.collect import Study, summarised
from ssc_sweep.findings.reading.run_files import Unreadable
from ssc_sweep.findings.reading.summary import as_csv
from ssc_sweep.findings.searched.search_plots import all_trials, best_so_far, importances, parallel_coordinates, pareto
from ssc_sweep.findings.searched.search_reading import Search, read_search
from ssc_sweep.findings.searched.search_results import answer_of, confirmations, deciding_note, search_notes
from ssc_sweep.probe import Tells
from ssc_sweep.study.folder import StudyFolder
from ssc_sweep.study.hypothesis import Arm
from ssc_sweep.verdicts.scoring import Naming
from ssc_sweep.writing import folder_name, write_text

MARK = 200  # bytes at the end of a page, which hold what it was made of
MOST_CHAPTERS = 10  # sets of figures; each takes 2 s to draw and 0.5 MB of the page
MOST_COLUMNS = 6  # scores and probes that a table shows at once: more do not fit a screen 1280 pixels wide
MOST_LISTED = 200  # runs that are left out, a line each; summary.csv has all


@dataclass(frozen=True)
class Chapter:
    """A hypothesis, or a part of a plain grid, with its figures and the folders of the arms in them."""

    title: str
    claim: str
    pictures: tuple[Picture, ...]
    folders: tuple[str, ...]


def _chapters(study: Study) -> list[tuple[str, str, str, list[Arm]]]:
    """Return (file name, title, claim, arms with the control first) for each figure set of at most MOST_ARMS arms.

    At most MOST_CHAPTERS sets: the first set of every hypothesis comes before the second of any.
    """
    arms = {arm.folder: arm for arm in study.plan.arms}
    controls = {arm.control for arm in study.plan.arms if arm.control}
    groups: dict[tuple[str | None, str | None], list[Arm]] = {}
    for arm in study.plan.arms:
        if arm.folder not in controls or arm.control:
            groups.setdefault((arm.hypothesis, arm.control), []).append(arm)
    if not groups:
        groups[None, None] = list(study.plan.arms)
    chapters: list[tuple[int, tuple[str, str, str, list[Arm]]]] = []
    for (name, control), members in groups.items():
        conf = study.plan.hypotheses.get(name or "")
        title = f"{conf.letter} {name}".strip() if conf else "All arms"
        at = f" against {control}" if [other for other, _ in groups].count(name) > 1 else ""
        first = [arms[control]] if control in arms else []
        size = plots.MOST_ARMS + (0 if first else 1)
        for start in range(0, len(members), size):
            part = f", part {start // size + 1}" if len(members) > size else ""
            stem = folder_name([f"{name or 'arms'}{at}{part.replace(', part ', '-')}"])
            picked = first + members[start : start + size]
            chapters.append((start, (stem, title + at + part, conf.claim if conf else "", picked)))
    chosen = sorted(range(len(chapters)), key=lambda i: chapters[i][0])[:MOST_CHAPTERS]
    return [chapters[i][1] for i in sorted(chosen)]


def _figures(study: Study, arms: Sequence[Arm]) -> list[tuple[str, str, str, str, Figure]]:
    """Return (suffix, title, caption, alt text, figure) for each figure of one chapter."""
    by_epoch = study.history[study.history["kind"] == "epoch"]
    runs = [ArmRuns(arm.label, rmse_of(study, arm.folder), by_epoch[by_epoch["arm"] == arm.folder]) for arm in arms]
    unit = unit_of(study)
    mine = study.runs[study.runs["arm"].isin([arm.folder for arm in arms])]
    mean_predictor = float(mine["mean_predictor_rmse"].median())
    known = "; ".join(
        f"{run.label}: median {plain(float(run.rmse.median()))} {unit} over {run.rmse.notna().sum()} runs, "
        f"{run.rmse.isna().sum()} lost"
        for run in runs
    )
    target = study.rule.target if study.rule and study.rule.target is not None else math.nan
    lines = {"target": target, "predict the mean": mean_predictor}
    marks = ", ".join(f"{name} {plain(value)}" for name, value in lines.items() if math.isfinite(value)) or "no lines"
    band = (
        "Median over seeds by epoch; the band holds the middle half. A run leaves at the epoch where it becomes NaN or "
        "Inf. Where curves overlap, arms are similar or the same."
    )
    found: list[tuple[str, str, str, str, Figure | None]] = [
        (
            "seeds",
            "Every seed",
            f"Each point is one run, each bar a median. Lines: {marks}. A run without an RMSE diverged or failed: it "
            "has no point, but the arm has an open triangle at the right edge.",
            f"RMSE of every seed on a log axis. {known}. {marks}.",
            plots.strip(runs, target, mean_predictor, unit),
        ),
        (
            "curves",
            "Training",
            f"{band} Validation RMSE is measured on a sample of the rows, and after the last epoch on all rows.",
            "",
            plots.training_curves(runs, unit),
        ),
        ("gradients", "Gradient norms before clipping", band, "", plots.gradient_norms(runs)),
    ]
    told = [probe for probe in study.probes.values() if probe.tells in (Tells.DISTANCE, Tells.REACH_VAL)]
    panels = {probe.name: titled(probe) for probe in told}
    found.append(("statistics", "Statistics of the model", band, "", plots.statistics(runs, panels)))
    names = ", ".join(run.label for run in runs)
    return [
        (suffix, title, caption, alt or f"{title} by epoch on log axes, median and quartiles, for {names}.", figure)
        for suffix, title, caption, alt, figure in found
        if figure is not None
    ]


def draw(study: Study) -> list[Chapter]:
    """Draw the figures of every hypothesis, or of the grid."""
    return [
        Chapter(
            title,
            claim,
            tuple(
                picture(study, f"{stem}-{suffix}", name, caption, alt, figure)
                for suffix, name, caption, alt, figure in _figures(study, arms)
            ),
            tuple(arm.folder for arm in arms),
        )
        for stem, title, claim, arms in _chapters(study)
    ]


def picture_of_effects(study: Study) -> Picture | None:
    """Draw the forest plot of all estimates of the effect; None if there are none."""
    found = [one for one in effects(study) if math.isfinite(one.effect)]
    if not found:
        return None
    unit = unit_of(study)
    rows = [(one.name, one.effect, one.low, one.high, one.of_model) for one in found]
    alt = "; ".join(f"{name}: {plain(effect)} ({plain(low)} to {plain(high)})" for name, effect, low, high, _ in rows)
    caption = "95% intervals. Filled: classical estimators, over rows. Open: models, over seeds alone."
    title = f"Effect of treatment, {unit}"
    return picture(study, "effects", title, caption, f"{title}. {alt}", plots.forest(rows, title))


# PED-ANOVA, Optuna's default.
IMPORTANCES = (
    "For each knob: how far its values among the best tenth of the trials differ from those among all trials. It is no "
    "share of variance, and it is rough below a hundred trials."
)


def draw_search(search: Search) -> list[Picture]:
    """Draw what a search tried and found."""
    confirmed = "; ".join(f"trial {c.trial}: {c.confirmed.value:.1f}" for c in confirmations(search)) or "none"
    tried = f"{len(search.record.trials())} trials. Confirmed on fresh seeds: {confirmed}."
    found: list[tuple[str, str, str, Callable[[Search], Figure | None]]] = [
        ("best", "Best so far", "Lowest score up to each trial, and scores on fresh seeds.", best_so_far),
        (
            "trials",
            "All trials",
            "RMSE of every seed of every trial. Those without a score are at the bottom.",
            all_trials,
        ),
        (
            "parallel",
            "Parallel coordinates",
            "Each line is a trial; the darker, the lower its score.",
            parallel_coordinates,
        ),
        ("importances", "Importances", IMPORTANCES, importances),
        ("pareto", "Pareto front", "Trials that no other beats in every objective.", pareto),
    ]
    drawn = [(name, title, caption, figure(search)) for name, title, caption, figure in found]
    return [
        picture(search.of, f"search-{name}", title, caption, f"{title}. {caption} {tried}", figure)
        for name, title, caption, figure in drawn
        if figure is not None
    ]


def pictures_of_factors(study: Study, factorial: Factorial) -> list[Picture]:
    """Draw the figures of a hypothesis with factors."""
    stem = folder_name([f"factors-{factorial.hypothesis}{factorial.at}"])
    figures = figures_of(factorial, study.rule) if study.rule else []
    return [
        picture(study, stem + suffix, title, caption, alt, figure) for suffix, title, caption, alt, figure in figures
    ]


def render(
    study: Study,
    verdicts: Sequence[ArmVerdict],
    chapters: Sequence[Chapter],
    questions: Sequence[Answer],
    search: Search | None = None,
    made_of: str = "",
) -> str:
    """Make the page; `made_of` tells it from pages of other runs, see `Findings.made_of`."""
    runs = view_runs(study)
    counts = {status: sum(run.status == status for run in runs) for status in ORDER}
    groups: dict[str | None, list[ArmVerdict]] = {}
    for verdict in verdicts:
        groups.setdefault(verdict.arm.hypothesis, []).append(verdict)
    known = study.runs["mean_predictor_rmse"].dropna()
    # A search has too many trials to show side by side.
    compared = study.without_search() if search else study
    probe_arms, probe_rows = probe_table(compared)
    factorials = factorials_of(compared)
    score = answer.score_of(study, verdicts)
    first_forest, whole_forest = pictures_of_verdicts(compared, verdicts)
    traces = tracebacks(runs)
    base = base_config(runs)
    searched = draw_search(search) if search else []
    drawn = [*searched, *(one for chapter in chapters for one in chapter.pictures)]
    content: Mapping[str, Any] = {
        "name": study.folder.path.resolve().name,
        "study": study,
        "unit": unit_of(study),
        "after_number": "" if unit_of(study) == UNKNOWN_UNIT else f" {unit_of(study)}",
        "groups": groups,
        "verdicts": verdicts,
        "mean_predictor": tuple(dict.fromkeys(number(value) for value in (known.min(), known.max()) if len(known))),
        "headline": score.sentence if score else answer.headline(verdicts),
        "lowest": "" if verdicts or search else answer.lowest(study),
        "score": score,
        "score_lines": answer.score_lines(score) if score else [],
        "namings": list(Naming),
        "on_hypotheses": answer.on_hypotheses(verdicts),
        "on_causes": [] if score else answer.on_causes(verdicts),
        "remarks": remarks(compared, verdicts),
        "lead": first_forest or (drawn[0] if drawn else None),
        "whole_forest": whole_forest,
        "factorials": [(one, pictures_of_factors(compared, one)) for one in factorials],
        "answer_text": answer_text,
        "across_rows": ACROSS_ROWS,
        "snippet": snippet(study, verdicts),
        "questions": questions,
        "scores": score_table(compared),
        "probe_arms": probe_arms,
        "probe_rows": probe_rows,
        "published": published(compared),
        "foretold": foretold(compared),
        "fails_above": FAILS_ABOVE,
        "effects": effects(compared),
        "effect_picture": picture_of_effects(compared),
        "chapters": chapters,
        "undrawn": len({a.folder for a in compared.plan.arms}.difference(*(c.folders for c in chapters))),
        "search": search,
        "confirmations": confirmations(search) if search else [],
        "search_pictures": searched,
        "runs": runs,
        "panels": [run for run in runs if run.panel],
        "counts": {status: count for status, count in counts.items() if count},
        "tracebacks": traces,
        "trace_of": {run.number: place for place, (_, failed) in enumerate(traces, 1) for run in failed},
        "base": base,
        "configs": {run.number: config_apart(run.config, base) for run in runs if run.config is not None},
        "left_out": [run for run in runs if run.reason],
        "most_listed": MOST_LISTED,
        "most_columns": MOST_COLUMNS,
        "any_wrong": any(run.why for run in runs),
        # The trials of a search have their own seeds, and with seeds=auto each arm has as many as needed: no grid of
        # arms and seeds can be incomplete.
        "never_started": [] if study.is_search or (study.rule and study.rule.sequential) else never_started(study),
        "search_notes": search_notes(search) if search else [],
        "search_answer": answer_of(search) if search else "",
        "deciding": deciding_note(search) if search else "",
        "made_of": made_of,
    }
    return environment().get_template("report.html.j2").render(content)


@dataclass(frozen=True)
class Findings:
    """The findings of a study: the study as read, and the text of its summary.csv."""

    study: Study
    summary: str
    verdicts: list[ArmVerdict]
    search: Search | None

    @cached_property
    def made_of(self) -> str:
        """Return a hash of all that the report depends on: the plan, how each run ended, the version of this program.

        Commands that only looked again are left out. "" for a search, whose record may change while its runs do not.
        """
        if self.search is not None:
            return ""
        study, version = self.study, importlib.metadata.version("ssc_sweep")
        begun = {key: value for key, value in study.provenance.items() if key != "later"}
        return hashlib.sha256(f"{study.plan}\n{begun}\n{self.summary}\n{version}".encode()).hexdigest()

    def are_shown(self) -> bool:
        """Return whether the report in the study's folder, and its figures, show these findings."""
        folder = self.study.folder
        try:
            with folder.report.open("rb") as file:
                file.seek(-MARK, os.SEEK_END)
                there = bool(self.made_of) and self.made_of.encode() in file.read()  # at the end: the page is whole
        except OSError:
            return False
        return there and (folder.path / "figures").is_dir()


def examine(folder: StudyFolder) -> Findings:
    """Read the study and judge it; write nothing."""
    study, summary = summarised(folder)
    try:
        search = read_search(study)
    except Unreadable as error:
        study, search = replace(study, remarks=(*study.remarks, f"{error}.")), None
    return Findings(study, summary, judge_arms(study), search)


def write_tables(found: Findings) -> None:
    """Write summary.csv, verdicts.csv and, where there are factors, contrasts.csv.

    Raises:
        UserError: one of them cannot be written.
    """
    study, verdicts = found.study, found.verdicts
    write_text(study.folder.summary, found.summary)
    table = pd.DataFrame([v.row() for v in verdicts], columns=None if verdicts else list(NAMES))
    write_text(study.folder.path / "verdicts.csv", as_csv(table))
    contrasts = contrasts_csv(factorials_of(study))
    if len(contrasts):
        write_text(study.folder.path / "contrasts.csv", as_csv(contrasts))


def write(found: Findings, again: bool = True) -> None:
    """Write the tables, figures/ and report.html.

    Args:
        again: also draw the figures and the page if those that lie there show the same.

    Raises:
        UserError: one of them cannot be written.
    """
    write_tables(found)
    if not again and found.are_shown():
        return
    study, verdicts, search = found.study, found.verdicts, found.search
    # The trials of a search are too many to draw one by one.
    drawn = [] if search and not verdicts else draw(study.without_search() if search else study)
    page = render(study, verdicts, drawn, answer_all(study, verdicts), search, found.made_of)
    write_text(study.folder.report, page)


def build(folder: StudyFolder, again: bool = True) -> Findings:
    """Read a study and write its findings; see `write`."""
    found = examine(folder)
    write(found, again)
    return found
