"""Rewrite Hydra's messages about the command line in this program's form: what, got, allowed, what to do."""

import re
import shlex
import traceback
from collections.abc import Sequence
from pathlib import Path

import yaml
from hydra.core import plugins
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, QuotedString
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from ssc_sweep.admission import INSIDE
from ssc_sweep.config import BY_COLUMN, conf_dir
from ssc_sweep.errors import message, type_and_message
from ssc_sweep.schema import did_you_mean

# Exceptions that Hydra also raises for wrong input.
PLAIN = (ValueError, TypeError, RuntimeError, AssertionError)
OF_HYDRA = (HydraException, OmegaConfBaseException, yaml.YAMLError, *PLAIN)

CHOOSE_PLUGIN = "choose one with hydra/sweeper=<name> or hydra/launcher=<name>. See --hydra-help."
# Hydra's message -> what to say instead. {words} is the command line; {1}, {2} ... are the groups of the pattern.
MEANINGS = {
    r"add --multirun": "several values need -m, as in 'python -m ssc_sweep -m {words}'.",
    r"Parent traversal .* is not supported \('(.*?)'\)": "{1} is no choice of a group. See --help.",
    r"deletion (?:value must be|does not support) .*? input_line='(.*?)'": (
        "{1}: the value after ~<group>= is the name of the choice that it takes away. Leave that word out."
    ),
    r"Only one of --run": "{words}: --multirun, --cfg, --info and --shell_completion exclude each other: keep one.",
    r"Additional config directory '(.*?)' not found": (
        "{1} is no folder that is there: give one that holds config groups, such as {1}/hypothesis/mine.yaml."
    ),
    r"Logging target '([^']*)'.* Hydra execution whitelist": (
        "{1} is not allowed in hydra/job_logging or hydra/hydra_logging: choose one of Hydra's own, such as default."
    ),
    r"(?:Target|Reference) '([^']*)'.*(?:Hydra execution whitelist|declarative configuration).* full_key: (\S+)": (
        "{2}._target_={1} is not allowed: Hydra calls nothing there but what the place is for. Leave it out."
    ),
    r"Error locating target '([^']*)'.* full_key: (hydra\.\S+)": "{2}._target_={1} cannot be imported.",
    r"Could not delete from config\. '(.*?)' does not exist": (
        "~{1} takes nothing away: there is no key {1}. See --help."
    ),
    r"Error merging override ([^ =]+)=(.*?) Cannot merge incompatible container types": (
        "{1}={2} has the wrong form: {1} is a mapping. Write {1}.<name>={2}."
    ),
    r"Unknown plugin class : '(.*?)'": f"_target_={{1}} is no sweeper or launcher of Hydra: {CHOOSE_PLUGIN}",
    r"Error when parsing index: \d+, string: (.*) out of .* missing EQUAL": (
        "{1} is no override: write key=value, such as batch=b32. See --help."
    ),
    r"Error when parsing index: \d+, string: (.*?) out of \[.* while evaluating '.*?': (.*?) See https": (
        "{1} cannot be read: {2}."
    ),
}
WRONG_TYPE = re.compile(
    r"(?:Value|Incompatible value) '(?P<value>[^']*)' .*?(?P<kind>Integer|Float|bool|'int'|'float').*? "
    r"full_key: (?P<key>\S+)"
)
KINDS = {"Integer": "a whole number", "'int'": "a whole number", "Float": "a number", "'float'": "a number"}
UNREADABLE = re.compile(r"Error when parsing index: \d+, string: (.*?) out of \[.*\]\.? (.*?) See https")
NO_CHOICE = re.compile(r"Config group override must be")
NOT_THERE = re.compile(r"Key '\w+' is not in struct.* full_key: (\S+)")
NO_REFERENCE = re.compile(r"Interpolation key '([^']*)' not found(?:.* full_key: (\S+))?")
NO_VARIABLE = re.compile(r"Environment variable '([^']*)' not found")
UNKNOWN_KEY = re.compile(r"Could not override '([^']+)'")
UNKNOWN_CHOICE = re.compile(r"Could not find '([^']+)/([^'/]*)' Available options in '[^']+': (.*?) Config search path")


