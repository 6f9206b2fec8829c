"""Find single values that training has never seen, and values that may mean "not asked"."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ssc_sweep.data.cohort import Column, Floats, Kind

# A number column is examined value by value if all its values are whole and there are at most this many.
MOST_VALUES = 20
# Whole numbers further apart are measurements, not codes; counting them would take much memory.
WIDEST = 1_000
HEAD = 200
# Survey codes for "unknown", "refused", "not asked": beyond the answers, or below 0.
SENTINELS = frozenset(
    float(sign * value)
    for sign in (1, -1)
    for value in (7, 8, 9, 77, 88, 97, 98, 99, 777, 888, 997, 998, 999, 7777, 8888, 9997, 9998, 9999, 99999)
)
# A third answer to a yes/no question counts as a code if one side has it in at least this share of its rows and the
# other side never.
THIRD_ANSWER = 0.05
FEWEST_TOGETHER = 3  # rows in which several columns must share a code: two may be chance


@dataclass(frozen=True)
class Small:
    """A column of few values: its values, sorted, and how often each occurs in training and validation rows."""

    values: Floats
    train: np.ndarray
    val: np.ndarray

    @property
    def unseen(self) -> np.ndarray:
        """Return which values only validation has."""
        return (self.train == 0) & (self.val > 0)


def small_columns(columns: Sequence[Column], train: Floats, val: Floats) -> dict[int, Small]:
    """Return the columns of few values, by position.

    Args:
        train, val: columns as read, shapes (n, d) and (m, d); codes of a category, NaN for a gap.
    """
    found = {}
    head = train[:HEAD]
    # Most columns with other than whole numbers show it in their first rows.
    for j in np.flatnonzero(((head == np.rint(head)) | np.isnan(head)).all(axis=0)):
        sides = [side[~np.isnan(side)] for side in (train[:, j], val[:, j])]
        every = [side for side in sides if len(side)]
        if not every or any((side != np.rint(side)).any() for side in every):
            continue
        low, high = min(side.min() for side in every), max(side.max() for side in every)
        if high - low <= WIDEST:
            one = _counted(low, high, *sides)
            if columns[int(j)].kind is Kind.CATEGORY or len(one.values) <= MOST_VALUES:
                found[int(j)] = one
    return found


def _counted(low: float, high: float, *sides: Floats) -> Small:
    """Count whole numbers from low to high."""
    counts = [np.bincount((x - low).astype(np.int64), minlength=int(high - low) + 1) for x in sides]
    held = np.flatnonzero(counts[0] + counts[1])
    return Small(low + held.astype(np.float64), counts[0][held], counts[1][held])


def suspected_codes(x: Floats, columns: Sequence[Column], small: Mapping[int, Small]) -> dict[int, float]:
    """Return values that may stand for a missing one, by position of their number column.

    The largest or smallest value of a column is suspected if

    - another column has its own largest or smallest value in exactly the same rows, and neither column determines the
      other: questions that were skipped together;
    - it is one of SENTINELS, and far from the other values;
    - the column has 0, 1 and this third value, which one of training and validation often has and the other never.

    Args:
        x: columns as read, all rows, shape (n, d), NaN for a gap.
    """
    found = _asked_together(x, columns, small)
    for j, column in enumerate(columns):
        if column.kind is not Kind.NUMBER or j in found:
            continue
        code = _sentinel(small[j].values) if j in small else _far_sentinel(x[:, j])
        if code is None and j in small:
            code = _third_answer(small[j])
        if code is not None:
            found[j] = code
    return dict(sorted(found.items()))


def _asked_together(x: Floats, columns: Sequence[Column], small: Mapping[int, Small]) -> dict[int, float]:
    by_rows: dict[bytes, list[tuple[int, float]]] = defaultdict(list)
    for j, one in small.items():
        if columns[j].kind is not Kind.NUMBER or len(one.values) < 3:
            continue
        for value in (one.values[-1], one.values[0]):
            held = x[:, j] == value
            if held.sum() >= FEWEST_TOGETHER:
                by_rows[np.packbits(held).tobytes()].append((j, float(value)))
    found = {}
    for group in by_rows.values():
        for j, value in group:
            if any(not _tell_each_other(x[:, j], x[:, other]) for other, _ in group if other != j):
                found[j] = value
    return found


def _tell_each_other(a: Floats, b: Floats) -> bool:
    """Return whether one column is a function of the other, like a recoded one."""
    known = ~np.isnan(a) & ~np.isnan(b)
    pairs = len(np.unique(a[known] + 1j * b[known]))
    return pairs in (len(np.unique(a[known])), len(np.unique(b[known])))


def _sentinel(values: Floats) -> float | None:
    if len(values) < 3:
        return None
    if values[-1] in SENTINELS and values[-1] - values[-2] >= 2:
        return float(values[-1])
    negative = values[values < 0]
    if len(negative) and len(values) - len(negative) >= 2 and set(negative.tolist()) <= SENTINELS:
        return float(negative[0])
    return None


def _far_sentinel(column: Floats) -> float | None:
    """Return a sentinel of several rows that is further from the other values than they are from each other."""
    given = column[~np.isnan(column)]
    if len(given) < 3:
        return None
    for value in (float(given.max()), float(given.min())):
        if value in SENTINELS:
            rest = given[given != value]
            gap = min(abs(value - rest.min()), abs(value - rest.max())) if len(rest) else 0.0
            if len(given) - len(rest) >= 2 and gap > np.ptp(rest) > 0:
                return value
    return None


def _third_answer(one: Small) -> float | None:
    """Return a third value, 2 or -1, beside 0 and 1."""
    if len(one.values) != 3:
        return None
    for code, answers in ((one.values[2], one.values[:2]), (one.values[0], one.values[1:])):
        if answers.tolist() != [0.0, 1.0]:
            continue
        shares = [float(side[one.values == code][0]) / max(int(side.sum()), 1) for side in (one.train, one.val)]
        if min(shares) == 0 and max(shares) >= THIRD_ANSWER:
            return float(code)
    return None
