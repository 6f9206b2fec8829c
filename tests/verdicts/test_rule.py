"""The rule of a study: what it says in words, how it shares alpha, and how it is read from a config."""

import math

import pytest
from omegaconf import DictConfig, OmegaConf

from ssc_sweep.errors import UserError
from ssc_sweep.verdicts.rule import Rule, read_rule

GIVEN = {"works_share": 0.8, "alpha": 0.05, "family": "study", "margin": 0.1, "beats_mean": 0.2}


def config(**changes: object) -> DictConfig:
    made = OmegaConf.create({"target": 15.0, "rule": GIVEN} | changes)
    assert isinstance(made, DictConfig)
    return made


def test_with_a_target() -> None:
    rule = read_rule(config())
    assert rule == Rule(target=15.0, **GIVEN)
    assert (rule.threshold, rule.scaled(30.0, 10.0)) == (15.0, 30.0)
    assert (rule.working, rule.short) == ("below 15", "< 15")


def test_without_a_target_the_mean_is_the_measure() -> None:
    rule = read_rule(config(target=None), sequential=True)
    assert rule.sequential
    assert (rule.threshold, rule.scaled(30.0, 10.0)) == (0.8, 3.0)
    assert (rule.working, rule.short) == ("below 80% of that of predicting the mean", "beats mean by 20%")


def test_claims_share_alpha() -> None:
    assert [Rule().level(claims) for claims in (0, 1, 5)] == [0.05, 0.05, 0.01]
    assert [Rule(family=family).together for family in ("study", "point")] == ["the study", "a grid point"]
    assert Rule(margin=0.1).log_margin == pytest.approx(-math.log(1 / 1.1))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rule": None}, "rule=null is no rule: it needs works_share, alpha"),
        ({"rule": {"alpha": 0.05}}, "is no rule"),
        ({"rule": GIVEN | {"target": 3}}, "rule.target is not set there: give target=15"),
        ({"rule": GIVEN | {"sequential": True}}, "rule.sequential is not set there: give seeds=auto"),
        ({"rule": GIVEN | {"alpha": 0.5}}, "rule.alpha=0.5"),
        ({"target": -1}, "target=-1"),
    ],
)
def test_what_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(UserError) as refused:
        read_rule(config(**changes))
    assert said in str(refused.value)
