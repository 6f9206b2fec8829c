"""Folders of configs: one that is named like a plain key, such as outputs/, is no config group.

Hydra takes the key of an override for a config group as soon as any folder of its search path has a folder of that
name. After `--config-dir .` beside outputs/, outputs=mine would have to choose the file outputs/mine.yaml. A
SearchPathPlugin cannot prevent it: Hydra adds the folder of --config-dir when those have been asked. So the source that
reads folders is replaced, which holds for --config-dir and hydra.searchpath alike.
"""

import functools

from hydra._internal.core_plugins import file_config_source
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra.errors import SearchPathException

from ssc_sweep.config import STUDY_KEYS, RunConfig, conf_dir


@functools.cache
def plain_keys() -> frozenset[str]:
    """Top-level keys of a composed config that hold values; the others are groups, with a folder in conf/."""
    groups = {folder.name for folder in conf_dir().iterdir() if folder.is_dir()}
    return frozenset({*STUDY_KEYS, *RunConfig.model_fields} - groups)


class FileConfigSource(file_config_source.FileConfigSource):
    """Hydra's source of file://. It has the name of that one: Hydra accepts another class only under the same name.

    Raises:
        SearchPathException: the folder is not there; for one of hydra.searchpath Hydra would only warn.
    """

    def __init__(self, provider: str, path: str) -> None:
        super().__init__(provider, path)
        if not self.available():
            raise SearchPathException(f"Additional config directory '{self.path}' not found")

    def is_group(self, config_path: str) -> bool:
        return config_path.split("/")[0] not in plain_keys() and super().is_group(config_path)


def spare_plain_keys() -> None:
    """Make Hydra read folders as this module says, from now on in this process."""
    Plugins.instance()  # registers Hydra's own sources
    SourcesRegistry.instance().types[FileConfigSource.scheme()] = FileConfigSource
