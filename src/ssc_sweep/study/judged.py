"""From the runs of a study to its verdicts, for the findings and for a study that asks whether it may stop."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ssc_sweep.study.hypothesis import Arm
from ssc_sweep.verdicts.causes import Cause, conclude
from ssc_sweep.verdicts.judge import Judgement, claims_of, judge_study
from ssc_sweep.verdicts.rule import Rule


@dataclass(frozen=True)
class Seen:
    """A run that counts.

    Attributes:
        rmse: as the rule wants it (`Rule.scaled`); NaN for a run that diverged.
        val_rows: what tells its validation rows from others; None for a run of a version that did not say so.
    """

    rmse: float
    val_rows: str | None = None


# Folder of an arm -> seed -> run. Runs that failed or have not ended are not there.
Runs = Mapping[str, Mapping[int, Seen]]


def comparison(arm: Arm) -> str:
    """Name of an arm beside its control: equal configs share a folder, which may then have several controls."""
    return f"{arm.folder} against {arm.control}"


def compared(arms: Sequence[Arm]) -> dict[str, tuple[str, str]]:
    """What is judged -> (folder of the arm, folder of its control)."""
    return {
        comparison(arm): (arm.folder, arm.control)
        for arm in arms
        if arm.control is not None and arm.folder != arm.control
    }


def judge_arms(arms: Sequence[Arm], runs: Runs, rule: Rule, most: int | None = None) -> dict[str, Judgement]:
    """Judge every arm that has a control; by `comparison`.

    Args:
        most: seeds that the study may have.

    Raises:
        UserError: an RMSE is 0 or negative.
    """
    against = compared(arms)
    rmse = {folder: {seed: one.rmse for seed, one in mine.items()} for folder, mine in runs.items()}
    return judge_study(rmse, against, rule, apart(against, runs), claims_of(against), most)


def apart(against: Mapping[str, tuple[str, str]], runs: Runs) -> list[str]:
    """Those whose arm and control were measured on different validation rows at some seed."""
    return [name for name, (arm, control) in against.items() if _differ(runs.get(arm, {}), runs.get(control, {}))]


def _differ(arm: Mapping[int, Seen], control: Mapping[int, Seen]) -> bool:
    return any(
        None not in (rows := {arm[seed].val_rows, control[seed].val_rows}) and len(rows) > 1
        for seed in set(arm) & set(control)
    )


def conclusions(
    arms: Sequence[Arm], judged: Mapping[str, Judgement], expects: Mapping[str, str]
) -> Iterator[tuple[str, str, Cause]]:
    """(hypothesis, folder of the control, verdict) of every hypothesis at every point of a grid.

    Args:
        expects: what each hypothesis expects of its change.
    """
    groups: dict[tuple[str, str], list[Judgement]] = {}
    for arm in arms:
        if arm.hypothesis is not None and arm.control is not None:
            mine = groups.setdefault((arm.hypothesis, arm.control), [])
            if comparison(arm) in judged:
                mine.append(judged[comparison(arm)])
    for (name, control), members in groups.items():
        yield name, control, conclude(members, expects.get(name, ""))
