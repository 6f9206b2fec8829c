"""Score whether the verdicts name a planted fault, and only it. Pure: faults and named hypotheses in, a score out.

A study, here one grid point, names a hypothesis if its verdict is "The cause": one of its arms is shown to work where
the control is shown to fail. The study is right if it names at least one of the fault's `named_by` and nothing else; if
nothing is planted, if it names nothing. A study with an arm without a verdict, as its runs crashed, is not right.
Intervals are Clopper and Pearson's, at 95%.
"""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from scipy import stats

CONFIDENCE = 0.95


class Naming(StrEnum):
    """What a study named. The values are the columns of the table."""

    RIGHT = "named right"
    MORE = "named, and more"
    OTHER = "something else"
    NOTHING = "nothing"
    UNJUDGED = "no verdict"


@dataclass(frozen=True)
class PlantedStudy:
    """A study with a fault, and the hypotheses that it names as the cause.

    Attributes:
        at: its grid point.
        fault: name of its YAML in conf/fault.
        named_by: hypotheses, any of which names the fault; none if nothing is planted.
        judged: whether every arm has a verdict.

    The fault `batch` may be named by two hypotheses. One of them is enough; any other is too much.

    >>> PlantedStudy("a", "batch", ("batch", "ema"), named=("ema",)).naming.value
    'named right'
    >>> PlantedStudy("b", "batch", ("batch", "ema"), named=("ema", "lr")).naming.value
    'named, and more'
    """

    at: str
    fault: str
    named_by: tuple[str, ...]
    named: tuple[str, ...]
    judged: bool = True

    @property
    def naming(self) -> Naming:
        """Return what was named. In a faultless study nothing can be named rightly."""
        if not self.named:
            return Naming.NOTHING if self.judged else Naming.UNJUDGED
        wanted = set(self.named_by)
        if not wanted & set(self.named):
            return Naming.OTHER
        return Naming.RIGHT if set(self.named) <= wanted else Naming.MORE

    @property
    def is_right(self) -> bool:
        return self.judged and self.naming is (Naming.RIGHT if self.named_by else Naming.NOTHING)


@dataclass(frozen=True)
class Proportion:
    """A count out of a total, with the 95% interval of the share; 0 to 1 for a total of none."""

    count: int
    of: int

    @property
    def interval(self) -> tuple[float, float]:
        if not self.of:
            return 0.0, 1.0
        found = stats.binomtest(self.count, self.of).proportion_ci(CONFIDENCE, method="exact")
        return float(found.low), float(found.high)

    @property
    def text(self) -> str:
        """Return the share and its 95% interval: "39 of 40 (98%, interval 87% to 100%)"."""
        low, high = self.interval
        share = f"{self.count / self.of:.0%}, " if self.of else ""
        return f"{self.count} of {self.of} ({share}interval {low:.0%} to {high:.0%})"


@dataclass(frozen=True)
class NamingScore:
    """How well the verdicts of these studies name the planted faults."""

    studies: tuple[PlantedStudy, ...]

    @property
    def planted(self) -> Proportion:
        """Return the share of faults that were named, and nothing else with them."""
        mine = [one for one in self.studies if one.named_by]
        return Proportion(sum(one.is_right for one in mine), len(mine))

    @property
    def faultless(self) -> Proportion:
        """Return the share of faultless studies with verdicts that named anything."""
        mine = [one for one in self.studies if not one.named_by and one.naming is not Naming.UNJUDGED]
        return Proportion(sum(bool(one.named) for one in mine), len(mine))

    @property
    def sentence(self) -> str:
        told = []
        if self.planted.of:
            told.append(f"{self.planted.text} planted faults named, and only they")
        if self.faultless.of:
            told.append(f"{self.faultless.text} faultless named")
        return "; ".join(told) + "."

    @property
    def table(self) -> list[tuple[str, dict[Naming, int]]]:
        """Return (fault, how many of its studies named what), faults in order of appearance."""
        found: dict[str, Counter[Naming]] = {}
        for one in self.studies:
            found.setdefault(one.fault, Counter())[one.naming] += 1
        return [(name, {naming: counts[naming] for naming in Naming}) for name, counts in found.items()]

    @property
    def wrong(self) -> list[PlantedStudy]:
        return [one for one in self.studies if not one.is_right]
