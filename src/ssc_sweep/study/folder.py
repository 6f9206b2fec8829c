"""The folders of a study and of a run: one property a file, one writer.

    <outputs>/<study>/study.yaml  summary.csv
    <outputs>/<study>/<arm>/seed=<n>/config.yaml overrides.yaml history.csv metrics.json predictions.csv
                                     model.safetensors run.log DONE        (FAILED instead of DONE: a traceback)

A finished run may lie in a table of its study instead (`packed`). Its files are read with `RunFolder.has` and `read`,
which know where they are.

Every file is written beside its place and moved there in one step, DONE last: a folder with DONE is complete. Files
whose names begin with a dot belong to running processes, and are removed when these end.
"""

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from ssc_sweep.errors import CannotRead, UserError
from ssc_sweep.study import packed
from ssc_sweep.writing import write_bytes, write_text, writing

# Names of a search's arms begin with one of these: a trial's own seeds, or the fresh seeds that confirm it.
TRIAL, CONFIRM = "trial=", "confirm="
# A folder with any of these files is that of a run.
MARKS = {"DONE", "FAILED", "config.yaml"}


def of_search(kind: str, number: int) -> str:
    """Return the name of the arm of a search trial; `kind` is TRIAL or CONFIRM."""
    return f"{kind}{number:04d}"


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn an OSError while reading `path` into a one-line error; FileNotFoundError passes through.

    Raises:
        CannotRead: the path cannot be read.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CannotRead(path, error) from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock on this file; wait if another process holds it. It is released however the process ends.

    Raises:
        CannotWrite: its folder cannot be written.
    """
    lock = FileLock(path)
    try:
        with writing(path):
            lock.acquire()
        yield
    finally:
        if lock.is_locked:
            path.unlink(missing_ok=True)  # while it is held: waiting processes check again
        lock.release()


def yaml_text(content: object) -> str:
    # libyaml's dumper: ten times faster, same text.
    return str(yaml.dump(content, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=120))


def write_yaml(path: Path, content: object) -> None:
    write_text(path, yaml_text(content))


def write_json(path: Path, content: object) -> None:
    # NaN is not JSON; the caller must write a missing number as null.
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_yaml(path: Path) -> Any:
    return parse_yaml(path.read_bytes())


def parse_yaml(content: bytes) -> Any:
    return yaml.load(content.decode("utf-8"), Loader=yaml.CSafeLoader)


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run: one arm with one seed."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def overrides(self) -> Path:
        return self.path / "overrides.yaml"

    @property
    def history(self) -> Path:
        return self.path / "history.csv"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.json"

    @property
    def predictions(self) -> Path:
        return self.path / "predictions.csv"

    @property
    def model(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def log(self) -> Path:
        return self.path / "run.log"

    @property
    def done(self) -> Path:
        return self.path / "DONE"

    @property
    def failed(self) -> Path:
        return self.path / "FAILED"

    @property
    def lock(self) -> Path:
        """Lock held while training this run."""
        return self.path / ".lock"

    def has(self, file: Path) -> bool:
        """Return whether the run has this file, one of the paths above except the model."""
        if packed.find(self.path) is None:
            if file.exists():
                return True
            if packed.find_again(self.path) is None:
                return False
        return file.name in packed.FILES

    def read(self, file: Path) -> bytes:
        """Return the content of a file of the run, one of the paths above except the model.

        Raises:
            FileNotFoundError: the run has no such file.
            OSError: it cannot be read.
        """
        row = packed.find(self.path)
        if row is None:
            try:
                return file.read_bytes()
            except FileNotFoundError:
                row = packed.find_again(self.path)
                if row is None:
                    raise
        return packed.content(row, file.name)

    @property
    def kept_in(self) -> str:
        """What to remove so that the run is trained again, in words."""
        row = packed.find(self.path)
        return "the folder of that run" if row is None else f"{row.table}, the table of its stack"

    def written(self) -> float:
        """Return when a run that finished or failed was written, in seconds since 1970.

        Raises:
            OSError: it cannot be told.
        """
        row = packed.find(self.path)
        if row is not None:
            return row.table.stat().st_mtime
        return (self.done if self.done.exists() else self.failed).stat().st_mtime

    def unpack(self) -> None:
        """Write the folder of a run that lies in a table, DONE last. The table still counts.

        Raises:
            UserError: the run lies in no table, or the folder cannot be written.
        """
        if packed.find(self.path) is None:
            there = "it has a folder" if self.path.is_dir() else "there is no such run"
            raise UserError(f"{self.path} lies in no table: {there}.")
        with reading(self.path):
            contents = {name: self.read(self.path / name) for name in packed.FILES}
        for name, content in contents.items():
            write_bytes(self.path / name, content)

    def remove_model(self) -> None:
        self.model.unlink(missing_ok=True)
        self._remove_if_empty()

    def _remove_if_empty(self) -> None:
        with suppress(OSError):
            self.path.rmdir()

    def claim(self) -> FileLock | None:
        """Claim the run until the lock is released or the process ends; None if another process has it.

        Raises:
            CannotWrite: the folder cannot be made or written.
        """
        lock = FileLock(self.lock, blocking=False)
        with writing(self.lock):
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                lock.acquire()
            except (Timeout, FileNotFoundError):  # not found: another process is removing the folder of a packed run
                return None
            self.lock.write_text(f"process {os.getpid()} on {socket.gethostname()}")
        return lock

    def holder(self) -> str:
        """Return which process trains this run, as its lock says."""
        try:
            return self.lock.read_text() or "another process"
        except OSError:
            return "another process"

    def release(self, lock: FileLock) -> None:
        """Release the run, and leave only the files of the run: no folder if a table has them."""
        try:
            self.clear()
            with writing(self.lock):
                self.lock.unlink(missing_ok=True)  # while it is held: waiting processes check again
            self._remove_if_empty()
        finally:
            lock.release()

    def tidy(self) -> None:
        """Remove leftovers of a process that was killed after it had written this run."""
        if self.lock.exists() and (lock := self.claim()) is not None:
            self.release(lock)
        elif packed.find(self.path) is not None:
            self._remove_if_empty()

    def clear(self) -> None:
        """Remove leftovers of a process that worked here, except its lock; and files that are in a table."""
        with writing(self.path):
            for name in reversed(packed.FILES if packed.find(self.path) else ()):
                (self.path / name).unlink(missing_ok=True)
            for path in self.path.glob(".*"):
                if path != self.lock:
                    path.unlink(missing_ok=True)

    def is_done(self, content: Callable[[], dict[str, Any]], text: str | None = None) -> bool:
        """Return whether this run was finished before, with this config.

        Args:
            content: returns the config.
            text: config.yaml as written for it; if the file equals it, nothing need be parsed.

        Raises:
            UserError: a run of another or an unknown config was finished here; it is not overwritten.
        """
        if not self.has(self.done):
            return False
        if text is not None and self.has(self.config) and self.read(self.config) == text.encode():
            return True
        if self.read_config() != content():
            raise UserError(
                f"{self.path} holds a finished run of another config, and finished runs are not overwritten. "
                f"Choose another study=<name>, or remove {self.kept_in}."
            )
        return True

    def read_config(self) -> dict[str, Any]:
        """Read the config back.

        Raises:
            UserError: it is missing or damaged.
        """
        with reading(self.config):
            try:
                return dict(parse_yaml(self.read(self.config)))
            except (FileNotFoundError, ValueError, TypeError, yaml.YAMLError) as error:
                raise UserError(
                    f"{self.config} of an earlier run cannot be read ({type(error).__name__}). Remove "
                    f"{self.kept_in} and start again."
                ) from error

    def read_trace(self) -> str:
        """Return FAILED: the traceback."""
        return self.read(self.failed).decode("utf-8", errors="replace").strip()

    def read_metrics(self) -> dict[str, Any]:
        metrics: dict[str, Any] = json.loads(self.read(self.metrics).decode("utf-8"))
        return metrics


@dataclass(frozen=True)
class StudyFolder:
    """The folder of all runs of one command."""

    path: Path

    @property
    def study(self) -> Path:
        return self.path / "study.yaml"

    @property
    def summary(self) -> Path:
        return self.path / "summary.csv"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def effects(self) -> Path:
        return self.path / "effects.csv"

    @property
    def lock(self) -> Path:
        """Lock held while claiming trials: several processes may work on one study."""
        return self.path / ".lock"

    @property
    def plan_lock(self) -> Path:
        """Lock held while changing study.yaml or the files beside it."""
        return self.path / ".plan.lock"

    def make(self) -> None:
        """Make the folder.

        Raises:
            UserError: it cannot be made.
        """
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)

    def look(self) -> None:
        """Note which runs lie in tables, also those that another process has written meanwhile.

        Raises:
            DamagedTable: one cannot be read.
        """
        with reading(self.path):
            packed.look(self.path)

    @property
    def tables(self) -> Path:
        """Folder of the tables."""
        return self.path / packed.TABLES

    def run(self, arm: str, seed: int) -> RunFolder:
        return RunFolder(self.path / arm / f"seed={seed}")

    def runs(self) -> list[RunFolder]:
        """Return every folder in which a run has begun or ended, or that is named like one, sorted by path.

        A run in a table has the folder that it would have. Call `look` first.
        """
        found = set[Path]()
        for place, folders, files in os.walk(self.path):
            if not MARKS.isdisjoint(files):
                found.add(Path(place))
            found |= {Path(place, name) for name in folders if name.startswith("seed=")}
        found |= set(packed.packed_in(self.path))
        return [RunFolder(path) for path in sorted(found)]

    def runs_of(self, arm: Path) -> list[RunFolder]:
        """Return the runs of an arm, whose folder is given, that have a config, sorted by path."""
        found = {config.parent for config in arm.glob("seed=*/config.yaml")} | set(packed.packed_of(arm))
        return [RunFolder(path) for path in sorted(found)]
