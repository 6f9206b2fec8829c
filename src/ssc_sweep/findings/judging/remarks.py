"""What a reader should know beside the verdicts of a study: each function returns a line, or none."""

from collections.abc import Sequence

import pandas as pd

from ssc_sweep.findings.judging.arm_verdicts import ArmVerdict, scaled_rmse_of, with_unit
from ssc_sweep.findings.reading.collect import Study
from ssc_sweep.lines import listed
from ssc_sweep.study.job import Status
from ssc_sweep.verdicts.judge import Works

# A run was still learning if its RMSE fell by this share or more in each of the last epochs that are compared: three,
# or the two that a short run has. Fewer epochs, or fewer runs, would call chance a trend.
STILL_FALLING, FALLS, FEWEST_FALLS, FEWEST_RUNS = 0.01, 3, 2, 3
# A median this near the target, over this many runs, says that the target cuts through the runs.
ABOUT, FEWEST_ABOUT = 0.05, 10


def trivial(study: Study) -> list[str]:
    """Return a line if predicting the mean meets the target at every seed."""
    rule, means = study.rule, study.ended["mean_predictor_rmse"].dropna()
    if rule is None or rule.target is None or means.empty or means.max() >= rule.target:
        return []
    return [
        f"Predicting the mean meets the target too, with an RMSE of {with_unit(means.max(), study)} at most. "
        f"target=null counts a run as working only if it beats that by {rule.beats_mean:.0%}."
    ]


def working_so_far(study: Study, verdicts: Sequence[ArmVerdict]) -> list[str]:
    """Return a line for each control under suspicion whose runs all work, while it is open whether it works."""
    failing = set(_failed(study).index)
    suspected = [v for v in verdicts if v.judgement and v.expect == "improves" and v.arm.control not in failing]
    runs = {v.control_label: v.judgement.control for v in suspected if v.judgement}
    return [
        f"All runs of the {label} work so far ({one.n} of {one.n}): there may be nothing to explain."
        for label, one in runs.items()
        if one.answer is Works.OPEN and one.works == one.n >= FEWEST_RUNS
    ]


def _failed(study: Study) -> pd.Series:
    """Return by arm how many of its runs failed, for arms with such runs."""
    return study.runs.loc[study.runs["status"] == Status.FAILED, "arm"].value_counts()


def failed_beside(study: Study) -> list[str]:
    """Return a line that names the arms of which some runs failed, while others count."""
    failed, counting = _failed(study), study.counting["arm"].value_counts()
    named = [
        f"{study.plan.labels[arm]} ({failed[arm]} of {failed[arm] + counting[arm]})"
        for arm in dict.fromkeys(arm.folder for arm in study.plan.arms)
        if arm in failed.index and arm in counting.index
    ]
    if not named:
        return []
    return [
        f"Runs that failed count nowhere: {listed(named, 'and')}. If the model raises only where it does badly, what "
        "is left looks better than it is."
    ]


def near_the_target(study: Study, verdicts: Sequence[ArmVerdict]) -> list[str]:
    """Return a line that names the arms whose runs lie about the target: with another one the answer may change."""
    if study.rule is None:
        return []
    shares = {v.arm.folder: v.judgement.works for v in verdicts if v.judgement}
    shares |= {v.arm.control: v.judgement.control for v in verdicts if v.judgement and v.arm.control}
    named = []
    for arm, share in shares.items():
        median = float(scaled_rmse_of(study, arm).median())
        if share.n >= FEWEST_ABOUT and abs(median / study.rule.threshold - 1) < ABOUT:
            named.append(study.plan.labels[arm])
    if not named:
        return []
    return [
        f"Whether it works hangs on the target: the median RMSE of {listed(named, 'and')} is within {ABOUT:.0%} of "
        "it. With another target (rule.beats_mean or target=<RMSE>) take seeds that were not looked at: another "
        "first_seed and study=<name>."
    ]


def model_of_controls(study: Study) -> list[str]:
    """Return a line that names the model of each control if the study has several models."""
    models = study.runs.dropna(subset=["model"]).groupby("arm")["model"].first()
    controls = dict.fromkeys(arm.control for arm in study.plan.arms if arm.control)
    if models.nunique() < 2:
        return []
    labels = {name: study.plan.labels[name] for name in controls if name in models}
    return [f"Model of the {label}: {models[name]}." for name, label in labels.items() if "model=" not in label]


def seedless(study: Study) -> list[str]:
    """Return a line that names the arms whose runs have one RMSE at every seed."""
    runs = study.counting.groupby("arm")["rmse"].agg(["size", "count", "nunique"])
    alike = set(runs.index[(runs["count"] == runs["size"]) & (runs["size"] >= FEWEST_RUNS) & (runs["nunique"] == 1)])
    named = [study.plan.labels[arm.folder] for arm in study.plan.arms if arm.folder in alike]
    if not named:
        return []
    return [f"RMSE is the same at every seed of {listed(named, 'and')}: more seeds are no more evidence there."]


def unfinished(study: Study) -> list[str]:
    """Return a line that names the arms whose RMSE was still falling when training ended, in most of their runs."""
    if "val_rmse" not in study.history:
        return []
    finished = study.ended.loc[study.ended["status"] == Status.FINISHED, ["arm", "seed"]]
    epochs = study.history[study.history["kind"] == "epoch"].merge(finished, on=["arm", "seed"])
    run = ["arm", "seed"]
    # The last epoch is left out: it is measured on all rows, and those before it on a sample where there are many.
    epochs = epochs[epochs.groupby(run).cumcount(ascending=False) > 0]
    by_run = epochs.groupby(run)
    fell = 1 - epochs["val_rmse"] / by_run["val_rmse"].shift() >= STILL_FALLING
    compared = (by_run.cumcount() > 0) & (by_run.cumcount(ascending=False) < FALLS)
    falls = epochs.assign(fell=fell)[compared].groupby(run)["fell"].agg(["size", "all"])
    learning = falls[(falls["size"] >= FEWEST_FALLS) & falls["all"]].groupby(level="arm").size()
    runs = study.counting["arm"].value_counts()
    named = [
        study.plan.labels[arm.folder]
        for arm in study.plan.arms
        if runs.get(arm.folder, 0) >= FEWEST_RUNS and learning.get(arm.folder, 0) > runs[arm.folder] / 2
    ]
    if not named:
        return []
    return [
        f"RMSE was still falling by {STILL_FALLING:.0%} or more in every epoch when training ended, in most runs of "
        f"{listed(named, 'and')}. More epochs may lower it, and change a verdict."
    ]


def remarks(study: Study, verdicts: Sequence[ArmVerdict]) -> list[str]:
    """Return what a reader should know beside the verdicts, a line each."""
    return [
        *model_of_controls(study),
        *trivial(study),
        *failed_beside(study),
        *working_so_far(study, verdicts),
        *near_the_target(study, verdicts),
        *seedless(study),
        *unfinished(study),
    ]
