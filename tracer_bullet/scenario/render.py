"""A step and its variables to the request as it is sent, without the carriers. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from tracer_bullet import __version__
from tracer_bullet.scenario.plan import PlannedStep
from tracer_bullet.workspace.matcher import Matcher
from tracer_bullet.workspace.scenario import RequestSpec
from tracer_bullet.workspace.template import Scalar, fill, references, text_of

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_PATH_SAFE = "/%:@!$&'()*+,;=~"  # RFC 3986, section 3.3: pchar, and what is percent-encoded already


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRequest:
    """A request ready to be sent: absolute URL, header lines, body (empty: none)."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


def render_request(step: PlannedStep, variables: Mapping[str, Scalar]) -> PreparedRequest:
    """The request of a step.

    Raises ValueError, in words for people, when a variable's value cannot stand where it is used:
    an empty one in the path, a line break in a header, half a character in a body.
    """
    spec = step.spec.request
    url = step.base_url + _path(spec.path, variables)
    query = _pairs(spec.query, variables)
    if query:
        url += "?" + urlencode(query, quote_via=quote)
    body, content_type = _body(spec, variables)
    headers = [(name, _header(name, text, variables)) for name, text in spec.headers.items()]
    defaults = {"accept": "*/*", "user-agent": f"tracer-bullet/{__version__}", "content-type": content_type}
    given = {name.lower() for name, _ in headers}
    headers += [(name, value) for name, value in defaults.items() if value and name not in given]
    return PreparedRequest(method=spec.method, url=url, headers=tuple(headers), body=body)


def fill_matcher(matcher: Matcher, variables: Mapping[str, Scalar]) -> Matcher:
    """The matcher with `${name}` in its operands replaced; in a regular expression it stands for itself."""
    filled: dict[str, Any] = {}
    for operator, operand in matcher.operators:
        if any(references(operand)) or (isinstance(operand, str) and "$${" in operand):
            name = "in_" if operator == "in" else operator
            filled[name] = fill(operand, variables, re.escape if operator == "matches" else str)
    return matcher.model_copy(update=filled) if filled else matcher


def _path(template: str, variables: Mapping[str, Scalar]) -> str:
    for _, name in references(template):
        if name is not None and text_of(variables[name]) == "":
            raise ValueError(f"the variable {name!r} in the path is empty")
    path = quote(fill(template, variables, _quoted), safe=_PATH_SAFE)
    if any(segment in (".", "..") for segment in path.split("/")):
        raise ValueError(f"the path {path!r} holds a segment `.` or `..`, which leads elsewhere")
    return path


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _pairs(parameters: Mapping[str, tuple[Any, ...]], variables: Mapping[str, Scalar]) -> list[tuple[str, str]]:
    return [(name, text_of(fill(value, variables))) for name, values in parameters.items() for value in values]


def _header(name: str, template: str, variables: Mapping[str, Scalar]) -> str:
    text = text_of(fill(template, variables))
    if _CONTROL.search(text):
        raise ValueError(f"the header {name!r} would hold a control character")
    return text


def _body(spec: RequestSpec, variables: Mapping[str, Scalar]) -> tuple[bytes, str]:
    if spec.has_json:
        text = json.dumps(fill(spec.json_, variables), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode(), "application/json"
    if spec.form is not None:
        return urlencode(_pairs(spec.form, variables)).encode(), "application/x-www-form-urlencoded"
    if spec.body is not None:
        return text_of(fill(spec.body, variables)).encode(), "text/plain; charset=utf-8"
    return b"", ""
