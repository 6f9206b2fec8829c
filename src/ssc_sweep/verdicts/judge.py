"""Verdicts: what an arm's runs show compared with the control's. Pure: numbers in, records out.

Two questions are asked of every arm. Does it work: is the share of its runs below the target above or below
`works_share`? Does it matter: is its RMSE, seed by seed, better or worse than the control's, or within the margin?
Each is answered by an interval alone, and the answers determine the sentence. A study of m arms and c controls makes
2 m + c claims; every interval has level alpha / (2 m + c), so all hold together with probability 1 - alpha
(Bonferroni). Under `family: point` this applies to each grid point, with its one control, separately.
docs/VERDICTS.md has a worked example.

report.html has Python code that recomputes the verdicts of a study from its summary.csv, with its rule and claims.
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import cache
from typing import Any

from ssc_sweep.errors import UserError
from ssc_sweep.verdicts.evidence import (
    Difference,
    Matters,
    Runs,
    Share,
    Works,
    difference,
    log_differences,
    share_working,
)
from ssc_sweep.verdicts.planning import (
    FEWEST_FOR_A_GUESS,
    FEWEST_FOR_AN_ESTIMATE,
    out_of_reach,
    seeds_for_difference,
    seeds_for_share,
)
from ssc_sweep.verdicts.rule import Rule

__all__ = ["Judgement", "Matters", "Rule", "Verdict", "Works", "claims_of", "judge_study"]

MANY_SEEDS = 1000  # nobody trains more, so the number does not matter


class Verdict(StrEnum):
    """Both answers in a sentence. The values are the sentences in the report."""

    MAKES_IT_WORK = "The change makes it work."
    WORKS_BETTER = "It works, and better than the control."
    WORKS_SAME = "It works; the change makes no difference beyond the margin."
    WORKS_WORSE = "It works, but the change makes it worse."
    WORKS = "It works; whether the change matters is open."
    WORKS_APART = "It works. Its rows are not the control's, so no more is compared."
    HELPS = "The change helps, but it still fails."
    FAILS_SAME = "It fails; the change makes no difference beyond the margin."
    WORSE = "It fails, and the change makes it worse."
    FAILS = "It fails; whether the change matters is open."
    FAILS_APART = "It fails. Its rows are not the control's, so no more is compared."
    HELPS_OPEN = "The change helps; whether it works is open."
    SAME_OPEN = "The change makes no difference beyond the margin; whether it works is open."
    WORSE_OPEN = "The change makes it worse; whether it works is open."
    OPEN_APART = "Whether it works is open. Its rows are not the control's, so no more is compared."
    TOO_FEW_SEEDS = "Too few seeds to tell."


SENTENCES = {
    (Works.YES, Matters.BETTER): Verdict.WORKS_BETTER,
    (Works.YES, Matters.SAME): Verdict.WORKS_SAME,
    (Works.YES, Matters.WORSE): Verdict.WORKS_WORSE,
    (Works.YES, Matters.OPEN): Verdict.WORKS,
    (Works.YES, Matters.APART): Verdict.WORKS_APART,
    (Works.NO, Matters.BETTER): Verdict.HELPS,
    (Works.NO, Matters.SAME): Verdict.FAILS_SAME,
    (Works.NO, Matters.WORSE): Verdict.WORSE,
    (Works.NO, Matters.OPEN): Verdict.FAILS,
    (Works.NO, Matters.APART): Verdict.FAILS_APART,
    (Works.OPEN, Matters.BETTER): Verdict.HELPS_OPEN,
    (Works.OPEN, Matters.SAME): Verdict.SAME_OPEN,
    (Works.OPEN, Matters.WORSE): Verdict.WORSE_OPEN,
    (Works.OPEN, Matters.OPEN): Verdict.TOO_FEW_SEEDS,
    (Works.OPEN, Matters.APART): Verdict.OPEN_APART,
}


@dataclass(frozen=True)
class Judgement:
    """A verdict and its evidence.

    Attributes:
        verdict: the sentence.
        level: error probability of each interval.
        works, control: does the arm work, does its control.
        matters: the arm against its control.
        seeds_work, seeds_matter: how many seeds in total would settle an open answer, with 80% power, if the runs so
            far are typical; None if it is not open, or unknown. While all runs work, or none does: how many at least.
        hopeless: whether the open answers are out of reach with the most seeds that the study may have.
    """

    verdict: Verdict
    level: float
    works: Share
    control: Share
    matters: Difference
    seeds_work: int | None
    seeds_matter: int | None
    hopeless: bool = False

    @property
    def changes_nothing(self) -> bool:
        """Return whether the arm has the control's result at every seed that either of them has."""
        return self.matters.identical and self.works.n == self.control.n == self.matters.n

    @property
    def settled(self) -> bool:
        """Return whether both questions have an answer."""
        return Works.OPEN is not self.works.answer and Matters.OPEN is not self.matters.answer

    @property
    def advice(self) -> str:
        """Return how many seeds an open answer takes and how reliable that is, in a sentence.

        "" if there is none, or with fewer runs than any guess takes.
        """
        told, sure = [], True
        if self.works.answer is Works.OPEN and self.works.n >= FEWEST_FOR_A_GUESS:
            if self.works.agree and self.seeds_work is not None:
                do = "work" if self.works.works else "fail"
                told.append(f"whether it works: {self.seeds_work:,} if all further runs {do} too")
            else:
                told.append(_about(self.seeds_work, "whether it works"))
                sure = False
        if self.matters.answer is Matters.OPEN and self.matters.n >= FEWEST_FOR_A_GUESS:
            told.append(_about(self.seeds_matter, "whether it matters"))
            sure = False
        if not told:
            return ""
        rough = "; a rough guess" if self.matters.n < FEWEST_FOR_AN_ESTIMATE else ""
        return f"Seeds to tell {', '.join(told)}{'' if sure else f' (80% power{rough})'}."

    def row(self) -> dict[str, Any]:
        """Return all fields in one flat dict: a row of verdicts.csv."""
        return {
            "verdict": self.verdict.value,
            "works": self.works.answer.value,
            "matters": self.matters.answer.value,
            **{f"works_{name}": value for name, value in asdict(self.works).items() if name != "answer"},
            "control_works": self.control.answer.value,
            **{f"control_{name}": value for name, value in asdict(self.control).items() if name != "answer"},
            **{f"pairs_{name}": value for name, value in asdict(self.matters).items() if name != "answer"},
            "level": self.level,
            "seeds_work": self.seeds_work,
            "seeds_matter": self.seeds_matter,
        }


