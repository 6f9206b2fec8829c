"""README and docs: every link to a file of the repository leads somewhere, and the README is short."""

import re
from pathlib import Path

import pytest

from ssc_sweep.config import conf_dir
from tests import keys

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert not [link for link in links if "://" not in link and not (page.parent / link).exists()]


def test_every_document_is_linked_from_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not [page.name for page in PAGES[1:] if f"docs/{page.name}" not in text]
    assert len(text.splitlines()) < 180


@pytest.mark.parametrize("group", ["model", "dataset", "split", "hypothesis", "fault", "experiment", "search_space"])
def test_every_choice_stands_in_the_table_of_groups(group: str) -> None:
    rows = (ROOT / "docs" / "CONFIG.md").read_text(encoding="utf-8").splitlines()
    (row,) = [row for row in rows if row.startswith(f"| `{group}` |")]
    assert not [path.stem for path in (conf_dir() / group).glob("*.yaml") if f"`{path.stem}`" not in row]


def test_the_tables_of_keys_are_those_of_the_schema() -> None:
    assert keys.written() == keys.page(), "python -m tests.keys"
