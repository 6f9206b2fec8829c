"""Confirm trials: train their configurations on fresh seeds, which no trial and no other confirmation has."""

from collections.abc import Mapping, Sequence

from hydra.plugins.launcher import Launcher

from ssc_sweep.study.folder import CONFIRM, TRIAL, StudyFolder, locked, of_search
from ssc_sweep.study.hypothesis import Arm
from ssc_sweep.study.plan import Plan, write_plan
from ssc_sweep.study.search.launch import launch
from ssc_sweep.study.search.record import Record, fresh_seeds
from ssc_sweep.study.search.score import read_seeds


def confirm(launcher: Launcher, folder: StudyFolder, record: Record, trials: Mapping[int, Sequence[str]]) -> None:
    """Confirm these trials, given by number with their overrides, on as many fresh seeds as the record asks for.

    Those that have them are left alone, and a seed that was trained before is not trained again.

    Raises:
        UserError: they cannot be trained here; nothing is recorded then.
    """
    with locked(folder.path / ".confirm.lock"):
        arms = {
            number: Arm(
                of_search(CONFIRM, number), f"{of_search(TRIAL, number)} on fresh seeds", None, None, tuple(overrides)
            )
            for number, overrides in trials.items()
            if not record.has_confirmed(number)
        }
        if not arms:
            return
        runs = [(arm, seed) for number, arm in arms.items() for seed in fresh_seeds(number, record.confirm_seeds)]
        write_plan(folder, Plan(tuple(sorted(seed for _, seed in runs)), tuple(arms.values()), record.rule))
        wrong = launch(launcher, folder, runs)
        for arm, seed in runs:
            if arm.folder in wrong:
                # It may fit the rows that its other seeds draw.
                launch(launcher, folder, [(arm, seed)])
        for number, arm in arms.items():
            folders = [folder.run(arm.folder, seed) for own, seed in runs if own == arm]
            # A seed that does not fit its data leaves no trace; every other one has ended, or launch has raised.
            assert arm.folder in wrong or all(f.done.exists() or f.failed.exists() for f in folders)
            record.confirm(number, read_seeds(folders, ()).rmse)
