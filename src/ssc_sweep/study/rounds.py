"""seeds=auto: add seeds in rounds until every arm has its answers, or until they are out of reach."""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ssc_sweep.errors import UserError
from ssc_sweep.progress import say
from ssc_sweep.steering import Limits
from ssc_sweep.study.hypothesis import Arm
from ssc_sweep.study.job import Outcome, Status
from ssc_sweep.study.judged import (
    Seen,
    Test,
    claims_in,
    compared,
    comparison,
    judge_arms,
    judge_contrasts,
    seen,
)
from ssc_sweep.verdicts.contrasts import JudgedContrast
from ssc_sweep.verdicts.judge import Judgement, Works
from ssc_sweep.verdicts.planning import out_of_reach, seeds_for_share
from ssc_sweep.verdicts.rule import Rule
from ssc_sweep.verdicts.sequential import fewest

MORE = 2  # seeds of the first round beyond the minimum that can decide
GROWTH = 0.25  # share of the seeds so far that a round adds at least
RUNS_A_ROUND = 16  # least runs of a round: fewer leave stacks half empty

# (folder of an arm, seed) -> how that run ended; None: not begun.
Outcomes = Mapping[tuple[str, int], Outcome | None]


@dataclass(frozen=True)
class Progress:
    """Where a study stands after a round.

    Attributes:
        seeds: number that the round went up to.
        judged: verdicts on the arms of this command, by `comparison`.
        open: folders of the arms that need more seeds for their own answers, without controls.
        seconds: since the first round began.
        contrasts: of the factors of this command.
    """

    seeds: int
    judged: Mapping[str, Judgement]
    open: tuple[str, ...]
    seconds: float
    contrasts: tuple[JudgedContrast, ...] = ()


class _Known:
    """The runs that have ended: those that count, by folder and seed, and how many have failed."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.runs: dict[str, dict[int, Seen]] = {}
        self.failed: Counter[str] = Counter()
        self.done: set[tuple[str, int]] = set()

    def add(self, outcomes: Outcomes) -> None:
        for (folder, seed), outcome in outcomes.items():
            if outcome is None:
                continue
            self.done.add((folder, seed))
            if outcome.status is Status.FAILED:
                self.failed[folder] += 1
            else:
                m = outcome.metrics
                one = seen(m.get("rmse"), m.get("mean_predictor_rmse"), m.get("val_rows"), self.rule)
                self.runs.setdefault(folder, {})[seed] = one

    @property
    def broken(self) -> set[str]:
        """Return the folders of the arms of which most runs fail."""
        return {folder for folder, count in self.failed.items() if count > len(self.runs.get(folder, {}))}


def fewest_seeds(arms: Sequence[Arm], rule: Rule) -> int:
    """Return the fewest seeds with which a study of these arms can decide whether one matters."""
    return fewest(rule.level(max(claims_in(arms, rule).values(), default=0)))


def check_limits(arms: Sequence[Arm], rule: Rule, limits: Limits) -> None:
    """Check that the study can decide anything.

    Raises:
        UserError: it has too few seeds.
    """
    fewest = fewest_seeds(arms, rule)
    if limits.max_seeds < fewest:
        raise UserError(
            f"max_seeds={limits.max_seeds} is too few for seeds=auto: {len(compared(arms))} arms at "
            f"rule.alpha={rule.alpha:g} take at least {fewest} seeds to decide. Allow that many."
        )


def until_decided(
    arms: Sequence[Arm],
    family: Sequence[Arm],
    rule: Rule,
    limits: Limits,
    train: Callable[[Sequence[tuple[str, int]]], Outcomes],
    show: Callable[[Progress], None],
) -> None:
    """Train rounds of seeds until nothing is open.

    An arm is open until it has both answers, cannot get them within max_seeds, or most of its runs fail. A control is
    open while one of its arms is, or while it is not known whether it works. The arms of a contrast stay open until
    the contrast is settled.

    Args:
        arms: of this command.
        family: all arms of the study, also of earlier commands: together they share the chance of a false claim.
        train: trains these runs, or returns how they ended before.
        show: called after each round.
    """
    start, known = time.monotonic(), _Known(rule)
    controls = {arm.control for arm in arms if arm.control is not None}
    active = list(dict.fromkeys(arm.folder for arm in arms))
    count = min(fewest_seeds(family, rule) + MORE, limits.max_seeds)
    while True:
        seeds = range(limits.first_seed, limits.first_seed + count)
        outcomes = train([(folder, seed) for folder in active for seed in seeds if (folder, seed) not in known.done])
        known.add(outcomes)
        judged = judge_arms(family, known.runs, rule, limits.max_seeds)
        mine = {comparison(arm): judged[comparison(arm)] for arm in arms if comparison(arm) in judged}
        broken = known.broken
        open_arms, active = _still_open(arms, mine, controls, broken, limits.max_seeds, rule)
        contrasts = judge_contrasts(arms, known.runs, rule, claims_in(family, rule), limits.max_seeds)
        active = list(dict.fromkeys([*active, *_of_open_contrasts(contrasts, broken)]))
        spent = time.monotonic() - start
        shown = tuple(one for members in contrasts.values() for one in members)
        show(Progress(count, mine, tuple(open_arms), spent, shown))
        stopped = any(outcome is None for outcome in outcomes.values())
        over = limits.time_budget_s is not None and spent >= limits.time_budget_s
        if over and active and not stopped and count < limits.max_seeds:
            say([f"time_budget_s={limits.time_budget_s:g} is used up and answers are open; the same command goes on."])
        if stopped or over or not active or count >= limits.max_seeds:
            return
        added = max(math.ceil(GROWTH * count), math.ceil(RUNS_A_ROUND / len(active)))
        count = min(count + added, limits.max_seeds)


def _of_open_contrasts(contrasts: Mapping[Test, Sequence[JudgedContrast]], broken: set[str]) -> list[str]:
    """Return the folders of the arms in contrasts that are neither settled nor out of reach."""
    return [
        folder
        for members in contrasts.values()
        for one in members
        if not one.settled and not one.hopeless and not broken & set(one.contrast.weights)
        for folder in one.contrast.weights
    ]


def _still_open(
    arms: Sequence[Arm],
    judged: Mapping[str, Judgement],
    controls: set[str],
    broken: set[str],
    most: int,
    rule: Rule,
) -> tuple[list[str], list[str]]:
    """Return (folders of open arms, folders that get more seeds: these and the controls that they need)."""
    open_arms, wanted = dict[str, None](), dict[str, None]()
    for arm in arms:
        one = judged.get(comparison(arm))
        if one is None or arm.control is None or broken & {arm.folder, arm.control}:
            continue
        if not one.settled and not one.hopeless:
            open_arms[arm.folder] = None
            wanted |= {arm.control: None, arm.folder: None}
        seeds = seeds_for_share(one.control, one.level, rule, hopeful=True)
        if one.control.answer is Works.OPEN and not out_of_reach(seeds, one.control.n, most):
            wanted[arm.control] = None
    # An arm that is also a control may be settled as an arm and still be needed as a control.
    return [folder for folder in open_arms if folder not in controls or folder in wanted], list(wanted)
