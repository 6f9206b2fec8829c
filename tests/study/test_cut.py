"""Groups become stacks that end together, fit into memory, and leave no run out."""

import pytest

from ssc_sweep.study.cut import LARGEST, cut
from ssc_sweep.study.memory import free_memory
from ssc_sweep.study.prepare import Group

PLENTY = 2**40


def group(first: int, runs: int, load: float = 1.0, alone: bool = False, each: int = 1) -> Group:
    return Group(tuple(range(first, first + runs)), alone, steps=10, load=load, bytes_each=each, bytes_once=10,
                 weights=0, rows_val=1)  # fmt: skip


def sizes(groups: list[Group], workers: int = 2, budget: int = PLENTY, device: str = "cpu") -> list[int]:
    parts = cut(groups, ["a"] * 1000, workers, budget, device, whole_arms=False)
    jobs = sorted(job for part in parts for job in part.jobs)
    assert jobs == sorted(job for each in groups for job in each.jobs), "every run once"
    assert [part.load for part in parts] == sorted((part.load for part in parts), reverse=True), "the longest first"
    return [len(part.jobs) for part in parts]


def test_one_group_is_cut_into_whole_rounds_of_workers() -> None:
    assert sizes([group(0, 60)]) == [15, 15, 15, 15]
    assert sizes([group(0, 40)]) == [10, 10, 10, 10]
    assert sizes([group(0, 3)]) == [2, 1]
    assert sizes([group(0, 4)], workers=8) == [1, 1, 1, 1]


def test_groups_are_cut_so_that_the_workers_end_together() -> None:
    """A stack of n runs lasts load (n + 0.7). In one stack each, 3 x 12.7 = 38.1 is the end; in 3 and 1, it is
    2 x 3 x 4.7 = 28.2 beside 3 x 4.7 + 12.7 = 26.8. Half of all the work, in one stack each, would be 25.4.
    """
    assert sizes([group(0, 12, load=3.0), group(12, 12, load=1.0)]) == [4, 4, 4, 12]
    # Ten runs each of five arms in batches of 10, 32 and 64: 3 stacks of the first would leave a worker idle.
    arms = [group(0, 40, load=8.0), group(40, 10, load=3.0), group(50, 10, load=2.0)]
    assert sizes(arms) == [10, 10, 10, 10, 10, 10]


def test_a_stack_costs_more_than_its_runs() -> None:
    assert sizes([group(0, 16), group(16, 16)]) == [16, 16]
    assert len(sizes([group(0, 500)])) == 32  # 16 and a few: more would only add steps


def test_models_that_are_solved_have_no_load() -> None:
    assert sizes([group(0, 4, load=0.0), group(4, 40, load=0.0)]) == [4, 13, 14, 13]


def test_a_stack_fits_into_memory_or_is_one_run() -> None:
    assert max(sizes([group(0, 60, each=100)], budget=10 + 4 * 100 + 50)) == 4
    assert sizes([group(0, 3, each=100)], budget=50) == [1, 1, 1]


def test_what_does_not_stack_is_alone_and_a_gpu_takes_all() -> None:
    assert sizes([group(0, 5, alone=True)]) == [1] * 5
    assert sizes([group(0, 900)], workers=1, device="cuda") == [900]
    assert max(sizes([group(0, 900)])) <= LARGEST["cpu"]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_runs_of_an_arm_stay_together_where_they_are_judged_together(workers: int) -> None:
    arms = [f"trial={i // 5}" for i in range(25)]
    parts = cut([group(0, 25)], arms, workers, PLENTY, "cpu", whole_arms=True)
    assert sorted(job for part in parts for job in part.jobs) == list(range(25))
    for arm in set(arms):
        assert sum(any(arms[job] == arm for job in part.jobs) for part in parts) == 1
    assert len(parts) >= workers


def test_free_memory_is_some_and_no_more_than_a_limit_leaves() -> None:
    assert 0 < free_memory() < 2**50
