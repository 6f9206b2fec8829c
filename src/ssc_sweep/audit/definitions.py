"""Every characteristic of a split, declared once: name, unit and definition.

z is a value minus the training rows' mean, divided by their standard deviation (population), column by column as a
model sees them. Columns that are constant in training have no z and are counted separately. Shares are from 0 to 1.
NaN: undefined for these data, for example if no treatment is known.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Characteristic:
    """One number about a split.

    Attributes:
        unit: "" for a share or a pure number.
        quick: whether it is cheap enough to be measured before every run.
    """

    name: str
    unit: str
    meaning: str
    quick: bool = True


CHARACTERISTICS = (
    Characteristic("rows_train", "rows", "rows that train"),
    Characteristic("rows_validation", "rows", "rows that validate"),
    Characteristic("columns", "columns", "covariates as a model sees them: indicators of levels and of gaps included"),
    Characteristic("rows_per_column", "rows", "training rows for each of these columns"),
    Characteristic("smallest_arm", "rows", "visible training rows of the treatment that has fewest"),
    Characteristic("hidden_share", "", "share of the training rows whose treatment is hidden or unknown"),
    Characteristic("constant_columns", "columns", "columns that are constant in training and not in validation"),
    Characteristic("max_z", "training sd", "largest absolute z of a validation row"),
    Characteristic("p99_z", "training sd", "99th percentile over the validation rows of their largest absolute z"),
    Characteristic("max_z_train", "training sd", "largest absolute z of a training row"),
    Characteristic("share_beyond_5", "", "share of the validation rows with some absolute z above 5"),
    Characteristic("share_beyond_5_train", "", "the same of the training rows"),
    Characteristic("outside_box", "", "share of the validation rows with a value below or above all training values"),
    Characteristic(
        "unseen_columns", "columns", "categories and small integers with a validation value unseen in training"
    ),
    Characteristic("unseen_rows", "", "share of the validation rows that have such a value"),
    Characteristic("code_columns", "columns", "columns with a suspected code for a missing value"),
    Characteristic(
        "code_shift", "", "largest change from training to validation in the share of rows with such a code"
    ),
    Characteristic("gap_shift", "", "largest change from training to validation in the share of gaps of a column"),
    Characteristic("max_smd", "pooled sd", "largest absolute standardised mean difference, validation minus training"),
    Characteristic("mean_smd", "pooled sd", "the same, mean over the columns"),
    Characteristic(
        "mahalanobis_ratio",
        "",
        "median Mahalanobis distance (Ledoit-Wolf) of validation rows from half of the training rows, over that of the "
        "other half",
    ),
    Characteristic(
        "neighbour_ratio",
        "",
        "median distance (in z) of validation rows to their nearest training row, over that between training rows",
    ),
    Characteristic(
        "outcome_r2",
        "",
        "R2 of the outcome by a linear model of the covariates, on rows left out of its fit; 0 at least",
    ),
    Characteristic("treatment_auc", "", "AUC of the treatment by a linear model of the covariates, on rows left out"),
    Characteristic("treatment_shift", "", "total variation distance between the treatments of training and validation"),
    Characteristic(
        "outcome_shift", "training sd", "absolute difference of the mean outcomes of validation and training"
    ),
    Characteristic("outcome_offset", "training sd", "absolute mean of the training outcomes: how far from 0 they lie"),
    Characteristic("outcome_max_z", "training sd", "largest absolute z of a validation row's outcome"),
    Characteristic("largest_outcome", "unit of the outcome", "largest absolute outcome of all rows"),
    Characteristic("max_order", "", "largest absolute correlation of a column with the row number"),
    Characteristic("order_columns", "columns", "columns whose absolute correlation with the row number is above 0.5"),
    Characteristic("treatment_order", "", "largest absolute correlation of a treatment with the row number"),
    Characteristic("outcome_order", "", "largest absolute correlation of an outcome with the row number"),
    Characteristic(
        "domain_auc",
        "",
        "AUC of a linear classifier (columns and their squares) of validation against training rows, on rows left out",
        quick=False,
    ),
    Characteristic("domain_p", "", "permutation p-value of domain_auc; 0.005 at least", quick=False),
)
BY_NAME = {one.name: one for one in CHARACTERISTICS}
