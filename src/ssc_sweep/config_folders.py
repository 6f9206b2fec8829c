"""Make sure that a config folder named like a plain key, such as outputs/, is no config group.

Hydra reads the key of an override as a config group if any folder of its search path has a folder of that name. After
`--config-dir .` beside outputs/, outputs=mine would choose the file outputs/mine.yaml. A SearchPathPlugin cannot
prevent this: Hydra adds the folder of --config-dir after asking them. So the source that reads folders is replaced, for
--config-dir and hydra.searchpath alike.
"""

import copy
import functools
from pathlib import Path

from hydra._internal.core_plugins import file_config_source
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra.errors import SearchPathException
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig

from ssc_sweep.config import RunConfig, conf_dir
from ssc_sweep.errors import UserError
from ssc_sweep.steering import STUDY_KEYS

# Keys of Hydra's own config that a YAML of the user's folder may set.
ALLOWED_OF_HYDRA = ("hydra.sweeper.", "hydra.launcher.", "hydra.callbacks.")


def _keys(node: object, prefix: str) -> set[str]:
    """Return the dotted keys of all values of a config, below `prefix`."""
    if not isinstance(node, DictConfig) or not node:
        return {prefix} if prefix else set()
    inner = ((str(name), node._get_node(name)) for name in node)
    return {key for name, value in inner for key in _keys(value, f"{prefix}.{name}" if prefix else name)}


@functools.cache
def plain_keys() -> frozenset[str]:
    """Return the top-level keys of a composed config that hold values; others are groups, with a folder in conf/."""
    groups = {folder.name for folder in conf_dir().iterdir() if folder.is_dir()}
    return frozenset({*STUDY_KEYS, *RunConfig.model_fields} - groups)


# The user's own config folders in this command.
_FOLDERS: set[Path] = set()
# What conf/ holds, by name: every arm of a study is composed from it anew, and parsing takes a fifth of that.
_READ: dict[str, ConfigResult] = {}


class FileConfigSource(file_config_source.FileConfigSource):
    """Replaces Hydra's source of file://, under the same class name, as Hydra requires.

    Raises:
        SearchPathException: the folder is missing; for hydra.searchpath Hydra would only warn.
    """

    def __init__(self, provider: str, path: str) -> None:
        super().__init__(provider, path)
        if not self.available():
            raise SearchPathException(f"Additional config directory '{self.path}' not found")
        self.ours = Path(self.path).resolve() == conf_dir().resolve()
        if not self.ours:
            _FOLDERS.add(Path(self.path))

    def load_config(self, config_path: str) -> ConfigResult:
        """Read a YAML.

        Raises:
            UserError: it is not ours and controls Hydra's own process: environment, logs, folders, search path. A YAML
                may come from a stranger, who could run code or overwrite files with any of these. On the command line
                the user sets them.
        """
        name = config_path if config_path.endswith((".yaml", ".yml")) else f"{config_path}.yaml"
        if self.ours:
            if name not in _READ:
                _READ[name] = super().load_config(config_path)
            for folder in sorted(_FOLDERS):
                if (folder / name).is_file():
                    raise UserError(
                        f"{folder / name} has the name of a file of ssc_sweep, which is read in its place: give "
                        "yours another name."
                    )
            return copy.deepcopy(_READ[name])  # Hydra takes its defaults list out
        try:
            result = super().load_config(config_path)
        except UnicodeDecodeError as error:
            raise UserError(f"{self.path}/{name} is not written in UTF-8: save it as UTF-8.") from error
        package = result.header.get("package")
        prefix = str(Path(config_path).parent).replace("/", ".") if package is None else package
        keys = _keys(result.config, "" if prefix in (".", "_global_") else prefix)
        wrong = sorted(key for key in keys if key.split(".")[0] == "hydra" and not key.startswith(ALLOWED_OF_HYDRA))
        if wrong:
            raise UserError(
                f"{self.path}/{config_path}: a YAML may not set {wrong[0]}. Allowed is "
                f"{', '.join(name.rstrip('.') for name in ALLOWED_OF_HYDRA)}; the rest goes on the command line."
            )
        return result

    def is_group(self, config_path: str) -> bool:
        return config_path.split("/")[0] not in plain_keys() and super().is_group(config_path)


def spare_plain_keys() -> None:
    """Make Hydra read folders as this module says, for the rest of this process."""
    _FOLDERS.clear()
    Plugins.instance()  # registers Hydra's own sources
    SourcesRegistry.instance().types[FileConfigSource.scheme()] = FileConfigSource
