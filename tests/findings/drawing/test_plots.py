"""Each figure shows what it was given; looks are judged by eye."""

import inspect
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from ssc_sweep.findings.drawing import plots
from ssc_sweep.findings.drawing.plots import (
    ArmRuns,
    as_png,
    as_svg,
    gradient_norms,
    plain,
    shortened,
    sparkline,
    statistics,
    strip,
    training_curves,
)


def arm(label: str, rmse: list[float], scale: float = 1.0) -> ArmRuns:
    rows = [
        {"epoch": epoch, "seed": seed, "fit.loss": scale * (seed - epoch), "val_rmse": scale * (seed + 1) / epoch}
        | {"fit.gradient_norm": scale * (seed + 1), "fit.gradient_norm.net": scale, "x_scale_off": 0.1}
        for seed in range(3)
        for epoch in (1, 2)
    ]
    return ArmRuns(label, pd.Series(rmse, dtype=float), pd.DataFrame(rows))


PANELS = {"x_scale_off": "scale of x, sd", "y_scale_off": "scale of y, sd", "largest_z_val": "largest |z|"}
ARMS = [arm("control", [40.0, 50.0, np.nan]), arm("a $label$ <b>", [10.0, 12.0, 11.0], 2.0)]
FIGURES: dict[str, Callable[[list[ArmRuns]], Figure | None]] = {
    "strip": lambda arms: strip(arms, 15.0, 8.0, "kg"),
    "curves": lambda arms: training_curves(arms, "kg"),
    "gradients": gradient_norms,
    "statistics": lambda arms: statistics(arms, PANELS),
}


def not_none(figure: Figure | None) -> Figure:
    assert figure is not None
    return figure


EMPTY = [ArmRuns("nothing", pd.Series([np.nan]), pd.DataFrame({"epoch": [], "val_rmse": []}))]


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_saved_alike_twice_and_use_no_pyplot(name: str) -> None:
    first, second = as_svg(not_none(FIGURES[name](ARMS))), as_svg(not_none(FIGURES[name](ARMS)))
    assert first == second
    assert first.rstrip().endswith("</svg>")
    assert "control" in first
    assert "<b>" not in first
    assert as_png(not_none(FIGURES[name](ARMS))).startswith(b"\x89PNG")
    assert "matplotlib.pyplot" not in inspect.getsource(plots)


def test_many_seeds_are_pixels_so_that_the_page_stays_small() -> None:
    few, many = (arm("control", list(np.linspace(5, 50, n))) for n in (plots.MOST_VECTORS, 2000))
    shapes, pixels = (as_svg(strip([one], 15.0, 8.0, "kg")) for one in (few, many))
    assert "<image" not in shapes and "<image" in pixels
    assert len(pixels) < 40_000


def test_an_arm_without_any_number_has_its_line_among_the_seeds_and_no_empty_figure() -> None:
    drawn = {name: figure(EMPTY) for name, figure in FIGURES.items()}
    assert [name for name, figure in drawn.items() if figure is not None] == ["strip"]
    assert as_svg(not_none(drawn["strip"]))


def test_strip_shows_every_seed_the_lines_and_the_lost_runs() -> None:
    ax = strip(ARMS, 15.0, 8.0, "kg").axes[0]
    drawn = [list(line.get_xdata()) for line in ax.lines]
    assert [40.0, 50.0] in drawn
    assert [10.0, 12.0, 11.0] in drawn
    assert [45.0, 45.0] in drawn  # the median of the control's two
    assert [15.0, 15.0] in drawn and [8.0, 8.0] in drawn
    assert [text.get_text() for text in ax.texts] == ["control, 1 lost", "a $label$ <b>"]
    assert ax.get_xscale() == "log"


def test_curves_are_medians_over_seeds() -> None:
    figure = not_none(training_curves(ARMS, "kg"))
    rmse, loss = figure.axes
    np.testing.assert_allclose(rmse.lines[0].get_ydata(), [2.0, 1.0])
    np.testing.assert_allclose(rmse.lines[1].get_ydata(), [4.0, 2.0])
    np.testing.assert_allclose(loss.lines[0].get_ydata(), [0.0, -1.0])
    assert (rmse.get_yscale(), loss.get_yscale()) == ("log", "symlog")


def test_gradients_have_a_panel_for_each_module() -> None:
    def titles(arms: list[ArmRuns]) -> list[str]:
        return [ax.get_title(loc="left") for ax in not_none(gradient_norms(arms)).axes]

    assert titles(ARMS) == ["fit, all modules"], "the norm of the one module is that of all"
    history = ARMS[0].history.assign(**{"fit.gradient_norm.head": 1.0})
    assert titles([ArmRuns("two", ARMS[0].rmse, history)]) == ["fit, all modules", "fit, net", "fit, head"]


def test_statistics_leave_out_what_was_not_recorded() -> None:
    titles = [ax.get_title(loc="left") for ax in not_none(statistics(ARMS, PANELS)).axes]
    assert titles == ["scale of x, sd"]


def test_infinite_values_are_passed_over() -> None:
    odd = arm("_hidden=1", [1.0])
    odd.history.loc[0, "val_rmse"] = np.inf
    figure = not_none(training_curves([odd], "kg"))
    assert np.isfinite(figure.axes[0].lines[0].get_ydata()).all()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [" _hidden=1"]


def test_sparkline_by_hand() -> None:
    assert sparkline([1.0, 10.0, 100.0]) == "1,29.0 50,15.0 99,1.0"
    assert sparkline([3.0, 3.0]) == "1,29.0 99,29.0"
    assert sparkline([1.0]) == ""


@pytest.mark.parametrize(("value", "text"), [(0.0213, "0.0213"), (15.0, "15"), (2500.0, "2,500"), (3e7, "3e+07")])
def test_plain_numbers(value: float, text: str) -> None:
    assert plain(value) == text


@pytest.mark.parametrize("name", FIGURES)
def test_the_layout_is_computed_once_for_both_files(name: str) -> None:
    figure = FIGURES[name](ARMS)
    places = [ax.get_position().bounds for ax in figure.axes]
    as_svg(figure)
    laid_out = [ax.get_position().bounds for ax in figure.axes]
    as_png(figure)
    assert laid_out != places
    assert [ax.get_position().bounds for ax in figure.axes] == laid_out


def test_a_long_label_keeps_its_end() -> None:
    label = "optimizer.lr=1e-4, batch.size=32, epochs=4, clip_norm=0.5, model.width=64"
    assert len(shortened(label)) == 46
    assert shortened(label).endswith("model.width=64") and shortened(label).startswith("optimizer.lr=1e-4")
