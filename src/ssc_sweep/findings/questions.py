"""The five key questions of an investigation, answered from a study's probes by rules that stand here.

Each answer is one sentence and comes with its evidence: the numbers that the rule looked at. Medians are over runs.
Columns of the history: `ssc_sweep.training.probes`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ssc_sweep.findings.collect import Study
from ssc_sweep.findings.judging import ArmVerdict
from ssc_sweep.findings.verdicts import Verdict

# Gradients vanish below this share of those in the first epoch, and explode above this multiple of them.
VANISHED, EXPLODED = 1e-3, 1e2
# Statistics have converged when they lie within this many standard deviations of those of all training rows.
CONVERGED = 0.1
# A validation row this many standard deviations off lies where no training row has been.
FAR = 10.0


@dataclass(frozen=True)
class Answer:
    """A question of the plan, its answer in a sentence, and what the answer rests on."""

    question: str
    answer: str
    evidence: tuple[str, ...]


def answer_all(study: Study, verdicts: Sequence[ArmVerdict]) -> list[Answer]:
    """Answer the plan's five key questions from a study that has runs with a history."""
    epochs = study.history[study.history["kind"] == "epoch"] if len(study.history) else study.history
    if epochs.empty:
        return []
    return [
        does_the_loss_diverge(study, epochs),
        what_happens_to_gradients(study, epochs),
        do_the_statistics_converge(study, epochs),
        which_hyperparameters_matter(verdicts),
        what_do_working_models_do(study, epochs),
    ]


def _controls(study: Study) -> list[str]:
    """Folders of the arms that others are compared with; of all arms where there is no such one."""
    controls = [arm.control for arm in study.plan.arms if arm.control]
    return list(dict.fromkeys(controls or [arm.folder for arm in study.plan.arms]))


def _ends(epochs: pd.DataFrame, arms: Sequence[str], column: str) -> tuple[pd.Series, pd.Series]:
    """A column in each run's first and last epoch: one value a run of these arms; none where nobody recorded it."""
    if column not in epochs:
        return pd.Series(dtype=float), pd.Series(dtype=float)
    mine = epochs[epochs["arm"].isin(arms)].sort_values("epoch")
    runs = mine.groupby(["arm", "seed"])[column]
    return runs.first().dropna(), runs.last().dropna()


def _labels(study: Study) -> dict[str, str]:
    labels: dict[str, str] = {}
    for arm in study.plan.arms:
        labels.setdefault(arm.folder, arm.label)
    return labels


def _named(columns: pd.Index, ending: str) -> list[str]:
    return [name for name in columns if name.endswith(ending)]


def does_the_loss_diverge(study: Study, epochs: pd.DataFrame) -> Answer:
    """Rule: it diverges where a run met NaN or Inf, or where the loss of the last epoch exceeds that of the first."""
    controls, evidence = _controls(study), []
    runs = study.runs[study.runs["arm"].isin(controls)]
    bad = study.runs[study.runs["status"] == "diverged"]
    evidence.append(f"NaN or Inf: {len(bad)} of {len(study.runs)} runs of the study.")
    evidence.extend(
        f"{row['folder']}: first at step {row['first_bad_step']:.0f}, in {row['first_bad_tensor']}."
        for _, row in bad.head(5).iterrows()
    )
    risen = 0
    for column in _named(epochs.columns, ".loss"):
        first, last = _ends(epochs, controls, column)
        risen += int((last > first).sum())
        evidence.append(
            f"{column}, control: median {first.median():.3g} in the first epoch, {last.median():.3g} in the last; "
            f"it rose in {int((last > first).sum())} of {len(last)} runs."
        )
    first, last = _ends(epochs, controls, "val_rmse")
    evidence.append(
        f"validation RMSE, control: median {first.median():.1f} after the first epoch, {last.median():.1f} after the "
        f"last; higher at the end in {int((last > first).sum())} of {len(last)} runs (between epochs on up to 256 "
        "drawn rows, after the last on all)."
    )
    control_bad = runs[runs["status"] == "diverged"]
    if len(control_bad):
        steps = control_bad["first_bad_step"]
        text = f"Yes: {len(control_bad)} control runs met NaN or Inf, the first at step {steps.min():.0f}."
    elif risen:
        text = f"In part: no control run met NaN or Inf, but the loss rose in {risen} of them."
    elif epochs["epoch"].nunique() < 2:
        text = "No control run met NaN or Inf; with one epoch there is no more to compare."
    else:
        text = "No: the training loss of every control run is finite and no higher at the end than at the start."
        if study.rule and last.median() > study.rule.target:
            text += " The failure is on the validation rows alone."
    return Answer("Does the loss diverge, and when?", text, tuple(evidence))


