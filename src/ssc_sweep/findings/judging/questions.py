"""Answer the five key questions of an investigation from a study, by the rules here and in `diagnosis`.

Each answer is one sentence with its evidence: the numbers that the rule used.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from ssc_sweep.findings.judging.arm_verdicts import ArmVerdict, changes, rmse_of, scaled_rmse_of, seen_in
from ssc_sweep.findings.judging.diagnosis import (
    MOST_LINES,
    Answer,
    do_the_statistics_converge,
    does_the_loss_diverge,
    what_happens_to_gradients,
)
from ssc_sweep.findings.judging.watched import watch
from ssc_sweep.findings.reading.collect import Study
from ssc_sweep.study.hypothesis import Arm
from ssc_sweep.study.judged import apart, rmse_in
from ssc_sweep.verdicts.evidence import Difference, difference, log_differences
from ssc_sweep.verdicts.judge import Matters
from ssc_sweep.verdicts.shown import interval_text

# With more factors than this, the answer names those that change the result most; the evidence has all.
MOST_FACTORS = 4


def answer_all(study: Study, verdicts: Sequence[ArmVerdict]) -> list[Answer]:
    """Answer the plan's five key questions from a study that has runs with a history."""
    if study.history.empty:
        return []
    watched = watch(study)
    return [
        does_the_loss_diverge(study, watched),
        what_happens_to_gradients(watched),
        do_the_statistics_converge(study, watched),
        which_hyperparameters_matter(study, verdicts),
        what_do_working_models_do(study),
    ]


def which_hyperparameters_matter(study: Study, verdicts: Sequence[ArmVerdict]) -> Answer:
    """Rule: an arm matters if its interval is on one side of no difference and not within the margin."""
    question = "Which hyperparameters matter?"
    evidence, groups = [], dict[Matters, list[str]]()
    for verdict in verdicts:
        judgement = verdict.judgement
        if judgement is None:
            continue
        seen = judgement.matters
        groups.setdefault(seen.answer, []).append(verdict.arm.label)
        times = f" RMSE times {interval_text(seen)}," if seen.n else ""
        works = f"works in {judgement.works.works} of {judgement.works.n}."
        evidence.append(f"{verdict.arm.label}: {verdict.sentence}{times} {works}")
    if not groups:
        instead = ": it is a search, whose importances stand above" if study.is_search else ""
        return Answer(question, f"This study tests no hypothesis{instead}.", ())
    parts = [
        f"{what} {_listed(groups[answer])}"
        for answer, what in (
            (Matters.BETTER, "it gets better with"),
            (Matters.WORSE, "it gets worse with"),
            (Matters.SAME, "no difference is made by"),
            (Matters.OPEN, "too few seeds to tell for"),
            (Matters.APART, "not compared, for their rows differ:"),
        )
        if answer in groups
    ]
    text = "; ".join(parts)
    return Answer(question, text[0].upper() + text[1:] + ".", tuple(evidence))


def _listed(labels: Sequence[str]) -> str:
    rest = len(labels) - MOST_LINES
    return ", ".join(labels[:MOST_LINES]) + (f" and {rest} more arms" if rest > 0 else "")


