"""Check the names of studies and arms, which are folder names."""

from pathlib import Path

from ssc_sweep.errors import UserError
from ssc_sweep.schema import shown
from ssc_sweep.study.folder import StudyFolder
from ssc_sweep.writing import LONGEST_NAME, leads_out


def study_folder(outputs: object, study: object) -> StudyFolder:
    """Return the folder of a study; a name that YAML reads as a number is valid.

    Raises:
        UserError: there is no name, or it leads out of `outputs`.
    """
    parent = Path(_name("outputs", outputs, "a folder")).expanduser()
    return StudyFolder(parent / _inside("study", study, f"outputs={outputs}"))


def arm_name(arm: object, study: object) -> str | None:
    """Return the folder of an arm that was named by hand; None if it was not.

    Raises:
        UserError: the name is invalid, or leads out of the study.
    """
    return None if arm is None or arm == "" else _inside("arm", arm, f"study={study}")


def _inside(key: str, value: object, parent: str) -> str:
    name = _name(key, value, "a name")
    if leads_out(name) or not Path(name).parts:
        raise UserError(f"{key}={name} leads out of {parent}: give a name, e.g. {key}=mine.")
    return name


def _name(key: str, value: object, what: str) -> str:
    """Return a value as a folder name.

    Raises:
        UserError: it is empty, neither text nor number, or too long for a file system.
    """
    if value is None or not str(value).strip():
        raise UserError(f"{key}={shown(value)} is empty: give {what}, e.g. {key}=mine.")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UserError(f"{key}={shown(value)} is no name: allowed is text or a number, e.g. {key}=mine.")
    name = str(value)
    longest = max(len(part.encode()) for part in name.split("/"))
    if longest > LONGEST_NAME:
        raise UserError(
            f"{key}={name[:20]}... is too long: a folder's name may have {LONGEST_NAME} bytes, and one has {longest}."
        )
    if any(ord(sign) < 32 for sign in name):
        raise UserError(f"{key}={name!r} has a line break or another control character: allowed is {what} without.")
    return name
