"""What each kind of finding means, and the overrides that would help; the first that applies is suggested.

A new override of conf/ is one more entry in this table. Overrides that the config does not know, or has already, are
skipped. `{columns}` are the columns to blame, `{codes}` the codes suspected in them: these are for the user's own
tables, and are quoted for the shell.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from hydra.core.override_parser.types import Quote, QuotedString

from ssc_sweep.audit.characteristics import ColumnAudit
from ssc_sweep.audit.rows import OWN_TABLE
from ssc_sweep.config import GROUPS, RunConfig, conf_dir, leaves
from ssc_sweep.data.cohort import KEPT


@dataclass(frozen=True)
class About:
    """Why a kind of finding matters, in a sentence, and overrides that would help, the best first."""

    why: str
    overrides: tuple[str, ...] = ()


SHUFFLE = "split=shuffled"
TEST = "hypothesis=codes tests whether that matters, for codes that dataset.codes declares."
ABOUT = {
    "refused": About(
        "Training stops at this with the same line; the rest of the audit goes on without the column.",
    ),
    "constant": About(
        "A column that does not vary has no scale: its first other value is any number of standard deviations away.",
        (SHUFFLE, "stats_mode.constant=one", "dataset_size=full"),
    ),
    "same": About("There is nothing to learn from them.", ("dataset.drop=[{columns}]",)),
    "beyond": About(
        "A model extrapolates there, and one that divides by learned scales multiplies the distance.",
        (SHUFFLE, "scaling.codes=missing", "scaling.clip=3", "stats_mode=precomputed"),
    ),
    "unseen": About(
        "No training row says what such a value means.",
        (SHUFFLE, "scaling.clip=range", "dataset_size=full"),
    ),
    "codes": About(
        "A code for 'not asked' or 'unknown' is read as a number. Shares: of training, then of validation rows. "
        + TEST,
        ("dataset.missing={{{codes}}}", "scaling.codes=missing", SHUFFLE),
    ),
    "codes alike": About(
        "A code for 'not asked' or 'unknown' is read as a number, in as many training as validation rows. " + TEST,
        ("dataset.missing={{{codes}}}", "scaling.codes=missing"),
    ),
    "outside": About(
        "Nothing is known beyond the training rows' range.",
        (SHUFFLE, "scaling.clip=range"),
    ),
    "mean": About("Validation rows are other people than training rows.", (SHUFFLE,)),
    "gaps": About("Gaps are filled by training rows, which had the values.", (SHUFFLE,)),
    "far": About(
        "Times as far as training rows are: from their centre (Mahalanobis), and to the nearest of them.",
        (SHUFFLE,),
    ),
    "domain": About(
        "That the sides differ does not say that it hurts: see the findings above.",
        (SHUFFLE,),
    ),
    "outcome leak": About(
        "A result with these columns is arithmetic, no prediction.",
        ("covariates=baseline", "dataset.drop=[{columns}]"),
    ),
    "treatment leak": About(
        "Hardly a row could have had the other treatment: its effect cannot be told, its guess is no achievement.",
        ("covariates=baseline", "dataset.drop=[{columns}]"),
    ),
    "rows": About(
        "With fewer than ten rows a column a flexible model learns the rows by heart.",
        ("dataset_size=full", "covariates=confounders", "covariates=baseline"),
    ),
    "arm": About(
        "An effect, or a treatment's outcome, rests on these rows alone.",
        ("labels=all", "dataset_size=full"),
    ),
    "treatment": About("The sides differ in who is treated.", (SHUFFLE,)),
    "outcome": About("Predicting the training rows' mean starts with this error.", (SHUFFLE,)),
    "order": About(
        "In file order such a column differs between training and validation by construction.",
        (SHUFFLE,),
    ),
    "clamp": About(
        "Models that clamp their predictions cannot reach such outcomes.",
        ("dataset.clamp=null",),
    ),
}


def override(
    kind: str, config: RunConfig, extra: Mapping[str, Any], blamed: Sequence[str], columns: Mapping[str, ColumnAudit]
) -> str:
    """Return the first override for this kind that would change something; "" if there is none.

    Args:
        extra: keys of the data set besides its arguments, such as clamp.
        blamed: names of columns.
        columns: all that are used, by name.
    """
    for word in ABOUT[kind].overrides:
        if word.startswith(("dataset.drop", "dataset.missing")):
            if config.dataset.get("_target_") == OWN_TABLE and blamed:
                dropped = dict.fromkeys([*config.dataset["drop"], *blamed])
                coded = [columns[name] for name in blamed]
                codes = ", ".join(f"{one.name}: [{one.code:g}]" for one in coded if one.code is not None)
                return shlex.quote(word.format(columns=",".join(map(_quoted, dropped)), codes=codes))
        elif _changes(word, config, extra) and _helps(word, config, [columns[name] for name in blamed], columns):
            return word
    return ""


def _quoted(name: str) -> str:
    """Quote a name for Hydra's grammar if it has special characters."""
    return name if name.isidentifier() else QuotedString(name, Quote.single).with_quotes()


def _changes(word: str, config: RunConfig, extra: Mapping[str, Any]) -> bool:
    """Return whether the config has the override's key with another value."""
    key, _, text = word.partition("=")
    now = leaves(config.content()) | {f"dataset.{name}": value for name, value in extra.items()}
    if key not in GROUPS:
        return key in now and now[key] != yaml.safe_load(text)
    file = conf_dir() / key / f"{text}.yaml"
    if not file.is_file():
        return False
    chosen = leaves(yaml.safe_load(file.read_text(encoding="utf-8")), f"{key}.")
    return any(now.get(name) != value for name, value in chosen.items())


def _helps(word: str, config: RunConfig, blamed: Sequence[ColumnAudit], columns: Mapping[str, ColumnAudit]) -> bool:
    """Return whether an override that changes the config would help.

    Rows drawn at random are shuffled already. Codes are read as gaps only if declared. A choice of covariates helps
    only if it keeps some column and removes one that is to blame: the columns of a leak predict only together.
    """
    key, _, choice = word.partition("=")
    if word == SHUFFLE:
        return config.dataset_size.rows is None
    if key == "scaling.codes":
        return any(column.declared for column in blamed)
    if key != "covariates":
        return True
    kept = [column for column in columns.values() if column.role in KEPT[choice]]
    takes = not blamed or any(column not in kept for column in blamed)
    return 0 < len(kept) < len(columns) and takes
