"""Pages: templates, the filters that they use, and their contents."""

import math
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ssc_sweep.findings.drawing.plots import plain
from ssc_sweep.lines import counted
from ssc_sweep.study.search.space import label

FINDINGS = Path(__file__).parents[1]


def _p(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "-"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def number(value: float | None) -> str:
    """A number of a table; - where there is none."""
    if value is None or math.isnan(value):
        return "-"
    return "∞" if math.isinf(value) else plain(value)


def environment() -> Environment:
    """The templates, with the filters that they use."""
    made = Environment(
        loader=FileSystemLoader([FINDINGS / "templates", FINDINGS / "assets"]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"p": _p, "number": number, "percent": lambda share: f"{share:.0%}", "overrides": label}
    made.filters["contents"] = contents
    made.globals["counted"] = counted
    return made


def contents(body: str) -> Markup:
    """Links to the headings of a page, where it has more than two."""
    found = re.findall(r'<h2 id="([^"]+)">(.*?)</h2>', body)
    links = Markup("\n").join(Markup(f'<a href="#{name}">{title}</a>') for name, title in found)  # escaped already
    return Markup('<nav aria-label="Contents">\n{}\n</nav>').format(links) if len(found) > 2 else Markup()
