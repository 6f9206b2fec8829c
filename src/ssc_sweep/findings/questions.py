"""The five key questions of an investigation, answered from a study's probes by rules that stand here.

Each answer is one sentence and comes with its evidence: the numbers that the rule looked at. Medians are over runs.
Columns of the history: `ssc_sweep.training.probes`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ssc_sweep.findings.collect import Study
from ssc_sweep.findings.judging import ArmVerdict
from ssc_sweep.findings.verdicts import Verdict
from ssc_sweep.findings.watched import Watched, ends, watch

# Gradients vanish below this share of those in the first epoch, and explode above this multiple of them.
VANISHED, EXPLODED = 1e-3, 1e2
# Statistics have converged when they lie within this many standard deviations of those of all training rows.
CONVERGED = 0.1
# A validation row this many standard deviations off lies where no training row has been.
FAR = 10.0
# Of more arms than this, as a search has, evidence lists the first.
MOST_LINES = 12


@dataclass(frozen=True)
class Answer:
    """A question of the plan, its answer in a sentence, and what the answer rests on."""

    question: str
    answer: str
    evidence: tuple[str, ...]


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


def _change(name: str, first: pd.Series, last: pd.Series) -> str:
    if first.equals(last):
        return f"{name}: median {first.median():.3g}, the same in the first epoch and the last."
    return (
        f"{name}: median {first.median():.3g} in the first epoch, {last.median():.3g} in the last; "
        f"higher at the end in {int((last > first).sum())} of {len(last)} runs."
    )


def does_the_loss_diverge(study: Study, watched: Watched) -> Answer:
    """Rule: it diverges where a run met NaN or Inf, or where the loss of the last epoch exceeds that of the first."""
    question, who = "Does the loss diverge, and when?", watched.name
    bad = watched.runs[watched.runs["status"] == "diverged"]
    everywhere = study.runs[study.runs["status"] == "diverged"]
    evidence = [f"NaN or Inf: {len(everywhere)} of {len(study.runs)} runs of the study."]
    evidence += [
        f"{row['folder']}: first at step {row['first_bad_step']:.0f}, in {row['first_bad_tensor']}."
        for _, row in everywhere.head(5).iterrows()
    ]
    losses = {column: watched.ends(column) for column in watched.columns(".loss")}
    if not losses and bad.empty:
        return Answer(question, f"No {who} has left a history.", tuple(evidence))
    evidence += [_change(f"{column}, {who}s", *ends) for column, ends in losses.items()]
    evidence += [
        _change(f"{name}, {who}s, {note}", *watched.ends(column))
        for column, name, note in (
            ("ll_x", "ll_x", "no part of the loss that is descended"),
            ("val_rmse", "validation RMSE", "between epochs on drawn rows, after the last on all"),
        )
        if column in watched.history
    ]
    risen = len({run for first, last in losses.values() for run in first.index[last > first]})
    if len(bad):
        steps = bad["first_bad_step"]
        text = f"Yes: {len(bad)} of {len(watched.runs)} {who}s met NaN or Inf, the first at step {steps.min():.0f}."
    elif risen:
        text = f"In part: no {who} met NaN or Inf, but the training loss rose in {risen} of them."
    elif not watched.several_epochs():
        text = f"No {who} met NaN or Inf; with one epoch there is no more to compare."
    else:
        text = f"No: the training loss of every {who} is finite and no higher at the end than at the start."
    return Answer(question, text + _where_it_fails(study, watched), tuple(evidence))


def _where_it_fails(study: Study, watched: Watched) -> str:
    """Of the runs that miss the target on the validation rows, how many reach it on the rows that they trained on."""
    known = watched.runs.dropna(subset=["rmse", "train_rmse"])
    if study.rule is None or known.empty:
        return ""
    failed = known[known["rmse"] >= study.rule.target]
    fitted = int((failed["train_rmse"] < study.rule.target).sum())
    if failed.empty:
        return ""
    return (
        f" {len(failed)} of {len(known)} miss the target on the validation rows; {fitted} of these meet it on their "
        f"training rows (median RMSE {failed['train_rmse'].median():.1f} there, {failed['rmse'].median():.1f} here)."
    )


def what_happens_to_gradients(watched: Watched) -> Answer:
    """Rule: compare norms before clipping, in total and by module: last epoch with first, first steps with step 1."""
    question, who, evidence = "Do gradients vanish, explode or turn NaN?", watched.name, []
    columns = [name for name in watched.history.columns if ".gradient_norm" in name]
    if not columns or watched.history.empty:
        return Answer(question, f"No {who} has left a history.", ())
    vanished, exploded = set[object](), set[object]()
    steps = watched.history[watched.history["kind"] == "step"].sort_values("step").groupby(["arm", "seed"])
    for column in columns:
        first, last = watched.ends(column)
        ratio, jump = last / first, steps[column].max() / steps[column].first()
        vanished |= set(ratio.index[ratio < VANISHED])
        exploded |= {*ratio.index[ratio > EXPLODED], *jump.index[jump > EXPLODED]}
        evidence.append(
            f"{column}: median {first.median():.3g} in the first epoch, {last.median():.3g} in the last "
            f"(ratio {ratio.min():.2g} to {ratio.max():.2g})"
            + (f"; in the first steps up to {jump.max():.2g} times that of step 1." if len(jump) else ".")
        )
    for column in watched.columns(".clipped_share"):
        share = watched.ends(column)[1]
        evidence.append(f"{column}: median {share.median():.0%} of the steps of the last epoch.")
    nan = watched.runs["first_bad_tensor"].astype("string").str.contains("gradient_norm", na=False).sum()
    evidence.append(f"{who}s whose first NaN or Inf was a gradient: {nan} of {len(watched.runs)}.")
    diverged = int((watched.runs["status"] == "diverged").sum())
    if vanished or exploded or nan:
        text = (
            f"Of {len(watched.runs)} {who}s they vanish in {len(vanished)}, explode in {len(exploded)}; "
            f"NaN comes first in {nan}."
        )
    elif diverged:
        text = f"In {diverged} of {len(watched.runs)} {who}s something else became NaN or Inf before any gradient did."
    elif not watched.several_epochs():
        text = "None is NaN; with one epoch there is no more to compare."
    else:
        text = "They neither vanish nor explode, and none is NaN."
    return Answer(question, text, tuple(evidence))


def do_the_statistics_converge(study: Study, watched: Watched) -> Answer:
    """Rule: distance of the model's shift and scale from those of all training rows, in their standard deviations."""
    question, who = "Do the statistics converge, and are the batches too small for them?", watched.name
    columns = ("x_shift_off", "x_scale_off", "y_shift_off", "y_scale_off")
    last = {name: values for name in columns if len(values := watched.ends(name)[1])}
    if not last:
        why = "probes=false, a model without statistics, or NaN or Inf before the end of an epoch"
        return Answer(question, f"No {who} has recorded any: {why}.", ())
    evidence = [
        f"{who}s, last epoch, in standard deviations of the training rows: "
        + ", ".join(f"{name.removesuffix('_off')} off by {values.median():.2f}" for name, values in last.items())
        + "."
    ]
    labels = {arm.folder: arm.label for arm in reversed(study.plan.arms)}
    by_arm = ends(study.history, "x_scale_off")[1].groupby("arm")
    shown = [(name, by_arm.get_group(name)) for name in labels if name in by_arm.groups][:MOST_LINES]
    evidence += [f"{labels[name]}: x_scale off by {off.median():.2f} (up to {off.max():.2f})." for name, off in shown]
    if len(by_arm) > MOST_LINES:
        evidence.append(f"{len(by_arm) - MOST_LINES} arms more.")
    worst = max(values.median() for values in last.values())
    if max(values.max() for values in last.values()) == 0:
        text = "They are those of all training rows from the start: precomputed."
    elif worst <= CONVERGED:
        text = f"They converge: within {worst:.2f} sd of those of all training rows."
    else:
        text = f"They do not converge: at the end one of them is still {worst:.2f} sd off."
    text += _noise_by_batch(study)
    reach, known = watched.ends("largest_z_val")[1], watched.ends("largest_z_train")[1]
    if len(reach) and len(known):
        evidence.append(
            f"largest |z|, {who}s, last epoch: median {known.median():.3g} among training rows, "
            f"{reach.median():.3g} among validation rows."
        )
        if reach.median() > max(FAR, 2 * known.median()):
            text += f" And validation rows lie up to {reach.median():.0f} sd away, where no training row was."
    return Answer(question, text, tuple(evidence))


