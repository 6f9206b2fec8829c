"""seeds=auto: which arms get how many seeds, and what ends a study. Training is made up, seed by seed."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from ssc_sweep.errors import UserError
from ssc_sweep.steering import Limits
from ssc_sweep.study.hypothesis import Arm
from ssc_sweep.study.job import Outcome, Status
from ssc_sweep.study.rounds import Outcomes, Progress, check_limits, fewest_seeds, until_decided
from ssc_sweep.verdicts.judge import Matters, Verdict, Works
from ssc_sweep.verdicts.rule import Rule
from tests.command import Command, make_command
from tests.verdicts.noise import real_noise

command = pytest.fixture(make_command)

RULE = Rule(target=15.0, sequential=True)
Score = Callable[[np.random.Generator], float]


def arm(name: str) -> Arm:
    return Arm(name, name, name, "control", (f"optimizer.lr={name}",))


CONTROL = Arm("control", "control", None, None, ())


def failing(rng: np.random.Generator) -> float:
    return float(real_noise(rng, (1,))[0])


def working(rng: np.random.Generator) -> float:
    return float(5 * np.exp(rng.normal(0, 0.2)))


class Study:
    """Scores of every arm and seed, and what was asked of them."""

    def __init__(self, scores: dict[str, Score | str]) -> None:
        self.scores, self.trained, self.progress = scores, list[tuple[str, int]](), list[Progress]()

    def train(self, wanted: Sequence[tuple[str, int]]) -> Outcomes:
        assert not set(wanted) & set(self.trained), "a run was asked for twice"
        self.trained += wanted
        return {(name, seed): self.outcome(name, seed) for name, seed in wanted}

    def outcome(self, name: str, seed: int) -> Outcome:
        score = self.scores[name]
        if isinstance(score, str):
            return Outcome(Status(score), {"rmse": None}, None)
        rng = np.random.default_rng([seed, *name.encode()])
        return Outcome(Status.FINISHED, {"rmse": score(rng), "mean_predictor_rmse": 8.0, "val_rows": "a"})

    def run(self, rule: Rule = RULE, most: int = 100, budget: float | None = None, first: int = 0) -> "Study":
        arms = [CONTROL, *(arm(name) for name in self.scores if name != "control")]
        limits = Limits(max_seeds=most, time_budget_s=budget, first_seed=first)
        until_decided(arms, arms, rule, limits, self.train, self.progress.append)
        return self

    def seeds(self, name: str) -> list[int]:
        return sorted(seed for one, seed in self.trained if one == name)


def test_a_settled_arm_gets_no_further_seeds_and_an_open_one_does() -> None:
    study = Study({"control": failing, "good": working, "same": failing}).run()
    judged = study.progress[-1].judged
    good, same = judged["good against control"], judged["same against control"]
    assert (good.verdict, good.works.answer) == (Verdict.MAKES_IT_WORK, Works.YES)
    assert (same.works.answer, same.matters.answer) == (Works.NO, Matters.OPEN)
    # What two arms with this noise would take is out of reach of 100 seeds, and that is known long before.
    assert same.hopeless and len(study.seeds("same")) < 100
    assert study.progress[-1].open == ()
    # Nothing is out of reach of 10,000 seeds: the arm that is open goes on, with its control, without the other.
    longer = Study({"control": failing, "good": working, "same": failing}).run(most=10_000, budget=1.0)
    assert len(longer.seeds("good")) < len(longer.seeds("same")) == len(longer.seeds("control"))


def test_every_arm_has_the_seeds_from_the_first_one_on() -> None:
    study = Study({"control": failing, "good": working}).run(first=1000)
    for name in ("control", "good"):
        assert study.seeds(name) == list(range(1000, 1000 + len(study.seeds(name))))


def test_the_first_round_can_decide_and_no_round_is_larger_than_allowed() -> None:
    study = Study({"control": failing, "good": working}).run(most=12)
    arms = [CONTROL, arm("good")]
    # Two claims of the arm, one of the control: 2 / (0.05 / 3) = 120 < (3 * 1.98^8 + 1.7^8 + 1.9^8) / 5 = 190.
    assert fewest_seeds(arms, RULE) == 8
    assert study.progress[0].seeds == 10
    assert [one.seeds for one in study.progress][-1] == 12 == len(study.seeds("control"))


def test_runs_that_fail_are_no_evidence_and_end_their_arm() -> None:
    study = Study({"control": failing, "good": working, "broken": "failed"}).run()
    broken = study.progress[-1].judged["broken against control"]
    assert (broken.verdict, broken.works.n, broken.matters.n) == (Verdict.TOO_FEW_SEEDS, 0, 0)
    assert len(study.seeds("broken")) == study.progress[0].seeds


def test_runs_that_diverge_are_evidence() -> None:
    study = Study({"control": failing, "lost": "diverged"}).run()
    assert study.progress[-1].judged["lost against control"].verdict is Verdict.WORSE


def test_where_the_control_fails_to_run_nothing_is_compared_and_the_study_ends() -> None:
    study = Study({"control": "failed", "good": working}).run()
    assert len(study.progress) == 1


def test_a_time_budget_ends_the_study_after_a_round() -> None:
    study = Study({"control": failing, "same": failing}).run(budget=1e-9)
    assert len(study.progress) == 1 and study.progress[0].open == ("same",)


def test_a_study_that_is_broken_off_begins_no_further_round() -> None:
    study = Study({"control": failing, "same": failing})
    study.outcome = lambda name, seed: None if seed == 9 else Study.outcome(study, name, seed)  # type: ignore
    assert len(study.run().progress) == 1


def test_too_few_seeds_to_decide_anything_are_refused() -> None:
    limits = Limits(max_seeds=7, time_budget_s=None, first_seed=0)
    with pytest.raises(UserError, match=r"max_seeds=7 is too few .* at least 8 seeds"):
        check_limits([CONTROL, arm("good")], RULE, limits)


def test_without_a_target_a_run_is_measured_by_the_mean() -> None:
    study = Study({"control": failing, "good": working}).run(Rule(sequential=True))
    # 5 kg where the mean has 8: below 0.9 of it.
    assert study.progress[-1].judged["good against control"].works.answer is Works.YES


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["optimizer.lr=1e-3,1e-4", "seeds=auto"], "seeds=auto adds seeds until arms differ from their control"),
        (["hypothesis=lr", "max_seeds=3"], "max_seeds=3 is too few for seeds=auto"),
        (["hypothesis=lr", "max_seeds=0"], "max_seeds=0 is out of bounds"),
        (["hypothesis=lr", "seeds=many"], "seeds=many is out of bounds: allowed is"),
        (["hypothesis=lr", "first_seed=-1"], "first_seed=-1 is out of bounds"),
        (["hypothesis=lr", "max_seeds=20,30"], "max_seeds takes one for the whole study"),
        (["hypothesis=lr", "rule.sequential=true"], "rule.sequential"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(command: Command, words: list[str], said: str) -> None:
    ended = command("-m", *words)
    assert (ended.code, len(ended.err.strip().splitlines())) == (2, 1), ended.err
    assert said in ended.err
    assert command.files() == []


SMALL = (
    "dataset=synthetic", "dataset.rows=60", "epochs=1", "batch.size=10", "model.width=8", "study=s", "workers=0",
    "probes=false", "hypothesis=lr",
)  # fmt: skip


def test_a_study_ends_decided_goes_on_and_keeps_its_rule(command: Command) -> None:
    ended = command("-m", *SMALL, "max_seeds=14", "rule.margin=0.5")
    assert ended.code == 0, ended.err
    first = command.done()
    assert "11 seeds" in ended.err and "arm" in ended.err
    again = command("-m", *SMALL, "max_seeds=14", "rule.margin=0.5")
    assert (again.code, command.done()) == (0, first)
    more = command("-m", *SMALL, "max_seeds=16", "rule.margin=0.5")
    assert more.code == 0 and set(first) <= set(command.done())
    for dry in ("false", "true"):
        fixed = command("-m", *SMALL, "seeds=16", "rule.margin=0.4", f"dry_run={dry}")
        said = (
            "under another rule: rule.margin=0.5; seeds=auto and now rule.margin=0.4; a planned number of seeds. A rule"
        )
        assert fixed.code == 2 and said in fixed.err, fixed.err