def what_happens_to_gradients(study: Study, epochs: pd.DataFrame) -> Answer:
    """Rule: compare the mean norm before clipping in the last epoch with that in the first, run by run."""
    controls, evidence = _controls(study), []
    vanished = exploded = runs = 0
    for column in _named(epochs.columns, ".gradient_norm"):
        first, last = _ends(epochs, controls, column)
        ratio = last / first
        vanished += int((ratio < VANISHED).sum())
        exploded += int((ratio > EXPLODED).sum())
        runs += len(ratio)
        evidence.append(
            f"{column}, control: median {first.median():.3g} in the first epoch, {last.median():.3g} in the last "
            f"(ratio {ratio.min():.2g} to {ratio.max():.2g})."
        )
        share = _ends(epochs, controls, f"{column.removesuffix('.gradient_norm')}.clipped_share")[1]
        evidence.append(f"steps that were clipped in the last epoch: median {share.median():.0%}.")
    nan = study.runs["first_bad_tensor"].astype("string").str.contains("gradient_norm", na=False).sum()
    evidence.append(f"runs whose first NaN or Inf was a gradient: {nan} of {len(study.runs)}.")
    if vanished or exploded or nan:
        text = f"They vanish in {vanished}, explode in {exploded} of {runs} control runs; NaN first in {nan} runs."
    elif epochs["epoch"].nunique() < 2:
        text = "None is NaN; with one epoch there is no more to compare."
    else:
        text = "They neither vanish nor explode, and none is NaN."
    return Answer("Do gradients vanish, explode or turn NaN?", text, tuple(evidence))


def do_the_statistics_converge(study: Study, epochs: pd.DataFrame) -> Answer:
    """Rule: distance of the model's shift and scale from those of all training rows, in their standard deviations."""
    question = "Do the statistics converge, and are the batches too small for them?"
    found = [name for name in ("x_shift_off", "x_scale_off", "y_shift_off", "y_scale_off") if name in epochs]
    if not found:
        return Answer(question, "Nothing was recorded: probes=false, or the models keep no statistics.", ())
    labels, evidence = _labels(study), []
    ends = {name: _ends(epochs, _controls(study), name)[1] for name in found}
    evidence.append(
        "control, last epoch, in standard deviations of the training rows: "
        + ", ".join(f"{name.removesuffix('_off')} off by {values.median():.2f}" for name, values in ends.items())
        + "."
    )
    for arm in labels:
        off = _ends(epochs, [arm], "x_scale_off")[1]
        if len(off):
            evidence.append(f"{labels[arm]}: x_scale off by {off.median():.2f} (up to {off.max():.2f}).")
    reach = _ends(epochs, _controls(study), "largest_z_val")[1]
    known = _ends(epochs, _controls(study), "largest_z_train")[1]
    evidence.append(
        f"largest |z|, control, last epoch: median {known.median():.3g} among training rows, "
        f"{reach.median():.3g} among validation rows."
    )
    worst = max(values.median() for values in ends.values())
    if worst <= CONVERGED:
        text = f"They converge: within {worst:.2f} sd of those of all training rows."
    else:
        text = f"They do not converge: at the end one of them is still {worst:.2f} sd off."
    if reach.median() > max(FAR, 2 * known.median()):
        text += f" And validation rows lie up to {reach.median():.0f} sd away, where no training row was."
    return Answer(question, text, tuple(evidence))


def which_hyperparameters_matter(verdicts: Sequence[ArmVerdict]) -> Answer:
    """Rule: an arm matters if its verdict is that it works, helps or does harm."""
    question = "Which hyperparameters matter?"
    judged = [verdict for verdict in verdicts if verdict.judgement is not None]
    if not judged:
        return Answer(question, "This study tests no hypothesis.", ())
    evidence, groups = [], dict[Verdict, list[str]]()
    for verdict in judged:
        judgement = verdict.judgement
        assert judgement is not None
        groups.setdefault(judgement.verdict, []).append(verdict.arm.label)
        seen = judgement.evidence
        evidence.append(
            f"{verdict.arm.label}: {judgement.verdict} RMSE times {seen.ratio:.2f} "
            f"[{seen.ratio_low:.2f}, {seen.ratio_high:.2f}], works in {seen.works} of {seen.n_seeds}."
        )
    parts = [
        f"{what} {', '.join(groups[verdict])}"
        for verdict, what in (
            (Verdict.MAKES_IT_WORK, "it works with"),
            (Verdict.HELPS, "it still fails, but less, with"),
            (Verdict.WORSE, "it gets worse with"),
        )
        if verdict in groups
    ]
    text = "; ".join(parts) if parts else "none of those tested makes a difference that these seeds can show"
    return Answer(question, text[0].upper() + text[1:] + ".", tuple(evidence))


def what_do_working_models_do(study: Study, epochs: pd.DataFrame) -> Answer:
    """Rule: models are told apart by name; a model works if its median RMSE lies below the target."""
    question = "What do the models that work do differently?"
    models = study.runs.dropna(subset=["rmse"]).groupby("model")
    if len(models) < 2:
        held = f"one model, {next(iter(models.groups))}" if len(models) else "no model with an RMSE"
        return Answer(question, f"This study holds {held}: it cannot say.", ())
    rmse = models["rmse"].median()
    counts = models.size().to_dict()
    evidence = [f"{name}: median RMSE {value:.1f} over {counts[name]} runs." for name, value in rmse.items()]
    last = epochs.sort_values("epoch").groupby(["arm", "seed"]).last().reset_index()
    last = last.merge(study.runs[["arm", "seed", "model"]], on=["arm", "seed"])
    for column in ("x_scale_off", "largest_z_val", "val_clamped"):
        if column in last:
            by_model = last.groupby("model")[column].median().dropna()
            evidence.extend(f"{name}: {column} {value:.3g} in the last epoch." for name, value in by_model.items())
    best = rmse.idxmin()
    ratio = rmse.max() / rmse.min()
    text = f"The best, {best}, is {ratio:.1f} times better than the worst; see the probes."
    if study.rule:
        works = rmse[rmse < study.rule.target]
        text = f"Below the target: {', '.join(works.index) if len(works) else 'none'}. {text}"
    return Answer(question, text, tuple(evidence))
