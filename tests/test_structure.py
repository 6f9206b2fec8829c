"""Rules of the house that a reader can rely on."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / "src").rglob("*.py")}

TESTS = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / "tests").rglob("*.py")}


def count(pattern: str, files: dict[str, str] = SOURCES) -> dict[str, int]:
    found = {name: len(re.findall(pattern, text)) for name, text in files.items()}
    return {name: n for name, n in found.items() if n}


def test_wings_import_only_downhill() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    ended = subprocess.run([tool, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


def test_no_file_asks_an_object_what_it_has() -> None:
    assert count(r"\bhasattr\(") == {}


def test_errors_are_caught_by_name() -> None:
    """The one exception is the place that records a run that raised, whatever it raised."""
    assert count(r"except \(?(Exception|BaseException)\b|except:") == {"src/ssc_sweep/study/execute.py": 1}


def test_every_module_says_what_it_is() -> None:
    assert [name for name, text in SOURCES.items() if not text.startswith('"""')] == []


def test_files_hold_one_idea() -> None:
    assert {name: n for name, text in SOURCES.items() if (n := text.count("\n")) > 400} == {}


def test_no_two_files_share_a_name() -> None:
    names = [Path(name).name for name in SOURCES]
    assert {name for name in names if names.count(name) > 1} == {"__init__.py", "__main__.py"}


def test_no_two_classes_share_a_name() -> None:
    names = [name for text in SOURCES.values() for name in re.findall(r"^class (\w+)", text, re.MULTILINE)]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_no_test_imports_another() -> None:
    """What tests share stands in fixtures and in modules of its own."""
    assert count(r"(?m)^ *(?:from|import) tests\.(?:\w+\.)*test_\w+|^ *from tests\S* import test_", TESTS) == {}


def test_no_test_replaces_what_is_private() -> None:
    assert count(r"setattr\([^,]+, \"_", TESTS) == {}


def test_the_tree_in_the_docs_names_every_file() -> None:
    tree = (ROOT / "docs" / "ARCHITECTURE.md").read_text().partition("```\n")[2].partition("```")[0]
    named = re.findall(r"(\w+\.py)\b", tree)
    assert sorted(set(named)) == sorted({Path(name).name for name in SOURCES} - {"__init__.py"})
