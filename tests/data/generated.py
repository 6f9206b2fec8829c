"""Arguments of a synthetic table whose truth is known: 20,000 rows, two confounders, an effect of 3."""

PARAMETERS = {
    "rows": 20_000, "d_x": 8, "d_y": 2, "treatments": 3, "effect": 3.0, "confounding": 1.0, "noise": 1.0,
    "wave_columns": 0, "wave_share": 0.02, "data_seed": 1,
}  # fmt: skip
