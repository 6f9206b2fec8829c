"""Style of figures; import matplotlib without the user's settings.

MPLBACKEND, a matplotlibrc of the user or of the current folder, and style sheets would change figures, or keep
matplotlib from being imported at all. Import this module before anything of matplotlib.
"""

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def _without_settings() -> Iterator[None]:
    """Make matplotlib read only its built-in settings while it is imported."""
    kept = {name: os.environ.get(name) for name in ("MPLBACKEND", "MATPLOTLIBRC")}
    spec = importlib.util.find_spec("matplotlib")
    assert spec is not None and spec.origin is not None
    os.environ["MPLBACKEND"] = "agg"
    os.environ["MATPLOTLIBRC"] = str(Path(spec.origin).parent / "mpl-data" / "matplotlibrc")
    try:
        yield
    finally:
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


with _without_settings():
    import matplotlib as mpl

STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.titlesize": 11.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 10.5,
    "svg.fonttype": "none",  # keep text as text: a smaller file that can be searched
    "svg.hashsalt": "ssc_sweep",  # the same data give the same file
    "font.family": "sans-serif",
    "text.parse_math": False,  # a dollar in a unit or a label is plain text
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save in our style on top of matplotlib's defaults; then restore the process's settings."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield
