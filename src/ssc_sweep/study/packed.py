"""Tables of finished runs: one Parquet file for the runs of a stack, instead of a folder of seven files for each.

    <outputs>/<study>/tables/<random>.parquet    a row a run: arm, seed, and the bytes of each file of its folder

A table is never changed, and its name never used again. `look` notes which runs the tables of a study hold; the other
functions answer from that. Where a run lies in a folder as well, which a kill may leave behind, its table counts.
"""

import errno
import os
import time
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ssc_sweep.errors import DamagedTable
from ssc_sweep.writing import leads_out

# Files of a finished run, in the order in which they are written. Weights are not among them.
FILES = ("config.yaml", "overrides.yaml", "history.csv", "predictions.csv", "metrics.json", "run.log", "DONE")
TABLES = "tables"  # folder of a study
# Tables in memory: readers go by arm and seed, so they stay within a few tables at a time.
_KEPT = 8
# Changes closer together may have the same time, depending on the file system.
_COARSE_NS = 1_000_000_000


@dataclass(frozen=True)
class Row:
    """Where a run lies: the row of a table."""

    table: Path
    number: int


@dataclass
class Tables:
    """What a process knows of the tables of a study.

    Attributes:
        names: of the tables that have been read.
        changed: when their folder had last changed, ns, before it was listed. 0: too recently to tell from a change
            after it, as the times of a file system are coarse.
        rows: folder of an arm -> name of a run's folder -> where it lies. Text: paths take five times as long.
    """

    names: set[str] = field(default_factory=set)
    changed: int = 0
    rows: dict[str, dict[str, Row]] = field(default_factory=dict)


KNOWN: dict[str, Tables] = {}  # by the folder of a study


def look(study: Path) -> None:
    """Note the runs that the tables of a study hold; call it again when another process may have written some.

    Raises:
        DamagedTable: a table cannot be read, so nobody knows which runs it holds. All others have been noted.
    """
    place, known = study / TABLES, KNOWN.setdefault(str(study), Tables())
    try:
        changed = place.stat().st_mtime_ns
        known.changed = changed if time.time_ns() - changed > _COARSE_NS else 0
        there = {name for name in os.listdir(place) if name.endswith(".parquet") and not name.startswith(".")}
    except (FileNotFoundError, NotADirectoryError):
        there = set()
    if known.names - there:  # somebody has removed some
        known.names.clear()
        known.rows.clear()
    damaged = []
    for name in sorted(there - known.names):
        try:
            keys = _read(place / name, ("arm", "seed")).to_pylist()
        except FileNotFoundError:  # removed meanwhile
            continue
        except OSError as error:
            if error.errno != errno.EBADMSG:
                raise
            damaged.append(str(error.strerror))
            continue
        for number, key in enumerate(keys):
            of_arm = known.rows.setdefault(str(study / key["arm"]), {})
            of_arm.setdefault(f"seed={key['seed']}", Row(place / name, number))
        known.names.add(name)
    if damaged:
        more = f" So are {len(damaged) - 1} more." if len(damaged) > 1 else ""
        raise DamagedTable(f"{damaged[0]}.{more}")


def find(run: Path) -> Row | None:
    """Return where a run lies, by its folder; None: in no table."""
    known = KNOWN.get(_study_of(run))
    return None if known is None else known.rows.get(str(run.parent), {}).get(run.name)


def find_again(run: Path) -> Row | None:
    """Return where a run lies after another look, if there are new tables: another process may just have packed it.

    Raises:
        DamagedTable: a new table cannot be read.
    """
    study = _study_of(run)
    if study not in KNOWN:
        return None
    try:
        changed = Path(study, TABLES).stat().st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        return None
    if changed != KNOWN[study].changed:
        look(Path(study))
    return find(run)


def _study_of(run: Path) -> str:
    """Return the folder of the study that a run lies in; "" if nobody has looked at it."""
    return next((str(parent) for parent in run.parents if str(parent) in KNOWN), "") if KNOWN else ""


def packed_of(arm: Path) -> list[Path]:
    """Return the folders that the runs of an arm would have."""
    known = KNOWN.get(_study_of(arm))
    return [] if known is None else [arm / name for name in known.rows.get(str(arm), ())]


def packed_in(study: Path) -> list[Path]:
    """Return the folders that all runs in the tables of a study would have."""
    known = KNOWN.get(str(study))
    return [] if known is None else [Path(arm, name) for arm, runs in known.rows.items() for name in runs]


def content(row: Row, file: str) -> bytes:
    """Return the content of a file of a run.

    Raises:
        FileNotFoundError: a finished run has no such file.
        OSError: its table cannot be read.
    """
    if file not in FILES:
        raise FileNotFoundError(file)
    return bytes(whole(row.table).column(file)[row.number].as_py())


@lru_cache(maxsize=_KEPT)
def whole(table: Path) -> Any:
    return _read(table, ("arm", "seed", *FILES))


def _read(path: Path, columns: tuple[str, ...]) -> Any:
    """Read columns of a table; their checksums are compared.

    Raises:
        OSError: it cannot be read; EBADMSG: it is cut off, edited or no table of ours.
    """
    # Imported here: a study without tables need not wait for it.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            read = file.read(columns=list(columns), use_threads=False)  # workers are forked
        _check(read, columns)
    # pyarrow raises UnicodeDecodeError for a damaged name of a column.
    except (pa.ArrowException, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system refuses: the file may be intact
        says = f"{path} is damaged ({' '.join(str(error).split())[:80]}); remove it, and its runs are trained again"
        raise OSError(errno.EBADMSG, says) from error
    return read


def _check(read: Any, columns: tuple[str, ...]) -> None:
    """Check that columns are as `write` makes them.

    Raises:
        ValueError: they are not.
    """
    import pyarrow as pa

    types = {"arm": pa.string(), "seed": pa.int64()}
    for name in columns:
        if name not in read.column_names:
            raise ValueError(f"it has no column {name}")
        column = read.column(name)
        if column.type != types.get(name, pa.binary()) or column.null_count:
            raise ValueError(f"its column {name} holds what no run writes")
    if any(leads_out(arm) for arm in read.column("arm").to_pylist()):
        raise ValueError("an arm leads out of the study")


def write(beside: Path, runs: list[tuple[str, int, list[bytes]]]) -> None:
    """Write a table of runs: (arm, seed, content of each of FILES). It is on the disk when this returns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {"arm": [arm for arm, _, _ in runs], "seed": [seed for _, seed, _ in runs]}
    for place, name in enumerate(FILES):
        columns[name] = pa.array([contents[place] for _, _, contents in runs], pa.binary())
    pq.write_table(pa.table(columns), beside, compression="zstd", write_statistics=False, write_page_checksum=True)
    with beside.open("rb") as file:
        os.fsync(file.fileno())  # before the folders go
