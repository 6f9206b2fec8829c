"""study.yaml when a study is started again: which rules go together."""

from pathlib import Path

import pytest

from ssc_sweep.errors import UserError
from ssc_sweep.study.fault import Fault
from ssc_sweep.study.folder import StudyFolder, read_yaml, write_yaml
from ssc_sweep.study.hypothesis import Arm
from ssc_sweep.study.plan import Plan, check_rule, read_plan, write_plan
from ssc_sweep.verdicts.rule import Rule

FIXED, AUTO = Rule(target=15.0), Rule(target=15.0, sequential=True)
TRIAL = (Arm("trial=0000", "trial=0000", None, None, ()),)
COMPARED = (Arm("control", "control", None, None, ()), Arm("lr/a", "a", "lr", "control", ("epochs=1",)))


def plan(arms: tuple[Arm, ...], rule: Rule) -> Plan:
    return Plan((0,), arms, rule)


@pytest.mark.parametrize("rule", [FIXED, AUTO])
def test_hypotheses_on_the_winner_of_a_search_add_seeds_by_their_own_rule(tmp_path: Path, rule: Rule) -> None:
    folder = StudyFolder(tmp_path / "study")
    write_plan(folder, plan(TRIAL, AUTO))
    write_plan(folder, plan(COMPARED, rule))
    assert read_plan(folder).rule == rule
    # The search, and a plain grid of further seeds, go on and change nothing of it.
    check_rule(folder, AUTO)
    write_plan(folder, plan(TRIAL, AUTO))
    write_plan(folder, plan(TRIAL, FIXED))
    assert read_plan(folder).rule == rule


def test_a_study_with_controls_keeps_how_its_seeds_are_added(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "study")
    write_plan(folder, plan(COMPARED, FIXED))
    with pytest.raises(UserError, match="was started under another rule"):
        write_plan(folder, plan(COMPARED, AUTO))
    assert read_plan(folder).rule == FIXED


@pytest.mark.parametrize("arms", [TRIAL, COMPARED])
def test_another_target_is_another_rule(tmp_path: Path, arms: tuple[Arm, ...]) -> None:
    folder = StudyFolder(tmp_path / "study")
    write_plan(folder, plan(TRIAL, AUTO))
    with pytest.raises(UserError, match="was started under another rule"):
        write_plan(folder, plan(arms, Rule(target=14.0, sequential=True)))


def test_a_study_from_before_there_were_faults_and_families_is_read(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "study")
    fault = Fault(name="rate", named_by=["lr"])
    write_plan(folder, Plan((0,), COMPARED, FIXED, faults={"control": fault}))
    assert read_plan(folder).faults == {"control": fault}
    content = read_yaml(folder.study)
    del content["faults"], content["rule"]["family"]
    write_yaml(folder.study, content)
    assert (read_plan(folder).faults, read_plan(folder).rule) == ({}, FIXED)
    write_plan(folder, plan(COMPARED, FIXED))
    with pytest.raises(UserError, match="was started under another rule"):
        write_plan(folder, plan(COMPARED, FIXED.model_copy(update={"family": "point"})))
