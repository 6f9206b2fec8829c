"""The table at the end of a study, from a study folder written by hand."""

from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from ssc_sweep.findings.judging.arm_verdicts import judge_arms
from ssc_sweep.findings.print_study import arm_table, print_study
from ssc_sweep.findings.reading.collect import collect
from ssc_sweep.study.folder import StudyFolder, write_yaml
from ssc_sweep.study.hypothesis import Arm, HypothesisConf
from ssc_sweep.study.plan import Plan, write_plan
from ssc_sweep.verdicts.rule import Rule
from ssc_sweep.verdicts.shown import ratio_text, share_text
from ssc_sweep.writing import write_text
from tests.findings.studies import finish


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    study = StudyFolder(tmp_path / "study")
    conf = HypothesisConf(letter="B", claim="Too high.", expect="improves", arms=[{"optimizer.lr": 1e-4}])
    arms = (
        Arm("control", "control", None, None, ()),
        Arm("lr/optimizer.lr=1e-4", "optimizer.lr=1e-4", "lr", "control", ("optimizer.lr=1e-4",)),
    )
    write_plan(study, Plan((0, 1, 2), arms, Rule(target=15.0), {"lr": conf}))
    for seed, rmse in enumerate((40.0, 60.0, 50.0)):
        finish(study.run("control", seed), rmse)
    for seed, rmse in enumerate((10.0, 20.0)):
        finish(study.run("lr/optimizer.lr=1e-4", seed), rmse)
    finish(study.run("lr/optimizer.lr=1e-4", 2), None)
    return study


def test_summary_has_one_row_a_run_and_no_number_for_a_failure(folder: StudyFolder) -> None:
    study = collect(folder)
    read = pd.read_csv(folder.summary)
    assert len(read) == 6 == len(study.runs)
    lost = read[read["status"] == "diverged"]
    assert lost["rmse"].isna().all()
    assert lost["first_bad_step"].tolist() == [7]


def test_table_by_hand(folder: StudyFolder) -> None:
    console = Console(width=120, record=True)
    study = collect(folder)
    console.print(arm_table(study, judge_arms(study)))
    text = console.export_text()
    control = next(line for line in text.splitlines() if line.startswith("control"))
    assert control.split() == ["control", "3", "50.0", "10.0", "50.0", "0.750", "0/3", "no", "-"]
    arm = next(line for line in text.splitlines() if line.startswith("optimizer.lr"))
    # log(10/40), log(20/60), and the lost run as the larger of the two: exp of the mean is 0.69, no interval.
    works = ["optimizer.lr=1e-4", "2", "15.0", "7.1", "15.0", "0.750", "1/3", "open", "0.69", "[?]"]
    assert arm.split()[:10] == works
    assert "B lr" in text
    mean = next(line for line in text.splitlines() if line.startswith("predict the mean"))
    assert mean.split()[3:5] == ["3", "8.0"]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_nothing_is_folded_or_cut(tmp_path: Path, width: int) -> None:
    labels = ("optimizer.lr=1e-4", "split.test_share=0.2,scaling.codes=missing,optimizer.weight_decay=1e-5")
    study = StudyFolder(tmp_path / "study")
    conf = HypothesisConf(letter="B", claim="Too high.", expect="improves", arms=[{"optimizer.lr": 1e-4}])
    arms = (
        Arm("control", "control", None, None, ()),
        *(Arm(f"lr/optimizer.lr=1e-{4 + i}", x, "lr", "control", (x,)) for i, x in enumerate(labels)),
    )
    write_plan(study, Plan(tuple(range(9)), arms, Rule(target=15.0), {"lr": conf}))
    for seed in range(9):
        for arm in arms:
            finish(study.run(arm.folder, seed), (40.0 if arm.control is None else 8.0) + 0.3 * seed)
    read = collect(study)
    (judged, other) = (one.judgement for one in judge_arms(read))
    assert judged is not None and other is not None
    console = Console(width=width, record=True)
    console.print(arm_table(read, judge_arms(read)))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width and "…" not in "".join(lines)
    for label, judgement in zip(labels, (judged, other), strict=True):
        (at,) = (i for i, line in enumerate(lines) if line.startswith(label.split(",")[0]))
        assert label in "".join(lines[at : at + 3])
        row = next(line for line in lines[at:] if ratio_text(judgement) in line)
        assert share_text(judgement.works) in row
    assert (" sd" in lines[1]) == (width == 120)


def test_unfinished_and_failed_runs_are_named(folder: StudyFolder, capsys: pytest.CaptureFixture[str]) -> None:
    write_text(folder.run("control", 3).failed, "Traceback")
    write_yaml(folder.run("control", 4).config, {})
    print_study(collect(folder), [])
    shown = capsys.readouterr().out
    assert all(part in shown for part in ("8 runs:", "5 finished", "1 failed", "1 unfinished", "1 diverged"))
