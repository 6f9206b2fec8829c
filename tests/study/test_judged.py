"""What a plan can decide, before anything is trained."""

from ssc_sweep.study.hypothesis import Arm
from ssc_sweep.study.judged import too_few_seeds
from ssc_sweep.verdicts.rule import Rule

ARMS = [
    Arm("control", "control", None, None, ()),
    Arm("lr/a", "a", "lr", "control", ("optimizer.lr=1e-4",)),
    Arm("lr/b", "b", "lr", "control", ("optimizer.lr=1e-5",)),
]


BOTH = ["lr/a", "lr/b"]


def told(seeds: int, rule: Rule | None = None, arms: list[Arm] = ARMS, now: list[str] = BOTH) -> str:
    return "".join(too_few_seeds(arms, dict.fromkeys(now, seeds), rule or Rule()))


def test_too_few_seeds_by_hand() -> None:
    """Two arms and their control make five claims, each at 0.05 / 5 = 0.01. All of n pairs on one side have the
    two-sided p 2 / 2^n: 0.0156 for seven, 0.0078 for eight."""
    assert told(7) == (
        "7 seeds cannot show that a change matters: rule.alpha=0.05 is shared by 5 claims, which takes 8 seeds at "
        "least. seeds=auto adds seeds until it is shown, or max_seeds are spent."
    )
    assert told(1).startswith("1 seed cannot")
    assert told(8) == ""
    assert told(8, arms=[*ARMS, *ARMS]) == "", "an arm of an earlier command is one claim, not two"
    assert told(1, Rule(sequential=True)) == "", "seeds=auto adds what it takes"
    assert told(1, arms=ARMS[:1]) == "" and told(1, now=[]) == "", "nothing is compared"


def test_under_family_point_each_point_has_its_own_claims() -> None:
    """One arm and a control make three claims, at 0.05 / 3: 2 / 2^7 = 0.0156 is below, 2 / 2^6 is not."""
    points = [
        Arm("p", "p", None, None, ()), Arm("p/a", "a", "lr", "p", ("optimizer.lr=1e-4",)),
        Arm("q", "q", None, None, ()),
        *(Arm(f"q/{i}", f"{i}", "lr", "q", (f"optimizer.lr={i}",)) for i in range(1, 10)),
    ]  # fmt: skip
    now, rule = [arm.folder for arm in points if arm.control], Rule(family="point")
    assert told(7, rule, points, now) == "", "seven are enough at the first point"
    assert "takes 7 seeds at least" in told(6, rule, points, now)
    # The second has nine arms, 19 claims: 2 / 2^10 is below 0.05 / 19.
    assert "takes 10 seeds at least" in told(9, rule, points, now[1:])


def test_with_very_many_claims_no_planned_number_is_enough() -> None:
    """Sign flips are drawn, 2^15 of them: p is never below 2 / 2^15, and 0.05 / 1,201 is."""
    arms = [ARMS[0], *(Arm(f"lr/{i}", f"{i}", "lr", "control", (f"optimizer.lr={i}",)) for i in range(1, 601))]
    now = [arm.folder for arm in arms[1:]]
    assert told(100, arms=arms, now=now) == (
        "No planned number of seeds can show that a change matters: rule.alpha=0.05 is shared by 1,201 claims. "
        "seeds=auto can."
    )
