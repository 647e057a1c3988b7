"""Secrets in one text, under every layer of encoding, and by the name that it stands under."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from tracer_bullet.capture.redaction.audit.walk import Spot, parse_json, walk_json
from tracer_bullet.capture.redaction.looking.clients import CLIENT_HEADERS, addresses_in
from tracer_bullet.capture.redaction.looking.detectors import find
from tracer_bullet.capture.redaction.looking.embedded import json_spans
from tracer_bullet.capture.redaction.looking.encodings import LAYERS
from tracer_bullet.capture.redaction.looking.glance import may_hold_email, may_hold_secret
from tracer_bullet.capture.redaction.looking.names import Telling, holds_digits, is_empty_talk, what_name_says
from tracer_bullet.capture.redaction.looking.pairs import named_values
from tracer_bullet.capture.redaction.pseudonyms import begins_as_pseudonym, is_pseudonym
from tracer_bullet.capture.redaction.rules import Place, RuleSet

_MAX_DEPTH: Final = 7
_LABELS: Final = {
    "percent": "percent",
    "entities": "html",
    "escapes": "escapes",
    "base64_runs": "base64",
    "base64_around": "base64",
    "hex_runs": "hex",
}
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9-]*) +(\S.*)", re.DOTALL)
_SIGNED: Final = (Place.HEADER, Place.QUERY)
_CREDENTIALS: Final = frozenset({"authorization", "proxy-authorization"})
# Cookies that keep people logged in, besides those whose names tell it anyway.
_SESSION_WORDS: Final = re.compile(r"sess|(?:^|[^a-z])sid(?:$|[^a-z])|auth|remember|login|identity", re.IGNORECASE)
_LONG: Final = 16


@dataclass(frozen=True, slots=True)
class Found:
    """A secret: its kind, the encodings around it from the outside in, itself."""

    kind: str
    trail: tuple[str, ...]
    value: str


def search_named(spot: Spot, rules: RuleSet) -> Iterator[Found]:
    """Whether a value is a secret by its name."""
    del rules
    name, value = spot.name or "", spot.text
    if spot.place is Place.HEADER and name in CLIENT_HEADERS:
        yield from (Found("client-address", (), value[start:end]) for start, end, _ in addresses_in(value))
    if not _is_telling(spot, name, value):
        return
    if not _is_hidden(value):
        scheme = _SCHEME.fullmatch(value.strip())
        yield Found("named", (), scheme[2] if scheme else value)


def _is_telling(spot: Spot, name: str, value: str) -> bool:
    if spot.place is Place.HEADER and name in _CREDENTIALS:
        return True
    told = what_name_says(name, parent=spot.parent, signing=spot.place in _SIGNED)
    if spot.number:
        bare = value.removeprefix("-")
        counts = name.lower().endswith("s")  # `tokens: 1532`
        return told is not Telling.NOTHING and bare.isdigit() and len(bare) >= 3 and not counts
    if told is Telling.NUMBER:
        return holds_digits(value)
    if told is Telling.SECRET:
        return " " not in value.strip() or any(c.isdigit() for c in value)  # prose speaks of secrets
    return spot.place is Place.COOKIE and len(value) >= _LONG and _SESSION_WORDS.search(name) is not None


def _is_hidden(value: str) -> bool:
    """Whether a value is one of ours, or none at all."""
    bare = value.strip().strip('"')
    if is_empty_talk(bare) or is_pseudonym(bare) or begins_as_pseudonym(bare) or set(bare) == {"0"}:
        return True
    if "%" in bare and is_pseudonym(unquote(bare)):
        return True
    scheme = _SCHEME.fullmatch(bare)
    rest = scheme[2] if scheme else bare
    if scheme and (is_pseudonym(rest) or is_empty_talk(rest)):
        return True
    try:
        user, _, password = base64.b64decode(rest, validate=True).decode("ascii").partition(":")
    except (binascii.Error, ValueError):
        return False
    return is_pseudonym(user) and (not password or is_pseudonym(password))


def search_text(
    text: str, rules: RuleSet, *, structured: bool = False, trail: tuple[str, ...] = (), depth: int = 0
) -> Iterator[Found]:
    """The secrets in a text. `structured`: the names in it were judged already."""
    if not (may_hold_email if rules.emails else may_hold_secret)(text):
        return
    for hit in find(text, emails=rules.emails):
        value = text[hit.start : hit.end]
        if (
            not is_pseudonym(value)
            and not _is_ours_in_url(value)
            and not (hit.kind == "credentials" and _is_hidden(value))
        ):
            yield Found(hit.kind, trail, value)
    if structured or depth > _MAX_DEPTH:
        return
    rest, done = [], 0
    for start, end, name in _documents(text):
        yield from _search_json(text[start:end], name, rules, trail, depth)
        rest.append(text[done:start])
        done = end
    text = "\n".join((*rest, text[done:]))
    yield from _pairs(text, trail)
    for layer in LAYERS:
        for piece in layer(text):
            if piece.content != text[piece.start : piece.end]:
                label = _LABELS[layer.__name__]
                yield from search_text(piece.content, rules, trail=(*trail, label), depth=depth + 1)


def _documents(text: str) -> Iterator[tuple[int, int, str]]:
    """Where JSON stands in a text: all of it, as a string too, or objects and arrays in it."""
    bare = text.strip()
    if bare[:1] == '"' and parse_json(bare) is not None:
        yield text.index(bare), text.index(bare) + len(bare), ""
    else:
        yield from json_spans(text)


def _search_json(text: str, name: str, rules: RuleSet, trail: tuple[str, ...], depth: int) -> Iterator[Found]:
    parsed = parse_json(text)
    if parsed is None:
        return
    for spot in walk_json(parsed[0], "json:", "", name, rules):
        inner = (*trail, spot.where)
        if spot.name is not None:
            yield from (Found(found.kind, inner, found.value) for found in search_named(spot, rules))
        yield from search_text(spot.text, rules, trail=inner, depth=depth + 1)


def _pairs(text: str, trail: tuple[str, ...]) -> Iterator[Found]:
    for pair in named_values(text):
        told = what_name_says(pair.name, signing=pair.signing)
        telling = holds_digits(pair.value) if told is Telling.NUMBER else pair.could_be_secret
        if (
            telling
            and not _is_hidden(pair.value)
            and not (" " in pair.value and not any(c.isdigit() for c in pair.value))
        ):
            yield Found("named", (*trail, pair.name), pair.value)


def _is_ours_in_url(value: str) -> bool:
    user, colon, password = value.partition(":")
    return bool(colon) and is_pseudonym(password) and (not user or is_pseudonym(user))
