"""Verdicts: what an arm's runs say against the control's. Pure: arrays in, records out.

Model. Arm and control share seeds. Where both runs of a seed have an RMSE, the seed gives one log difference
x_i = log(arm_i) - log(control_i), i = 1 ... n; exp(mean x) is the ratio of the geometric means. A run without an RMSE
(diverged or failed; NaN here) is *lost*: it gives no difference, counts as not working, loses against a run with one.

The statistics, and why these: `ssc_sweep.verdicts.paired`.

Other parts. Effect size: Cohen's d_z = mean(x) / sd(x) (Cohen 1988; Lakens 2013, Front. Psychol. 4:863). Several arms:
Holm (1979, Scand. J. Stat. 6, 65-70). No difference: two one-sided t tests against +-log(1 + margin) (Schuirmann 1987,
J. Pharmacokinet. Biopharm. 15, 657-680). Lost runs: exact McNemar, i.e. a binomial test of the seeds at which only one
side was lost. That test joins the Holm family wherever such seeds exist. Which seeds they are does not change when arm
and control trade places, so the family stays honest.

Recompute the verdicts of a study of hypotheses from its summary.csv (report.html has the snippet for any study):

    import pandas as pd
    from ssc_sweep.verdicts.judge import Rule, judge_study
    runs = pd.read_csv("summary.csv").query("status in ['finished', 'diverged', 'failed']")
    rmse = {arm: table.set_index("seed")["rmse"] for arm, table in runs.groupby("arm")}
    both = {arm: rmse[arm].align(rmse["control"], join="inner") for arm in rmse if arm != "control"}
    print(*judge_study(both, Rule(target=15)).items(), sep="\\n")
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ssc_sweep.errors import UserError
from ssc_sweep.verdicts.evidence import FEWEST_FOR_A_GUESS, Evidence, losses_even, seeds_needed, weigh
from ssc_sweep.verdicts.paired import Floats, fewest, holm
from ssc_sweep.verdicts.rule import Rule

__all__ = ["Evidence", "Judgement", "Rule", "Verdict", "judge", "judge_study"]


class Verdict(StrEnum):
    """The values are the sentences in the report."""

    MAKES_IT_WORK = "The change makes it work."
    HELPS = "The change helps, but it still fails."
    NO_DIFFERENCE = "The change makes no difference beyond the margin."
    WORSE = "The change makes it worse."
    TOO_FEW_SEEDS = "Too few seeds to tell."
    CONTROL_WORKS = "The control already works."


class Effect(StrEnum):
    """Which way an arm goes, as far as its runs can tell."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    OPEN = "open"


# A number of seeds from fewer pairs than these is no more than a guess: docs/POWER.md.
FEWEST_FOR_AN_ESTIMATE = 20


@dataclass(frozen=True)
class Judgement:
    """A verdict and all that led to it.

    Attributes:
        verdict: the sentence.
        seeds_needed: for "too few seeds": how many in total would decide with 80% power if the differences seen so
            far are typical; from fewer than FEWEST_FOR_A_GUESS pairs, how many a claim takes at least. None for other
            verdicts and where it cannot be said (no spread known, over 100,000).
        p_holm, p_lost_holm: evidence.p_value and evidence.p_lost, adjusted over all tests of the study.
        evidence: the numbers.
    """

    verdict: Verdict
    seeds_needed: int | None
    p_holm: float
    p_lost_holm: float | None
    evidence: Evidence

    @property
    def advice(self) -> str:
        """For "too few seeds": how many it takes, in a sentence that also says how far that can be trusted."""
        if self.verdict is not Verdict.TOO_FEW_SEEDS:
            return ""
        if self.seeds_needed is None:
            return "How many would decide cannot be said from these runs."
        if self.evidence.n_pairs < FEWEST_FOR_A_GUESS:
            return f"At least {self.seeds_needed} are needed."
        rough = "; a rough guess" if self.evidence.n_pairs < FEWEST_FOR_AN_ESTIMATE else ""
        return f"About {self.seeds_needed} would decide (80% power{rough})."

    def row(self) -> dict[str, Any]:
        """All fields in one flat dict: a row of verdicts.csv."""
        own = {"verdict": self.verdict.value, "seeds_needed": self.seeds_needed}
        return own | {"p_holm": self.p_holm, "p_lost_holm": self.p_lost_holm} | asdict(self.evidence)


def judge(arm_rmse: ArrayLike, control_rmse: ArrayLike, rule: Rule) -> Judgement:
    """Judge one arm that is the only one of its study; `judge_study` says more."""
    return judge_study({"arm": (arm_rmse, control_rmse)}, rule)["arm"]


