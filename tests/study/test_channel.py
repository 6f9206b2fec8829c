"""Messages between a stack and the command that sent it, as files on a board."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ssc_sweep.study.board import Place
from ssc_sweep.study.channel import Reader, Written
from ssc_sweep.study.job import Job, Stack


def follow(reader: Reader, done: Callable[[], bool], decide: Callable[..., bool]) -> None:
    end = time.monotonic() + 30
    while not done():
        assert time.monotonic() < end, "the question was never answered"
        reader.answer(decide)
        time.sleep(0.001)


def test_a_question_is_answered_once_an_epoch_and_again_if_its_files_vanish(tmp_path: Path) -> None:
    place, asked = Place(tmp_path / "stack"), []
    stack, reader = Written(place, asks=True), Reader(Stack((), place=place))

    def decide(jobs: Sequence[Job], epoch: int, rmse: list[float | None]) -> bool:
        asked.append((jobs, epoch, rmse))
        if epoch == 2:
            place.clear()  # as of a user who removes the study's folder
        return epoch < 3

    with ThreadPoolExecutor(1) as aside:
        for epoch, goes_on in ((1, True), (2, True), (3, False)):
            answer = aside.submit(stack.go_on, epoch, [5.5, None])
            follow(reader, answer.done, decide)
            assert answer.result() is goes_on
    assert asked == [((), epoch, [5.5, None]) for epoch in (1, 2, 3)]


def test_a_stack_that_does_not_ask_goes_on_and_its_epochs_are_counted(tmp_path: Path) -> None:
    place = Place(tmp_path / "stack")
    stack, reader = Written(place, asks=False), Reader(Stack((), place=place))
    assert reader.advanced() == 0 and stack.go_on(1, [None])
    assert not place.question.exists()
    for _ in range(2):
        stack.after_epoch()
    assert reader.advanced() == 0 and reader.epochs == 2, "of a stack without runs"
