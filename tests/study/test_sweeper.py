"""The sweeper's plan: arms, controls, equal configs, seeds. Nothing is trained here."""

import numpy as np
import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from ssc_sweep.config import conf_dir
from ssc_sweep.errors import UserError
from ssc_sweep.study.hypothesis import as_override, read_hypothesis, value_text
from ssc_sweep.study.plan import Plan
from ssc_sweep.verdicts.share import fixed_interval
from tests.study.conftest import MakePlan


def folders(plan: Plan) -> list[str]:
    return [arm.folder for arm in plan.arms]


def test_a_hypothesis_has_a_control_and_its_arms(plan: MakePlan) -> None:
    made = plan("hypothesis=lr", "batch=b32")
    assert folders(made) == ["control", "lr/optimizer.lr=1e-4", "lr/optimizer.lr=1e-5"]
    assert [arm.control for arm in made.arms] == [None, "control", "control"]
    assert [arm.label for arm in made.arms] == ["control", "optimizer.lr=1e-4", "optimizer.lr=1e-5"]
    assert made.arms[1].overrides == ("batch=b32", "optimizer.lr=1e-4")
    assert made.seeds == (0,) and made.hypotheses["lr"].letter == "B"
    assert made.rule is not None and made.rule.sequential  # the rounds choose how many seeds
    assert plan("hypothesis=lr", "seeds=10").seeds == tuple(range(10))
    assert plan("hypothesis=lr", "seeds=2", "first_seed=7").seeds == (7, 8)


def test_hypotheses_share_one_control(plan: MakePlan) -> None:
    made = plan("hypothesis=lr,ema,batch", "seeds=3")
    assert folders(made).count("control") == 1 and made.seeds == (0, 1, 2)
    assert {arm.control for arm in made.arms[1:]} == {"control"}


def test_seeds_may_be_named(plan: MakePlan) -> None:
    assert plan("hypothesis=lr", "seed=7,9").seeds == (7, 9)
    assert plan("hypothesis=lr", "seed=range(3,6)").seeds == (3, 4, 5)
    assert plan("hypothesis=lr", "seed=4").seeds == (4,)


def test_a_seed_named_twice_is_one_run(plan: MakePlan) -> None:
    assert plan("hypothesis=lr", "seed=1,1,0").seeds == (1, 0)


def test_a_grid_has_its_own_seed_unless_told_otherwise(plan: MakePlan) -> None:
    assert plan("batch=b10,b32").seeds == (0,)
    assert plan("batch=b10,b32", "seed=5").seeds == (5,)
    assert plan("batch=b10,b32", "seeds=2").seeds == (0, 1)


def test_a_grid_is_a_product_without_controls(plan: MakePlan) -> None:
    made = plan("batch=b10,b32", "split=file_order,shuffled")
    assert folders(made) == [f"batch={b},split={s}" for b in ("b10", "b32") for s in ("file_order", "shuffled")]
    assert all(arm.control is None and arm.hypothesis is None for arm in made.arms)


def test_an_arm_equal_to_the_control_is_trained_as_the_control(plan: MakePlan) -> None:
    made = plan("hypothesis=batch", "batch=b32")
    assert folders(made) == ["control", "control", "batch/batch=b64"]
    assert made.arms[1].label == "batch=b32" and made.arms[1].control == "control"


def test_equal_arms_of_two_hypotheses_are_trained_once(plan: MakePlan) -> None:
    """epochs=1 is the first arm of A and the control's own value."""
    made = plan("hypothesis=epochs,lr", "epochs=1")
    assert folders(made)[:3] == ["control", "control", "epochs/epochs=2"]


def test_a_control_trained_elsewhere_is_still_found(plan: MakePlan) -> None:
    """At the second point the control is the arm batch=b32 of the first; its arms must point there."""
    made = plan("hypothesis=batch", "batch=b10,b32")
    trained = set(folders(made))
    assert all(arm.control in trained for arm in made.arms if arm.hypothesis)
    second = [arm for arm in made.arms if arm.label == "batch=b64 (batch=b32)"]
    assert [arm.control for arm in second] == ["batch=b10/batch/batch=b32"]


def test_equal_points_of_a_grid_are_trained_once(plan: MakePlan) -> None:
    assert set(folders(plan("optimizer.lr=1e-4,0.0001,5e-4"))) == {"optimizer.lr=0.0001", "optimizer.lr=0.0005"}


def test_a_wrong_arm_is_found_before_anything_trains(plan: MakePlan) -> None:
    with pytest.raises(UserError, match=r"optimizer.lr=-1 .*> 0"):
        plan("hypothesis=ema", "optimizer.lr=1e-4,-1")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-4, "key=1e-4"), (0.5, "key=0.5"), (3, "key=3"), (None, "key=null"), (True, "key=True"), ("b32", "key=b32"),
        ([1, 2], "key=[1,2]"), ({"a": 1}, "key={a:1}"),
    ],
)  # fmt: skip
def test_values_in_hydras_grammar(value: object, text: str) -> None:
    assert as_override("key", value) == text


