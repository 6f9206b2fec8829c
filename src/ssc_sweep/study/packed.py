"""Tables of finished runs: one Parquet file for the runs of a stack, instead of a folder of seven files for each.

    <outputs>/<study>/tables/<number>.parquet    a row a run: arm, seed, and the bytes of each file of its folder

A table is never changed, and its number never used again. `look` notes which runs the tables of a study hold; the other
functions answer from that. Where a run lies in a folder as well, which a kill may leave behind, its table counts.
"""

import errno
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ssc_sweep.errors import DamagedTable

# Files of a finished run, in the order in which they are written. Weights are not among them.
FILES = ("config.yaml", "overrides.yaml", "history.csv", "predictions.csv", "metrics.json", "run.log", "DONE")
TABLES = "tables"  # folder of a study
# Tables in memory: readers go by arm and seed, so they stay within a few tables at a time.
_KEPT = 8


@dataclass(frozen=True)
class Row:
    """Where a run lies: the row of a table."""

    table: Path
    number: int


# Study -> its tables; folder of an arm -> name of a run's folder -> where it lies. Text: paths take five times as long.
_seen: dict[str, set[str]] = {}
_rows: dict[str, dict[str, Row]] = {}


def look(study: Path) -> None:
    """Note the runs that the tables of a study hold; call it again when another process may have written some.

    Raises:
        DamagedTable: a table cannot be read, so nobody knows which runs it holds. All others have been noted.
    """
    place, seen = study / TABLES, _seen.setdefault(str(study), set())
    try:
        there = {name for name in os.listdir(place) if name.endswith(".parquet") and not name.startswith(".")}
    except FileNotFoundError:
        there = set()
    if seen - there:  # somebody has removed some
        seen.clear()
        for arm in [arm for arm in _rows if Path(arm).is_relative_to(study)]:
            del _rows[arm]
    damaged = []
    for name in sorted(there - seen):
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
            of_arm = _rows.setdefault(str(study / key["arm"]), {})
            of_arm.setdefault(f"seed={key['seed']}", Row(place / name, number))
        seen.add(name)
    if damaged:
        more = f" So are {len(damaged) - 1} more." if len(damaged) > 1 else ""
        raise DamagedTable(f"{damaged[0]}.{more}")


def find(run: Path) -> Row | None:
    """Return where a run lies, by its folder; None: in no table."""
    return _rows.get(str(run.parent), {}).get(run.name)


def packed_of(arm: Path) -> list[Path]:
    """Return the folders that the runs of an arm would have."""
    return [arm / name for name in _rows.get(str(arm), ())]


def packed_in(study: Path) -> list[Path]:
    """Return the folders that all runs in the tables of a study would have."""
    return [run for arm in list(_rows) if Path(arm).is_relative_to(study) for run in packed_of(Path(arm))]


def content(row: Row, file: str) -> bytes:
    """Return the content of a file of a run.

    Raises:
        OSError: its table cannot be read.
    """
    return bytes(_whole(row.table).column(file)[row.number].as_py())


@lru_cache(maxsize=_KEPT)
def _whole(table: Path) -> Any:
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
        if set(read.column_names) != set(columns):
            raise pa.ArrowInvalid("columns are missing")
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system refuses: the file may be intact
        says = f"{path} is damaged ({' '.join(str(error).split())[:80]}); remove it, and its runs are trained again"
        raise OSError(errno.EBADMSG, says) from error
    return read


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
