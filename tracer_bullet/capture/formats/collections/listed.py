"""What lists of requests have in common: exchanges without times, variables, and authorization by description."""

from __future__ import annotations

import base64
import re
from typing import Any, BinaryIO, Final

from tracer_bullet.capture.formats.shared import parts
from tracer_bullet.capture.formats.shared.json_cut import parse
from tracer_bullet.capture.formats.shared.streams import RECORD_BYTES, chunks
from tracer_bullet.model.exchange import Answer, Exchange, Lack, Request
from tracer_bullet.model.losses import Losses

TOO_LARGE: Final = "documents that are too large to be held"
UNRESOLVED: Final = "requests with variables that have no value in the file"
UNKNOWN_AUTH: Final = "authorizations that cannot be put into a header: the request is kept without"
_VARIABLE: Final = re.compile(r"\{\{\s*(?:_\.|_\[')?([^{}|]{1,200}?)(?:'\])?\s*\}\}")
_LEFT: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_ROUNDS: Final = 5


def whole_document(stream: BinaryIO, losses: Losses) -> dict[str, Any]:
    """The document as a whole; empty, and counted, when it is none or too large."""
    held = bytearray()
    for chunk in chunks(stream, losses):
        held += chunk
        if len(held) > RECORD_BYTES:
            losses.lose(TOO_LARGE)
            return {}
    return parts.as_dict(parse(bytes(held), losses)) if held.strip() else {}


def filled(text: str, variables: dict[str, str]) -> str:
    """The text with its `{{variables}}`; those that have no value stay. Values may hold variables again."""
    for _ in range(_ROUNDS):
        if "{{" not in text or len(text) > RECORD_BYTES:
            break
        text = _VARIABLE.sub(lambda found: variables.get(found.group(1).strip(), found.group()), text)
    return text


def is_open(*texts: str) -> bool:
    """Whether a variable, or a template's tag, is left in one of them."""
    return any(_LEFT.search(text) for text in texts)


def authorization(kind: str, said: dict[str, str], losses: Losses) -> tuple[str, str] | None:
    """The header of a described authorization: bearer, basic and apikey (in a header)."""
    if kind in ("", "noauth", "none", "inherit"):
        return None
    if kind == "bearer" and said.get("token"):
        return "Authorization", f"{said.get('prefix') or 'Bearer'} {said['token']}"
    if kind == "basic":
        pair = f"{said.get('username', '')}:{said.get('password', '')}"
        return "Authorization", "Basic " + base64.b64encode(parts.octets(pair)).decode("ascii")
    if kind == "apikey" and said.get("key") and said.get("in", said.get("addTo", "header")) == "header":
        return said["key"], said.get("value", "")
    losses.repair(UNKNOWN_AUTH, kind)
    return None


def listed(
    source: str, order: int, request: Request, answer: Answer | None, lacks: set[Lack], name: str = ""
) -> Exchange:
    """An exchange of which only the place in its list is known: `started_ns` is that, and marked as no time."""
    marks = {*lacks, Lack.START, Lack.DURATION, Lack.SESSION}
    if answer is None:
        marks.add(Lack.ANSWER)
    return Exchange(
        id=name, session="", source=source, started_ns=order, request=request, answer=answer, lacks=frozenset(marks)
    )
