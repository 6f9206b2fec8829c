"""The three questions that the probes of a study's runs answer: loss, gradients, statistics.

Medians are over runs. Columns of the history: `ssc_sweep.training.history`.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import pandas as pd

from ssc_sweep.findings.drawing.views import titled
from ssc_sweep.findings.judging.watched import TRAINED, Watched, ends, epochs
from ssc_sweep.findings.reading.collect import Study
from ssc_sweep.lines import counted
from ssc_sweep.probe import Tells
from ssc_sweep.study.job import Status

# A loss has risen if it exceeds the first epoch's by this share of it, or by this much if that is smaller than 1.
RISEN = 0.01
# Gradients vanish below this share of those in the first epoch, and explode above this multiple.
VANISHED, EXPLODED = 1e-3, 1e2
# Statistics have converged if they are within this many standard deviations of those of all training rows.
CONVERGED = 0.1
# They have settled if the last epoch changes their distance by at most this share of it.
SETTLED = 0.2
# A validation row this many standard deviations off is out of reach of all training rows.
FAR = 10.0
# With more arms than this, as in a search, evidence lists the first.
MOST_LINES = 12


@dataclass(frozen=True)
class Answer:
    """A question of the plan, its answer in a sentence, and the evidence."""

    question: str
    answer: str
    evidence: tuple[str, ...]


def _change(watched: Watched, column: str, name: str) -> str:
    first, last = watched.ends(column)
    if not watched.several_epochs():
        return f"{name}: median {last.median():.3g} after the one epoch."
    return (
        f"{name}: median {first.median():.3g} in the first epoch, {last.median():.3g} in the last; "
        f"higher at the end in {int((last > first).sum())} of {len(last)} runs."
    )


def does_the_loss_diverge(study: Study, watched: Watched) -> Answer:
    """Rule: it diverges if a run met NaN or Inf, or a loss exceeds the first epoch's by more than RISEN."""
    question, who = "Does the loss diverge, and when?", watched.name
    everywhere = study.runs[study.runs["status"] == Status.DIVERGED]
    trained = int(study.runs["status"].isin(TRAINED).sum())
    evidence = [f"NaN or Inf: {len(everywhere)} of {trained} runs of the study that trained."]
    evidence += [
        f"{row['folder']}: first at step {row['first_bad_step']:.0f}, in {row['first_bad_tensor']}."
        for _, row in everywhere.head(5).iterrows()
    ]
    if watched.unknown:
        evidence.append(f"{who}s that failed, did not end, or were left out: {watched.unknown}.")
    losses, bad = watched.columns(".loss"), watched.runs[watched.runs["status"] == Status.DIVERGED]
    if watched.history.empty and bad.empty:
        return Answer(question, f"No {who} has left a history.", tuple(evidence))
    evidence += [_change(watched, column, f"{column}, {who}s") for column in losses]
    evidence += [
        _change(watched, column, f"{name}, {who}s")
        for column, name in (
            *((probe.name, titled(probe)) for probe in study.probes.values() if probe.unit == "nats"),
            ("val_rmse", "validation RMSE (between epochs on drawn rows, after the last on all)"),
            ("val_clamped", "share of the predictions at the model's clamp"),
        )
        if len(watched.ends(column)[0])
    ]
    rises = _rises([watched.epochs(column) for column in losses])
    if len(bad):
        steps = bad["first_bad_step"]
        text = f"Yes: {len(bad)} of {len(watched.runs)} {who}s met NaN or Inf, the first at step {steps.min():.0f}."
    elif rises:
        text = (
            f"In part: no {who} met NaN or Inf, but in {len(rises)} of {len(watched.runs)} the training loss rose "
            f"above that of the first epoch, the earliest in epoch {min(rises.values()):.0f}."
        )
    elif not watched.several_epochs():
        text = f"No {who} met NaN or Inf; with one epoch there is no more to compare."
    else:
        text = f"No: the training loss of every {who} is finite, and in no epoch above that of the first."
    if watched.unknown:
        text += f" {counted(watched.unknown, f'more {who}')} failed, did not end, or were left out."
    return Answer(question, text + _where_it_fails(study, watched), tuple(evidence))


def _rises(losses: Sequence[pd.DataFrame]) -> dict[Hashable, float]:
    """Return run -> earliest epoch in which one of its losses is clearly above that of the first epoch."""
    found: dict[Hashable, float] = {}
    for loss in losses:
        first = loss.iloc[:, 0]
        above = loss.gt(first + RISEN * first.abs().clip(lower=1), axis=0)
        for run, epoch in above[above.any(axis=1)].idxmax(axis=1).astype(float).items():
            found[run] = min(epoch, found.get(run, math.inf))
    return found


