"""Read a study back from disk when it has ended, and show it.

Hydra calls the callback after every sweeper, also if a study breaks off. It swallows whatever a callback raises, so
this one only notes which study has ended; `ssc_sweep.__main__` then calls `show_ended` to make the findings.
"""

from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ssc_sweep.errors import FindingsFailed, UserError
from ssc_sweep.progress import doing
from ssc_sweep.study.folder import StudyFolder
from ssc_sweep.study.naming import study_folder
from ssc_sweep.study.plan import begun_here, started_here

# Studies that have ended and are not yet shown, and whether to write their report.
_ended: list[tuple[StudyFolder, bool]] = []


class NoteEnd(Callback):
    """The callback that conf/config.yaml names."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        try:
            _ended.append((study_folder(config.outputs, config.study), config.report is not False))
        except (UserError, OmegaConfBaseException):
            return  # the sweeper has refused it already


def show_ended() -> None:
    """Print and write the findings of the studies that have ended in this process.

    Raises:
        FindingsFailed: a study is gone, its findings cannot be written, or runs that have ended cannot be read. What
            could be read has been printed.
    """
    while _ended:
        _show(*_ended.pop())


def _show(folder: StudyFolder, with_report: bool) -> None:
    if not folder.study.exists():
        if begun_here(folder):
            raise FindingsFailed(
                f"{folder.study} is gone: the study's folder was removed or moved while its runs trained. Start the "
                "same command again."
            )
        return
    try:
        # If this command was refused, the findings of an earlier one would look like its answer.
        if not started_here(folder):
            return
    except UserError:
        return  # the sweeper has refused it already
    # Imported here, so that a wrong override is reported without loading pandas, scipy and matplotlib.
    with doing("reading the runs"):
        from ssc_sweep.findings.print_study import print_places, print_study
        from ssc_sweep.findings.report import examine, write, write_tables
        from ssc_sweep.findings.searched.search_results import print_search

        found = examine(folder)
    if found.study.runs.empty:
        return
    if found.search is not None:
        print_search(found.search)
    if found.search is None or found.study.plan.hypotheses:  # hypotheses tested on the winner of a search
        print_study(found.study.without_search(), found.verdicts)
    try:
        if with_report:
            with doing("writing the report"):
                write(found, again=False)
        else:
            write_tables(found)
            folder.report.unlink(missing_ok=True)  # it would be that of an earlier command
    except (UserError, OSError) as error:
        raise FindingsFailed(
            f"the runs are there, their report is not: {error} Then: python -m ssc_sweep.findings {folder.path}"
        ) from error
    print_places(found.study, with_report)
    if found.study.unusable:
        raise FindingsFailed(found.study.unusable)
