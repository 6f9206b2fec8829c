"""Read the files of many runs fast: CSV as columns of floats, and each distinct YAML parsed once.

A study of thousands of runs has thousands of config.yaml that differ only in the line of the seed, and as many small
CSV files, for which a table library has more overhead than work.
"""

import csv
import io
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ssc_sweep.config import leaves, without_seed
from ssc_sweep.data.cohort import Floats
from ssc_sweep.study.folder import RunFolder

# libyaml's loader: ten times faster, same result.
LOADER: Any = yaml.CSafeLoader
# The seed in a config.yaml and in an overrides.yaml, as training writes it.
_SEED_KEY = re.compile(r"^seed: (0|[1-9]\d*)$", re.MULTILINE)
_SEED_ITEM = re.compile(r"^- seed=(0|[1-9]\d*)$", re.MULTILINE)


class Unreadable(Exception):
    """A run's folder is invalid; the message says what is wrong with which file."""


def one_line(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return " ".join(str(error).split())[:200]


def load_yaml(path: Path, read: Callable[[Path], bytes] = Path.read_bytes) -> Any:
    """Read YAML.

    Args:
        read: returns the content of the file; that of a run is read with `RunFolder.read`.

    Raises:
        Unreadable: there is no such file, or it is not YAML.
    """
    return _parse(path, _read(path, read))


def _read(path: Path, read: Callable[[Path], bytes]) -> str:
    try:
        return read(path).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable(f"{path.name} cannot be read: {one_line(error)}") from error


def _parse(path: Path, text: str) -> Any:
    try:
        return yaml.load(text, Loader=LOADER)
    # PyYAML raises ValueError for a date that does not exist.
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise Unreadable(f"{path.name} cannot be read: {one_line(error)}") from error


@dataclass(frozen=True)
class _Content:
    """The content of a config.yaml, shared by all files that differ only in the seed."""

    parsed: Any

    @cached_property
    def without_seed(self) -> str:
        return json.dumps(without_seed(self.parsed), sort_keys=True, default=str)

    @cached_property
    def leaves(self) -> dict[str, str]:
        found = leaves(self.parsed if isinstance(self.parsed, dict) else {"": self.parsed})
        return {key: str(value) for key, value in found.items()}


@dataclass(frozen=True)
class ConfigFile:
    """One config.yaml. `seed` is None if it holds none."""

    content: _Content
    seed: object

    @property
    def is_config(self) -> bool:
        """Return whether it is a mapping with a seed."""
        return isinstance(self.content.parsed, dict) and "seed" in self.content.parsed

    def get(self, key: str) -> Any:
        """Return the value of a key other than the seed; None if there is none, or no mapping."""
        return self.content.parsed.get(key) if isinstance(self.content.parsed, dict) else None

    @property
    def without_seed(self) -> str:
        """Return the text that all runs of an arm share."""
        return self.content.without_seed

    @property
    def leaves(self) -> dict[str, str]:
        """Return values as text by dotted key, seed included."""
        shared = self.content.leaves
        return shared | {"seed": str(self.seed)} if "seed" in shared else shared


@dataclass
class RunYamls:
    """Reads config.yaml and overrides.yaml of many runs; texts that differ only in the seed are parsed once."""

    _configs: dict[tuple[str, str], _Content] = field(default_factory=dict)
    _overrides: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)

    def config(self, folder: RunFolder) -> ConfigFile:
        """Read config.yaml.

        Raises:
            Unreadable: it is missing, or not YAML.
        """
        text = _read(folder.config, folder.read)
        parts = _SEED_KEY.split(text)
        if len(parts) != 3:
            return _config(_parse(folder.config, text))
        alike, seed = (parts[0], parts[2]), int(parts[1])
        if alike not in self._configs:
            one = _config(_parse(folder.config, text))
            # The line holds the seed unless it is part of something longer, such as a text over several lines.
            if not one.is_config or one.seed != seed:
                return one
            self._configs[alike] = one.content
        return ConfigFile(self._configs[alike], seed)

    def overrides(self, folder: RunFolder) -> str:
        """Return overrides.yaml in one line; "" if there is no such file, or it holds no list."""
        try:
            text = _read(folder.overrides, folder.read)
            parts = _SEED_ITEM.split(text)
            alike = (parts[0], parts[-1])
            if len(parts) == 3 and alike in self._overrides:
                return f"seed={parts[1]}".join(self._overrides[alike])
            found = _parse(folder.overrides, text)
        except Unreadable:
            return ""
        if not isinstance(found, list):
            return ""
        items = [str(item) for item in found]
        if len(parts) == 3 and items.count(f"seed={parts[1]}") == 1:
            place = items.index(f"seed={parts[1]}")
            before, after = " ".join([*items[:place], ""]), " ".join(["", *items[place + 1 :]])
            self._overrides[alike] = (before, after)
        return " ".join(items)


def _config(parsed: Any) -> ConfigFile:
    return ConfigFile(_Content(parsed), parsed.get("seed") if isinstance(parsed, dict) else None)


@dataclass(frozen=True)
class Table:
    """A CSV file of complete lines, as text.

    Attributes:
        names: of its columns.
        cells: of each column, by its place.
        underscore: whether a cell may hold one: Python reads 1_0 as a number.
    """

    names: Sequence[str]
    cells: Mapping[int, Sequence[str]]
    rows: int
    underscore: bool

    def numbers(self, place: int) -> Floats:
        """Return a column as floats, shape (rows,); NaN for an empty cell.

        Raises:
            ValueError: a cell is no number.
        """
        column = self.cells[place]
        if self.underscore and any("_" in cell for cell in column):
            raise ValueError("a cell holds an underscore")
        return np.array([float(cell) if cell else math.nan for cell in column], dtype=np.float64)


def read_table(path: Path, read: Callable[[Path], bytes] = Path.read_bytes) -> Table:
    """Read a CSV file of complete lines; `read` as in `load_yaml`.

    Raises:
        Unreadable: it is missing, empty or cut off.
    """
    text = _read(path, read)
    try:
        lines = list(csv.reader(io.StringIO(text)))
    except csv.Error as error:
        raise Unreadable(f"{path.name} cannot be read: {one_line(error)}") from error
    if not text.strip() or not text.endswith("\n") or any(len(line) != len(lines[0]) for line in lines):
        raise Unreadable(f"{path.name} is cut off: {'its last line is not whole' if text.strip() else 'it is empty'}")
    names, *body = lines
    columns = dict(enumerate(zip(*body, strict=True))) if body else dict.fromkeys(range(len(names)), ())
    return Table(names, columns, len(body), "_" in text.partition("\n")[2])
