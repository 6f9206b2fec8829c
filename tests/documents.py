"""What README.md and docs/ show: their commands, and the files that they tell the reader to write."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
# docs/LOG.md records what was run on a day, with the options of that day.
PAGES = [ROOT / "README.md", *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.name != "LOG.md")]

FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^    \S.*$", re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")
# A block that begins with one of these holds commands and nothing else; so does an inline code.
PROGRAMS = ("python ", "ssc_sweep ", "make ", "pip ", "git ", "optuna-dashboard ", "eval ", "$ ")
# Inline code may leave `python -m ssc_sweep` out.
OPTIONS = ("-m ", "--config-dir ", "--cfg ")
NOTE = re.compile(r"\s{2,}\S.*$")  # what stands beside a command
WRITTEN = re.compile(r"[\w./]+\.(?:py|yaml)")


@dataclass
class Shown:
    """A command, and the pages that show it."""

    text: str
    pages: list[Path] = field(default_factory=list)

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text, comments=True)


def _lines(text: str) -> Iterator[str]:
    """Every line of a page that is a command, with what stands beside it."""
    for language, block in FENCED.findall(text):
        lines = [line.strip() for line in block.splitlines() if line.strip()]
        if language in ("", "bash", "sh", "console", "shell") and lines:
            yield from lines if lines[0].startswith(PROGRAMS) else [line for line in lines if line.startswith(PROGRAMS)]
    prose = FENCED.sub("", text)
    yield from (line.strip() for line in INDENTED.findall(prose) if line.strip().startswith(PROGRAMS))
    for code in INLINE.findall(prose):
        if code.startswith(OPTIONS):
            yield f"python -m ssc_sweep {code}"
        elif code.startswith(PROGRAMS):
            yield code


def commands() -> list[Shown]:
    """Every command of every page; those that differ in the name of their study alone, once."""
    found: dict[str, Shown] = {}
    for page in PAGES:
        for line in _lines(page.read_text(encoding="utf-8")):
            for text in NOTE.sub("", line.removeprefix("$ ")).split(" && "):
                shown = found.setdefault(re.sub(r" study=\w+", "", text), Shown(text))
                shown.pages.append(page)
    return list(found.values())


def files(page: Path) -> dict[str, str]:
    """The files that a page tells its reader to write: name -> text, word for word.

    The name is the last one before the block, in the same section, or stands in the first line of the block.
    """
    text = page.read_text(encoding="utf-8")
    found, end = {}, 0
    for block in FENCED.finditer(text):
        language, content = block.groups()
        if language in ("python", "yaml"):
            before = text[end : block.start()].rpartition("\n#")[2]
            named = WRITTEN.match(content.removeprefix("# "))
            names = [named[0]] if named else [code for code in INLINE.findall(before) if WRITTEN.fullmatch(code)]
            assert names, f"{page.name} does not say which file this block is:\n{content}"
            found[names[-1]] = content
        end = block.end()
    return found