def known_keys(command: str = "config") -> list[str]:
    """Return every key that a command line may change: those of config.yaml and of the choices of each group.

    Args:
        command: the file of conf/ that a command composes; audit.yaml adds its own keys to config.yaml.
    """
    root = conf_dir()
    own = [yaml.safe_load((root / f"{name}.yaml").read_text()) for name in dict.fromkeys((command, "config"))]
    keys = [key for content in own for key in content if key not in ("defaults", "hydra")]
    for file in sorted(root.glob("*/*.yaml")):
        content = yaml.safe_load(file.read_text())
        keys.append(file.parent.name)
        if isinstance(content, dict) and "@package" not in file.read_text():
            keys += [f"{file.parent.name}.{key}" for key in content]
    return list(dict.fromkeys(keys))


def _text(error: Exception) -> str:
    return f"{message(error)} {message(error.__cause__) if error.__cause__ else ''}".strip()


def _place(error: Exception) -> str | None:
    """Return the key, such as hydra.sweeper, whose _target_ raised this when Hydra called it; None: another place."""
    notes = vars(error).get("__notes__", [])
    return next((note.removeprefix("full_key: ") for note in notes if note.startswith("full_key: hydra.")), None)


def _swaps_plugins(error: Exception) -> bool:
    """Return whether Hydra found a sweeper in place of a launcher or vice versa: it asserts this without a message."""
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, AssertionError) and frames[-1].filename == plugins.__file__


def is_bug(error: Exception) -> bool:
    """Return whether the program caused this error, and not the input."""
    if type(error) not in PLAIN or _swaps_plugins(error) or _place(error) is not None or _while_composing(error):
        return False
    return not any(re.search(pattern, _text(error)) for pattern in (*MEANINGS, NO_CHOICE.pattern, UNREADABLE.pattern))


def _while_composing(error: Exception) -> bool:
    """Return whether Hydra's own code raised it over the words of the command line or the YAML files they name."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(frames[-1].filename).parts[-3:-1] == ("hydra", "_internal")


def _choices(group: str) -> list[str]:
    return sorted(file.stem for file in (conf_dir() / group).glob("*.yaml"))


def _no_choice(words: Sequence[str]) -> str:
    """Return the word that gives a group a number, true or null instead of the name of a choice."""
    for word in words:
        group, sign, given = word.lstrip("+").partition("=")
        choices = _choices(group)
        # A group refuses what is no text, so the word at fault has a number, true, false or null.
        for value in _not_text(word, given) if sign and choices else []:
            if value in ("null", ""):
                return f"{word}: a group has no choice: name one, or leave the word out. See --help."
            if value not in choices:
                known = f"allowed is {' | '.join(choices)}"
                return f"{group}={value} is unknown: {known}. {_closest_choice(value, choices)}"
    return f"{shlex.join(words)}: a group has no choice: name one, or leave the word out. See --help."


def _not_text(word: str, given: str) -> list[str]:
    """Return which values of a word, as they stand there, are no text as Hydra reads them."""
    value = OverridesParser.create().parse_override(word).value()
    if isinstance(value, ChoiceSweep):
        parts = given.split(",")
        plain = len(parts) == len(value.list) and "(" not in given  # else a function, or commas inside of values
        shown = parts if plain else [str(one) for one in value.list]
        return [text for text, one in zip(shown, value.list, strict=True) if not isinstance(one, str | QuotedString)]
    return [] if isinstance(value, str | QuotedString | Glob) else [given]


def _closest_choice(value: str, choices: Sequence[str]) -> str:
    """Return the closest choice: batch=32 means b32, though the names have little in common."""
    ends = [choice for choice in choices if value.isdigit() and choice.strip("abcdefghijklmnopqrstuvwxyz_") == value]
    return f"Did you mean {ends[0]}?" if ends else did_you_mean(value, choices)


def _unreadable(word: str, reason: str) -> str:
    """Return what to write instead of a word that is outside Hydra's grammar."""
    key, _, value = word.partition("=")
    if key.endswith("dataset.delimiter"):
        return f"{word} cannot be read: a delimiter has a name, comma | semicolon | tab | pipe."
    if found := re.fullmatch(rf"\+*dataset\.({'|'.join(BY_COLUMN)})\.(.+)", key):
        whole = shlex.quote(f"dataset.{found[1]}={{{found[2]}: {value}}}")
        return f"{word} cannot be read: a column's name with spaces or signs goes into braces, {whole}."
    if "Exception" in reason or "mismatched" in reason or "extraneous" in reason:
        # Messages of Hydra's parser help only those who know its grammar.
        quoted = key + f'="{value}"'
        return (
            f"{word} cannot be read: text with brackets, commas, spaces or signs needs quotes inside those of the "
            f"shell, {shlex.quote(quoted)}. Close what is open."
        )
    return f"{word} cannot be read: {reason}. Close what is open, and quote text with brackets or commas."


