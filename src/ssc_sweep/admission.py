"""Decide which Python objects a config may name, and find them.

A config may come from a stranger, and must not run code that the user has not chosen. So inside this package a group
may name only its own kind: models in the group of models, data sets in the group of data sets. The user's own code is
admitted by the name of its package, on the command line (admit=my_package) or in the environment
(SSC_SWEEP_ADMIT=my_package); several with commas. `admit` in a YAML is ignored.
"""

import functools
import hashlib
import importlib
import importlib.util
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

from ssc_sweep.errors import UserError, message

VARIABLE = "SSC_SWEEP_ADMIT"
# Exceptions of the user's own code, on import or call, that are reported in one line; others are shown as they are.
USERS_FAULTS = (
    ImportError, SyntaxError, NameError, AttributeError, TypeError, ValueError, LookupError, ArithmeticError, OSError,
    RuntimeError, AssertionError, SystemExit,
)  # fmt: skip
# Groups that name a target, whose arguments are their other keys -> what each may name inside this package.
INSIDE = {
    "model": "ssc_sweep.models.",
    "dataset": "ssc_sweep.data.",
    "optimizer": "ssc_sweep.training.optimizer.",
}
# A choice of each, for messages.
EXAMPLE = {"model": "flow_ssc", "dataset": "csv", "optimizer": "adam"}


def _split(text: str) -> list[str]:
    return [name.strip() for name in text.strip("[]'\" ").split(",") if name.strip() not in ("", "null")]


# Read when this module is loaded, before Hydra applies environment settings of a config.
_admitted = frozenset(_split(os.environ.get(VARIABLE, "")))


@contextmanager
def admitting(words: Sequence[str]) -> Iterator[None]:
    """Admit only the packages that the environment and these words of a command line name.

    Processes started from here inherit them through their environment.

    Raises:
        UserError: a word names a package that does not exist.
    """
    global _admitted
    before, variable = _admitted, os.environ.get(VARIABLE)
    named = [name for word in words if word.lstrip("+").startswith("admit=") for name in _split(word.partition("=")[2])]
    for name in named:
        _check_there(name)
    _admitted = frozenset([*_split(variable or ""), *named])
    os.environ[VARIABLE] = ",".join(sorted(_admitted))
    try:
        yield
    finally:
        _admitted = before
        if variable is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = variable


@contextmanager
def also_admitting(packages: frozenset[str]) -> Iterator[None]:
    """Admit these packages too: those that the process that sent the work has admitted."""
    global _admitted
    before = _admitted
    _admitted = before | packages
    try:
        yield
    finally:
        _admitted = before


def admitted() -> frozenset[str]:
    """Return the packages that the user has admitted."""
    return _admitted


def _look_here() -> None:
    """Add the current folder to the search path, as `python -m` does and the installed command does not."""
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())


def _check_there(package: str) -> None:
    _look_here()
    importlib.invalidate_caches()
    if not package.isidentifier():
        raise UserError(f"admit={package} is no name of a package: allowed is the part before the first dot.")
    if importlib.util.find_spec(package) is None:
        raise UserError(
            f"admit={package}: there is no such package. Looked for {package}.py and {package}/ in {os.getcwd()}, then "
            f"among the packages of {sys.prefix}."
        )


# Targets of the user's that were found -> the module that each is written in.
_homes: dict[str, ModuleType] = {}


def find(key: str, name: object, inside: str | None) -> Any:
    """Return the object that a config names: a class, a function or another object of a module.

    Args:
        key: the config key, for messages.
        name: dotted name, such as "my_package.models.MyModel".
        inside: prefix of names allowed inside this package; None: none.

    Raises:
        UserError: it is not admitted, or does not exist.
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
    if not ours:
        _look_here()
    with explained(what):
        found = getattr(importlib.import_module(module), attribute)
    home = str(getattr(found, "__module__", module))
    if ours and home != module:
        raise UserError(f"{what} does not belong there: {module} only imports it.")
    # Admitting a user's module does not admit what it imports, such as os.system. A score is an object of our class,
    # not code.
    if not ours and home.partition(".")[0] not in (package, "ssc_sweep"):
        raise UserError(f"{what} is code of {home}, which {module} only imports: admit={home.partition('.')[0]} too.")
    if not ours:
        # A score is an object of our class: it is written in the module that holds it.
        _homes[name] = sys.modules[module] if is_ours(home) else sys.modules.get(home, sys.modules[module])
        _version(_homes[name])
    return found


def place_in(error: BaseException) -> str:
    """Return where code of the user's raised an error, as " (mine.py, line 9)"; "" if none of it did."""
    libraries = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    others = ("<", str(Path(__file__).parent), *libraries)  # Python's import system, this package, installed ones
    frames = [one for one in traceback.extract_tb(error.__traceback__) if not one.filename.startswith(others)]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""