def _about(seeds: int | None, what: str) -> str:
    if seeds is None:
        return f"{what}: cannot be said"
    return f"{what}: about {seeds}" if seeds <= MANY_SEEDS else f"{what}: more than {MANY_SEEDS:,}"


def claims_of(
    against: Mapping[str, tuple[str, str]], rule: Rule, more: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Return for each control how many claims share alpha with those on its arms: two per arm and one per control.

    Args:
        more: further claims of each control, such as contrasts.
    """
    arms = Counter(control for _, control in against.values())
    more = more or {}
    claims = {control: 2 * arms[control] + (control in arms) + more.get(control, 0) for control in [*arms, *more]}
    return claims if rule.family == "point" else dict.fromkeys(claims, sum(claims.values()))


def judge_study(
    rmse: Mapping[str, Runs],
    against: Mapping[str, tuple[str, str]],
    rule: Rule,
    apart: Collection[str] = (),
    claims: Mapping[str, int] | None = None,
    most: int | None = None,
) -> dict[str, Judgement]:
    """Judge all arms of a study together.

    Args:
        rmse: of each arm, by seed; in the outcome's unit, or divided by that of predicting the mean if the rule has no
            target. NaN for a run that diverged. Leave out runs that failed or have not ended.
        against: comparison -> (arm, its control). One without runs is judged too: it remains a claim.
        apart: comparisons whose arm and control have different validation rows: only the share that works is judged.
        claims: by control, how many share alpha with those on its arms; None: those of `against`.
        most: seeds that the study may have at most; None: no limit. Open answers beyond them are hopeless.

    Raises:
        UserError: an RMSE is 0 or negative.
    """
    claims = claims_of(against, rule) if claims is None else claims
    known = {name: _checked(name, runs) for name, runs in rmse.items()}
    none: Runs = {}

    @cache
    def share(name: str, level: float) -> Share:
        return share_working(known.get(name, none), level, rule)

    judged = {}
    for name, (arm, control) in against.items():
        level = rule.level(claims[control])
        pairs = (none, none) if name in apart else (known.get(arm, none), known.get(control, none))
        seen = difference(log_differences(*pairs), level, rule)
        if name in apart:
            seen = replace(seen, answer=Matters.APART)
        judged[name] = _judgement(share(arm, level), share(control, level), seen, level, rule, most)
    return judged


def _judgement(works: Share, control: Share, seen: Difference, level: float, rule: Rule, most: int | None) -> Judgement:
    work = works.answer is Works.OPEN
    matter = seen.answer is Matters.OPEN
    hopeless = most is not None and (
        (not work or out_of_reach(seeds_for_share(works, level, rule, True), works.n, most))
        and (not matter or out_of_reach(seeds_for_difference(seen, level, rule, True), seen.n, most))
    )
    return Judgement(
        verdict=sentence(works, control, seen),
        level=level,
        works=works,
        control=control,
        matters=seen,
        seeds_work=seeds_for_share(works, level, rule) if work else None,
        seeds_matter=seeds_for_difference(seen, level, rule) if matter else None,
        hopeless=hopeless and (work or matter),
    )


def sentence(works: Share, control: Share, seen: Difference) -> Verdict:
    """Return both answers as a sentence.

    "Makes it work" requires an arm that works, a control shown not to, and no answer that contradicts it.
    """
    from_failing = works.answer is Works.YES and control.answer is Works.NO
    if from_failing and seen.answer in (Matters.BETTER, Matters.OPEN, Matters.APART):
        return Verdict.MAKES_IT_WORK
    return SENTENCES[works.answer, seen.answer]


def _checked(name: str, runs: Runs) -> Runs:
    wrong = next((value for value in runs.values() if value <= 0), None)
    if wrong is not None:
        raise UserError(f"{name}: an RMSE of {wrong:g} has no logarithm: allowed are numbers above 0.")
    return {seed: math.nan if math.isinf(value) else float(value) for seed, value in runs.items()}
