"""Tables on terminals of any width, by hand."""

import pytest

from ssc_sweep.terminal_table import TableColumn, TableRow, TerminalTable

LONG = "split.test_share=0.2, scaling.codes=missing, model._target_=my_package.models.AVeryLongName"
TABLE = TerminalTable(
    "RMSE in kg",
    "arm",
    (TableColumn("sd", 4), TableColumn("mean", 1), TableColumn("works"), TableColumn("picture", 3, right=False)),
    (
        (TableRow("control", ("9.9", "67.8", "1/75", "---|---")),),
        (TableRow("B lr"), TableRow("lr=1e-4", ("1.0", "28.8", "0/24 no", "-o-|"))),
    ),
)


def shown(table: TerminalTable, width: int) -> list[str]:
    return [line.plain for line in table.lines(width)]


def test_by_hand() -> None:
    assert shown(TABLE, 80) == [
        "RMSE in kg",
        "arm       sd  mean    works  picture",
        "────────────────────────────────────",
        "control  9.9  67.8     1/75  ---|---",
        "",
        "B lr",
        "lr=1e-4  1.0  28.8  0/24 no  -o-|",
    ]


def test_the_highest_rank_is_left_out_first() -> None:
    assert "arm      mean    works  picture" in shown(TABLE, 35)
    assert "arm      mean    works" in shown(TABLE, 30)
    assert "arm     mean   works" in shown(TABLE, 21)  # a smaller gap saves what is needed
    assert shown(TABLE, 16)[1] == "  mean    works"  # all labels stand above their cells
    assert shown(TABLE, 10)[1] == "    works"


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_long_label_stands_above_its_cells(width: int) -> None:
    table = TerminalTable("", "arm", TABLE.columns, ((*TABLE.sections[0], TableRow(LONG, ("2.0", "7", "24/24", "o"))),))
    lines = shown(table, width)
    assert max(map(len, lines)) <= width
    assert LONG.replace(" ", "") in "".join(lines).replace(" ", "")
    assert any(line.startswith("control") and "67.8" in line and "1/75" in line for line in lines)
    assert any("7" in line and "24/24" in line for line in lines)


def test_no_rows() -> None:
    assert shown(TerminalTable("", "arm", TABLE.columns, ((),)), 80)[0].split() == ["sd", "mean", "works", "picture"]
