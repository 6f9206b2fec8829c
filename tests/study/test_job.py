"""How failed runs are named on the terminal."""

from pathlib import Path

from ssc_sweep.study.job import SHOWN, failure_lines


def test_an_error_is_shown_once() -> None:
    failed = [(Path(f"lr/seed={i}"), "RuntimeError: shapes") for i in range(30)]
    assert failure_lines([*failed, (Path("control/seed=0"), "no memory")]) == [
        "failed: lr/seed=0 and 29 more: RuntimeError: shapes",
        "failed: control/seed=0: no memory",
    ]


def test_many_errors_are_counted() -> None:
    lines = failure_lines([(Path(f"lr/seed={i}"), f"error {i}") for i in range(SHOWN + 5)])
    assert len(lines) == SHOWN + 1 and lines[-1] == "and 5 more: summary.csv names all of them"
