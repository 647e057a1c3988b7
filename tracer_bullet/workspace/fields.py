"""Types of single values in scenario files: paths, headers, statuses, variables. Pure."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from tracer_bullet.workspace.mistakes import Mistake, MistakesError, suggest
from tracer_bullet.workspace.template import NAME, text_of

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# The harness writes the first four (docs/protocol.md, section 1), HTTP framing the others.
RESERVED_HEADERS = ("traceparent", "tracestate", "baggage", "x-tracer-bullet", "content-length", "transfer-encoding")
BUILT_IN_VARIABLES = ("run", "bullet")

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2, token
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_STATUS = re.compile(r"[1-5](?:xx|\d\d)")


def _scalar(value: Any) -> Any:
    if not isinstance(value, str | int | float | bool):
        raise ValueError("must be a text, a number or true/false")
    return value


def _statuses(value: Any) -> Any:
    items = value if isinstance(value, list | tuple) else [value]
    texts = [str(item).lower() for item in items]
    if not texts or any(not _STATUS.fullmatch(text) for text in texts):
        raise ValueError("must be a status as 201, a class as '2xx', or a list of these")
    return texts


def _method(value: Any) -> Any:
    name = str(value).upper()
    if name not in METHODS:
        raise MistakesError(
            [Mistake(path="", message=f"must be one of {', '.join(METHODS)}", cure=suggest(name, METHODS))]
        )
    return name


def _path(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError("must begin with `/`; the host comes from the target in tracer-bullet.yaml")
    if value.startswith("//"):
        raise ValueError("must not begin with `//`, which would name another host")
    if "?" in value:
        raise ValueError("must not hold `?`; write the parameters under `query:`")
    if any(segment in (".", "..") for segment in value.split("/")):
        raise ValueError("must not hold a segment `.` or `..`")
    if "#" in value or _CONTROL.search(value) or " " in value:
        raise ValueError("must not hold `#`, spaces or control characters; percent-encode them")
    return value


def _headers(value: dict[str, str]) -> dict[str, str]:
    mistakes: list[Mistake] = []
    for name, text in value.items():
        if name.lower() in RESERVED_HEADERS:
            message = f"the harness sets the header {name!r} itself"
            mistakes.append(Mistake(path=name, message=message, cure="remove it"))
        elif not _HEADER_NAME.fullmatch(name):
            mistakes.append(Mistake(path=name, message=f"{name!r} is no valid header name"))
        if _CONTROL.search(text):
            mistakes.append(Mistake(path=name, message="a header value must not hold control characters"))
    lowered = [name.lower() for name in value]
    twice = [name for name in value if lowered.count(name.lower()) > 1]
    mistakes.extend(Mistake(path=name, message=f"the header {name!r} is given twice") for name in twice)
    if mistakes:
        raise MistakesError(mistakes)
    return value


def _names(value: dict[str, Any]) -> dict[str, Any]:
    mistakes: list[Mistake] = []
    for name in value:
        if name in BUILT_IN_VARIABLES:
            mistakes.append(Mistake(path=name, message=f"the harness sets {name!r} itself", cure="choose another name"))
        elif not NAME.fullmatch(name):
            mistakes.append(Mistake(path=name, message="a variable's name is letters, digits and `_`"))
    if mistakes:
        raise MistakesError(mistakes)
    return value


def _take(value: Any) -> Any:
    if isinstance(value, str) and (value == "status" or value.startswith("$") or _header_to_take(value)):
        return value
    raise ValueError("must be a JSONPath as `$.order_id`, `header:<name>` or `status`")


def _header_to_take(value: str) -> bool:
    return value.startswith("header:") and bool(_HEADER_NAME.fullmatch(value.removeprefix("header:")))


def _needs_why(value: str) -> str:
    if not value.strip():
        raise ValueError("must say why, for whoever reads this next year")
    return value


_SCALAR_SCHEMA: dict[str, Any] = {"type": ["string", "number", "boolean"]}
_STATUS_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "integer", "minimum": 100, "maximum": 599},
        {"type": "string", "pattern": "^[1-5]([xX]{2}|[0-9]{2})$"},
    ]
}

ScalarValue = Annotated[Any, AfterValidator(_scalar), WithJsonSchema(_SCALAR_SCHEMA)]
HeaderText = Annotated[str, BeforeValidator(lambda v: text_of(_scalar(v))), WithJsonSchema(_SCALAR_SCHEMA)]
Headers = Annotated[dict[str, HeaderText], AfterValidator(_headers)]
VariableNames = AfterValidator(_names)
Variables = Annotated[dict[str, ScalarValue], VariableNames]
Parameter = Annotated[
    tuple[ScalarValue, ...],
    BeforeValidator(lambda v: v if isinstance(v, list | tuple) else [v]),
    WithJsonSchema({"anyOf": [_SCALAR_SCHEMA, {"type": "array", "items": _SCALAR_SCHEMA}]}),
]
Parameters = dict[str, Parameter]
Method = Annotated[str, BeforeValidator(_method), WithJsonSchema({"enum": list(METHODS)})]
RequestPath = Annotated[str, AfterValidator(_path)]
Take = Annotated[str, BeforeValidator(_take), WithJsonSchema({"type": "string", "pattern": r"^(\$|header:.|status$)"})]
Statuses = Annotated[
    tuple[str, ...],
    BeforeValidator(_statuses),
    WithJsonSchema({"anyOf": [*_STATUS_SCHEMA["anyOf"], {"type": "array", "items": _STATUS_SCHEMA, "minItems": 1}]}),
]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Why = Annotated[str, AfterValidator(_needs_why)]
