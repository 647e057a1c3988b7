"""What pydantic found wrong, in words for people: the key as written, valid values, a suggestion. Pure."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pydantic
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

# pydantic's error types about types, in the words of YAML.
_WANTED = {
    "model_type": "a map",
    "dict_type": "a map",
    "tuple_type": "a list",
    "list_type": "a list",
    "string_type": "a text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """A mistake at a dotted path, without a file yet."""

    path: str
    message: str
    cure: str = ""


class MistakesError(ValueError):
    """Raised by a model's validator to tell several mistakes; their paths count from that model."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("; ".join(m.message for m in self.mistakes))


def suggest(word: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?` for the known word that is closest, or nothing when none is close."""
    by_lower = {k.lower(): k for k in known}
    close = difflib.get_close_matches(word.lower(), list(by_lower), n=1, cutoff=0.6)
    return f"did you mean {by_lower[close[0]]!r}?" if close else ""


def explain(error: pydantic.ValidationError, model: type[pydantic.BaseModel], tree: Any) -> Iterator[Mistake]:
    """The mistakes that a ValidationError of `model` tells about `tree`, the plain value it was given."""
    for detail in error.errors(include_url=False):
        if _counts_only_valid_items(detail):
            continue
        path, kinds = _place(detail["loc"], model, tree)
        told = detail.get("ctx", {}).get("error")
        if isinstance(told, MistakesError):
            for inner in told.mistakes:
                joined = f"{path}.{inner.path}" if path and inner.path else path or inner.path
                yield Mistake(path=joined, message=inner.message, cure=inner.cure)
        else:
            yield _mistake(detail, path, kinds)


def _counts_only_valid_items(detail: ErrorDetails) -> bool:
    """Whether "too short" is said of a list that is long enough, but holds mistakes of its own."""
    given = detail["input"]
    return (
        detail["type"] == "too_short" and isinstance(given, list | dict) and len(given) >= detail["ctx"]["min_length"]
    )


def _mistake(detail: ErrorDetails, path: str, kinds: tuple[Any, ...]) -> Mistake:
    key = path.rpartition(".")[2]
    context = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            key = str(detail["loc"][-1])
            keys = _keys(kinds)
            listed = f"valid keys: {', '.join(keys)}"
            return Mistake(path=path, message=f"unknown key {key!r}", cure=_joined(suggest(key, keys), listed))
        case "missing":
            return Mistake(path=path, message=f"{key!r} is needed", cure=f"add `{key}:`")
        case "literal_error" | "enum":
            return _choice(path, detail["input"], context["expected"])
        case "union_tag_invalid":
            where = f"{path}.{context['discriminator'].strip(chr(39))}"
            return _choice(where, context["tag"], context["expected_tags"])
        case "union_tag_not_found":
            name = context["discriminator"].strip("'")
            tags = ", ".join(tag for kind in kinds for tag in _tags_of(kind))
            return Mistake(path=path, message=f"{name!r} is needed", cure=f"add `{name}:` with one of {tags}")
        case "too_short":
            return Mistake(path=path, message=f"needs at least {context['min_length']}, and is empty")
        case "value_error":
            return Mistake(path=path, message=str(context["error"]))
        case _:
            return Mistake(path=path, message=f"{_requirement(detail)}, not {_short(detail['input'])}")


def _requirement(detail: ErrorDetails) -> str:
    wanted = _WANTED.get(detail["type"])
    said = f"must be {wanted}" if wanted else detail["msg"].replace("Input should", "must", 1)
    return f"{said[:1].lower()}{said[1:]}"


def _choice(path: str, given: Any, expected: str) -> Mistake:
    choices = re.findall(r"'([^']*)'", expected)
    valid = f"one of {', '.join(choices)}" if choices else expected
    return Mistake(path=path, message=f"must be {valid}, not {_short(given)}", cure=suggest(str(given), choices))


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _joined(*parts: str) -> str:
    return "; ".join(p for p in parts if p)


def _place(loc: tuple[int | str, ...], model: Any, tree: Any) -> tuple[str, tuple[Any, ...]]:
    """The dotted path as written, and the types that may stand there (of an unknown key: around it).

    pydantic puts the tag of a discriminated union into `loc`; the file has no such key.
    """
    kinds, value = _members(model), tree
    keys: list[str] = []
    for part in loc:
        tagged = [k for k in kinds if part in _tags_of(k)]
        if tagged and not (isinstance(value, dict) and part in value):
            kinds = tuple(tagged)
            continue
        if part == "[key]":
            continue
        keys.append(str(part))
        value = _child(value, part)
        kinds = _below(kinds, part) or kinds
    return ".".join(keys), kinds


def _child(value: Any, part: int | str) -> Any:
    if isinstance(value, dict):
        return value.get(part)
    if isinstance(value, list) and isinstance(part, int) and part < len(value):
        return value[part]
    return None


def _below(kinds: tuple[Any, ...], part: int | str) -> tuple[Any, ...]:
    found: list[Any] = []
    for kind in kinds:
        if _is_model(kind):
            found.extend(m for f in _fields(kind, str(part)) for m in _members(f.annotation))
        elif arguments := typing.get_args(kind):
            found.extend(_members(arguments[1] if typing.get_origin(kind) is dict else arguments[0]))
    return tuple(found)


def _members(kind: Any) -> tuple[Any, ...]:
    """The types in a union, but None; without Annotated around them."""
    if typing.get_origin(kind) is Annotated:
        return _members(typing.get_args(kind)[0])
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return tuple(m for a in typing.get_args(kind) if a is not type(None) for m in _members(a))
    return (kind,)


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, pydantic.BaseModel)


def _fields(kind: Any, key: str) -> list[FieldInfo]:
    return [f for name, f in kind.model_fields.items() if (f.alias or name) == key]


def _keys(kinds: tuple[Any, ...]) -> list[str]:
    """The keys that models of these types know."""
    return [f.alias or name for kind in kinds if _is_model(kind) for name, f in kind.model_fields.items()]


def _tags_of(kind: Any) -> tuple[Any, ...]:
    """The texts that may tag a model in a discriminated union."""
    if not _is_model(kind):
        return ()
    literals = [f.annotation for f in kind.model_fields.values() if typing.get_origin(f.annotation) is Literal]
    return tuple(tag for literal in literals for tag in typing.get_args(literal) if isinstance(tag, str))
