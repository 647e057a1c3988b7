"""Changing the value at a place of a request: `header:`, `cookie:`, `query:`, `form:`, `json:`. Pure.

Each value is encoded as its place wants it; what is not changed keeps its bytes, but that changed JSON is written anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, quote_plus, unquote_plus

from tracer_bullet.replay.requests.draft import Draft
from tracer_bullet.workspace.json_path import Step, dump_json, find_places, parse_json_path

Change = Callable[[str], str | None]  # the new text, or None to leave it

_NOT_IN_COOKIE: Final = re.compile(r'[^!#-+\--:<-\[\]-~"]')  # RFC 6265, 4.1.1, and the quotes around
_INTEGER: Final = re.compile(r"-?(?:0|[1-9]\d{0,18})")


@dataclass(frozen=True, slots=True)
class Place:
    """A parsed place."""

    kind: str
    name: str
    steps: tuple[Step, ...] = ()


def parse_place(text: str) -> Place:
    """The place in a text of the replay file, which has been checked."""
    kind, _, name = text.partition(":")
    if kind == "json":
        return Place(kind, name, parse_json_path(name))
    return Place(kind, name.lower() if kind == "header" else name)


def change(draft: Draft, place: Place, new: Change) -> bool:
    """Give each value at the place to `new`; whether anything was changed."""
    if place.kind == "header":
        return _headers(draft, place.name, new)
    if place.kind == "cookie":
        return _cookies(draft, place.name, new)
    if place.kind == "query":
        path, mark, query = draft.target.partition("?")
        changed = _pairs(query, place.name, new, plus=False) if mark else None
        if changed is not None:
            draft.target = f"{path}?{changed}"
        return changed is not None
    if place.kind == "form":
        return _form(draft, place.name, new)
    return change_json(draft, place.steps, lambda old: _retyped(old, new))


def add(draft: Draft, place: Place, text: str) -> None:
    """Put a header or a cookie where the recording does not tell what there was; other places are left."""
    if place.kind == "header":
        draft.headers.append((place.name, header_text(text)))
    elif place.kind == "cookie":
        for index, (name, value) in enumerate(draft.headers):
            if name.lower() == "cookie":
                draft.headers[index] = (name, f"{value}; {place.name}={cookie_text(text)}")
                return
        draft.headers.append(("cookie", f"{place.name}={cookie_text(text)}"))


def header_text(text: str) -> str:
    """A header value: UTF-8 as latin-1, line breaks and zeros taken out (RFC 9110, 5.5)."""
    return re.sub(r"[\r\n\x00]", "", text).encode("utf-8").decode("latin-1").strip()


def cookie_text(text: str) -> str:
    """A cookie's value; what may not stand there is percent-encoded, as browsers' scripts do."""
    return _NOT_IN_COOKIE.sub(lambda m: quote(m[0]), text)


def change_json(draft: Draft, steps: tuple[Step, ...], new: Callable[[Any], Any]) -> bool:
    """Give each JSON value at a path to `new`, which says the new one (or the same object). Bodies that are no JSON,
    or compressed, are left."""
    document = load_json(draft) if _may_have(draft.body, steps) else None
    if document is None:
        return False
    changed = False
    for container, key in find_places(document, steps):
        old = container[key]
        value = new(old)
        if value is not old:
            container[key] = value
            changed = True
    if changed:
        draft.body = dump_json(document)
    return changed


def _may_have(body: bytes, steps: tuple[Step, ...]) -> bool:
    """Whether the last name of a path stands in the body: most bodies need not be read as JSON at all."""
    name = steps[-1].key if steps else None
    return not isinstance(name, str) or name.encode("utf-8", "replace") in body or b"\\u" in body


def load_json(draft: Draft) -> Any:
    """The body's JSON object or list; None when it is none."""
    if draft.body.lstrip()[:1] not in (b"{", b"["):
        return None
    kind = draft.content_type()
    if kind and not kind.endswith("json"):
        return None
    try:
        return json.loads(draft.body)
    except (ValueError, RecursionError):
        return None


def _headers(draft: Draft, wanted: str, new: Change) -> bool:
    changed = False
    for index, (name, value) in enumerate(draft.headers):
        if len(name) == len(wanted) and name.lower() == wanted:
            text = new(value)
            if text is not None:
                draft.headers[index] = (name, header_text(text))
                changed = True
    return changed


def _cookies(draft: Draft, wanted: str, new: Change) -> bool:
    changed = False
    for index, (name, value) in enumerate(draft.headers):
        if len(name) != 6 or name.lower() != "cookie":
            continue
        parts = value.split(";")
        for number, part in enumerate(parts):
            key, equals, old = part.partition("=")
            if equals and key.strip() == wanted and (text := new(old.strip())) is not None:
                parts[number] = f"{key}={cookie_text(text)}"
                changed = True
        draft.headers[index] = (name, ";".join(parts))
    return changed


def _form(draft: Draft, wanted: str, new: Change) -> bool:
    if draft.content_type() != "application/x-www-form-urlencoded":
        return False
    changed = _pairs(draft.body.decode("latin-1"), wanted, new, plus=True)
    if changed is not None:
        draft.body = changed.encode("latin-1")
    return changed is not None


def _pairs(text: str, wanted: str, new: Change, *, plus: bool) -> str | None:
    pairs = text.split("&")
    changed = False
    for number, pair in enumerate(pairs):
        name, equals, old = pair.partition("=")
        if (name == wanted or unquote_plus(name) == wanted) and (value := new(unquote_plus(old))) is not None:
            pairs[number] = f"{name}{equals or '='}{quote_plus(value) if plus else quote(value, safe='')}"
            changed = True
    return "&".join(pairs) if changed else None


def _retyped(old: Any, new: Change) -> Any:
    """A number stays one when the new text is one."""
    if isinstance(old, bool) or old is None or not isinstance(old, str | int | float):
        return old
    text = new(old if isinstance(old, str) else repr(old))
    if text is None:
        return old
    return int(text) if not isinstance(old, str) and _INTEGER.fullmatch(text) else text
