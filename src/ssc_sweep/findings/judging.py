"""The verdicts of a study read from disk: which arm is compared with which control, and what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from ssc_sweep.findings.collect import ENDED, Study
from ssc_sweep.findings.summary import cell
from ssc_sweep.study.hypothesis import Arm
from ssc_sweep.verdicts.judge import Evidence, Judgement, Verdict, judge_study

VERDICT_COLUMNS = (
    "hypothesis", "letter", "arm", "label", "control", "verdict", "seeds_needed", "p_holm", "p_lost_holm",
    *(field.name for field in fields(Evidence)), "note",
)  # fmt: skip


@dataclass(frozen=True)
class ArmVerdict:
    """One arm of one hypothesis: its judgement, or the reason why there is none."""

    arm: Arm
    letter: str
    claim: str
    expect: str
    control_label: str
    judgement: Judgement | None
    note: str
    median: float
    median_control: float

    @property
    def as_expected(self) -> str:
        """Whether the arm went the way that the claim predicts."""
        if self.judgement is None:
            return "undecided"
        predicted = {
            "improves": (Verdict.MAKES_IT_WORK, Verdict.HELPS),
            "worsens": (Verdict.WORSE,),
            "no_difference": (Verdict.NO_DIFFERENCE,),
        }.get(self.expect)
        if predicted is None or self.judgement.verdict in (Verdict.TOO_FEW_SEEDS, Verdict.CONTROL_WORKS):
            return "undecided"
        return "yes" if self.judgement.verdict in predicted else "no"

    def row(self) -> dict[str, object]:
        """A row of verdicts.csv."""
        named = {"hypothesis": self.arm.hypothesis, "letter": self.letter, "arm": self.arm.folder}
        named |= {"label": self.arm.label, "control": self.arm.control, "note": self.note}
        return named | (self.judgement.row() if self.judgement else {})


def rmse_of(study: Study, arm: str) -> pd.Series:
    """RMSE by seed of the arm's runs that have ended; NaN for a lost one."""
    return study.ended[study.ended["arm"] == arm].set_index("seed")["rmse"].sort_index()


def scaled_rmse_of(study: Study, arm: str) -> pd.Series:
    """The same as the rule's threshold wants it: over that of predicting the mean where the study has no target."""
    runs = study.ended[study.ended["arm"] == arm].set_index("seed").sort_index()
    if study.rule is None:
        return runs["rmse"]
    # An RMSE of exactly 0 has no logarithm.
    return study.rule.scaled(runs["rmse"], runs["mean_predictor_rmse"]).clip(lower=float(np.finfo(np.float64).tiny))


def unit_of(study: Study) -> str:
    units = study.runs["unit"].dropna().unique()
    return str(units[0]) if len(units) == 1 else "mixed units" if len(units) else "unknown unit"


def comparison(arm: Arm) -> str:
    """Name of an arm beside its control: equal configs share a folder, which may then have several controls."""
    return f"{arm.folder} against {arm.control}"


def judge_arms(study: Study) -> list[ArmVerdict]:
    """Judge every arm that has a control, Holm-adjusted over the study."""
    # A folder may hold an arm and the control of others; as a control it has the control's name.
    labels = {arm.folder: arm.label for arm in sorted(study.plan.arms, key=lambda arm: arm.control is None)}
    tested = [arm for arm in study.plan.arms if arm.control is not None]
    pairs = {}
    for arm in tested:
        if arm.folder == arm.control:
            continue
        # Arms without a pair stay in the family that is adjusted: whoever loses one makes no claim easier for the rest.
        mine, control = scaled_rmse_of(study, arm.folder), scaled_rmse_of(study, arm.control or "")
        pairs[comparison(arm)] = mine.align(control, join="inner")
    judged = judge_study(pairs, study.rule) if study.rule else {}
    judged = {name: judgement for name, judgement in judged.items() if judgement.evidence.n_seeds}
    verdicts = []
    for arm in tested:
        conf = study.plan.hypotheses.get(arm.hypothesis or "")
        units = set(study.ended[study.ended["arm"].isin([arm.folder, arm.control])]["unit"].dropna())
        judgement = judged.get(comparison(arm)) if len(units) < 2 else None
        note = "" if judgement else "No verdict: no seed at which both the arm and its control have ended."
        if arm.folder == arm.control:
            note = "No verdict: its config is that of the control."
        if len(units) > 1:
            note = f"No verdict: the RMSE of arm and control are in different units, {' and '.join(sorted(units))}."
        if study.rule is None:
            note = "No verdict: study.yaml has no usable rule."
        verdicts.append(
            ArmVerdict(
                arm=arm,
                letter=conf.letter if conf else "",
                claim=conf.claim if conf else "",
                expect=conf.expect if conf else "",
                control_label=labels.get(arm.control or "", str(arm.control)),
                judgement=judgement,
                note=note,
                median=float(rmse_of(study, arm.folder).median()),
                median_control=float(rmse_of(study, arm.control or "").median()),
            )
        )
    return verdicts


def snippet(study: Study, verdicts: Sequence[ArmVerdict]) -> str:
    """Python that recomputes the verdicts from summary.csv; to be pasted in the study's folder."""
    tested = [v.arm for v in verdicts if v.arm.folder != v.arm.control]
    pairs = {comparison(arm): (cell(arm.folder), cell(arm.control)) for arm in tested}
    relative = study.rule is not None and study.rule.target is None
    rule = ", ".join(f"{name}={value!r}" for name, value in study.rule.model_dump().items()) if study.rule else ""
    lines = [
        "import pandas as pd",
        "from ssc_sweep.verdicts.judge import Rule, judge_study",
        "",
        f'runs = pd.read_csv("summary.csv").query("status in {list(ENDED)}")',
        *(['runs["rmse"] /= runs["mean_predictor_rmse"]'] if relative else []),
        'rmse = {arm: table.set_index("seed")["rmse"] for arm, table in runs.groupby("arm")}',
        "pairs = {",
        *(f"    {name!r}: {pair!r}," for name, pair in pairs.items()),
        "}",
        "none = pd.Series(dtype=float)",
        "both = {",
        '    name: rmse.get(arm, none).align(rmse.get(control, none), join="inner")',
        "    for name, (arm, control) in pairs.items()",
        "}",
        f"judged = judge_study(both, Rule({rule}))",
        "for name, judgement in judged.items():",
        '    print(name, judgement.verdict, judgement.seeds_needed or "", judgement.evidence, sep="\\n  ")',
    ]
    return "\n".join(lines)