@contextmanager
def explained(what: str, kind: type[UserError] = UserError) -> Iterator[None]:
    """Turn an exception in the user's own code into one line.

    Args:
        kind: of the error to raise.

    Raises:
        UserError: the code raised; the line names the exception and where it was raised.
    """
    try:
        yield
    except USERS_FAULTS as error:
        text = message(error) or "no message"
        raise kind(f"{what} cannot be used: {type(error).__name__}: {text}{place_in(error)}.") from error


def calling(named: str, kind: type[UserError] = UserError) -> AbstractContextManager[None]:
    """Explain what goes wrong inside the block if the target is the user's own code; let errors of ours pass.

    Args:
        named: the target as a config has it, such as "model._target_=my_models.TwoNets".
        kind: type of the error raised.
    """
    return nullcontext() if is_ours(named.partition("=")[2]) else explained(named, kind)


def is_ours(target: str) -> bool:
    """Return whether a dotted name is one of this package."""
    return target.startswith("ssc_sweep.")


def file_of(target: str) -> Path | None:
    """Return the file that a target of the user's is written in; None if it is not admitted, or has none.

    Raises:
        UserError: the package that it lies in cannot be imported.
    """
    if target.partition(".")[0] not in _admitted:
        return None
    _look_here()
    with explained(target):
        spec = importlib.util.find_spec(target.rpartition(".")[0])
    return None if spec is None or not spec.has_location or spec.origin is None else Path(spec.origin)


@functools.cache
def _version(module: ModuleType) -> str:
    """Return a hash of a module's file, taken once: when `find` has imported it. What is written later does not run."""
    file = vars(module).get("__file__")  # a module of Python's own, or of a notebook, has none
    try:
        return "unknown" if file is None else hashlib.sha256(Path(file).read_bytes()).hexdigest()[:8]
    except OSError:
        return "unknown"


def versions_of(targets: Iterable[str]) -> str:
    """Return the modules of the user's that these targets are written in, each with a hash: "mine 1a2b3c4d".

    "" if all are ours. Modules that those modules import are not looked at.

    Args:
        targets: dotted names that `find` has found in this process.
    """
    homes = {_homes[target] for target in targets if target in _homes}
    return ", ".join(sorted(f"{home.__name__} {_version(home)}" for home in homes))


def target(group: str, node: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return the Python target that a config group names, and its arguments.

    Raises:
        UserError: there is no such target, it is not admitted, or an argument names another target.
    """
    if node.get("_target_") is None:
        raise UserError(
            f"{group}._target_ is missing: give {group}._target_=my_package.<name> admit=my_package, or let "
            f"a YAML of your own begin with that of a choice that has one: defaults: [{EXAMPLE[group]}, _self_]."
        )
    arguments = {key: value for key, value in node.items() if key != "_target_"}
    nested = _nested(arguments)
    if nested:
        raise UserError(f"{group}.{nested} names a further target: allowed are plain values.")
    return find(f"{group}._target_", node["_target_"], INSIDE[group]), arguments


def _nested(value: object, key: str = "") -> str:
    """Return the dotted key of a `_target_` (or another key of Hydra's instantiate) in these values; "" if none."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        here = f"{key}.{name}" if key else str(name)
        if isinstance(name, str) and name.startswith("_") and name.endswith("_") and len(name) > 2:
            return here
        if found := _nested(inner, here):
            return found
    return ""
