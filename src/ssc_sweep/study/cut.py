"""Cut groups of jobs into stacks, so that all workers end together and each stack fits into memory."""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ssc_sweep.study.prepare import Group

# With more runs than this, a stack gains no speed on a processor core and outgrows its caches.
LARGEST = {"cpu": 16, "auto": 16, "cuda": 1024}
# What a step of a stack costs beyond its runs, in runs: it takes 1.39 ms with one, 13.6 ms with 16 (tests.bench.steps).
OVERHEAD = 0.7
# With this many stacks a worker, beginning with the longest is even enough.
MANY = 8
# Ends this near each other are equal, and fewer stacks are better.
NEAR = 1.03


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
    largest = [1 if group.alone else min(LARGEST[device], _fitting(group, budget)) for group in groups]
    counts = [math.ceil(len(group.jobs) / most) for group, most in zip(groups, largest, strict=True)]
    if device != "cuda" and workers > 1 and sum(counts) < MANY * workers:
        _even_out(groups, counts, workers)
    parts = [
        Part(jobs, _load(group, len(jobs)), group.bytes_once + group.bytes_each * len(jobs))
        for group, count, most in zip(groups, counts, largest, strict=True)
        for jobs in _divide(group.jobs, arms, count, most, whole_arms)
    ]
    return sorted(parts, key=lambda part: -part.load)


def _fitting(group: Group, budget: int) -> int:
    return max(1, (budget - group.bytes_once) // max(group.bytes_each, 1))


def _load(group: Group, runs: int) -> float:
    return group.load * group.steps * (runs + OVERHEAD)


def _even_out(groups: Sequence[Group], counts: list[int], workers: int) -> None:
    """Raise the number of stacks of each group, the largest group first, where all workers then end sooner."""
    for i in sorted(range(len(groups)), key=lambda i: -_load(groups[i], len(groups[i].jobs))):
        most = min(len(groups[i].jobs), counts[i] + 2 * workers)
        ends = {
            count: _end(groups, [*counts[:i], count, *counts[i + 1 :]], workers) for count in range(counts[i], most + 1)
        }
        soonest = min(ends.values())
        counts[i] = min(count for count, end in ends.items() if end <= NEAR * soonest)


def _end(groups: Sequence[Group], counts: Sequence[int], workers: int) -> float:
    """Return when the last worker ends if each takes the longest stack that is left."""
    loads = [
        _load(group, (len(group.jobs) + k) // count)
        for group, count in zip(groups, counts, strict=True)
        for k in range(count)
    ]
    ends = [0.0] * workers
    for load in sorted(loads, reverse=True):
        heapq.heapreplace(ends, ends[0] + load)
    return max(ends)


def _divide(
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