def what_do_working_models_do(study: Study) -> Answer:
    """Rule: compare models with their controls; a factor counts if adding it to the control's model, or removing it
    from another model, changes RMSE: the 95% interval of the ratio, seed by seed, excludes 1.

    A factor is added in an arm with the control's model, and removed in an arm that is another arm of its own model
    with further overrides.
    """
    question = "What do the models that work do differently?"
    arms = {arm.folder: arm for arm in study.plan.arms}
    known = study.runs.dropna(subset=["model"]).groupby("arm")["model"].first()
    model = {str(arm): str(name) for arm, name in known.items()}
    if len(set(model.values())) < 2:
        held = f"one model, {next(iter(model.values()))}" if model else "no model that has come to an end"
        return Answer(question, f"This study holds {held}: it cannot say.", ())
    working, evidence = _who_works(study, model)
    factors: dict[str, list[Difference]] = {}
    runs = seen_in(study, study.rule) if study.rule else {}
    rmse = rmse_in(runs)
    for what, at, folder, other in _interventions(study, arms, model):
        if study.rule is None:
            continue
        if apart({what: (folder, other)}, runs):
            evidence.append(f"{what}: not compared, for the rows differ.")
            continue
        # Each factor by itself, at 95%: this looks back over a study, and is none of its claims.
        x = log_differences(rmse.get(folder, {}), rmse.get(other, {}))
        seen = difference(x, study.rule.alpha, study.rule)
        if not seen.n:
            continue
        factors.setdefault(what, []).append(seen)
        where = f" ({at})" if at else ""
        evidence.append(f"{what}{where}: RMSE times {interval_text(seen)}, {seen.n} pairs.")
    text = f"Models whose median run works: {'; '.join(working)}." if working else "No model's median run works."
    moved = {what: found for what, found in factors.items() if any(_sure(seen) for seen in found)}
    ranked = sorted(moved.items(), key=lambda item: -max(abs(seen.log_mean) for seen in item[1]))
    if ranked:
        text += f" What moves the result: {'; '.join(_moves(*item) for item in ranked[:MOST_FACTORS])}."
    if still := [what for what in factors if what not in moved]:
        text += f" Without a certain effect: {'; '.join(still[:MOST_FACTORS])}."
    if not factors:
        text += " No arm gives a factor to the control's model, or puts one into another model, so it cannot say why."
    return Answer(question, text, tuple(evidence))


def _sure(seen: Difference) -> bool:
    return seen.high < 1 or seen.low > 1


def _moves(what: str, found: Sequence[Difference]) -> str:
    """Describe one factor over the grid points at which its effect is certain."""
    ratios = sorted(seen.ratio for seen in found if _sure(seen))
    times = f"{ratios[0]:.2f}" if len(ratios) == 1 else f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
    where = f", certain at {len(ratios)} of {len(found)} points" if len(found) > 1 else ""
    return f"{what} (RMSE times {times}{where})"


def _who_works(study: Study, model: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return (models whose median run works, with grid points; a line of evidence per model and point)."""
    working, evidence = [], []
    by_point: dict[str, list[str]] = {}
    for arm in {arm.folder: arm for arm in study.plan.arms}.values():
        # An arm that keeps the model, or changes its settings, tests that change, not the model.
        inside = any(key.startswith("model.") for key in changes(arm, study))
        other_model = arm.control is None or model.get(arm.folder) != model.get(arm.control)
        plain = other_model and not inside
        rmse = scaled_rmse_of(study, arm.folder)
        if not plain or arm.folder not in model or study.rule is None or rmse.empty:
            continue
        median = float(rmse.fillna(math.inf).median())
        at = point_of(arm)
        lost = int(rmse.isna().sum())
        raw = float(rmse_of(study, arm.folder)[rmse.index].fillna(math.inf).median())
        evidence.append(
            f"{arm.label}: {model[arm.folder]}, median RMSE {raw:.2f} over {len(rmse)} runs, {lost} diverged."
        )
        if median < study.rule.threshold:
            by_point.setdefault(at, []).append(model[arm.folder])
    for at, names in by_point.items():
        working.append(f"{', '.join(dict.fromkeys(names))}{f' with {at}' if at else ''}")
    return working, evidence


def point_of(arm: Arm) -> str:
    """Return the grid point of an arm, from its label; "" for none."""
    found = re.search(r"\((.*)\)$", arm.label)
    return found[1] if found else ""


def _interventions(
    study: Study, arms: Mapping[str, Arm], model: Mapping[str, str]
) -> Iterator[tuple[str, str, str, str]]:
    """Yield (change, grid point, arm, arm it is compared with): see `what_do_working_models_do`."""
    for arm in arms.values():
        mine = changes(arm, study)
        if arm.control is None or arm.folder not in model or arm.control not in model:
            continue
        at = point_of(arm)
        if model[arm.folder] == model[arm.control]:
            yield f"{_words(mine)} given to {model[arm.folder]}", at, arm.folder, arm.control
            continue
        for other in arms.values():
            theirs = changes(other, study)
            if (
                other.control == arm.control
                and theirs.items() < mine.items()
                and model.get(other.folder) == model[arm.folder]
            ):
                extra = {key: value for key, value in mine.items() if key not in theirs}
                yield f"{_words(extra)} put into {model[arm.folder]}", at, arm.folder, other.folder


def _words(overrides: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in overrides.items())
