"""The verdicts of a study read from disk: which arm is compared with which control, and the result."""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ssc_sweep.findings.reading.collect import Study
from ssc_sweep.findings.reading.summary import cell
from ssc_sweep.study import judged as study_judged
from ssc_sweep.study.hypothesis import Arm
from ssc_sweep.study.judged import Runs, Seen, claims_in, compared, comparison, conclusions, seen
from ssc_sweep.verdicts.causes import Cause
from ssc_sweep.verdicts.evidence import Difference
from ssc_sweep.verdicts.judge import Judgement, Matters, Works
from ssc_sweep.verdicts.rule import Rule
from ssc_sweep.verdicts.shown import short

# Columns of verdicts.csv besides the judgement.
NAMES = ("hypothesis", "letter", "arm", "label", "control", "cause", "note")


@dataclass(frozen=True)
class ArmVerdict:
    """One arm of one hypothesis: its judgement, or the reason why there is none.

    Attributes:
        cause: the verdict on its hypothesis; None if none of its arms was judged.
        median, median_control: RMSE in the outcome's unit.
        median_mean, median_mean_control: RMSE of predicting the mean, at the arm's and the control's seeds.
        changes: what makes the control's config the arm's, by key.
    """

    arm: Arm
    letter: str
    claim: str
    expect: str
    control_label: str
    judgement: Judgement | None
    cause: Cause | None
    note: str
    median: float
    median_control: float
    median_mean: float
    median_mean_control: float
    changes: Mapping[str, str]

    @property
    def words(self) -> str:
        """Return the words that make the control's command the arm's, quoted for a shell."""
        return " ".join(shlex.quote(f"{key}={value}") for key, value in self.changes.items())

    @property
    def lacks_judgement(self) -> bool:
        """Return whether an arm that differs from its control has no judgement, such as one whose runs all crashed."""
        return self.judgement is None and self.arm.folder != self.arm.control

    @property
    def sentence(self) -> str:
        """Return the verdict in words, with a note if an arm that may work is worse than predicting the mean."""
        if self.judgement is None:
            return self.note
        told = self.judgement.verdict.value
        if self.judgement.changes_nothing:
            told += " Its results are the control's to the last digit."
        told += _within_the_margin(self.judgement.matters)
        told += self._over_the_mean(self.judgement)
        mean, mine = f"{self.median_mean:.2f}", f"{self.median:.2f}"
        if self.judgement.works.answer is not Works.NO and self.median > self.median_mean and mean != mine:
            told += f" Predicting the mean does better: {mean} against {mine}."
        return told

    def _over_the_mean(self, judgement: Judgement) -> str:
        """Say how an arm on other rows than the control's does on its own, against predicting the mean there."""
        apart = judgement.matters.answer is Matters.APART
        if not (apart and self.median_mean > 0 and self.median_mean_control > 0):
            return ""
        mine, control = self.median / self.median_mean, self.median_control / self.median_mean_control
        if not (math.isfinite(mine) and math.isfinite(control)):
            return ""
        told = f" Median RMSE over that of predicting the mean: {short(mine)}, of the control {short(control)}."
        works = judgement.works.answer is Works.YES
        return told if works else f"{told} Factors compare it by that: docs/HYPOTHESES.md."

    @property
    def as_expected(self) -> str:
        """Return whether the arm went the way that the claim predicts."""
        predicted = {"improves": Matters.BETTER, "worsens": Matters.WORSE, "no_difference": Matters.SAME}
        if self.expect not in predicted:
            return "-"
        if self.judgement is None:
            return "undecided"
        found = self.judgement.matters.answer
        if found in (Matters.OPEN, Matters.APART):
            return "undecided"
        return "yes" if found is predicted[self.expect] else "no"

    def row(self) -> dict[str, object]:
        """Return a row of verdicts.csv."""
        named = {"hypothesis": self.arm.hypothesis, "letter": self.letter, "arm": self.arm.folder}
        named |= {"label": self.arm.label, "control": self.arm.control, "note": self.note}
        named |= {"cause": self.cause.value if self.cause else None}
        return named | (self.judgement.row() if self.judgement else {})


def _within_the_margin(seen: Difference) -> str:
    """Say that a difference within the margin is there all the same; "" if the interval holds 1."""
    if seen.answer is not Matters.SAME or seen.low <= 1 <= seen.high:
        return ""
    return f" Within it RMSE is {'lower' if seen.high < 1 else 'higher'}."


def rmse_of(study: Study, arm: str) -> pd.Series:
    """Return RMSE by seed of the arm's runs that have ended; NaN for a lost one."""
    return study.ended[study.ended["arm"] == arm].set_index("seed")["rmse"].sort_index()


def scaled_rmse_of(study: Study, arm: str) -> pd.Series:
    """Return RMSE by seed, scaled as the rule asks, of the arm's runs that count; NaN for one that diverged."""
    runs = study.counting[study.counting["arm"] == arm].sort_values("seed")
    if study.rule is None:
        return runs.set_index("seed")["rmse"]
    both = zip(runs["rmse"], runs["mean_predictor_rmse"], strict=True)
    values = [seen(rmse, mean, None, study.rule).rmse for rmse, mean in both]
    return pd.Series(values, index=runs["seed"], dtype=float)


UNKNOWN_UNIT = "the outcome's unit"


def unit_of(study: Study) -> str:
    """Return the unit of its RMSE, to follow a comma."""
    units = study.runs["unit"].dropna().unique()
    return str(units[0]) if len(units) == 1 else "mixed units" if len(units) else UNKNOWN_UNIT


