"""Train the runs of a search with any Hydra launcher, and tell a trial's own failure from all others.

A failure is the trial's own if its config does not fit its data, or if training raised, which leaves FAILED in the
run's folder. Anything else - a folder that cannot be written or holds other runs - would affect every trial, and ends
the search.
"""

from collections.abc import Sequence
from itertools import chain

from hydra.core.utils import JobStatus
from hydra.plugins.launcher import Launcher

from ssc_sweep.errors import DoesNotFit, UserError
from ssc_sweep.study.folder import StudyFolder
from ssc_sweep.study.hypothesis import Arm
from ssc_sweep.study.job import GoOn, run_overrides
from ssc_sweep.study.launcher import StackLauncher


def launch(
    launcher: Launcher, folder: StudyFolder, runs: Sequence[tuple[Arm, int]], go_on: GoOn | None = None
) -> dict[str, DoesNotFit]:
    """Train each arm with its seed. Leave out arms whose config does not fit its data.

    Args:
        go_on: may stop a stack between two epochs; launchers other than ours train every epoch.

    Returns:
        The errors of the arms left out, by folder.

    Raises:
        UserError: nothing can be trained here, or not with these values.
    """
    jobs = [run_overrides(arm, seed, folder) for arm, seed in runs]
    if isinstance(launcher, StackLauncher):
        launcher.go_on = go_on
    try:
        returns = launcher.launch(jobs, initial_job_idx=0)
    except DoesNotFit as unfit:
        arms = list(dict.fromkeys(arm for arm, _ in runs))
        if len(arms) == 1:
            return {arms[0].folder: unfit}
        # Nothing has been trained: our launcher checks all jobs first.
        alone = ([(arm, seed) for arm, seed in runs if arm == one] for one in arms)
        return dict(chain.from_iterable(launch(launcher, folder, part, go_on).items() for part in alone))
    wrong: dict[str, DoesNotFit] = {}
    for (arm, seed), ended in zip(runs, returns, strict=True):
        if ended.status is JobStatus.COMPLETED:
            continue
        # Hydra's launchers store here what a job raised; the public property would raise it.
        error = ended._return_value
        if isinstance(error, DoesNotFit):
            wrong.setdefault(arm.folder, error)
        elif isinstance(error, UserError) or not (run := folder.run(arm.folder, seed)).has(run.failed):
            raise error
    return wrong