def _noise_by_batch(study: Study) -> str:
    """Distance of x_scale by batch size, among arms that differ from their control in it, and these controls.

    Among all arms where none has a control.
    """
    batch = study.runs.dropna(subset=["batch"]).groupby("arm")["batch"].first()
    paired = [arm for arm in study.plan.arms if arm.control]
    differ = [arm for arm in paired if batch.get(arm.folder) != batch.get(arm.control)]
    arms = {name for arm in differ for name in (arm.folder, arm.control)} if paired else set(batch.index)
    batch = batch[batch.index.isin(arms)]
    off = ends(study.history[study.history["arm"].isin(batch.index)], "x_scale_off")[1]
    if batch.nunique() < 2 or off.empty:
        return " No arm differs from its control in batch size." if paired else " This study varies no batch size."
    by_size = off.groupby(off.index.get_level_values("arm").map(batch.to_dict())).median().sort_index()
    listed = ", ".join(f"{value:.2f} sd with {size:.0f}" for size, value in by_size.items())
    small = [f"{size:.0f}" for size, value in by_size.items() if value > CONVERGED]
    noisy = f"too noisy for {CONVERGED} sd: {', '.join(small)}" if small else f"none is too noisy for {CONVERGED} sd"
    return f" By batch size, x_scale ends off by {listed}; {noisy}."


