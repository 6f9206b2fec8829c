"""Planted faults in the findings: what the verdicts name of them, on the terminal and first in the report."""

from pathlib import Path

import pytest

from ssc_sweep.findings.judging.answer import score_lines, score_of
from ssc_sweep.findings.judging.arm_verdicts import judge_arms
from ssc_sweep.findings.print_study import print_study
from ssc_sweep.findings.report import build
from ssc_sweep.study.fault import Fault
from ssc_sweep.study.folder import StudyFolder, read_yaml, write_yaml
from ssc_sweep.verdicts.rule import Rule
from tests.findings.studies import make_study

# Of eight runs that all work, or none, the interval at 0.05 / 5 lies above a half, or below.
HALF = Rule(target=15.0, works_share=0.5)


def planted(path: Path, named_by: list[str]) -> StudyFolder:
    return make_study(path / "study", rule=HALF, faults={"control": Fault(name="rate", named_by=named_by)})


@pytest.mark.parametrize(
    ("named_by", "sentence", "lines"),
    [
        (["lr", "size"], "1 of 1 (100%, interval 3% to 100%) planted faults named, and only they.", []),
        (
            ["size"],
            "0 of 1 (0%, interval 0% to 98%) planted faults named, and only they.",
            ["control: named lr, planted rate (named by size)"],
        ),
        ([], "1 of 1 (100%, interval 3% to 100%) faultless named.", ["control: named lr, planted rate"]),
    ],
)
def test_the_score_stands_on_terminal_and_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], named_by: list[str], sentence: str, lines: list[str]
) -> None:
    found = build(planted(tmp_path, named_by))
    study, verdicts = found.study, found.verdicts
    score = score_of(study, verdicts)
    assert score is not None and score.sentence == sentence and score_lines(score) == lines
    print_study(study, verdicts)
    shown = capsys.readouterr().out
    assert shown.rstrip().endswith(sentence) and all(line in shown for line in lines)
    page = (study.folder.path / "report.html").read_text()
    assert page.index(sentence) < page.index('id="faults"') < page.index('id="verdicts"')


def test_a_study_without_faults_has_no_score(tmp_path: Path) -> None:
    found = build(make_study(tmp_path / "study"))
    study, verdicts = found.study, found.verdicts
    assert score_of(study, verdicts) is None
    assert 'id="faults"' not in (study.folder.path / "report.html").read_text()


def test_an_entry_that_cannot_be_used_is_left_out(tmp_path: Path) -> None:
    folder = planted(tmp_path, ["lr"])
    content = read_yaml(folder.study)
    content["faults"] = {"control": {"name": "rate"}, "elsewhere": 3}
    write_yaml(folder.study, content)
    found = build(folder)
    study, verdicts = found.study, found.verdicts
    assert score_of(study, verdicts) is None and judge_arms(study)
