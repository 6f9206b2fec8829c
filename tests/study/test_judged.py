"""What a plan can decide, before anything is trained."""

from ssc_sweep.study.hypothesis import Arm
from ssc_sweep.study.judged import too_few_seeds
from ssc_sweep.verdicts.rule import Rule

ARMS = [
    Arm("control", "control", None, None, ()),
    Arm("lr/a", "a", "lr", "control", ("optimizer.lr=1e-4",)),
    Arm("lr/b", "b", "lr", "control", ("optimizer.lr=1e-5",)),
]


def test_too_few_seeds_by_hand() -> None:
    """Two arms and their control make five claims, each at 0.05 / 5 = 0.01. All of n pairs on one side have the
    two-sided p 2 / 2^n: 0.0156 for seven, 0.0078 for eight."""
    (line,) = too_few_seeds(ARMS, Rule(), 7)
    assert line == (
        "7 seeds cannot show whether a change matters: with 2 arms at rule.alpha=0.05 that takes 8 at least. "
        "seeds=auto takes as many as the answers need."
    )
    assert too_few_seeds(ARMS, Rule(), 8) == []
    assert too_few_seeds([*ARMS, *ARMS], Rule(), 8) == [], "an arm of an earlier command is one claim, not two"
    assert too_few_seeds(ARMS, Rule(sequential=True), 1) == [], "seeds=auto adds what it takes"
    assert too_few_seeds(ARMS[:1], Rule(), 1) == [], "nothing is compared"