def _reference(found: re.Match[str], words: Sequence[str]) -> str:
    """Return what is wrong with ${...}."""
    name = found[1]
    word = next((word for word in words if f"${{{name}}}" in word), found[2] or "a value")
    return f"{word} refers to {name}, which is no key: allowed is ${{<key>}} of a key that is there. See --cfg job."


def _unknown(key: str, known: Sequence[str]) -> str:
    """Return what is wrong with an unknown key."""
    group, dot, name = key.rpartition(".")
    if not dot:
        return f"{key} is unknown. {did_you_mean(key, known)}"
    beside = [one.removeprefix(f"{group}.") for one in known if one.startswith(f"{group}.")]
    hint = did_you_mean(name, beside, "See --help.", f"{group}.")
    if group in INSIDE:
        hint += f" An argument that the YAML of {group} leaves out is added with a plus: +{key}=<value>."
    return f"{key} is unknown. {hint}"


def explain(error: Exception, words: Sequence[str], command: str = "config") -> str:
    """Return one line for an error that Hydra raised for this command line; Hydra's own if there is no better."""
    if _swaps_plugins(error):
        return f"hydra.sweeper or hydra.launcher has the _target_ of another kind of plugin: {CHOOSE_PLUGIN}"
    text = _text(error)
    if NO_CHOICE.search(text):
        return _no_choice(words)
    if found := NO_VARIABLE.search(text):
        return f"the environment variable {found[1]} is not set, and ${{oc.env:{found[1]}}} reads it: set it."
    if found := NO_REFERENCE.search(text):
        return _reference(found, words)
    if (found := NOT_THERE.search(text)) and f"~{found[1]}" in words:
        why = "there is no such key" if "." in found[1] else "every command needs it"
        return f"~{found[1]} cannot take {found[1]} away: {why}. Leave that word out."
    for pattern, meaning in MEANINGS.items():
        if found := re.search(pattern, text):
            return meaning.format(found[0], *found.groups(), words=shlex.join(words))
    if found := UNREADABLE.search(text):
        return _unreadable(found[1], found[2])
    if place := _place(error):
        return f"{place} cannot be used: {text.rstrip('.')}. See --cfg hydra for its values."
    if found := WRONG_TYPE.search(text):
        value, kind = found["value"].replace("None", "null"), KINDS.get(found["kind"], "true or false")
        return f"{found['key']}={value} has the wrong type: allowed is {kind}."
    if found := UNKNOWN_KEY.search(text):
        known = known_keys(command)
        if found[1] in known:
            return (
                f"{found[1]} is not there: the choice of {found[1].split('.')[0]} has no such key, or another word of "
                "the command line has taken it away. See --help."
            )
        return _unknown(found[1], known)
    if found := UNKNOWN_CHOICE.search(text):
        group, name, options = found[1], found[2], found[3].split()
        hint = did_you_mean(name, options)
        if not any(word.startswith(("--config-dir", "-cd")) for word in words):
            hint += " A choice of your own needs --config-dir=<the folder that holds its group>."
        return f"{group}={name} is unknown: allowed is {' | '.join(options)}. {hint}"
    if isinstance(error, yaml.YAMLError) or isinstance(error.__cause__, yaml.YAMLError):
        return f"a YAML file cannot be read: {text}. Mend it there."
    if type(error) in PLAIN and _while_composing(error):
        return f"Hydra cannot compose {shlex.join(words)}: {type_and_message(error)}. See --help."
    return text
