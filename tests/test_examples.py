"""The examples in docstrings give what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

from ssc_sweep.config import PACKAGE

FILES = sorted(path for path in PACKAGE.rglob("*.py") if ">>> " in path.read_text(encoding="utf-8"))


def module(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


def test_there_are_examples() -> None:
    assert len(FILES) >= 25


@pytest.mark.parametrize("name", [module(path) for path in FILES])
def test_an_example_gives_what_it_says(name: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried and not failed
