"""python -m ssc_sweep.findings outputs/<study> ...: rebuild the findings of finished studies without training.

With unpack=<arm>/seed=<n> it makes a folder of a run that lies in a table, and does nothing else.
"""

from ssc_sweep import stop

if __name__ == "__main__":
    stop.end_fast()  # before the imports below

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

from ssc_sweep.errors import UserError, message
from ssc_sweep.lines import tell, tell_error
from ssc_sweep.progress import doing
from ssc_sweep.study.folder import RunFolder, StudyFolder
from ssc_sweep.writing import check_ours, write_text

UNPACK = "unpack="


def _study(path: Path) -> StudyFolder:
    """Check that the path is a study's folder.

    Raises:
        UserError: it is none.
    """
    if not path.is_dir():
        raise UserError(f"there is no folder {path}. Give the folder of a study, such as outputs/<study>.")
    folder = StudyFolder(path)
    if not folder.study.is_file():
        folder.look()
    if not folder.study.is_file() and not any(run.path.name.startswith("seed=") for run in folder.runs()):
        raise UserError(f"{path} holds no study.yaml and no runs, so it is no study. Give one: outputs/<study>.")
    return folder


def find(paths: Sequence[Path]) -> tuple[list[StudyFolder], list[UserError]]:
    """Return the studies among these paths and in these folders, and what is wrong with the other paths."""
    folders, wrong = [], []
    every: list[Path] = []
    for path in (path.resolve() for path in paths):
        held = [] if (path / "study.yaml").is_file() else sorted(path.glob("*/study.yaml"))
        every += [one.parent for one in held] or [path]
    for path in dict.fromkeys(every):
        try:
            folders.append(_study(path))
        except UserError as error:
            wrong.append(error)
    return folders, wrong


def rebuild(folders: Sequence[StudyFolder]) -> tuple[list[Path], list[str]]:
    """Rebuild the findings of a study; of several those that have changed, and an index.

    Returns:
        The pages, and a line for each study with ended runs that cannot be read.

    Raises:
        UserError: a page cannot be written, or another program's index.html is in its place.
    """
    # Imported here, so that a wrong path is reported without loading pandas, scipy and matplotlib.
    with doing("loading the statistics"):
        from ssc_sweep.findings.drawing.pages import environment
        from ssc_sweep.findings.judging.answer import headline, lowest
        from ssc_sweep.findings.report import build
        from ssc_sweep.findings.searched.search_results import answer_of

    parent = Path(os.path.commonpath([folder.path.parent for folder in folders]))
    if len(folders) > 1:
        check_ours(parent / "index.html", "move it, or give the studies one by one")
    built = []
    for number, folder in enumerate(folders, 1):
        with doing(f"reading {folder.path.name}, {number} of {len(folders)}, and writing its report"):
            built.append(build(folder, again=len(folders) == 1))
    unusable = [f"{one.study.folder.path.name}: {one.study.unusable}" for one in built if one.study.unusable]
    pages = [folder.report for folder in folders]
    if len(folders) > 1:
        studies = [
            {
                "name": one.study.folder.path.relative_to(parent).as_posix(),
                "href": "./" + quote(one.study.folder.report.relative_to(parent).as_posix(), safe="/=,+"),
                "study": one.study,
                "answer": headline(one.verdicts) or (answer_of(one.search) if one.search else lowest(one.study)),
            }
            for one in built
        ]
        write_text(parent / "index.html", environment().get_template("index.html.j2").render(studies=studies))
        pages.append(parent / "index.html")
    return pages, unusable


def unpack(folders: Sequence[StudyFolder], names: Sequence[str]) -> list[Path]:
    """Make folders of runs of a study that lie in tables; a name is <arm>/seed=<n>.

    Raises:
        UserError: there are several studies, a run lies in no table, or a folder cannot be written.
    """
    if len(folders) > 1:
        raise UserError(f"{UNPACK}{names[0]} takes one study, and {len(folders)} are given.")
    folders[0].look()
    runs = [RunFolder(folders[0].path / name) for name in names]
    for run in runs:
        run.unpack()
    return [run.path for run in runs]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Exit codes: 0 done, 1 a run cannot be read or a page cannot be written, 2 none of the paths is a study.

    Paths that are no study are named and skipped, so that outputs/* works whatever else is there.
    """
    parser = argparse.ArgumentParser(
        prog="python -m ssc_sweep.findings",
        description="Read studies from disk and write summary.csv, verdicts.csv, figures/ and report.html into each; "
        "for several into those that have changed since, and an index.html beside them. Nothing is trained.",
    )
    parser.add_argument(
        "study",
        nargs="+",
        type=Path,
        help="folder of a study, such as outputs/<study>, or of studies, such as outputs; "
        "beside it, unpack=<arm>/seed=<n>: only make a folder of this run, which lies in a table",
    )
    words = [str(word) for word in parser.parse_args(arguments).study]
    names = [word.removeprefix(UNPACK) for word in words if word.startswith(UNPACK)]
    if len(names) == len(words):
        parser.error(f"{UNPACK}{names[0]} takes the folder of a study, such as outputs/<study>, before it")
    folders, wrong = find([Path(word) for word in words if not word.startswith(UNPACK)])
    for error in wrong:
        tell(f"{'left out' if folders else 'error'}: {message(error)}", sys.stderr)
    if not folders:
        return 2
    try:
        pages, unusable = (unpack(folders, names), []) if names else rebuild(folders)
    except (UserError, OSError) as error:
        tell_error(message(error))
        return 2 if names and isinstance(error, UserError) else 1
    for page in pages:
        print(page)
    for line in unusable:
        tell_error(line)
    return 1 if unusable else 0


def command() -> NoReturn:
    """Run the command line and end the process."""
    stop.run(main)


if __name__ == "__main__":
    command()