def _where_it_fails(study: Study, watched: Watched) -> str:
    """Say how many runs that do not work on validation rows would on training rows, and how many are clamped."""
    if study.rule is None:
        return ""
    known = watched.runs.dropna(subset=["rmse", "train_rmse"]).set_index(["arm", "seed"])
    scaled = {name: study.rule.scaled(known[name], known["mean_predictor_rmse"]) for name in ("rmse", "train_rmse")}
    missed = scaled["rmse"] >= study.rule.threshold
    failed = known[missed]
    if failed.empty:
        return ""
    fitted = failed[scaled["train_rmse"][missed] < study.rule.threshold]
    text = f" {len(failed)} of {len(known)} do not work on the validation rows; "
    text += f"{len(fitted)} of these would on their training rows"
    if len(fitted):
        text += f" (median RMSE {fitted['train_rmse'].median():.1f} there, {fitted['rmse'].median():.1f} here)"
    clamped = watched.ends("val_clamped")[1].reindex(failed.index).dropna()
    if clamped.median() >= 0.005:  # less would read 0%
        text += f". Of those that do not, a median share of {clamped.median():.0%} of the predictions is at the clamp"
    return f"{text}."


def what_happens_to_gradients(watched: Watched) -> Answer:
    """Rule: compare norms before clipping, in total and by module: epochs with the first, first steps with step 1."""
    question, who, evidence = "Do gradients vanish, explode or turn NaN?", watched.name, []
    recorded = watched.history.dropna(axis=1, how="all").columns
    columns = [name for name in recorded if ".gradient_norm" in name]
    if not columns or watched.history.empty:
        return Answer(question, f"No {who} has left a history.", ())
    vanished, exploded = set[object](), set[object]()
    steps = watched.history[watched.history["kind"] == "step"].sort_values("step").groupby(["arm", "seed"])
    for column in columns:
        norms = watched.epochs(column)
        first, lowest, highest = norms.iloc[:, 0], norms.min(axis=1), norms.max(axis=1)
        jump = (steps[column].max() / steps[column].first().where(lambda norm: norm > 0)).dropna()
        vanished |= set(first.index[(lowest == 0) | (lowest < VANISHED * first)])
        exploded |= {*first.index[(first > 0) & (highest > EXPLODED * first)], *jump.index[jump > EXPLODED]}
        text = f"{column}: median {first.median():.3g} in the first epoch"
        if watched.several_epochs():
            text += f", {watched.ends(column)[1].median():.3g} in the last"
            text += f"; {lowest.min():.2g} to {highest.max():.2g} in all"
        evidence.append(text + (f"; in the first steps up to {jump.max():.2g} times step 1." if len(jump) else "."))
    for column in watched.columns(".clipped_share"):
        share = watched.ends(column)[1]
        evidence.append(f"{column}: median {share.median():.0%} of the steps of the last epoch.")
    nan = watched.runs["first_bad_tensor"].astype("string").str.contains("gradient_norm", na=False).sum()
    evidence.append(f"{who}s whose first NaN or Inf was a gradient: {nan} of {len(watched.runs)}.")
    diverged = int((watched.runs["status"] == Status.DIVERGED).sum())
    if vanished or exploded or nan:
        text = (
            f"Of {len(watched.runs)} {who}s they vanish (0, or below {VANISHED:g} of the first epoch) in "
            f"{len(vanished)}, explode (above {EXPLODED:g} times the first epoch or step) in {len(exploded)}; "
            f"NaN comes first in {nan}."
        )
    elif diverged:
        text = f"In {diverged} of {len(watched.runs)} {who}s something else became NaN or Inf before any gradient did."
    elif not watched.several_epochs():
        text = "None is NaN or 0; with one epoch there is no more to compare."
    else:
        text = "They neither vanish nor explode, and none is NaN."
    return Answer(question, text, tuple(evidence))


