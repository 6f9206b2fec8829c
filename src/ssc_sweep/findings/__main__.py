"""python -m ssc_sweep.findings outputs/<study> ...: make the findings of finished studies again, without training."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from ssc_sweep.errors import UserError
from ssc_sweep.study.folder import StudyFolder, write_text


def _study(path: Path) -> StudyFolder:
    """Check that the path is a study's folder.

    Raises:
        UserError: it is not.
    """
    if not path.is_dir():
        raise UserError(f"there is no folder {path}. Give the folder of a study, such as outputs/<study>.")
    folder = StudyFolder(path)
    if not folder.study.is_file() and any(path.glob("*/study.yaml")):
        raise UserError(f"{path} is no study but holds studies. Give them by name: {path}/*")
    if not folder.study.is_file() and not any(run.path.name.startswith("seed=") for run in folder.runs()):
        raise UserError(f"{path} holds no study.yaml and no runs, so it is no study. Give one: outputs/<study>.")
    return folder


def find(paths: Sequence[Path]) -> tuple[list[StudyFolder], list[UserError]]:
    """The studies among these paths, and what is wrong with the others."""
    folders, wrong = [], []
    for path in dict.fromkeys(path.resolve() for path in paths):
        try:
            folders.append(_study(path))
        except UserError as error:
            wrong.append(error)
    return folders, wrong


# Stands in the head of every page of ours (templates/page.html.j2).
OURS = '<meta name="generator" content="ssc_sweep">'


def _may_write(index: Path) -> bool:
    """Whether there is no such file yet, or it is one that this command has made."""
    return not index.is_file() or OURS in index.read_text(encoding="utf-8", errors="replace")


def rebuild(folders: Sequence[StudyFolder]) -> list[Path]:
    """Make the findings of each study again, and an index where there are several; return the pages.

    A file index.html that somebody else has made stays as it is.
    """
    # Imported here: pandas, scipy and matplotlib take time that a wrong path should not cost.
    from ssc_sweep.findings.report import build, environment

    built = [build(folder) for folder in folders]
    for study, _, _ in built:
        out = int(study.runs["left_out"].notna().sum())
        if out:
            name = study.folder.path.name
            print(f"{name}: {out} of {len(study.runs)} runs are left out; its report says why.", file=sys.stderr)
    pages = [folder.path / "report.html" for folder in folders]
    if len(folders) > 1:
        parent = Path(os.path.commonpath([folder.path.parent for folder in folders]))
        index = parent / "index.html"
        if not _may_write(index):
            print(f"left out: {index} is not of ssc_sweep and stays. To get an index, move it.", file=sys.stderr)
            return pages
        studies = [
            {
                "name": study.folder.path.relative_to(parent).as_posix(),
                "href": "./" + quote(f"{study.folder.path.relative_to(parent).as_posix()}/report.html", safe="/=,+"),
                "study": study,
                "verdicts": verdicts,
            }
            for study, verdicts, _ in built
        ]
        write_text(index, environment().get_template("index.html.j2").render(studies=studies))
        pages.append(index)
    return pages


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Exit codes: 0 done, 2 none of the paths is a study, or a page cannot be written.

    Paths that are no study are named and passed over, so that outputs/* works whatever else lies there.
    """
    parser = argparse.ArgumentParser(
        prog="python -m ssc_sweep.findings",
        description="Read studies from disk and write summary.csv, verdicts.csv, figures/ and report.html into each; "
        "for several, also an index.html beside them. Nothing is trained.",
    )
    parser.add_argument("study", nargs="+", type=Path, help="folder of a study, such as outputs/<study>")
    try:
        folders, wrong = find(parser.parse_args(arguments).study)
        for error in wrong:
            print("left out:" if folders else "error:", " ".join(str(error).split()), file=sys.stderr)
        if not folders:
            return 2
        pages = rebuild(folders)
    except UserError as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    for page in pages:
        print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
