"""Confirm trials: train their configurations on fresh seeds, a few at a time, until each is decided or runs out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hydra.plugins.launcher import Launcher

from ssc_sweep.progress import say
from ssc_sweep.study.folder import CONFIRM, TRIAL, StudyFolder, locked, of_search
from ssc_sweep.study.hypothesis import Arm
from ssc_sweep.study.plan import Plan, write_plan
from ssc_sweep.study.rounds import GROWTH, MORE
from ssc_sweep.study.search.candidate import HOLDS, Candidate, fewest, fresh_seeds
from ssc_sweep.study.search.train_trials import launch
from ssc_sweep.study.search.trials import Record

# Least runs of a round over all candidates: fewer leave stacks empty, more would be trained after the answer.
RUNS_A_ROUND = 8


def confirm(
    launcher: Launcher, folder: StudyFolder, record: Record, trials: Mapping[int, Sequence[str]], tested: bool
) -> None:
    """Confirm these trials, given by number with their overrides; new ones become the next candidates.

    Each round is recorded; a seed that was trained before is not trained again.

    Args:
        tested: whether there are test rows.

    Raises:
        UserError: they cannot be trained here; that round is not recorded.
    """
    with locked(folder.path / ".confirm.lock"):
        for number in trials:
            if not record.settled(number):
                record.candidate(number)
        while left := [record.candidate(number) for number in trials if not record.settled(number)]:
            wanted = {one.trial: next_round(one, record, len(left)) for one in left}
            arms = {number: _arm(number, trials[number]) for number in wanted}
            runs = [(arms[number], seed) for number, seeds in wanted.items() for seed in seeds]
            write_plan(folder, Plan(tuple(sorted(seed for _, seed in runs)), tuple(arms.values()), record.rule))
            unfit = _train(launcher, folder, runs)
            for one in left:
                arm = arms[one.trial].folder
                found = _with_runs(one, folder, arm, wanted[one.trial], tested, arm in unfit)
                record.keep(found)
                say([_progress(record, found)])


def _arm(number: int, overrides: Sequence[str]) -> Arm:
    words = f"{of_search(TRIAL, number)} on fresh seeds"
    return Arm(of_search(CONFIRM, number), words, None, None, tuple(overrides))


def next_round(one: Candidate, record: Record, side_by_side: int) -> tuple[int, ...]:
    """Return the seeds of its next round: first as many as can refute it, later a few, or a quarter more."""
    first = fewest(record.level(one), record.rule.works_share, works=False) + MORE
    more = max(math.ceil(GROWTH * one.begun), math.ceil(RUNS_A_ROUND / side_by_side))
    count = min(one.begun + more if one.begun else first, record.confirm_seeds)
    # They include those that failed, which retry=failed trains again.
    return tuple(seed for seed in fresh_seeds(one.trial, count) if seed not in one.seeds)


def _train(launcher: Launcher, folder: StudyFolder, runs: Sequence[tuple[Arm, int]]) -> set[str]:
    """Train the runs; return the folders of arms that do not fit the data of some seed."""
    wrong = launch(launcher, folder, runs)
    for arm, seed in runs:
        if arm.folder in wrong:
            # The arm may fit the rows that its other seeds draw.
            launch(launcher, folder, [(arm, seed)])
    return set(wrong)


def _with_runs(
    one: Candidate, folder: StudyFolder, arm: str, seeds: Sequence[int], tested: bool, unfit: bool
) -> Candidate:
    """Return the candidate with these seeds, read from their folders. One that does not fit its data has no RMSE."""
    failed, counted = [], list(one.seeds)
    rmse, test = list(one.rmse), list(one.test_rmse or ())
    for seed in seeds:
        run = folder.run(arm, seed)
        if not run.done.exists() and run.failed.exists():
            failed.append(seed)
            continue
        # Every run has ended, or launch has raised.
        assert unfit or run.done.exists()
        metrics = run.read_metrics() if run.done.exists() else {}
        counted.append(seed)
        rmse.append(metrics.get("rmse"))
        test.append(metrics.get("test_rmse"))
    values = tuple(test) if tested else None
    return replace(one, seeds=tuple(counted), rmse=tuple(rmse), test_rmse=values, failed=tuple(failed))


def _progress(record: Record, one: Candidate) -> str:
    found = record.share(one)
    failed = f", {len(one.failed)} failed" if one.failed else ""
    return (
        f"{of_search(CONFIRM, one.trial)}: {found.works} of {found.n} fresh seeds work{failed}, so "
        f"{found.low:.0%} to {found.high:.0%} of all do: {HOLDS[found.answer]}"
    )
