"""Prepare a command line before Hydra reads it: check options, add the user's own targets, expand ~, break --help."""

import io
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.types import Quote, QuotedString

from ssc_sweep.errors import UserError
from ssc_sweep.lines import broken, width_of
from ssc_sweep.schema import did_you_mean

# key=~/folder, quoted or not. A sweep, a,b, is left unchanged.
HOME = re.compile(r"(?P<key>[^=]+)=(?P<quote>['\"]?)(?P<path>~(/[^,]*)?)(?P=quote)")


def check_options(words: Sequence[str]) -> None:
    """Check the words that begin with a dash like Hydra's own parser, which would print its whole usage.

    `--version` is answered here, as Hydra would print its own version alone.

    Raises:
        SystemExit: after --version.
        UserError: one of them is no option, or an option lacks its value.
    """
    parser = get_args_parser()
    known = [name for action in parser._actions for name in action.option_strings]

    def refuse(message: str) -> NoReturn:
        raise UserError(f"{message[0].upper()}{message[1:]}. See --hydra-help.")

    setattr(parser, "error", refuse)  # noqa: B010 - argparse has no other way to keep it from ending the process
    if "--version" in words:
        print(f"ssc_sweep {version('ssc_sweep')}, Hydra {hydra.__version__}", flush=True)
        sys.exit(0)
    _, rest = parser.parse_known_intermixed_args(list(words))
    for word in rest:
        if not word.startswith("-"):
            continue  # words after the first unknown one
        bare = word.lstrip("-")
        hint = f"Write {bare}, without dashes." if "=" in bare else did_you_mean(word, known, "See --hydra-help.")
        raise UserError(f"{word} is no option. {hint}")


@contextmanager
def readable_help(words: Sequence[str]) -> Iterator[None]:
    """Break the lines that Hydra prints for --help at the width of the terminal; a pipe gets them whole."""
    if not {"--help", "-h"} & set(words) or not sys.stdout.isatty():
        yield
        return
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            yield
    finally:
        print(broken(printed.getvalue(), width_of(sys.stdout), "  "), end="")


def own_choices(words: Sequence[str]) -> list[str]:
    """Return the words of a command line, with the choice `own` for each group whose target the user names.

    model._target_=my_package.MyModel model.width=8 means model=own with these keys, not the keys of another model. So
    they become additions, which Hydra accepts for keys that it does not know.

    >>> own_choices(["model._target_=mine.M", "model.width=8", "epochs=3"])
    ['++model._target_=mine.M', '++model.width=8', 'epochs=3', 'model=own']
    """
    # Hydra would read admit=a,b as a sweep.
    words = [
        f"admit=[{word.partition('=')[2]}]" if word.startswith("admit=") and "," in word and "[" not in word else word
        for word in words
    ]
    for group in ("model", "dataset"):
        named = any(word.startswith(f"{group}._target_=") for word in words)
        chosen = [word.partition("=")[2] for word in words if word.startswith(f"{group}=")]
        if named and not chosen:
            words.append(f"{group}=own")
        if chosen == ["own"] or (named and not chosen):
            words = [f"++{word}" if word.startswith(f"{group}.") and "=" in word else word for word in words]
    return words


def at_home(words: Sequence[str]) -> list[str]:
    """Replace a ~ at the start of a value by the user's home folder. Hydra cannot read a bare ~.

    >>> at_home(["epochs=3"])
    ['epochs=3']
    """
    return [_at_home(word) for word in words]


def _at_home(word: str) -> str:
    found = HOME.fullmatch(word)
    if found is None:
        return word
    path = QuotedString(str(Path(found["path"]).expanduser()), Quote.single)
    return f"{found['key']}={path.with_quotes()}"
