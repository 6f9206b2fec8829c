"""What each kind of finding means, and the overrides that would help, the first that applies being named.

A new override of conf/ is one more word in this table. Words that the config does not know, or has already, are passed
over. `{columns}` are the columns to blame, `{codes}` the codes that are suspected in them: those words are for a table
of the user's own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from ssc_sweep.audit.rows import OWN_TABLE
from ssc_sweep.config import GROUPS, RunConfig, conf_dir, leaves
from ssc_sweep.data.cohort import KEPT, Role


@dataclass(frozen=True)
class About:
    """What a kind of finding is, why it matters, in a sentence, and what would help, best first."""

    title: str
    why: str
    overrides: tuple[str, ...] = ()


SHUFFLE = "split=shuffled"
ABOUT = {
    "refused": About(
        "Training refuses these data",
        "Training stops at this with the same line; the rest of the audit goes on without the column.",
    ),
    "constant": About(
        "Columns that do not vary in training",
        "A column that does not vary has no scale: its first other value is any number of standard deviations away.",
        (SHUFFLE, "stats_mode.constant=one", "dataset_size=full"),
    ),
    "same": About(
        "Columns that do not vary at all", "There is nothing to learn from them.", ("dataset.drop=[{columns}]",)
    ),
    "beyond": About(
        "Validation rows far out",
        "A model extrapolates there, and one that divides by learned scales multiplies the distance.",
        (SHUFFLE, "scaling.codes=missing", "scaling.clip=3", "stats_mode=precomputed"),
    ),
    "unseen": About(
        "Values that training has never seen",
        "No training row says what such a value means.",
        (SHUFFLE, "scaling.clip=range", "dataset_size=full"),
    ),
    "codes": About(
        "Codes that may stand for a missing value, more often on one side",
        "A code for 'not asked' or 'unknown' is read as a quantity, as if it were one more than yes.",
        ("dataset.missing={{{codes}}}", "scaling.codes=missing", SHUFFLE),
    ),
    "codes alike": About(
        "Codes that may stand for a missing value",
        "A code for 'not asked' or 'unknown' is read as a quantity, though as often in training as in validation.",
        ("dataset.missing={{{codes}}}", "scaling.codes=missing"),
    ),
    "outside": About(
        "Validation rows outside the training range",
        "Nothing is known beyond the training rows' range.",
        (SHUFFLE, "scaling.clip=range"),
    ),
    "mean": About("Means that differ", "Validation rows are other people than training rows.", (SHUFFLE,)),
    "gaps": About("Gaps more often on one side", "Gaps are filled by training rows, which had the values.", (SHUFFLE,)),
    "far": About(
        "Validation rows far from training rows, all columns together",
        "The columns together, their correlations counted: a typical validation row has no like.",
        (SHUFFLE,),
    ),
    "domain": About(
        "A classifier tells the sides apart",
        "That the sides differ does not say that it hurts: see the findings above.",
        (SHUFFLE,),
    ),
    "outcome leak": About(
        "Columns that tell the outcome",
        "A result with these columns is arithmetic, no prediction.",
        ("covariates=baseline", "dataset.drop=[{columns}]"),
    ),
    "treatment leak": About(
        "Columns that tell the treatment",
        "Hardly a row could have had the other treatment: its effect cannot be told, its guess is no achievement.",
        ("covariates=baseline", "dataset.drop=[{columns}]"),
    ),
    "rows": About(
        "Few rows for so many columns",
        "With fewer than ten rows a column a flexible model learns the rows by heart.",
        ("dataset_size=full", "covariates=confounders", "covariates=baseline"),
    ),
    "arm": About(
        "A treatment with few visible rows",
        "An effect, or a treatment's outcome, rests on these rows alone.",
        ("labels=all", "dataset_size=full"),
    ),
    "treatment": About("Treatments in other shares", "The sides differ in who is treated.", (SHUFFLE,)),
    "outcome": About(
        "Outcomes of another size", "Predicting the training rows' mean starts with this error.", (SHUFFLE,)
    ),
    "order": About(
        "Columns that run with the row number",
        "In file order such a column differs between training and validation by construction.",
        (SHUFFLE,),
    ),
    "clamp": About(
        "Outcomes beyond the clamp",
        "Models that clamp their predictions cannot reach such outcomes.",
        ("dataset.clamp=null",),
    ),
}


def override(
    kind: str, config: RunConfig, extra: Mapping[str, Any], blamed: Sequence[str], roles: Mapping[str, Role], codes: str
) -> str:
    """The first word for this kind that would change something; "" where there is none.

    Args:
        extra: keys of the data set that stand beside its arguments, such as clamp.
        roles: of the columns that are used.
        codes: what stands for {codes}.
    """
    for word in ABOUT[kind].overrides:
        if word.startswith(("dataset.drop", "dataset.missing")):
            if config.dataset.get("_target_") == OWN_TABLE and blamed:
                # A name with a sign in it is quoted for Hydra.
                names = ",".join(name if name.isidentifier() else f"'{name}'" for name in blamed)
                return word.format(columns=names, codes=codes)
        elif _changes(word, config, extra) and _helps(word, config, blamed, roles):
            return word
    return ""


def _changes(word: str, config: RunConfig, extra: Mapping[str, Any]) -> bool:
    """Whether the config knows the word and says something else."""
    key, _, text = word.partition("=")
    now = leaves(config.content()) | {f"dataset.{name}": value for name, value in extra.items()}
    if key not in GROUPS:
        return key in now and now[key] != yaml.safe_load(text)
    file = conf_dir() / key / f"{text}.yaml"
    if not file.is_file():
        return False
    chosen = leaves(yaml.safe_load(file.read_text(encoding="utf-8")), f"{key}.")
    return any(now.get(name) != value for name, value in chosen.items())


def _helps(word: str, config: RunConfig, blamed: Sequence[str], roles: Mapping[str, Role]) -> bool:
    """Whether a word that changes the config is to the point.

    Rows that were drawn at random are shuffled already. A choice of covariates helps only if it keeps some column, and
    takes one away that is to blame: those to blame for a leak tell it together.
    """
    key, _, choice = word.partition("=")
    if word == SHUFFLE:
        return config.dataset_size.rows is None
    if key != "covariates":
        return True
    kept = {name for name, role in roles.items() if role in KEPT[choice]}
    return bool(kept) and len(kept) < len(roles) and (not blamed or not kept.issuperset(blamed))