def which_hyperparameters_matter(study: Study, verdicts: Sequence[ArmVerdict]) -> Answer:
    """Rule: an arm matters if its verdict is that it works, helps or does harm."""
    question = "Which hyperparameters matter?"
    evidence, groups = [], dict[Verdict, list[str]]()
    for verdict in verdicts:
        judgement = verdict.judgement
        if judgement is None:
            continue
        groups.setdefault(judgement.verdict, []).append(verdict.arm.label)
        seen = judgement.evidence
        evidence.append(
            f"{verdict.arm.label}: {judgement.verdict} RMSE times {seen.ratio:.2f} "
            f"[{seen.ratio_low:.2f}, {seen.ratio_high:.2f}], works in {seen.works} of {seen.n_seeds}."
        )
    if not groups:
        instead = ": it is a search, whose importances stand above" if study.is_search else ""
        return Answer(question, f"This study tests no hypothesis{instead}.", ())
    parts = [
        f"{what} {', '.join(groups[verdict])}"
        for verdict, what in (
            (Verdict.MAKES_IT_WORK, "it works with"),
            (Verdict.HELPS, "it still fails, but less, with"),
            (Verdict.WORSE, "it gets worse with"),
            (Verdict.NO_DIFFERENCE, "no difference is made by"),
            (Verdict.TOO_FEW_SEEDS, "too few seeds to tell for"),
            (Verdict.CONTROL_WORKS, "the control already works, beside"),
        )
        if verdict in groups
    ]
    text = "; ".join(parts)
    return Answer(question, text[0].upper() + text[1:] + ".", tuple(evidence))


def what_do_working_models_do(study: Study) -> Answer:
    """Rule: models are told apart by name; a model works if its median RMSE lies below the target, lost runs above."""
    question = "What do the models that work do differently?"
    models = study.ended.fillna({"rmse": math.inf}).groupby("model")
    if len(models) < 2:
        held = f"one model, {next(iter(models.groups))}" if len(models) else "no model that has come to an end"
        return Answer(question, f"This study holds {held}: it cannot say.", ())
    rmse = models["rmse"].median()
    evidence = [
        f"{name}: median RMSE {value:.1f} over {len(mine)} runs, {int(np.isinf(mine['rmse']).sum())} lost."
        for (name, mine), value in zip(models, rmse, strict=True)
    ]
    epochs = study.history[study.history["kind"] == "epoch"].sort_values("epoch")
    last = epochs.groupby(["arm", "seed"]).last().reset_index()
    last = last.merge(study.runs[["arm", "seed", "model"]], on=["arm", "seed"])
    for column in ("x_scale_off", "largest_z_val", "val_clamped"):
        if column in last:
            by_model = last.groupby("model")[column].median().dropna()
            evidence.extend(f"{name}: {column} {value:.3g} in the last epoch." for name, value in by_model.items())
    ratio = rmse.max() / rmse.min()
    lead = f", {ratio:.1f} times better than the worst" if math.isfinite(ratio) else ""
    text = f"The best is {rmse.idxmin()}{lead}; see the probes."
    if study.rule:
        works = rmse[rmse < study.rule.target]
        text = f"Below the target: {', '.join(works.index) if len(works) else 'none'}. {text}"
    return Answer(question, text, tuple(evidence))
