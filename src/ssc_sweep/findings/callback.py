"""Hydra callback: when a study has ended, read it back from disk and show it."""

from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from ssc_sweep.errors import UserError
from ssc_sweep.study.plan import started_here, study_folder


class PrintFindings(Callback):
    """Named in conf/config.yaml; runs after every sweeper, and after a study that broke off."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        try:
            folder = study_folder(config.outputs, config.study)
            # Where this command was refused, the findings of an earlier one would look like its answer.
            if not folder.study.exists() or not started_here(folder) or not folder.runs():
                return
        except UserError:
            return  # the sweeper has refused it already
        # Imported here: pandas, scipy and matplotlib take time that a wrong override should not cost.
        from ssc_sweep.findings.report import build
        from ssc_sweep.findings.search import print_search
        from ssc_sweep.findings.table import print_places, print_study

        study, verdicts, search = build(folder)
        if search is not None:
            print_search(search)
        if search is None or study.plan.hypotheses:  # those that were tested on the winner of a search
            print_study(study.without_search(), verdicts)
        print_places(study)
