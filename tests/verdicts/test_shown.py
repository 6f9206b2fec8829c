"""Judgements as text."""

import math
from dataclasses import replace

from ssc_sweep.verdicts.evidence import Matters
from ssc_sweep.verdicts.judge import Judgement, Rule
from ssc_sweep.verdicts.shown import WIDTH, forest, ratio_text, share_text
from tests.verdicts.alone import judge

BASE = judge(dict.fromkeys(range(9), 40.0), dict.fromkeys(range(9), 50.0), Rule(target=15))


def with_ratio(low: float, ratio: float, high: float, answer: Matters = Matters.OPEN) -> Judgement:
    return replace(BASE, matters=replace(BASE.matters, low=low, ratio=ratio, high=high, answer=answer))


def test_texts() -> None:
    assert share_text(BASE.works) == "0/9 no"
    assert ratio_text(with_ratio(0.21, 0.333, 12.4)) == "0.33 [0.21, 12]"
    assert ratio_text(with_ratio(0.0, 0.5, math.inf)) == "0.50 [?]"
    assert ratio_text(with_ratio(0.5, 2.0, math.inf)) == "2.00 [0.50, ∞]"
    assert ratio_text(with_ratio(1.0001, 1.24, 1.46)) == "1.24 [>1.00, 1.46]"
    assert ratio_text(with_ratio(0.9, 0.95, 0.9999)) == "0.95 [0.90, <1.00]"
    assert ratio_text(with_ratio(0.9999, 1.0, 1.0001)) == "1.00 [1.00, 1.00]"
    assert ratio_text(with_ratio(0.2, 0.3, 0.4, Matters.APART)) == "other rows"
    assert ratio_text(replace(BASE, matters=replace(BASE.matters, n=0))) == "-"


def test_a_forest_shares_its_axis() -> None:
    lines = forest({"far": with_ratio(0.01, 0.1, 1.0), "near": with_ratio(0.1, 1.0, 10.0), "none": None})
    assert all(len(line) == WIDTH for line in lines.values())
    middle = WIDTH // 2
    # log 0.01 reaches the left end; 0.1 lies half way; 1 is the middle.
    assert lines["far"] == "------o----+" + " " * (WIDTH - middle - 1)
    assert lines["near"].strip() == "-----o-----" and lines["near"][middle] == "o"
    assert lines["none"] == " " * middle + "|" + " " * middle
    assert forest({"one": with_ratio(0.5, 0.7, math.inf)})["one"].endswith("-")
    assert forest({"one": with_ratio(0.0, 0.95, 2.0)})["one"].startswith("--")
