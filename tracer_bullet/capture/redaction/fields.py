"""Secrets in lists of `name=value`: queries, urlencoded forms (WHATWG URL, section 5), cookies (RFC 6265)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import quote_plus, unquote_plus

from tracer_bullet.capture.redaction.rules import Action, Place
from tracer_bullet.capture.redaction.texts import Scrubber

Note = Callable[[str], None]
# Written by people and by every client as it is; the rest is encoded.
_SAFE: Final = "-._~"
_ATTRIBUTE: Final = re.compile(r";[ \t]*")


def redact_fields(text: str, place: Place, scrubber: Scrubber, note: Note) -> str:
    """A query or a form without secrets; the same object when there are none. `note` gets the names that changed."""
    parts = text.split("&")
    fresh: list[str] = []
    changed = False
    for part in parts:
        new = _field(part, place, scrubber, note)
        changed = changed or new is not part
        if new is not None:
            fresh.append(new)
    return "&".join(fresh) if changed else text


def _field(part: str, place: Place, scrubber: Scrubber, note: Note) -> str | None:
    name, equals, value = part.partition("=")
    plain = _plain(name)
    action, digits = scrubber.rules.names(place, plain)
    content = _plain(value)
    if action is Action.REMOVE:
        note(plain)
        return None
    new = scrubber.named(content, action, digits=digits, path="") or ""
    if new == content and value != content and action is None:  # what only looks encoded
        raw = scrubber.scrub(value)
        new = content if raw == value else _plain(raw)
    new_name = plain if action is not None else scrubber.scrub(plain)
    if new == content and new_name == plain:
        return part
    note(new_name)
    if new_name != plain:
        name = quote_plus(new_name, safe=_SAFE, errors="surrogatepass")
    if new != content:
        value = quote_plus(new, safe=_kept(value), errors="surrogatepass")
    return f"{name}{equals}{value}"


def _plain(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text


def _kept(value: str) -> str:
    """What is not encoded in the old value is not encoded in the new one."""
    return _SAFE + "".join({c for c in value if c.isascii() and not c.isalnum() and c not in '% +&#"<>'})


def redact_cookies(line: str, scrubber: Scrubber, note: Note) -> str:
    """A Cookie line (RFC 6265, 4.2.1): names stay, values go; empty when nothing is left."""
    fresh = [new for part in line.split(";") if (new := _cookie(part, scrubber, note)) is not None]
    return ";".join(fresh).lstrip()


def redact_set_cookie(line: str, scrubber: Scrubber, note: Note) -> str | None:
    """A Set-Cookie line (RFC 6265, 4.1.1): the name and the attributes stay. None when it goes."""
    pair, semicolon, attributes = line.partition(";")
    new = _cookie(pair, scrubber, note)
    if new is None:
        return None
    kept = scrubber.scrub(attributes)
    if kept != attributes:
        note(_ATTRIBUTE.split(line)[0].partition("=")[0].strip())
    return f"{new}{semicolon}{kept}"


def _cookie(part: str, scrubber: Scrubber, note: Note) -> str | None:
    name, equals, value = part.partition("=")
    bare = name.strip()
    if not equals:  # a value without a name (RFC 6265bis)
        new = scrubber.secret(part, Action.PSEUDONYM)
        if new != part:
            note("")
        return new
    action, digits = scrubber.rules.names(Place.COOKIE, bare)
    new = scrubber.named(value, action, digits=digits)
    shown = scrubber.scrub(bare)
    if new != value or shown != bare:
        note(shown)
    return None if new is None else f"{name.replace(bare, shown) if shown != bare else name}{equals}{new}"
