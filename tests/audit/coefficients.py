"""A forecast that is small enough to be worked by hand, as the file that holds one."""

from pathlib import Path

import yaml

from ssc_sweep.audit.forecast import Coefficients, read

TERMS = [
    {"characteristic": "share_beyond_5", "scale": "identity", "usual": 0.5, "weight": 4.0},
    {"characteristic": "max_z", "scale": "log", "usual": 1.0, "weight": 1.0},
    {"characteristic": "constant_columns", "scale": "log1p", "usual": 0.0, "weight": 2.0},
]
SIZES = {"runs": 9, "tables": 3, "failed": 4}
CONTENT = {"command": "python -m x", "models": {"flow": {**SIZES, "intercept": -1.0, "terms": TERMS}}}


def fitted(path: Path, content: object = CONTENT) -> dict[str, Coefficients]:
    path.write_text(yaml.safe_dump(content))
    return read(path)
