"""What was named of planted faults, counted by hand."""

from dataclasses import replace

import pytest

from ssc_sweep.verdicts.scoring import Naming, NamingScore, PlantedStudy, Proportion


def planted(fault: str, named_by: str, named: str) -> PlantedStudy:
    return PlantedStudy(f"fault={fault}", fault, tuple(named_by.split()), tuple(named.split()))


@pytest.mark.parametrize(
    ("named_by", "named", "naming", "right"),
    [
        ("rate", "rate", Naming.RIGHT, True),
        ("codes split", "split", Naming.RIGHT, True),  # any of them names it
        ("codes split", "codes split", Naming.RIGHT, True),
        ("rate", "batch rate", Naming.MORE, False),  # and only it
        ("rate", "batch", Naming.OTHER, False),
        ("rate", "", Naming.NOTHING, False),
        ("", "", Naming.NOTHING, True),
        ("", "rate", Naming.OTHER, False),
    ],
)
def test_what_is_right(named_by: str, named: str, naming: Naming, right: bool) -> None:
    one = planted("x", named_by, named)
    assert (one.naming, one.is_right) == (naming, right)


def test_a_study_whose_runs_crashed_is_neither_right_nor_faultless() -> None:
    lost = replace(planted("none", "", ""), judged=False)
    assert lost.naming is Naming.UNJUDGED and not lost.is_right
    score = NamingScore((lost, planted("none", "", ""), replace(planted("rate", "rate", "rate"), judged=False)))
    assert (score.faultless.count, score.faultless.of) == (0, 1)
    assert (score.planted.count, score.planted.of) == (0, 1)


def test_a_score_by_hand() -> None:
    score = NamingScore(
        (
            planted("rate", "rate", "rate"),
            planted("rate", "rate", ""),
            planted("leak", "leak", "leak size"),
            planted("leak", "leak", "leak"),
            planted("none", "", ""),
            planted("none", "", "size"),
            planted("none", "", ""),
        )
    )
    assert (score.planted, score.faultless) == (Proportion(2, 4), Proportion(1, 3))
    assert [(name, list(counts.values())) for name, counts in score.table] == [
        ("rate", [1, 0, 0, 1, 0]), ("leak", [1, 1, 0, 0, 0]), ("none", [0, 0, 1, 2, 0]),
    ]  # fmt: skip
    assert [(one.fault, one.named) for one in score.wrong] == [
        ("rate", ()),
        ("leak", ("leak", "size")),
        ("none", ("size",)),
    ]
    assert score.sentence == (
        "2 of 4 (50%, interval 7% to 93%) planted faults named, and only they; 1 of 3 (33%, interval 1% to 91%) "
        "faultless named."
    )


def test_an_interval_by_hand() -> None:
    """Clopper and Pearson: of n of n the low end is (0.05 / 2)^(1 / n), of none of n the high end 1 minus that."""
    end = 0.025 ** (1 / 40)
    assert Proportion(40, 40).interval == pytest.approx((end, 1))
    assert Proportion(0, 40).interval == pytest.approx((0, 1 - end))
    assert Proportion(0, 0).interval == (0, 1)


def test_only_what_is_there_is_told() -> None:
    only = NamingScore((planted("rate", "rate", "rate"),))
    assert "faultless" not in only.sentence and only.sentence.startswith("1 of 1 (100%")