def judge_study(pairs: Mapping[str, tuple[ArrayLike, ArrayLike]], rule: Rule) -> dict[str, Judgement]:
    """Judge all arms of a study, Holm-adjusted together.

    Args:
        pairs: name of an arm -> (its RMSE, its control's RMSE), one entry a seed, in the same order of seeds, in the
            outcome's unit; NaN for a run that diverged or failed. Leave out seeds at which a side has not ended yet.
        rule: the study's.

    Raises:
        UserError: the two have different shapes, or an RMSE is 0 or negative.
    """
    evidence = {name: weigh(*_checked(name, *pair), rule) for name, pair in pairs.items()}
    lost = [name for name, seen in evidence.items() if seen.p_lost is not None]
    tests = [seen.p_value for seen in evidence.values()] + [evidence[name].p_lost for name in lost]
    adjusted = [float(p) for p in holm(np.array(tests, dtype=np.float64))]
    p_holm = dict(zip(evidence, adjusted[: len(evidence)], strict=True))
    p_lost_holm = dict(zip(lost, adjusted[len(evidence) :], strict=True))
    judgements = {}
    for name, seen in evidence.items():
        verdict = decide(seen, p_holm[name], p_lost_holm.get(name), rule)
        stuck = contradictory(seen, p_holm[name], p_lost_holm.get(name), rule)
        needed = seeds_needed(seen, len(tests), rule) if verdict is Verdict.TOO_FEW_SEEDS and not stuck else None
        judgements[name] = Judgement(verdict, needed, p_holm[name], p_lost_holm.get(name), seen)
    return judgements


def _checked(name: str, arm_rmse: ArrayLike, control_rmse: ArrayLike) -> tuple[Floats, Floats]:
    arm, control = np.asarray(arm_rmse, dtype=np.float64), np.asarray(control_rmse, dtype=np.float64)
    if arm.ndim != 1 or arm.shape != control.shape:
        raise UserError(
            f"{name}: RMSE of shape {arm.shape} for the arm and {control.shape} for the control cannot be paired: "
            "give one number a seed for both, NaN for a run without one."
        )
    both = np.concatenate([arm, control])
    if (both <= 0).any():
        raise UserError(f"{name}: an RMSE of {both[both <= 0][0]:g} has no logarithm: allowed are numbers above 0.")
    return np.where(np.isinf(arm), np.nan, arm), np.where(np.isinf(control), np.nan, control)


def decide(evidence: Evidence, p_holm: float, p_lost_holm: float | None, rule: Rule) -> Verdict:
    """Apply the rule; the first line that holds is the verdict.

    1. The effect is worse -> makes it worse, also where the control works.
    2. The control works (works_share of its runs, at least as many runs as a claim needs) -> the control already works.
    3. The effect is the same -> no difference beyond the margin, even where it is certain or crosses the target.
    4. The effect is better, and works_share of the arm's runs work -> makes it work.
    5. The effect is better -> helps, but it still fails.
    6. Else -> too few seeds to tell.

    What the effect is, `effect` says. A claim needs p < alpha, so 6 seeds at alpha = 0.05, more with several arms.
    """
    which = effect(evidence, p_holm, p_lost_holm, rule)
    if which is Effect.WORSE:
        return Verdict.WORSE
    if evidence.n_seeds >= fewest(rule.alpha) and evidence.works_control / evidence.n_seeds >= rule.works_share:
        return Verdict.CONTROL_WORKS
    if which is Effect.SAME:
        return Verdict.NO_DIFFERENCE
    if which is Effect.BETTER:
        works = evidence.works / evidence.n_seeds >= rule.works_share
        return Verdict.MAKES_IT_WORK if works else Verdict.HELPS
    return Verdict.TOO_FEW_SEEDS


def effect(evidence: Evidence, p_holm: float, p_lost_holm: float | None, rule: Rule) -> Effect:
    """Say which way the arm goes; the first line that holds is the answer.

    1. The lost runs decide (p_lost_holm < alpha, losses not even), and the pairs (p_holm < alpha) say the opposite ->
       open: an arm whose other runs are better may yet lose more.
    2. The lost runs decide -> worse if the arm lost more, better if the control did: a lost run is worse than any
       number.
    3. p_tost < alpha, pairs enough for a claim, losses even -> the same.
    4. p_holm < alpha -> better below ratio 1, worse above; but not in favour of a side that lost clearly more runs,
       since the differences leave these out.
    5. Else -> open.

    Losses are even unless one side lost more runs alone than the other, by more than a share 1 - works_share of seeds.
    """
    even, lean = losses_even(evidence, rule), evidence.n_lost_alone - evidence.n_lost_alone_control
    if contradictory(evidence, p_holm, p_lost_holm, rule):
        return Effect.OPEN
    if p_lost_holm is not None and p_lost_holm < rule.alpha and not even:
        return Effect.WORSE if lean > 0 else Effect.BETTER
    if even and evidence.p_tost < rule.alpha and evidence.n_pairs >= fewest(rule.alpha):
        return Effect.SAME
    if p_holm < rule.alpha and evidence.log_mean < 0 and (even or lean < 0):
        return Effect.BETTER
    if p_holm < rule.alpha and evidence.log_mean > 0 and (even or lean > 0):
        return Effect.WORSE
    return Effect.OPEN


def contradictory(evidence: Evidence, p_holm: float, p_lost_holm: float | None, rule: Rule) -> bool:
    """Whether the lost runs say one thing for certain and the others the opposite; more seeds do not change that."""
    if p_lost_holm is None or max(p_holm, p_lost_holm) >= rule.alpha or losses_even(evidence, rule):
        return False
    return (evidence.n_lost_alone > evidence.n_lost_alone_control) == (evidence.log_mean < 0)
