"""Describe how a table was read: a line about rows, a line about kinds, and possible oversights."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ssc_sweep.data.cohort import HIDDEN, Cohort, Kind
from ssc_sweep.data.columns import Covariate

MOST_NAMES = 8  # of a list in one line


def describe(
    cohort: Cohort,
    rows: int,
    read_as: Mapping[str, Covariate],
    declared: Collection[str],
    absent: Mapping[str, Sequence[object]],
) -> tuple[str, ...]:
    """Return the notes of a cohort.

    Args:
        rows: of the table, including those dropped for lack of an outcome.
        read_as: its covariates as they were read, by name.
        declared: covariates whose kind is declared.
        absent: declared codes that no cell holds, by the key that declares them, such as missing.pica.
    """
    notes = [_rows(cohort, rows), _kinds(cohort, read_as)]
    notes += [
        f"dataset.{key}: no cell holds {', '.join(map(str, codes))}. Is it the right code?"
        for key, codes in absent.items()
    ]
    notes += [
        f"{key} is read as a category: most of its values are numbers, and {_some(one.words)} is none. If that stands "
        f"for a gap: dataset.missing.{key}=[{','.join(one.words[:MOST_NAMES])}]"
        for key, one in read_as.items()
        if one.words and key not in declared
    ]
    if counting := [name for name, one in read_as.items() if one.counts_rows]:
        notes.append(
            f"columns that grow from row to row, as row numbers do: {_some(counting)}. Leave row numbers out: "
            f"dataset.drop=[{','.join(counting)}]"
        )
    holding = cohort.holds_code().sum(axis=0)
    if held := [f"{c.name} {holding[j]:,}" for j, c in enumerate(cohort.columns) if c.codes]:
        notes.append(
            f"rows that hold a declared code: {_some(held)}. scaling.codes=value keeps codes as values, "
            "scaling.codes=missing makes them gaps"
        )
    names = cohort.treatments
    coded = ", ".join(f"{code} is {treatment}" for code, treatment in enumerate(names))
    notes.append(f"treatments: {coded}. An effect is that of {names[-1]} against {names[0]}")
    return tuple(notes)


def _rows(cohort: Cohort, rows: int) -> str:
    line = f"{cohort.name}: {rows:,} rows"
    if cohort.dropped:
        line += f", {cohort.dropped:,} without an outcome left out"
    if hidden := int((cohort.t == HIDDEN).sum()):
        line += f", {hidden:,} with an unknown treatment"
    return line


def _kinds(cohort: Cohort, read_as: Mapping[str, Covariate]) -> str:
    of = {kind: [one for one in cohort.columns if one.kind is kind] for kind in Kind}
    parts = [f"{len(of[Kind.NUMBER])} number"]
    if of[Kind.YES_NO]:
        ones = [f"{c.name}: 1 is {read_as[c.name].one}" if read_as[c.name].one else c.name for c in of[Kind.YES_NO]]
        parts.append(f"{len(ones)} yes_no ({_some(ones)})")
    if of[Kind.CATEGORY]:
        levels = [f"{one.name}: {len(one.levels)} levels" for one in of[Kind.CATEGORY]]
        parts.append(f"{len(levels)} category ({_some(levels)})")
    gaps = [f"{c.name} {np.isnan(cohort.x[:, j]).sum():,}" for j, c in enumerate(cohort.columns) if c.indicator]
    if gaps:
        parts.append(f"{len(gaps)} of them with gaps ({_some(gaps)})")
    return f"kinds: {', '.join(parts)}"


def _some(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
