"""Read a CSV or Parquet file into an Arrow table, or say in one line why it cannot be read.

The first bytes of a file tell its format, not its name. pyarrow types the cells of a CSV file: whole numbers, numbers,
true/false, dates, text. Text with few distinct values is kept as codes to save memory.
"""

import codecs
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet

from ssc_sweep.data.cells import holds_text
from ssc_sweep.errors import UserError

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
DECIMALS = {"point": ".", "comma": ","}
# pyarrow's words for a gap (such as NA, N/A, NaN, NULL and the empty cell), and that of SAS and Stata.
GAPS = [*arrow_csv.ConvertOptions().null_values, "."]
PARQUET = b"PAR1"
# File types that are no tables, by their first bytes.
OTHERS = {
    b"PK\x03\x04": "is a zip archive, such as an Excel file: save the table as CSV",
    b"\x1f\x8b": "is compressed: unpack it",
    b"\xd0\xcf\x11\xe0": "is an old Excel file: save the table as CSV",
}


@dataclass(frozen=True)
class Format:
    """How a CSV file is written; see conf/dataset/csv.yaml."""

    delimiter: str = "comma"
    decimal: str = "point"
    encoding: str = "utf-8"


def read(path: str, how: Format) -> pa.Table:
    """Read every column of a file, in its order, under the names of its header.

    Raises:
        UserError: it is no such file, is damaged, or has another format.
    """
    file = Path(path).expanduser()
    named = f"dataset.path={path}"
    try:
        with file.open("rb") as content:
            first = content.read(4)
        if first == PARQUET:
            return _read_parquet(file, named)
        for beginning, what in OTHERS.items():
            if first.startswith(beginning):
                raise UserError(f"{named} {what}, and give that file.")
        if file.suffix.lower() in (".parquet", ".pq"):
            raise UserError(f"{named} is no Parquet file: it does not begin with {PARQUET.decode()}. Write it again.")
        return _read_csv(file, named, how)
    except UnicodeError as error:
        raise _wrong_encoding(named, how) from error
    except OSError as error:
        raise UserError(f"{named} cannot be read: {error.strerror or _first_line(error)}.") from error


def _read_parquet(file: Path, named: str) -> pa.Table:
    try:
        with parquet.ParquetFile(file) as opened:
            schema = opened.schema_arrow
        text = [name for name, kind in zip(schema.names, schema.types, strict=True) if holds_text(kind)]
        with parquet.ParquetFile(file, read_dictionary=text) as opened:
            table = opened.read()
    except (pa.ArrowException, OSError) as error:
        raise UserError(
            f"{named} is a damaged or cut off Parquet file: {_first_line(error)}. Write it again."
        ) from error
    # pandas also writes the row numbers, or an index without a name.
    return table.select([i for i, name in enumerate(table.column_names) if not name.startswith("__index_level_")])


def _read_csv(file: Path, named: str, how: Format) -> pa.Table:
    try:
        "a".encode(how.encoding)  # also refuses codecs that are no text encodings, such as rot13
    except LookupError as error:
        raise UserError(
            f"dataset.encoding={how.encoding} is unknown: allowed is a name such as utf-8, latin-1, cp1252 or utf-16."
        ) from error
    delimiter = DELIMITERS[how.delimiter]
    try:
        header, lines = _header(file, named, how)
        _check_delimiter(named, header, how)
        table = arrow_csv.read_csv(
            file,
            # Names are given: pyarrow might take them from another line, and cannot read duplicate names.
            read_options=arrow_csv.ReadOptions(column_names=header, skip_rows=lines, encoding=how.encoding),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                null_values=GAPS, strings_can_be_null=True, auto_dict_encode=True, decimal_point=DECIMALS[how.decimal]
            ),
        )
        if any(_has_line_breaks(column) for column in table.columns):
            # An unclosed quote swallows the rows after it.
            for _ in _cells(file, how):
                pass
    except csv.Error as error:
        raise UserError(f"{named} has a quote that is not closed, or is no text: {error}. Mend it.") from error
    except pa.ArrowInvalid as error:
        raise _unreadable(file, named, how, error) from error
    if any(_is_binary(column.type) for column in table.columns):
        raise _wrong_encoding(named, how)
    return table


def _cells(file: Path, how: Format) -> Iterator[tuple[list[str], int]]:
    """Yield the cells of each non-empty row, and the number of its last line. Slow: for the header and for errors."""
    encoding = "utf-8-sig" if codecs.lookup(how.encoding).name == "utf-8" else how.encoding
    with file.open(encoding=encoding, newline="") as content:
        reader = csv.reader(content, delimiter=DELIMITERS[how.delimiter], strict=True)
        yield from ((row, reader.line_num) for row in reader if row)


def _header(file: Path, named: str, how: Format) -> tuple[list[str], int]:
    """Return the names of the columns, and how many lines they take."""
    rows = _cells(file, how)
    header = next(rows, None)
    if header is None:
        raise UserError(f"{named} is empty: its first line must name the columns.")
    if next(rows, None) is None:
        raise UserError(f"{named} has a header and no rows.")
    return header


def _check_delimiter(named: str, header: list[str], how: Format) -> None:
    if len(header) > 1:
        return
    for name, sign in DELIMITERS.items():
        if name != how.delimiter and sign in header[0]:
            shown = "a tab" if name == "tab" else f"'{sign}'"
            raise UserError(f"{named} seems to be separated by {shown}: give dataset.delimiter={name}.")


def _unreadable(file: Path, named: str, how: Format, error: Exception) -> UserError:
    """Return what is wrong with a file that pyarrow refuses: nearly always a row with too many or too few cells."""
    width = 0
    try:
        for row, line in _cells(file, how):
            width = width or len(row)
            if len(row) != width:
                return UserError(
                    f"{named} has {len(row)} cells in line {line}, and {width} in its header. Mend that line: a cell "
                    f"with a {how.delimiter} in it needs quotes around it."
                )
    except csv.Error as wrong:
        return UserError(f"{named} has a quote that is not closed, or is no text: {wrong}. Mend it.")
    return UserError(f"{named} cannot be read as CSV: {_first_line(error)}.")


def _wrong_encoding(named: str, how: Format) -> UserError:
    other = "utf-8" if how.encoding != "utf-8" else "latin-1, cp1252 or utf-16"
    return UserError(f"{named} is not written in {how.encoding}: give dataset.encoding=<another>, such as {other}.")


def _has_line_breaks(column: pa.ChunkedArray) -> bool:
    if pa.types.is_dictionary(column.type):
        return any(_has_line_breaks(pa.chunked_array([chunk.dictionary])) for chunk in column.chunks)
    return holds_text(column.type) and bool(pc.any(pc.match_substring_regex(column, "[\r\n]")).as_py())


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind.value_type if pa.types.is_dictionary(kind) else kind))


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")[:200]