def with_unit(value: float, study: Study) -> str:
    """Return an RMSE with its unit, if that is known."""
    unit = unit_of(study)
    return f"{value:.3g}" + ("" if unit == UNKNOWN_UNIT else f" {unit}")


def seen_in(study: Study, rule: Rule) -> dict[str, dict[int, Seen]]:
    """Return the runs that count, by arm and seed."""
    runs = study.counting
    rows = runs["val_rows"] if "val_rows" in runs else [None] * len(runs)
    found: dict[str, dict[int, Seen]] = {}
    columns = (runs["arm"], runs["seed"], runs["rmse"], runs["mean_predictor_rmse"], rows)
    for arm, seed, rmse, mean, of in zip(*columns, strict=True):
        found.setdefault(str(arm), {})[int(seed)] = seen(rmse, mean, of, rule)
    return found


def changes(arm: Arm, study: Study) -> dict[str, str]:
    """Return what the arm changes, by key: its overrides beyond those of its control."""
    control = next((other for other in study.plan.arms if other.folder == arm.control), None)
    shared = set(control.overrides) if control else set()
    return dict(text.partition("=")[::2] for text in arm.overrides if text not in shared)


def judge_arms(study: Study) -> list[ArmVerdict]:
    """Judge every arm of the study that has a control, all together."""
    labels = study.plan.labels
    tested = [arm for arm in study.plan.arms if arm.control is not None]
    runs = seen_in(study, study.rule) if study.rule else {}
    judged = study_judged.judge_arms(study.plan.arms, runs, study.rule) if study.rule else {}
    notes = {arm: _no_verdict(study, arm, runs) for arm in tested}
    judged = {comparison(arm): judged[comparison(arm)] for arm in tested if not notes[arm]}
    expects = {name: conf.expect for name, conf in study.plan.hypotheses.items()}
    causes = {(name, control): cause for name, control, cause in conclusions(tested, judged, expects)}
    means = study.ended.groupby("arm")["mean_predictor_rmse"].median()
    verdicts = []
    for arm in tested:
        conf = study.plan.hypotheses.get(arm.hypothesis or "")
        judgement = judged.get(comparison(arm))
        verdicts.append(
            ArmVerdict(
                arm=arm,
                letter=conf.letter if conf else "",
                claim=conf.claim if conf else "",
                expect=conf.expect if conf else "",
                control_label=labels.get(arm.control or "", str(arm.control)),
                judgement=judgement,
                cause=causes.get((arm.hypothesis or "", arm.control or "")),
                note=notes[arm],
                median=float(rmse_of(study, arm.folder).median()),
                median_control=float(rmse_of(study, arm.control or "").median()),
                median_mean=float(means.get(arm.folder, math.nan)),
                median_mean_control=float(means.get(arm.control or "", math.nan)),
                changes=changes(arm, study),
            )
        )
    return verdicts


def _no_verdict(study: Study, arm: Arm, runs: Runs) -> str:
    """Return why there is no verdict on an arm; "" if there is one."""
    if study.rule is None:
        return "No verdict: study.yaml has no usable rule."
    if arm.folder == arm.control:
        return "No verdict: its config is that of the control."
    units = set(study.ended[study.ended["arm"].isin([arm.folder, arm.control])]["unit"].dropna())
    if len(units) > 1:
        return f"No verdict: the RMSE of arm and control are in different units, {' and '.join(sorted(units))}."
    mine, control = runs.get(arm.folder, {}), runs.get(arm.control or "", {})
    if set(mine) & set(control):
        return ""
    for whose, found in (("its", mine), ("the control's", control)):
        folder = arm.folder if whose == "its" else arm.control
        ended = study.ended[study.ended["arm"] == folder]
        if not found and len(ended):
            return f"No verdict: {whose} runs failed ({len(ended)} of {len(ended)}), and a failed run has no result."
    return "No verdict: no seed at which both the arm and its control have ended."


def snippet(study: Study, verdicts: Sequence[ArmVerdict]) -> str:
    """Return Python code that recomputes the verdicts from summary.csv, to be run in the study's folder."""
    against = {name: (cell(arm), cell(control)) for name, (arm, control) in compared(study.plan.arms).items()}
    judged = [v for v in verdicts if v.judgement]
    other = [comparison(v.arm) for v in judged if v.judgement and v.judgement.matters.answer is Matters.APART]
    relative = study.rule is not None and study.rule.target is None
    rule = ", ".join(f"{name}={value!r}" for name, value in study.rule.model_dump().items()) if study.rule else ""
    claims = {cell(name): count for name, count in claims_in(study.plan.arms, study.rule).items()} if study.rule else {}
    lines = [
        "import pandas as pd",
        "from ssc_sweep.verdicts.judge import Rule, judge_study",
        "",
        "runs = pd.read_csv(\"summary.csv\").query(\"status in ['finished', 'diverged']\")",
        *(['runs["rmse"] /= runs["mean_predictor_rmse"]'] if relative else []),
        'rmse = {arm: dict(zip(table["seed"], table["rmse"])) for arm, table in runs.groupby("arm")}',
        "against = {",
        *(f"    {name!r}: {pair!r}," for name, pair in against.items()),
        "}",
        f"apart = {other!r}  # measured on other validation rows than the control",
        f"judged = judge_study(rmse, against, Rule({rule}), apart, claims={claims!r})",
        "for name, judgement in judged.items():",
        '    print(name, judgement.verdict, judgement, sep="\\n  ")',
    ]
    return "\n".join(lines)
