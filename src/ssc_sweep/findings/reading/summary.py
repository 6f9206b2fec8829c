"""Write tables that are safe to open in a spreadsheet, and read them back unchanged."""

import io
from pathlib import Path

import pandas as pd

# Text columns of summary.csv.
TEXT = ("arm", "status", "model", "unit", "val_rows", "first_bad_tensor", "overrides", "folder", "left_out", "code")


def cell(value: object) -> object:
    """Make a cell that no spreadsheet reads as a formula: ' before a leading = + - @ or ' (undone by `uncell`).

    >>> cell("=1+1"), cell("lr=1e-4"), cell(-3.5)
    ("'=1+1", 'lr=1e-4', -3.5)
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "'", "\t", "\r")) else value


def uncell(value: str) -> str:
    return value.removeprefix("'")


def as_csv(table: pd.DataFrame) -> str:
    """Return a table as CSV that is safe to open in a spreadsheet: no cell starts a formula."""
    return table.map(cell).to_csv(index=False)


def read_summary(source: Path | io.StringIO) -> pd.DataFrame:
    """Read summary.csv back, with the original names."""
    # A name may be "NA" or "1e5"; only an empty cell is missing.
    table = pd.read_csv(source, dtype=dict.fromkeys(TEXT, str), keep_default_na=False, na_values=[""])
    for name in TEXT:
        table[name] = table[name].map(uncell, na_action="ignore")
    # A column without any text has become numeric.
    table["overrides"] = table["overrides"].astype(object).fillna("")
    return table
