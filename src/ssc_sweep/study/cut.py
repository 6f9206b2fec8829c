"""Cut groups of jobs into stacks, so that all workers end together and each stack fits into memory."""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ssc_sweep.study.prepare import Group

# With more runs than this, a stack gains no speed on a processor core and outgrows its caches.
LARGEST = {"cpu": 16, "auto": 16, "cuda": 1024}
# Share of a study's load: smaller stacks are sent last, so that workers end within this of each other.
FINEST = 0.08


@dataclass(frozen=True)
class Part:
    """A planned stack: its jobs by number, its load relative to others, and the bytes that it needs."""

    jobs: tuple[int, ...]
    load: float
    bytes: int


def cut(
    groups: Sequence[Group], arms: Sequence[str], workers: int, budget: int, device: str, whole_arms: bool
) -> list[Part]:
    """Return the stacks in the order in which to begin them: the longest first.

    Args:
        arms: of each job, by number.
        workers: that train at the same time.
        budget: bytes that one stack may take; a run that needs more is a stack of its own.
        whole_arms: never separate the runs of an arm, unless memory requires it.
    """
    # A model that is solved makes no steps, so a study of it alone has no load.
    total = sum(group.load * group.steps * len(group.jobs) for group in groups) or 1.0
    parts = []
    for group in groups:
        each = group.load * group.steps
        fits = max(1, (budget - group.bytes_once) // max(group.bytes_each, 1))
        largest = 1 if group.alone else min(LARGEST[device], fits)
        count = math.ceil(len(group.jobs) / largest)
        if not group.alone and device != "cuda" and workers > 1:
            # As many parts as its share of the workers; a multiple of all workers where it is the only group.
            share = each * len(group.jobs) / total
            wanted = math.ceil(share * workers - FINEST)
            rounds = math.ceil(count / workers) * workers if share > 1 - FINEST else count
            count = min(len(group.jobs), max(count, wanted, rounds))
        for jobs in _even(group.jobs, arms, count, largest, whole_arms):
            parts.append(Part(jobs, each * len(jobs), group.bytes_once + group.bytes_each * len(jobs)))
    return sorted(parts, key=lambda part: -part.load)


def _even(
    jobs: tuple[int, ...], arms: Sequence[str], count: int, largest: int, whole_arms: bool
) -> list[tuple[int, ...]]:
    """Return `count` parts of (almost) equal size; more where arms are kept whole and do not fit."""
    if not whole_arms:
        bounds = [round(i * len(jobs) / count) for i in range(count + 1)]
        return [jobs[a:b] for a, b in pairwise(bounds)]
    blocks: dict[str, list[int]] = {}
    for job in jobs:
        blocks.setdefault(arms[job], []).append(job)
    pieces = [block[i : i + largest] for block in blocks.values() for i in range(0, len(block), largest)]
    # The longest block goes to the part with the fewest runs.
    heap: list[tuple[int, int, list[int]]] = [(0, i, []) for i in range(count)]
    parts: list[list[int]] = []
    for piece in sorted(pieces, key=len, reverse=True):
        held, number, members = heapq.heappop(heap)
        if held and held + len(piece) > largest:
            parts.append(members)
            members, number = [], len(heap) + len(parts) + 1
        members = [*members, *piece]
        heapq.heappush(heap, (len(members), number, members))
    parts += [members for _, _, members in heap if members]
    return [tuple(sorted(members)) for members in parts]
