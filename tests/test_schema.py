"""One schema, one line: what is refused, and in which words."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from ssc_sweep.errors import UserError
from ssc_sweep.schema import Count, Names, Section, Share, admits, check_arguments, checked, words


class Inner(Section):
    size: int = Field(ge=1)


class Outer(Section):
    inner: Inner
    rate: float | None = Field(default=None, gt=0)
    order: Literal["first", "last"] = "first"
    names: Names = ()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"inner": {"size": 0}}, "x.inner.size=0 is out of bounds: allowed is a whole number >= 1."),
        ({"inner": {"size": True}}, "x.inner.size=true is out of bounds: allowed is a whole number >= 1."),
        ({"inner": {"size": 1.5}}, "x.inner.size=1.5 is out of bounds: allowed is a whole number >= 1."),
        (
            {"inner": {"size": "3"}},
            "x.inner.size='3' (text) is out of bounds: allowed is a whole number >= 1. Leave its quotes out; a "
            "number of the environment is ${oc.decode:${oc.env:<NAME>}}.",
        ),
        ({"inner": {}}, "x.inner.size is missing: give x.inner.size=<a whole number >= 1>."),
        (
            {"inner": {"size": 1, "sise": 2}},
            "x.inner.sise is unknown: allowed is size (Inner). Did you mean x.inner.size?",
        ),
        ({"inner": None}, "x.inner=null is out of bounds: allowed is a group of keys."),
        ({"inner": {"size": 1}, "rate": 0}, "x.rate=0 is out of bounds: allowed is a number > 0, or null."),
        (
            {"inner": {"size": 1}, "rate": float("nan")},
            "x.rate=nan is out of bounds: allowed is a number > 0, or null.",
        ),
        ({"inner": {"size": 1}, "order": "x"}, "x.order=x is out of bounds: allowed is first | last."),
        ({"inner": {"size": 1}, "names": [1]}, "x.names[0]=1 is out of bounds: allowed is text."),
        ([], "x=[] is out of bounds: allowed is a group of keys."),
    ],
)
def test_one_line(values: Any, said: str) -> None:
    with pytest.raises(UserError) as raised:
        Outer.read(values, "x")
    assert str(raised.value) == said


def test_what_is_allowed_is_returned() -> None:
    assert Outer.read({"inner": {"size": 2}, "names": ["a"]}) == Outer(inner=Inner(size=2), names=("a",))
    assert checked("seeds", Count, 3) == 3 and admits(Share, 0.5) and not admits(Share, 1)


def test_words() -> None:
    assert words(Annotated[float, Field(ge=0, lt=1)]) == "a number >= 0 and < 1"
    assert words(dict[str, Any]) == "a mapping"


def load(rows: Count, noise: float = 1.0, kind: Literal["a", "b"] = "a", rest=None) -> None:  # type: ignore[no-untyped-def]
    """A target as a user may write it."""


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "dataset.rows is missing: give dataset.rows=<a whole number >= 1>."),
        ({"rows": 1, "noise": "x"}, "dataset.noise=x is out of bounds: allowed is a number."),
        (
            {"rows": 1, "nois": 2},
            "dataset.nois is unknown: allowed is rows, noise, kind, rest (load). Did you mean dataset.noise?",
        ),
    ],
)
def test_a_signature_is_a_schema(values: dict[str, Any], said: str) -> None:
    check_arguments("dataset", load, {"rows": 1, "noise": 2, "rest": object()}, ())
    with pytest.raises(UserError) as raised:
        check_arguments("dataset", load, values, ())
    assert str(raised.value) == said


def test_a_target_may_take_anything_more() -> None:
    def open_ended(width: int, **more: Any) -> None: ...

    check_arguments("model", open_ended, {"width": 3, "depth": 2}, ())
