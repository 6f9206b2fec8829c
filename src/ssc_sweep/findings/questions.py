"""The five key questions of an investigation, answered from a study by rules that stand here and in `diagnosis`.

Each answer is one sentence and comes with its evidence: the numbers that the rule looked at.
"""

import math
from collections.abc import Sequence

import numpy as np

from ssc_sweep.findings.collect import Study
from ssc_sweep.findings.diagnosis import (
    Answer,
    do_the_statistics_converge,
    does_the_loss_diverge,
    what_happens_to_gradients,
)
from ssc_sweep.findings.judging import ArmVerdict
from ssc_sweep.findings.verdicts import Verdict
from ssc_sweep.findings.watched import ends, watch


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
    best, worst = str(rmse.idxmin()), str(rmse.idxmax())
    if math.isinf(rmse[best]):
        return Answer(question, "None works: every model has lost half of its runs or more.", tuple(evidence))
    text = f"The best is {best}"
    if math.isfinite(rmse[worst]):
        text += f", {rmse[worst] / rmse[best]:.1f} times better than the worst"
    model = study.runs.set_index(["arm", "seed"])["model"]
    for column in ("x_scale_off", "largest_z_val", "val_clamped"):
        last = ends(study.history, column)[1]
        by_model = last.groupby(model.reindex(last.index)).median()
        evidence.extend(f"{name}: {column} {value:.3g} in the last epoch." for name, value in by_model.items())
        if {best, worst} <= set(by_model.index):
            text += f"; {column} {by_model[best]:.3g} against {by_model[worst]:.3g}"
    if study.rule:
        works = rmse[rmse < study.rule.target]
        text = f"Below the target: {', '.join(works.index) if len(works) else 'none'}. {text}"
    return Answer(question, f"{text}.", tuple(evidence))
