"""Judge a single arm."""

from ssc_sweep.verdicts.evidence import Runs
from ssc_sweep.verdicts.judge import Judgement, judge_study
from ssc_sweep.verdicts.rule import Rule


def judge(arm: Runs, control: Runs, rule: Rule) -> Judgement:
    """The only arm of a study."""
    return judge_study({"arm": arm, "control": control}, {"arm": ("arm", "control")}, rule)["arm"]