def do_the_statistics_converge(study: Study, watched: Watched) -> Answer:
    """Rule: distance of the model's shift and scale from those of all training rows, in their standard deviations."""
    question, who = "Do the statistics converge, and are the batches too small for them?", watched.name
    probes = [probe for probe in study.probes.values() if probe.tells is Tells.DISTANCE]
    last = pd.DataFrame({probe.name: values for probe in probes if len(values := watched.ends(probe.name)[1])})
    if last.empty:
        why = "probes=false, a model without statistics, or NaN or Inf before the end of an epoch"
        return Answer(question, f"No {who} has recorded any: {why}.", ())
    evidence = [
        f"{who}s, last epoch, median in standard deviations of the training rows: "
        + "; ".join(f"{probe.title} {last[probe.name].median():.2f}" for probe in probes if probe.name in last)
        + "."
    ]
    labels = {arm.folder: arm.label for arm in reversed(study.plan.arms)}
    recorded = [ends(study.history, probe.name)[1] for probe in probes if probe.name in last]
    worst_of = pd.concat(recorded, axis=1).max(axis=1)
    by_arm = worst_of.groupby("arm")
    listed = [name for name in dict.fromkeys(arm.folder for arm in study.plan.arms) if name in by_arm.groups]
    for name in listed[:MOST_LINES]:
        off = by_arm.get_group(name)
        evidence.append(
            f"{labels[name]}: the worst statistic of a run is {off.median():.2f} sd off (up to {off.max():.2f})."
        )
    if len(listed) > MOST_LINES:
        evidence.append(f"Further arms: {len(listed) - MOST_LINES}.")
    text = _convergence(last.max(axis=1), who) + _noise_by_batch(study, watched)
    reach, known = (_told(study, watched, tells) for tells in (Tells.REACH_VAL, Tells.REACH_TRAIN))
    if len(reach) and len(known):
        evidence.append(
            f"largest |z|, {who}s, last epoch: median {known.median():.3g} among training rows, "
            f"{reach.median():.3g} among validation rows."
        )
        if reach.median() > max(FAR, 2 * known.median()):
            far = f"{reach.median():.0f} sd away (median over runs)"
            text += f" And validation rows lie up to {far}, where no training row was."
    return Answer(question, text, tuple(evidence))


def _convergence(worst: pd.Series, who: str) -> str:
    """Say how far the worst statistic of each run is from that of all training rows, in their sd."""
    fixed, worst = int((worst == 0).sum()), worst[worst > 0]
    precomputed = "they are those of all training rows from the start: precomputed."
    if worst.empty:
        return precomputed.capitalize()
    near = int((worst <= CONVERGED).sum())
    if near == len(worst):
        text = f"They converge: in every {who} within {worst.max():.2f} sd of those of all training rows."
    else:
        most = "They do not converge" if near == 0 else f"They converge in {near} of {len(worst)} {who}s"
        text = (
            f"{most}: at the end the worst of a run is {worst.median():.2f} sd off (median; up to {worst.max():.2f})."
        )
    return text + (
        f" In {fixed} more they are those of all training rows from the start: precomputed." if fixed else ""
    )


def _told(study: Study, watched: Watched, tells: Tells) -> pd.Series:
    """Return the last value of the first probe that tells this, by run; empty if none does."""
    names = [probe.name for probe in study.probes.values() if probe.tells is tells]
    return watched.ends(names[0])[1] if names else pd.Series(dtype=float)


def _noise_by_batch(study: Study, watched: Watched) -> str:
    """Return the distance of the worst statistic by batch size: in the watched runs and in arms of another size.

    Precomputed statistics tell nothing about batches. A distance that still falls from epoch to epoch may come from the
    initial value; one that stays is the noise of the batches.
    """
    batch = study.runs.dropna(subset=["batch"]).groupby("arm")["batch"].first()
    differ = {arm.folder for arm in study.plan.arms if arm.control and batch.get(arm.folder) != batch.get(arm.control)}
    probes = [probe for probe in study.probes.values() if probe.tells is Tells.DISTANCE and probe.name in study.history]
    if not probes:
        return ""
    probe = max(probes, key=lambda one: watched.ends(one.name)[1].median())
    off = epochs(study.history, probe.name)
    arms = off.index.get_level_values("arm")
    off = off[(off > 0).any(axis=1) & arms.isin({*watched.runs["arm"], *differ}) & arms.isin(batch.index)]
    if off.empty:
        return ""
    by_size = off.groupby(off.index.get_level_values("arm").map(batch.to_dict())).median().sort_index()
    reached = by_size.ffill(axis=1)  # extends each size to its last epoch
    last = reached.iloc[:, -1]
    sizes = ", ".join(f"{x:.2f} sd with {size:.0f}" for size, x in last.items())
    text = f" By batch size, {probe.title} ends at {sizes}"
    if not watched.several_epochs():
        return f"{text}; after one epoch noise cannot be told from a start that is not yet forgotten."
    settled = (last / reached.iloc[:, -2]).between(1 - SETTLED, 1 + SETTLED)
    noisy, moving = last.index[settled & (last > CONVERGED)], last.index[~settled & (last > CONVERGED)]
    text += f"; too noisy for {CONVERGED} sd: {', '.join(f'{size:.0f}' for size in noisy) or 'none'}"
    return text + (f"; still moving: {', '.join(f'{size:.0f}' for size in moving)}." if len(moving) else ".")
