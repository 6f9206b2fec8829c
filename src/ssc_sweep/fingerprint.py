"""The SHA-256 of a data set's file. A run's config records it, so that a changed file is another run."""

import hashlib
from functools import lru_cache
from pathlib import Path

from ssc_sweep.errors import UserError


def sha256(path: str, expected: str | None = None) -> str:
    """Return the hash of a file's content as hexadecimal text. An unchanged file is read once per process.

    Args:
        path: relative to the folder where the command was given; ~ is the home folder.
        expected: the hash that the file must have; None: any.

    Raises:
        UserError: there is no such file, it cannot be read, or it has another hash.
    """
    file = Path(path).expanduser().absolute()
    named = f"dataset.path={path}"
    try:
        if file.is_dir():
            raise UserError(f"{named} is a folder: give a CSV or Parquet file in it.")
        about = file.stat()
        found = _hashed(file, about.st_size, about.st_mtime_ns)
    except FileNotFoundError as error:
        raise UserError(f"{named}: there is no file {file}. Paths start where the command is typed.") from error
    except OSError as error:
        raise UserError(f"{named} cannot be read: {error.strerror or error}.") from error
    if expected not in (None, found):
        raise UserError(
            f"{named} is not the file that dataset.sha256={expected} means: it has {found}. Restore the file, or leave "
            "dataset.sha256 out."
        )
    return found


@lru_cache(maxsize=64)
def _hashed(file: Path, _size: int, _mtime_ns: int) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
