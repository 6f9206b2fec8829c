"""How failed runs are named on the terminal."""

from pathlib import Path

from ssc_sweep.study.job import SHOWN, Outcome, Status, failure_lines


def failed(path: str, error: str, step: int | None = None) -> tuple[Path, Outcome]:
    return Path(path), Outcome(Status.FAILED, {}, error, step)


def test_an_error_is_shown_once() -> None:
    # Whatever the step, and also where it is not known, as after an earlier command.
    steps = [7, None, 9, *range(27)]
    many = [failed(f"lr/seed={i}", "RuntimeError: shapes", step) for i, step in enumerate(steps)]
    assert failure_lines([*many, failed("control/seed=0", "no memory")]) == [
        "failed: lr/seed=0 in step 7 and 29 more: RuntimeError: shapes",
        "failed: control/seed=0: no memory",
    ]


def test_many_errors_are_counted() -> None:
    lines = failure_lines([failed(f"lr/seed={i}", f"error {i}") for i in range(SHOWN + 5)])
    assert len(lines) == SHOWN + 1 and lines[-1] == "and 5 more: summary.csv names all of them"
