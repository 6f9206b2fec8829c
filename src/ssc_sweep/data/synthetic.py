"""A cohort with a known effect, into which one cause of failure can be planted.

    x_j ~ N(0, 1), j = 1 ... d_x          treatment k drawn with probability softmax_k(k * confounding * x_1)
    y_i = effect * T + x_1 + x_2 + N(0, noise^2), for each outcome i            shape "linear"
    y_i = effect * T + x_1 + x_2 + 2 x_1 x_2 + N(0, noise^2)                    shape "interaction"

Three faults can be planted into the table; `split.planted` plants others into the rows of a split.

Coded columns: the last `wave_columns` covariates are 0/1 questions that a second survey wave did not ask. Up to row
n / 2 they hold answers (1 with probability `wave_share`, else 0), from there on the code 2. With `wave_columns=0` there
are none.

A leak: one more covariate, `leak`, is the first outcome itself.

Label shift: rows are sorted by label_shift * (first outcome, standardised) + N(0, 1), so that later rows have larger
outcomes. With 0 they stay in the order drawn.
"""

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ssc_sweep.data.cohort import Cohort, Column, Role
from ssc_sweep.errors import UserError
from ssc_sweep.schema import AnyShare, Count, NotNegative
from ssc_sweep.streams import stream


def load(
    rows: Count,
    d_x: Annotated[int, Field(ge=2)],
    d_y: Count,
    treatments: Annotated[int, Field(ge=2)],
    effect: float,
    confounding: float,
    noise: NotNegative,
    wave_columns: Annotated[int, Field(ge=0)],
    wave_share: AnyShare,
    data_seed: Annotated[int, Field(ge=0)],
    shape: Literal["linear", "interaction"] = "linear",
    leak: bool = False,
    label_shift: float = 0.0,
) -> Cohort:
    """Draw the cohort. It depends on `data_seed`, not on a run's seed: all runs of a study see the same data.

    Args:
        rows: n, number of rows.
        d_x: number of covariates; the first is a confounder, the first two act on the outcome.
        d_y: number of outcomes.
        treatments: K, number of treatments.
        effect: effect of one step of T on every outcome, in kg.
        confounding: effect of x_1 on the treatment; 0 is a randomised trial.
        noise: standard deviation of the outcome given X and T, in kg.
        wave_columns: how many covariates the second wave left out; 0 plants nothing.
        wave_share: share of ones among their answers in the first wave.
        shape: how the first two covariates act on the outcome.
        leak: whether a covariate holds the first outcome.
        label_shift: effect of the first outcome on the order of the rows.

    Raises:
        UserError: more wave columns than covariates.
    """
    if wave_columns > d_x:
        raise UserError(f"dataset.wave_columns={wave_columns} is out of bounds: allowed is at most dataset.d_x={d_x}.")
    draw = stream(data_seed, "synthetic")
    x = draw.standard_normal((rows, d_x))
    logits = np.arange(treatments) * confounding * x[:, :1]
    # Gumbel's trick: argmax(logits + Gumbel noise) is a draw from softmax(logits).
    t = np.argmax(logits + draw.gumbel(size=logits.shape), axis=1)
    mean = effect * t + x[:, 0] + x[:, 1]
    if shape == "interaction":
        mean = mean + 2 * x[:, 0] * x[:, 1]
    y = mean[:, None] + noise * draw.standard_normal((rows, d_y))
    columns = [Column(f"x{j + 1}", Role.CONFOUNDER if j < 2 else Role.BASELINE) for j in range(d_x)]
    if label_shift:
        first = (y[:, 0] - y[:, 0].mean()) / y[:, 0].std()
        order = np.argsort(label_shift * first + stream(data_seed, "synthetic.order").standard_normal(rows))
        x, t, y = x[order], t[order], y[order]
    if wave_columns:
        answers = (draw.random((rows, wave_columns)) < wave_share).astype(np.float64)
        answers[rows // 2 :] = 2.0
        x[:, -wave_columns:] = answers
        columns[-wave_columns:] = [replace(column, codes=(2.0,)) for column in columns[-wave_columns:]]
    if leak:
        x = np.column_stack([x, y[:, 0]])
        columns.append(Column("leak", Role.OUTCOME_LEAK))
    return Cohort(
        name="synthetic",
        x=x,
        t=t,
        y=y,
        columns=tuple(columns),
        treatments=tuple(f"t{k}" for k in range(treatments)),
        outcomes=tuple(f"y{i + 1}" for i in range(d_y)),
        unit="kg",
        effect=effect,
    )
