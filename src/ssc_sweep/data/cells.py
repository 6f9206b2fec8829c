"""Turn Arrow columns into plain ones (numbers, true/false, or text as codes into a dictionary), and codes into gaps."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.types as is_

from ssc_sweep.data.cohort import Floats, Ints
from ssc_sweep.errors import DoesNotFit

Code = int | float | str


def plain(name: str, source: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column as numbers, true/false, or text as codes into a dictionary.

    Raises:
        DoesNotFit: it holds something else, such as dates or lists.
    """
    if is_.is_dictionary(column.type) and not holds_text(column.type.value_type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if is_.is_dictionary(kind) or is_.is_boolean(kind) or is_.is_floating(kind) or is_.is_integer(kind):
        return column
    if holds_text(kind):
        return column.dictionary_encode()
    if is_.is_decimal(kind) or is_.is_null(kind):
        return column.cast(pa.float64())
    what = "dates or times" if is_.is_temporal(kind) else f"values of type {kind}"
    raise DoesNotFit(
        f"column {name} of {source} holds {what}: turn it into a number (such as days) in the table, or "
        f"dataset.drop=[{name}]."
    )


def without(column: pa.ChunkedArray, codes: Sequence[Code]) -> tuple[pa.ChunkedArray, list[Code]]:
    """Turn the cells that hold one of these codes into gaps; return also the codes that no cell holds.

    Text that is numbers except for its codes becomes numbers.

    >>> column = plain("age", "my.csv", pa.chunked_array([["50", "unknown", "61"]]))
    >>> kept, absent = without(column, ["unknown", 99])
    >>> numbers(kept).tolist(), absent
    ([50.0, nan, 61.0], [99])
    """
    if not codes:
        return column, []
    if is_text(column):
        return _text_without(column, codes)
    values = numbers(column)
    absent = []
    for code in codes:
        at = values == number_of(code)  # a word is None, which equals no number
        values[at] = np.nan
        absent += [] if np.any(at) else [code]
    return _chunked(pa.array(values, from_pandas=True)), absent


def _text_without(column: pa.ChunkedArray, codes: Sequence[Code]) -> tuple[pa.ChunkedArray, list[Code]]:
    indices, words = _words(column)
    texts = {text_of(code): code for code in codes}
    absent = [code for text, code in texts.items() if text not in words]
    held = set(indices.tolist())
    rest = {i: number_of(word) for i, word in enumerate(words) if i in held and word is not None and word not in texts}
    if rest and None not in rest.values():
        by_word = np.full(len(words) + 1, np.nan)  # the last one is that of a gap
        by_word[list(rest)] = list(rest.values())
        return _chunked(pa.array(by_word[indices], from_pandas=True)), absent
    gone = ~np.isin(indices, list(rest))
    return _chunked(pa.DictionaryArray.from_arrays(pa.array(indices, mask=gone), pa.array(words, pa.string()))), absent


def _chunked(array: pa.Array) -> pa.ChunkedArray:
    return pa.chunked_array([array])


def numbers(column: pa.ChunkedArray) -> Floats:
    """Return a copy of numbers or true/false as float64, shape (n,), NaN for a gap."""
    return np.array(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)


def is_text(column: pa.ChunkedArray) -> bool:
    """Return whether a plain column holds text."""
    return bool(is_.is_dictionary(column.type))


def example(column: pa.ChunkedArray) -> str:
    """Return a cell of a text column that is no number, for messages; its first word if all are numbers."""
    words = [word for word in _words(column)[1] if word is not None]
    return next((word for word in words if number_of(word) is None), words[0] if words else "")


def distinct(column: pa.ChunkedArray) -> tuple[Ints, list[str]]:
    """Return codes of a plain column into its levels, -1 for a gap, shape (n,), and the levels that some row has.

    Numbers are sorted by size, words alphabetically; false comes before true.
    """
    if is_text(column):
        indices, words = _words(column)
        held = np.bincount(indices[indices >= 0], minlength=len(words)) > 0
        used = sorted((word, i) for i, word in enumerate(words) if held[i] and word is not None)
        place = np.full(len(words) + 1, -1, dtype=np.int64)  # the last one is that of a gap
        place[[i for _, i in used]] = np.arange(len(used))
        return place[indices], [word for word, _ in used]
    values = numbers(column)
    gaps = np.isnan(values)
    found, codes = np.unique(values[~gaps], return_inverse=True)
    placed = np.full(len(values), -1, dtype=np.int64)
    placed[~gaps] = codes
    truth = is_.is_boolean(column.type)
    return placed, [("true" if value else "false") if truth else text_of(value) for value in found.tolist()]


def _words(column: pa.ChunkedArray) -> tuple[Ints, list[str | None]]:
    """Return codes of a text column into its dictionary, -1 for a gap, and the dictionary; some words may be unused."""
    chunks = column.unify_dictionaries().chunks
    if not chunks:
        return np.zeros(0, np.int64), []
    indices = [np.asarray(chunk.indices.fill_null(-1), dtype=np.int64) for chunk in chunks]
    return np.concatenate(indices), chunks[0].dictionary.to_pylist()


def text_of(value: Code) -> str:
    """Return a value as a level: 2.0 is "2"."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def number_of(code: Code) -> float | None:
    """Return a number, or the number that a word spells; None for other words.

    >>> number_of("1e-4"), number_of(9), number_of("unknown"), number_of("1_000")
    (0.0001, 9.0, None, None)
    """
    try:
        return None if "_" in str(code) else float(code)  # Python reads 1_000 as a number
    except ValueError:
        return None


def holds_text(kind: pa.DataType) -> bool:
    return bool(is_.is_string(kind) or is_.is_large_string(kind))
