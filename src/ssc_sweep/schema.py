"""Allowed values of a config, declared at each field, and a one-line error for any other value.

A config group is a `Section`: a pydantic model whose fields have a type, bounds and a meaning. If a group names a
Python target instead (a model, a data set, an optimiser), the signature of that target is its schema, with the same
kinds of annotation:

    class Batch(Section):
        size: int = Field(ge=1, description="rows an update")

    def load(rows: Annotated[int, Field(ge=1, description="rows of the cohort")]) -> Cohort: ...
"""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin, get_type_hints

import annotated_types as at
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from ssc_sweep.errors import UserError

Share = Annotated[float, Field(gt=0, lt=1)]
AnyShare = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
# A list of a YAML as a tuple.
Names = Annotated[tuple[str, ...], Field(strict=False)]

# No conversion (true is no number, "3" is text), and NaN and Inf are not allowed.
STRICT = ConfigDict(
    extra="forbid", frozen=True, strict=True, allow_inf_nan=False, arbitrary_types_allowed=True, protected_namespaces=()
)


class Section(BaseModel):
    """A part of the config. Its fields are the documentation of its keys."""

    model_config = STRICT

    @classmethod
    def read(cls, values: object, prefix: str = "") -> Self:
        """Check `values`, a mapping of plain values, and make a section from them.

        Args:
            prefix: dotted key of the section, such as "batch"; "" for the whole config.

        Raises:
            UserError: a value is missing, unknown, of the wrong type or out of bounds; the line names the key, the
                value and what is allowed.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise UserError(_line(cls, error, prefix)) from error


# Validators by (type, annotation): making one takes longer than using it.
_ADAPTERS: dict[object, TypeAdapter[Any]] = {}


def checked(key: str, annotation: Any, value: object) -> Any:
    """Check one value by its annotation and return it.

    Raises:
        UserError: it is not allowed; the line names key, value and what is allowed.
    """
    if annotation not in _ADAPTERS:
        # A section has this config already, and pydantic allows it only once.
        _ADAPTERS[annotation] = TypeAdapter(annotation, config=None if _section(annotation) else STRICT)
    try:
        return _ADAPTERS[annotation].validate_python(value)
    except ValidationError as error:
        raise UserError(refusal(key, value, annotation)) from error


def admits(annotation: Any, value: object) -> bool:
    """Return whether the annotation allows this value."""
    try:
        checked("", annotation, value)
    except UserError:
        return False
    return True


def did_you_mean(word: str, known: Sequence[str], otherwise: str = "See --help.", before: str = "") -> str:
    """Return the closest known word as a question, with `before` before it; `otherwise` if none is close."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"Did you mean {before}{close[0]}?" if close else otherwise


def refusal(key: str, value: object, annotation: Any, metadata: Iterable[object] = ()) -> str:
    """Return the error line for a value that is not allowed.

    >>> refusal("role", "confunder", Literal["confounder", "after"])
    'role=confunder is out of bounds: allowed is confounder | after. Did you mean confounder?'
    """
    line = f"{key}={shown(value)} is out of bounds: allowed is {words(annotation, metadata)}."
    if _looks_like_a_number(value):
        line += " Leave its quotes out; a number of the environment is ${oc.decode:${oc.env:<NAME>}}."
    elif value == "":
        line += " Nothing follows the =; a shell keeps ; | & # for itself unless they are quoted."
    elif isinstance(value, str) and "=" in value and get_origin(_plain(annotation)) in (dict, Mapping):
        name, _, given = value.partition("=")
        line += f" Write {{{name}: {given}}}."
    elif isinstance(value, str) and _wants_a_list(annotation):
        line += f" Write {key}=[{value}]."
    elif isinstance(value, str) and (hint := did_you_mean(value, _literals(annotation), "")):
        line += f" {hint}"
    return line


def _plain(annotation: Any) -> Any:
    """Return the annotation without what Annotated adds to it."""
    return _plain(get_args(annotation)[0]) if get_origin(annotation) is Annotated else annotation


def _wants_a_list(annotation: Any) -> bool:
    return get_origin(_plain(annotation)) in (tuple, list)


def _literals(annotation: Any) -> list[str]:
    """Return the literal words of an annotation."""
    inner = _plain(annotation)
    parts = get_args(inner) if get_origin(inner) in (Union, UnionType) else (inner,)
    return [str(word) for part in parts if get_origin(_plain(part)) is Literal for word in get_args(_plain(part))]


def _looks_like_a_number(value: object) -> bool:
    return isinstance(value, str) and value.replace(".", "", 1).replace("-", "", 1).isdigit()


