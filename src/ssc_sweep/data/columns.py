"""Read a table column as numbers: gaps, kinds and levels are inferred from its values, or declared.

    true/false; 0 and 1 alone; yes and no, y and n, true and false, t and f, on and off in words      yes_no
    any other numbers                                                                                 number
    any other text with few distinct values                                                           category

Anything else is refused: dates, and text with many distinct values, such as names.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.types as is_

from ssc_sweep.data.cells import Code, distinct, example, is_text, number_of, numbers, text_of
from ssc_sweep.data.cohort import HIDDEN, Floats, Ints, Kind
from ssc_sweep.errors import DoesNotFit

# Text with more distinct values than this is a category only if declared as one.
MOST_LEVELS = 50
# So is text with more than FEW distinct values, if more than half of its cells differ.
FEW = 10
MOST_TREATMENTS = 20
ANSWERS = (("no", "yes"), ("n", "y"), ("false", "true"), ("f", "t"), ("off", "on"))


@dataclass(frozen=True)
class Covariate:
    """A covariate: x, shape (n,), NaN for a gap, and its description: see `cohort.Column`.

    Attributes:
        one: the value that 1 stands for, if the kind is yes_no and the values are others; else "".
        counts_rows: whether it grows by whole steps from row to row, like a row number.
    """

    x: Floats
    kind: Kind
    levels: tuple[str, ...] = ()
    one: str = ""
    counts_rows: bool = False

    @property
    def words(self) -> list[str]:
        """Return the levels that are no numbers, if most levels are numbers; otherwise none."""
        found = [level for level in self.levels if number_of(level) is None]
        return found if len(self.levels) > 2 * len(found) else []

    def codes(self, named: Sequence[Code]) -> tuple[tuple[float, ...], list[Code]]:
        """Return these table values as in x, and those that no row holds."""
        if self.kind is Kind.CATEGORY:
            place = {level: float(i) for i, level in enumerate(self.levels)}
            spelt = [place.get(text_of(code)) for code in named]
        else:
            spelt = [number_of(code) for code in named]
        held = [value is not None and bool((self.x == value).any()) for value in spelt]
        found = tuple(value for value, is_held in zip(spelt, held, strict=True) if is_held and value is not None)
        return found, [code for code, is_held in zip(named, held, strict=True) if not is_held]


def covariate(name: str, source: str, column: pa.ChunkedArray, declared: Kind | None) -> Covariate:
    """Read a plain column.

    Args:
        name, source: of the column and of its table, for messages.
        declared: its kind; None: inferred from its values.

    Raises:
        DoesNotFit: its values are not of the declared kind, or of none.
    """
    named = f"column {name} of {source}"
    if not is_text(column):
        return _of_numbers(name, named, column, declared)
    codes, levels = distinct(column)
    known = int((codes >= 0).sum())
    if not known:
        raise DoesNotFit(f"{named} has no value in any row: dataset.drop=[{name}].")
    gap = f"dataset.missing.{name}=[{example(column)}]"
    if declared is Kind.NUMBER:
        spelt = [number_of(level) for level in levels]
        if None in spelt:
            raise DoesNotFit(
                f"{named} holds '{example(column)}', and dataset.kinds.{name}=number allows numbers alone. If it "
                f"stands for a gap: {gap}."
            )
        values = np.array([*spelt, np.nan], dtype=np.float64)[codes]
        check_finite(named, values)
        return Covariate(values, Kind.NUMBER)
    pair = _answers(levels)
    if declared is Kind.YES_NO and pair is None:
        return _two(name, named, codes, levels)
    if (declared is None and pair is not None) or declared is Kind.YES_NO:
        return Covariate(np.where(codes >= 0, np.array(pair)[codes], np.nan), Kind.YES_NO)
    many = len(levels) > MOST_LEVELS or (len(levels) > FEW and 2 * len(levels) > known)
    if declared is None and many:
        raise DoesNotFit(
            f"{named} holds text with {len(levels)} distinct values, such as '{example(column)}': "
            f"dataset.drop=[{name}], or dataset.kinds.{name}=category. If a word stands for a gap among numbers: {gap}."
        )
    return Covariate(np.where(codes >= 0, codes, np.nan), Kind.CATEGORY, tuple(levels))


def _of_numbers(name: str, named: str, column: pa.ChunkedArray, declared: Kind | None) -> Covariate:
    values = numbers(column)
    gaps = np.isnan(values)
    if gaps.all():
        raise DoesNotFit(f"{named} has no value in any row: dataset.drop=[{name}].")
    check_finite(named, values)
    if declared is Kind.CATEGORY:
        codes, levels = distinct(column)
        return Covariate(np.where(gaps, np.nan, codes), Kind.CATEGORY, tuple(levels))
    truth = is_.is_boolean(column.type)
    both = np.nanmin(values) == 0 and np.nanmax(values) == 1
    answers = truth or (both and bool((gaps | (values == 0) | (values == 1)).all()))
    if declared is Kind.YES_NO and not answers:
        return _two(name, named, *distinct(column))
    if answers and declared is not Kind.NUMBER:
        return Covariate(values, Kind.YES_NO)
    counts = len(values) > 2 and is_.is_integer(column.type) and bool((np.diff(values) > 0).all())
    return Covariate(values, Kind.NUMBER, counts_rows=counts)


def _two(name: str, named: str, codes: Ints, levels: Sequence[str]) -> Covariate:
    """Read a yes/no column with two other values: the second is 1.

    Raises:
        DoesNotFit: there are more or fewer than two.
    """
    if len(levels) != 2:
        some = ", ".join(levels[:4]) + (" ..." if len(levels) > 4 else "")
        raise DoesNotFit(
            f"{named} has {len(levels)} distinct values ({some}), and dataset.kinds.{name}=yes_no allows two. If one "
            f"stands for a gap: dataset.missing.{name}=[{levels[-1]}]."
        )
    return Covariate(np.where(codes >= 0, codes, np.nan), Kind.YES_NO, one=levels[1])


def _answers(levels: Sequence[str]) -> Ints | None:
    """Return 0 for no and 1 for yes, one per level; None if the levels are other words."""
    folded = [level.strip().casefold() for level in levels]
    for pair in ANSWERS:
        if set(folded) == set(pair):
            return np.array([pair.index(word) for word in folded])
    return None


def treatment(named: str, column: pa.ChunkedArray) -> tuple[Ints, tuple[str, ...]]:
    """Return codes 0 ... K-1, HIDDEN for a gap, shape (n,), and the K names: numbers by size, words alphabetically.

    Raises:
        DoesNotFit: fewer than two values, or more than MOST_TREATMENTS.
    """
    if not is_text(column):
        check_finite(named, numbers(column))
    codes, levels = distinct(column)
    if len(levels) < 2:
        only = f"one value, {levels[0]}" if levels else "no value"
        raise DoesNotFit(f"{named} has {only} in the rows with an outcome: a treatment has at least two.")
    if len(levels) > MOST_TREATMENTS:
        continuous = "" if is_text(column) else " A continuous treatment is not supported yet:"
        raise DoesNotFit(
            f"{named} has {len(levels)} distinct values: allowed are 2 to {MOST_TREATMENTS}.{continuous} group its "
            "values in the table, or name another column."
        )
    return np.where(codes >= 0, codes, HIDDEN), tuple(levels)


def check_finite(named: str, values: Floats) -> None:
    """Raise DoesNotFit if values, shape (n,), hold an infinity. NaN is a gap."""
    if count := int(np.isinf(values).sum()):
        raise DoesNotFit(
            f"{named} holds an infinity in {count} {'row' if count == 1 else 'rows'}: allowed are numbers, and an "
            "empty cell for a gap. Mend the table, or drop the column."
        )
