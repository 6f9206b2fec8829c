"""The tables of keys in docs/CONFIG.md, read off the schema: python -m tests.keys writes them there."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from pydantic import BaseModel

from ssc_sweep import admission
from ssc_sweep.config import RunConfig, conf_dir
from ssc_sweep.schema import shown, signature, words
from ssc_sweep.steering import Limits, Running
from ssc_sweep.study.search.settings import Settings
from ssc_sweep.verdicts.rule import Rule

PAGE = Path(__file__).parents[1] / "docs" / "CONFIG.md"
BEGIN, END = "<!-- python -m tests.keys writes what follows -->\n", "<!-- to here -->\n"
GIVEN = ("sizes", "seeds", "stats", "params")  # what a model or an optimiser is given beside its YAML
INTERPOLATED = {"target": "the data set's", "study": "time and six letters"}
DERIVED = ("rule.target", "rule.sequential")


def rows(
    schema: type[BaseModel], values: dict[str, Any], prefix: str = "", said: dict[str, str] | None = None
) -> Iterator[str]:
    """A row for each key of a section and of those inside it; of what is open, none.

    Args:
        said: what the comments of a YAML say of its keys, where the schema says nothing.
    """
    for name, field in schema.model_fields.items():
        key, annotation = f"{prefix}{field.alias or name}", field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from rows(annotation, values.get(name, {}), f"{key}.")
        elif key not in DERIVED and not (prefix == "" and annotation == dict[str, Any]):
            default = shown(values[name]) if name in values else ""
            allowed = words(annotation, field.metadata).replace("|", "\\|")
            meaning = (field.description or (said or {}).get(name, "")).replace("|", "\\|")
            yield f"| `{key}` | {default} | {allowed} | {meaning} |"


def table(lines: Iterator[str]) -> str:
    return "\n".join(["| key | default | allowed | |", "|---|---|---|---|", *lines]) + "\n"


def arguments(group: str, node: dict[str, Any]) -> type[BaseModel]:
    """The signature of what a YAML names."""
    return signature(admission.find(f"{group}._target_", node["_target_"], admission.INSIDE[group]), GIVEN)


def others(known: list[str], values: dict[str, Any]) -> Iterator[str]:
    """A row for each commented key of config.yaml that no schema declares."""
    text = (conf_dir() / "config.yaml").read_text(encoding="utf-8")
    for key, said in re.findall(r"^(\w+):[^#\n]*# *(.*)$", text, re.MULTILINE):
        if key not in RunConfig.model_fields and not any(row.startswith(f"| `{key}` |") for row in known):
            default = INTERPOLATED.get(key) or shown(values[key])
            meaning = said.replace("|", "\\|")
            yield f"| `{key}` | {default} | | {meaning} |"


def page() -> str:
    """All tables."""
    with initialize_config_dir(str(conf_dir())):
        plain = OmegaConf.to_container(compose("config"), resolve=False)
    assert isinstance(plain, dict)
    values = {str(key): value for key, value in plain.items()}
    parts = ["### A run\n\n" + table(rows(RunConfig, values))]
    of_study = [*rows(Limits, values), *rows(Running, values)]
    parts.append("### A study\n\n" + table(iter([*others(of_study, values), *of_study])))
    defaults = Settings().model_dump(mode="json")
    parts.append("### A search\n\n" + table(rows(Settings, defaults, "hydra.sweeper.")))
    parts.append("### The rule\n\n" + table(rows(Rule, values["rule"], "rule.")))
    for group in ("model", "dataset", "optimizer"):
        for file in sorted((conf_dir() / group).glob("*.yaml")):
            node = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
            assert isinstance(node, dict)
            target = str(node.get("_target_", ""))
            if target.startswith("ssc_sweep."):
                given = {key: value for key, value in node.items() if key != "defaults"}
                said = dict(re.findall(r"^(\w+):[^#\n]*# *(.*)$", file.read_text(encoding="utf-8"), re.MULTILINE))
                lines = list(rows(arguments(group, node), given, f"{group}.", said))
                parts.append(f"### `{group}={file.stem}`\n\n" + (table(iter(lines)) if lines else "No keys.\n"))
    return "\n".join(parts)


def written() -> str:
    """What docs/CONFIG.md has."""
    text = PAGE.read_text(encoding="utf-8")
    return text[text.index(BEGIN) + len(BEGIN) : text.index(END)]


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    PAGE.write_text(text[:start] + page() + text[end:], encoding="utf-8")


if __name__ == "__main__":
    main()
