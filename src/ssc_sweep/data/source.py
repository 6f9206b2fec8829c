"""Cohorts and splits of runs, made once for all runs that share them. Needs no torch."""

import functools
import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any, get_type_hints

import numpy as np

from ssc_sweep import admission
from ssc_sweep.config import RunConfig
from ssc_sweep.data.cohort import HIDDEN, Cohort
from ssc_sweep.data.splitting import DataSplit, encode, hide_and_check, same_rows_for_all_seeds
from ssc_sweep.errors import DoesNotFit, UserError
from ssc_sweep.schema import check_arguments


def load(node: Mapping[str, Any]) -> Cohort:
    """Load the cohort of a config's `dataset`.

    Raises:
        UserError: its target is not admitted, is no data set or rejects these arguments, or the source cannot be read.
    """
    function, arguments = admission.target("dataset", node)
    named = f"dataset._target_={node['_target_']}"
    ours = admission.is_ours(str(node["_target_"]))
    if not callable(function) or (ours and not _returns_a_cohort(function)):
        raise UserError(f"{named} is no data set: allowed is a function that returns a data.cohort.Cohort.")
    check_arguments("dataset", function, arguments, ())
    with admission.calling(named):
        cohort = function(**arguments)
    if not isinstance(cohort, Cohort):
        raise UserError(f"{named} returned {type(cohort).__name__}: a data set's function returns a Cohort.")
    if not ours:
        _check_treatments(cohort)
    return cohort


def _check_treatments(cohort: Cohort) -> None:
    """Check that each treatment of a user's cohort has a row: otherwise codes 1 and 2, or -1 and 1, would be misread.

    Raises:
        DoesNotFit: one has none.
    """
    for code, name in enumerate(cohort.treatments):
        if not (cohort.t == code).any():
            found = ", ".join(map(str, np.unique(cohort.t)[:6]))
            raise DoesNotFit(
                f"the data set {cohort.name} has no row of treatment '{name}', whose code is {code}; its t holds "
                f"{found}. Codes are 0 to {len(cohort.treatments) - 1}, and {HIDDEN} says that a treatment is unknown."
            )


def _returns_a_cohort(function: object) -> bool:
    return inspect.isfunction(function) and get_type_hints(function).get("return") is Cohort


PURE = ("ssc_sweep.data.nhefs.load", "ssc_sweep.data.packaged.load", "ssc_sweep.data.synthetic.load")


@functools.lru_cache(maxsize=2)
def _load_once(source: str) -> Cohort:
    return load(json.loads(source))


class Data:
    """Cohorts and splits by what they depend on. Runs that share rows share one array.

    Args:
        keep: also keep the rows of one seed: training a stack needs them, checking thousands of runs does not.
    """

    def __init__(self, keep: bool = True) -> None:
        self.keep = keep
        self._cohorts: dict[str, Cohort] = {}
        self._encoded: dict[str, DataSplit] = {}
        self._splits: dict[str, DataSplit] = {}
        self._unseen: dict[str, int] = {}

    def only(self, configs: Sequence[RunConfig]) -> "Data":
        """Return a copy with only the rows of these runs that are already loaded, and no cohorts."""
        keys = [self._keys(config) for config in configs]
        found = Data(self.keep)
        found._encoded = {rows: self._encoded[rows] for rows, _ in keys if rows in self._encoded}
        found._splits = {seen: self._splits[seen] for _, seen in keys if seen in self._splits}
        return found

    def cohort(self, node: Mapping[str, Any]) -> Cohort:
        source = json.dumps(node, sort_keys=True, default=str)
        if source not in self._cohorts:
            # A source with a known hash, or inside this package, stays the same for the whole process.
            steady = node.get("sha256") is not None or node.get("_target_") in PURE
            self._cohorts[source] = _load_once(source) if steady else load(node)
        return self._cohorts[source]

    @property
    def notes(self) -> tuple[str, ...]:
        """Return lines for the user on how the data were read."""
        read = [note for cohort in self._cohorts.values() for note in cohort.notes]
        lines = [
            f"{column}: up to {count} measured rows have a level that no training row has"
            for column, count in self._unseen.items()
        ]
        return (*read, *lines)

    def key(self, config: RunConfig) -> str:
        """Return a key of a run's rows: runs with equal keys have equal rows."""
        return self._keys(config)[1]

    def _keys(self, config: RunConfig) -> tuple[str, str]:
        """Return keys of (the encoded rows, these with their hidden treatments)."""
        node = json.dumps(config.dataset, sort_keys=True, default=str)
        rows = f"{node} {config.dataset_size} {config.split} {config.covariates} {config.scaling}"
        if not same_rows_for_all_seeds(config):
            rows += f" {config.seed}"
        seen = f"{rows} {config.labels} {config.batch.size}"
        if config.labels.mechanism != "all":
            seen += f" {config.seed}"
        return rows, seen

    def split(self, config: RunConfig) -> DataSplit:
        """Return the rows of a run.

        Raises:
            UserError: they cannot be loaded. DoesNotFit: the config does not fit them.
        """
        rows, seen = self._keys(config)
        if seen in self._splits:
            return self._splits[seen]
        encoded = self._encoded[rows] if rows in self._encoded else self._encode(config)
        found = hide_and_check(encoded, config)
        if self.keep or same_rows_for_all_seeds(config):
            self._encoded[rows] = encoded
            if self.keep or config.labels.mechanism == "all":
                self._splits[seen] = found
        return found

    def _encode(self, config: RunConfig) -> DataSplit:
        encoded = encode(self.cohort(config.dataset), config)
        for name, count in encoded.unseen.items():
            column = f"{encoded.cohort.name}: {name}"
            self._unseen[column] = max(count, self._unseen.get(column, 0))
        return encoded