def shown(value: object) -> str:
    """Return a value as in a config; quote text that looks like something else."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str) and (value == "" or _looks_like_a_number(value)):
        return f"'{value}' (text)"
    return str(value)


def signature(target: Callable[..., Any], given: Iterable[str] = ()) -> type[BaseModel]:
    """Return the arguments of a target as a schema, without those `given` by the caller.

    An argument without an annotation accepts anything; `**kwargs` accepts any further key.
    """
    owner: Any = vars(target).get("__init__", target) if isinstance(target, type) else target
    try:
        hints = get_type_hints(owner, include_extras=True)
    except NameError:  # a name imported only for type checking: the arguments are then unknown
        hints = {}
    fields: dict[str, Any] = {}
    extra: Literal["allow", "forbid"] = "forbid"
    for name, parameter in inspect.signature(target).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            extra = "allow"
        elif parameter.kind is not parameter.VAR_POSITIONAL and name not in given:
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[name] = (hints.get(name, Any), default)
    made: type[BaseModel] = create_model(target.__name__, __config__=ConfigDict(**{**STRICT, "extra": extra}), **fields)
    return made


def check_arguments(group: str, target: Callable[..., Any], values: Mapping[str, object], given: Iterable[str]) -> None:
    """Check what a config gives to a target.

    Raises:
        UserError: an argument is missing, unknown or not allowed.
    """
    schema = signature(target, given)
    try:
        schema.model_validate(dict(values))
    except ValidationError as error:
        raise UserError(_line(schema, error, group)) from error


def _line(schema: type[BaseModel], error: ValidationError, prefix: str) -> str:
    """Return the first validation error in our words."""
    # An unknown key comes first: it is often the misspelling of a missing one.
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    owner, field, at_field = _find(schema, first)
    key = ".".join(part for part in (prefix, *at_field) if part)
    name = at_field[-1] if at_field else prefix
    if first["type"] == "extra_forbidden":
        above = key.removesuffix(name)
        hint = did_you_mean(key, [f"{above}{known}" for known in _keys(owner)])
        return f"{key} is unknown: allowed is {', '.join(_keys(owner)) or 'no key'} ({owner.__name__}). {hint}"
    if first["type"] == "missing":
        return f"{key} is missing: give {key}=<{words(field.annotation, field.metadata) if field else name}>."
    if field is None:
        return f"{key or 'config'}={shown(first['input'])} is out of bounds: allowed is a group of keys."
    annotation: Any = field.annotation
    if get_origin(_plain(annotation)) is dict and len(first["loc"]) > len(at_field):
        # In a mapping, such as the kinds of columns: the one key that is wrong.
        below = first["loc"][len(at_field)]
        return refusal(f"{key}.{below}", first["input"], get_args(_plain(annotation))[1])
    if _wants_a_list(annotation) and len(first["loc"]) > len(at_field):
        # In a list, such as the arms of a hypothesis: the one entry that is wrong.
        return refusal(f"{key}[{first['loc'][len(at_field)]}]", first["input"], get_args(_plain(annotation))[0])
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])  # from a section's check of its values together
    return refusal(key, first["input"], annotation, field.metadata)


def _keys(owner: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in owner.model_fields.items()]


def _find(schema: type[BaseModel], error: ErrorDetails) -> tuple[type[BaseModel], FieldInfo | None, list[str]]:
    """Return the section, the field and the key that a validation error is about."""
    owner: type[BaseModel] = schema
    field: FieldInfo | None = None
    key: list[str] = []
    for part in map(str, error["loc"]):
        if field is not None:
            inside = _section(field.annotation)
            if inside is None:
                break  # inside a value, such as an item of a list
            owner = inside
        key.append(part)
        field = next((one for name, one in owner.model_fields.items() if (one.alias or name) == part), None)
        if field is None:
            break
    return owner, field, key


def _section(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def words(annotation: Any, metadata: Iterable[object] = ()) -> str:
    """Return what an annotation allows, in words: "a number > 0, or null".

    >>> words(Annotated[float, Field(gt=0, le=1)] | None)
    'a number > 0 and <= 1, or null'
    >>> words(Literal["all", "best", "none"])
    'all | best | none'
    """
    if get_origin(annotation) is Annotated:
        inner, *outer = get_args(annotation)
        return words(inner, [*outer, *metadata])
    if get_origin(annotation) in (Union, UnionType):
        parts = [part for part in get_args(annotation) if part is not NoneType]
        text = " or ".join(dict.fromkeys(one for part in parts for one in words(part, metadata).split(" or ")))
        return f"{text}, or null" if NoneType in get_args(annotation) else text
    if get_origin(annotation) is Literal:
        return " | ".join(shown(value) for value in get_args(annotation))
    bounds = " and ".join(_bounds(metadata))
    if get_origin(annotation) in (tuple, list):
        return f"a list, each {words(get_args(annotation)[0])}"
    if get_origin(annotation) is dict:
        value = get_args(annotation)[1]
        return "a mapping" if value is Any else f"a mapping, each value {words(value)}"
    kind = {int: "a whole number", float: "a number", bool: "true or false", str: "text", dict: "a group of keys"}
    name = kind.get(annotation, "a group of keys" if _section(annotation) else "another value")
    return f"{name} {bounds}" if bounds else name


def _bounds(metadata: Iterable[object]) -> list[str]:
    found = []
    for item in metadata:
        for one in item.metadata if isinstance(item, FieldInfo) else [item]:
            for kind, sign in ((at.Gt, ">"), (at.Ge, ">="), (at.Lt, "<"), (at.Le, "<=")):
                if isinstance(one, kind):
                    found.append(f"{sign} {getattr(one, kind.__name__.lower())}")
            if isinstance(one, at.MinLen):
                found.append("that is not empty")
    return found
