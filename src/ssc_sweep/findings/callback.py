"""Hydra callback: when a study has ended, read it back from disk and show it."""

from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from ssc_sweep.study.plan import study_folder


class PrintFindings(Callback):
    """Named in conf/config.yaml; runs after every sweeper, and after a study that broke off."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        folder = study_folder(config.outputs, config.study)
        if not folder.study.exists() or not folder.runs():
            return
        # Imported here: pandas and scipy take time that a wrong override should not cost.
        from ssc_sweep.findings.collect import collect
        from ssc_sweep.findings.table import print_study

        study = collect(folder)
        if not (folder.path / "search.db").exists():
            print_study(study)
            return
        from ssc_sweep.findings.search import print_search, read_search

        search = read_search(folder)
        if search is not None:
            print_search(search, folder)
