"""Which Python a config may name, and how it is found.

A config may come from a stranger, and must not run code that the user has not chosen. So a group names only what
belongs in it: inside this package the models where a model is wanted, the data sets where a data set is. Code of
the user's own is admitted by the name of its package, on the command line (admit=my_package) or in the environment
(SSC_SWEEP_ADMIT=my_package); several with commas. What a YAML says of `admit` counts for nothing.
"""

import importlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ssc_sweep.errors import UserError

VARIABLE = "SSC_SWEEP_ADMIT"
# What each group may name inside this package.
INSIDE = {
    "model": "ssc_sweep.models.",
    "dataset": "ssc_sweep.data.",
    "optimizer": "ssc_sweep.training.optimizer.",
}


def _split(text: str) -> list[str]:
    return [name.strip() for name in text.strip("[]'\" ").split(",") if name.strip()]


@contextmanager
def admitting(words: Sequence[str]) -> Iterator[None]:
    """Admit the packages that these words of a command line name, here and in processes started from here."""
    before = os.environ.get(VARIABLE)
    named = [name for word in words if word.lstrip("+").startswith("admit=") for name in _split(word.partition("=")[2])]
    os.environ[VARIABLE] = ",".join([*_split(before or ""), *named])
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def admitted() -> frozenset[str]:
    """The packages that the user has admitted."""
    return frozenset(_split(os.environ.get(VARIABLE, ""))) - {"null"}


def own_choices(words: Sequence[str]) -> list[str]:
    """The words of a command line, with the choice `own` for a group whose target the user names himself.

    model._target_=my_package.MyModel model.width=8 means model=own with these keys, not the keys of another model: so
    those become additions, which Hydra takes without having seen them before.

    >>> own_choices(["model._target_=mine.M", "model.width=8", "epochs=3"])
    ['++model._target_=mine.M', '++model.width=8', 'epochs=3', 'model=own']
    """
    words = list(words)
    for group in ("model", "dataset"):
        named = any(word.startswith(f"{group}._target_=") for word in words)
        chosen = [word.partition("=")[2] for word in words if word.startswith(f"{group}=")]
        if named and not chosen:
            words.append(f"{group}=own")
        if chosen == ["own"] or (named and not chosen):
            words = [f"++{word}" if word.startswith(f"{group}.") and "=" in word else word for word in words]
    return words


def find(key: str, name: object, inside: str | None) -> Any:
    """What a config names: a class, a function or another object of a module.

    Args:
        key: the config key, for messages.
        name: dotted name, such as "my_package.models.MyModel".
        inside: what the name may begin with inside this package; None: nothing.

    Raises:
        UserError: it is not admitted, or is not there.
    """
    what = f"{key}={name}"
    if not isinstance(name, str) or "." not in name:
        raise UserError(f"{what} is no name of Python code: allowed is <package>.<name>, such as my_package.MyModel.")
    package, _, _ = name.partition(".")
    ours = package == "ssc_sweep"
    if ours and not (inside and name.startswith(inside)):
        raise UserError(f"{what} does not belong there: allowed is {inside or '<package of your own>.'}<name>.")
    if not ours and package not in admitted():
        also = f" or {inside}<name>" if inside else ""
        raise UserError(
            f"{what} is code outside ssc_sweep, and its package is not admitted: allowed is a package that you admit"
            f"{also}. If you trust it, add admit={package} to the command line, or set {VARIABLE}={package}."
        )
    module, _, attribute = name.rpartition(".")
    if not ours and "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as `python -m` has it; the installed command has not
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, SyntaxError, AttributeError) as error:
        raise UserError(f"{what} cannot be used: {type(error).__name__}: {error}.") from error
    if ours and getattr(found, "__module__", None) != module:
        raise UserError(f"{what} does not belong there: {module} only imports it.")
    return found


def target(group: str, node: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The Python target that a config group names, and its arguments.

    Raises:
        UserError: there is no such target, it is not admitted, or an argument names a further one.
    """
    if node.get("_target_") is None:
        raise UserError(f"{group}._target_ is missing: give {group}._target_=my_package.<name> admit=my_package.")
    arguments = {key: value for key, value in node.items() if key != "_target_"}
    nested = _nested(arguments)
    if nested:
        raise UserError(f"{group}.{nested} names a further target: allowed are plain values.")
    return find(f"{group}._target_", node["_target_"], INSIDE[group]), arguments


def _nested(value: object, key: str = "") -> str:
    """The dotted key of a `_target_` (or another key of Hydra's instantiate) inside these values; "" where none is."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        here = f"{key}.{name}" if key else str(name)
        if isinstance(name, str) and name.startswith("_") and name.endswith("_") and len(name) > 2:
            return here
        if found := _nested(inner, here):
            return found
    return ""