def test_values_as_people_write_them() -> None:
    assert [value_text(value) for value in (None, 1e-4, 8, [1, None])] == ["null", "1e-4", "8", "[1,null]"]


@pytest.mark.parametrize(
    "value", ["a,b", "it's", 'say "x"', "a=b", "a b", "x: {y}", "[1", "007", "1e3", "null-ish", "back\\slash", "ü"]
)
def test_text_survives_hydras_grammar(value: str) -> None:
    (parsed,) = OverridesParser.create().parse_overrides([as_override("key", value)])
    assert not parsed.is_sweep_override()
    assert parsed.value() == value and isinstance(parsed.value(), str)


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        ([{"seeds": 5}], "sets seeds"),
        (["optimizer.lr=1e-4"], r"arms\[0\]=optimizer.lr=1e-4 is out of bounds: .* Write \{optimizer.lr: 1e-4\}\."),
        ([{"batch": "b32"}, {}], "an empty one"),
        ([{"batch": "b32"}, {"batch": "b10"}, {"batch": "b32"}], "arm {batch:b32} twice"),
    ],
)
def test_arms_that_are_none(arms: list[object], said: str) -> None:
    node = {"letter": "X", "claim": "c", "expect": "improves", "arms": arms}
    with pytest.raises(UserError, match=said):
        read_hypothesis("x", node)


def test_an_experiment_brings_arms_of_its_own(plan: MakePlan) -> None:
    made = plan("experiment=test_matrix", "seeds=2")
    assert list(made.hypotheses) == ["test_matrix"] and len(made.arms) == 6 and made.seeds == (0, 1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["experiment=test_matrix", "hypothesis=lr,ema"],
            r"test_matrix and hypothesis=lr,ema .*one of them",
        ),
        (["experiment=test_matrix,first_epoch"], r"test_matrix is a study .*one experiment"),
    ],
)
def test_one_command_is_one_study(plan: MakePlan, words: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        plan(*words)


GRIDS = [{"split": "file_order,shuffled", "batch": "b10,b32"}, {"split": "shuffled", "epochs": "range(1,3)"}]


def test_grids_lie_beside_each_other(plan: MakePlan) -> None:
    made = plan("seeds=2", grids=GRIDS)
    assert folders(made) == [
        "split=file_order,batch=b10", "split=file_order,batch=b32", "split=shuffled,batch=b10",
        "split=shuffled,batch=b32", "split=shuffled,epochs=1", "split=shuffled,epochs=2",
    ]  # fmt: skip
    assert made.varied == ("split", "batch", "epochs")


def test_a_word_of_the_command_line_wins_over_grids(plan: MakePlan) -> None:
    made = plan("seeds=2", "split=file_order,shuffled", "epochs=3", grids=[{"batch": "b32"}, *GRIDS])
    assert [arm.label for arm in made.arms] == [
        "batch=b32, split=file_order", "batch=b32, split=shuffled",
        "batch=b10, split=file_order", "batch=b10, split=shuffled",
        "split=file_order", "split=shuffled",
    ]  # fmt: skip


def test_the_fault_of_each_point_is_noted(plan: MakePlan) -> None:
    made = plan("dataset=planted", "hypothesis=scale_floor", "fault=none,rate", "seeds=2")
    assert {control: (fault.name, fault.named_by) for control, fault in made.faults.items()} == {
        "fault=none/control": ("none", []),
        "fault=rate/control": ("rate", ["lr", "rate"]),
    }
    assert plan("hypothesis=scale_floor", "seeds=2").faults == {}


def test_a_fault_has_to_change_something(plan: MakePlan) -> None:
    with pytest.raises(UserError, match=r"fault=rate has the config of fault=none .*has to change something"):
        plan("dataset=planted", "hypothesis=scale_floor", "fault=none,rate", "optimizer.lr=1e-3", "seeds=2")


def test_the_planted_experiment(plan: MakePlan) -> None:
    """As many studies without a fault as with one. Every fault can be named; all runs of an arm show that it works."""
    conf = yaml.safe_load((conf_dir() / "experiment" / "planted.yaml").read_text())["hydra"]["sweeper"]
    tested = conf["params"]["hypothesis"].split(",")
    made = plan("experiment=planted", f"seeds={conf['params']['seeds']}", grids=conf["grids"])
    named = [fault.named_by for fault in made.faults.values()]
    assert len(named) == len(made.arms) == 80
    assert [bool(one) for one in named].count(True) == [bool(one) for one in named].count(False) == 40
    assert all(not one or set(one) & set(tested) for one in named)
    assert made.rule is not None and (made.rule.family, made.rule.sequential) == ("point", False)
    arms = [yaml.safe_load((conf_dir() / "hypothesis" / f"{name}.yaml").read_text())["arms"] for name in tested]
    low, _ = fixed_interval(np.ones(len(made.seeds), dtype=bool), made.rule.level(2 * sum(map(len, arms)) + 1))
    assert low > made.rule.works_share
