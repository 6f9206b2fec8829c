"""Describe how a table was read: a line about rows, a line about kinds, and possible oversights."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ssc_sweep.data.cohort import HIDDEN, Column, Floats, Ints, Kind

MOST_NAMES = 8  # of a list in one line


def describe(
    name: str,
    rows: int,
    dropped: int,
    t: Ints,
    x: Floats,
    columns: Sequence[Column],
    ones: Mapping[str, str],
    counting: Sequence[str],
    absent: Mapping[str, Sequence[object]],
    mixed: Mapping[str, Sequence[str]],
    treatments: Sequence[str],
) -> tuple[str, ...]:
    """Return the notes of a cohort.

    Args:
        rows: of the table, including those dropped for lack of an outcome.
        ones: what 1 stands for, by column, if it is another word or number.
        counting: columns that look like row numbers.
        absent: declared codes that no cell holds, by the key that declares them, such as missing.pica.
        mixed: words among numbers, by column, if it is not declared a category.
        treatments: their names, in the order of their codes.
    """
    first = f"{name}: {rows:,} rows"
    if dropped:
        first += f", {dropped:,} without an outcome left out"
    if hidden := int((t == HIDDEN).sum()):
        first += f", {hidden:,} with an unknown treatment"
    of = {kind: [one for one in columns if one.kind is kind] for kind in Kind}
    parts = [f"{len(of[Kind.NUMBER])} number"]
    if of[Kind.YES_NO]:
        parts.append(f"{len(of[Kind.YES_NO])} yes_no ({_some(_with(one.name, ones) for one in of[Kind.YES_NO])})")
    if of[Kind.CATEGORY]:
        levels = (f"{one.name}: {len(one.levels)} levels" for one in of[Kind.CATEGORY])
        parts.append(f"{len(of[Kind.CATEGORY])} category ({_some(levels)})")
    gaps = {one.name: int(np.isnan(x[:, j]).sum()) for j, one in enumerate(columns) if one.indicator}
    if gaps:
        parts.append(f"{len(gaps)} of them with gaps ({_some(f'{key} {count:,}' for key, count in gaps.items())})")
    notes = [first, f"kinds: {', '.join(parts)}"]
    notes += [
        f"dataset.{key}: no cell holds {', '.join(map(str, codes))}. Is it the right code?"
        for key, codes in absent.items()
    ]
    notes += [
        f"{key} is read as a category: most of its values are numbers, and {_some(words)} is none. If that stands for "
        f"a gap: dataset.missing.{key}=[{','.join(words[:MOST_NAMES])}]"
        for key, words in mixed.items()
    ]
    if counting:
        notes.append(
            f"columns that grow from row to row, as row numbers do: {_some(counting)}. Leave row numbers out: "
            f"dataset.drop=[{','.join(counting)}]"
        )
    coded = ", ".join(f"{code} is {treatment}" for code, treatment in enumerate(treatments))
    notes.append(f"treatments: {coded}. An effect is that of {treatments[-1]} against {treatments[0]}")
    return tuple(notes)


def _with(name: str, ones: Mapping[str, str]) -> str:
    return f"{name}: 1 is {ones[name]}" if name in ones else name


def _some(names: Iterable[str]) -> str:
    every = list(names)
    more = len(every) - MOST_NAMES
    return ", ".join(every[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
