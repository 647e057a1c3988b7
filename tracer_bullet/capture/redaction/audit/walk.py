"""Every place of an exchange where a text stands, by a way of its own through headers, queries and bodies."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_plus

from tracer_bullet.capture.redaction.looking.codings import OpenError, codings_of, open_content
from tracer_bullet.capture.redaction.rules import Action, Place, RuleSet, json_index, json_key, readable
from tracer_bullet.model.exchange import Exchange, Headers

_BOUNDARY: Final = re.compile(r"boundary=\"?([^\s;\"]{1,200})", re.IGNORECASE)
_PART_NAME: Final = re.compile(rb";\s*name=\"?([^\r\n\";]*)", re.IGNORECASE)
_CHARSET: Final = re.compile(r"charset=\"?([^\s;\"]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A text and where it stands. `name`: of the field that it is the value of, None for text on its own.

    `structured`: its parts come as spots of their own, so that names in it have been judged.
    """

    where: str
    text: str
    name: str | None = None
    place: Place | None = None
    parent: str = ""
    number: bool = False
    structured: bool = False


def spots_of(exchange: Exchange, rules: RuleSet, limit: int) -> Iterator[Spot]:
    """All texts of an exchange but those that a rule keeps."""
    request, answer = exchange.request, exchange.answer
    path, _, query = request.target.partition("?")
    yield Spot(where="path", text=path)
    yield from _fields(query, "query", Place.QUERY, rules)
    yield Spot(where="authority", text=request.authority)
    yield Spot(where="session", text=exchange.session)
    yield from _headers(request.headers, "", rules)
    yield from _headers(request.trailers, "trailer-", rules)
    yield from _body(request.body, request.headers, "", rules, limit)
    if answer is not None:
        yield from _headers(answer.headers, "answer:", rules)
        yield from _headers(answer.trailers, "answer:trailer-", rules)
        yield from _body(answer.body, answer.headers, "answer:", rules, limit)


def _fields(text: str, where: str, place: Place, rules: RuleSet) -> Iterator[Spot]:
    for part in text.split("&"):
        raw_name, _, raw_value = part.partition("=")
        name, value = unquote_plus(raw_name), unquote_plus(raw_value)
        if rules.names(place, name)[0] is Action.KEEP:
            continue
        yield Spot(where=f"{where}:{name}", text=value, name=name, place=place)
        yield Spot(where=f"{where}:{name}", text=name)
        if raw_value != value:
            yield Spot(where=f"{where}:{name}", text=raw_value)


def _headers(headers: Headers, prefix: str, rules: RuleSet) -> Iterator[Spot]:
    for name, value in headers:
        lowered = name.lower()
        if rules.names(Place.HEADER, lowered)[0] is Action.KEEP:
            continue
        if lowered in ("cookie", "set-cookie"):
            for at, part in enumerate(value.split(";")):
                cookie, equals, content = part.strip().partition("=")
                if rules.names(Place.COOKIE, cookie)[0] is Action.KEEP:
                    continue
                named = equals and not (at and lowered == "set-cookie")
                where = f"{prefix}cookie:{cookie}" if named else f"{prefix}header:{lowered}"
                yield Spot(
                    where=where, text=content if equals else cookie, name=cookie if named else None, place=Place.COOKIE
                )
                yield Spot(where=where, text=cookie)
            continue
        yield Spot(where=f"{prefix}header:{lowered}", text=value, name=lowered, place=Place.HEADER)
        yield Spot(where=f"{prefix}header:{lowered}", text=name)


def _body(body: bytes | None, headers: Headers, prefix: str, rules: RuleSet, limit: int) -> Iterator[Spot]:
    if not body:
        return
    declared = next((value for name, value in headers if name.lower() == "content-type"), "")
    media_type = declared.partition(";")[0].strip().lower()
    if rules.content_action(media_type) is Action.KEEP:
        return
    codings = codings_of([value for name, value in headers if name.lower() == "content-encoding"])
    try:
        content = open_content(body, codings, max(limit, len(body)) * 2)
    except OpenError:
        content = body
    yield from _content(content, declared, prefix, rules)


def _content(content: bytes, declared: str, prefix: str, rules: RuleSet) -> Iterator[Spot]:
    text = _text(content, declared)
    boundary = _BOUNDARY.search(declared)
    if boundary is not None and declared.lower().startswith("multipart/"):
        for part in content.split(b"--" + boundary[1].encode("latin-1", "replace")):
            found = _PART_NAME.search(part)
            name = found[1].decode("utf-8", "replace") if found else ""
            if rules.names(Place.FORM, name)[0] is Action.KEEP:
                continue
            head, _, value = part.partition(b"\r\n\r\n") if b"\r\n\r\n" in part else part.partition(b"\n\n")
            yield Spot(where=f"{prefix}form:{name}", text=_text(head, ""))
            value = value.removesuffix(b"\r\n")
            yield Spot(where=f"{prefix}form:{name}", text=_text(value, ""), name=name or None, place=Place.FORM)
        return
    document = parse_json(text)
    if document is not None:
        yield from walk_json(document[0], f"{prefix}json:", "", "", rules)
        yield Spot(where=f"{prefix}text", text=text, structured=True)
        return
    if "x-www-form-urlencoded" in declared.lower() or ("=" in text and not any(c in text for c in ' \n<>{"')):
        yield from _fields(text, f"{prefix}form", Place.FORM, rules)
        yield Spot(where=f"{prefix}text", text=text, structured=True)
        return
    yield Spot(where=f"{prefix}text", text=text)


def _text(content: bytes, declared: str) -> str:
    charset = _CHARSET.search(declared)
    guessed = json.detect_encoding(content) if "json" in declared.lower() else ""
    for name in (charset[1] if charset else "", "utf-8-sig", guessed):
        try:
            codecs.lookup(name)
            return content.decode(name).removeprefix("\ufeff")
        except (LookupError, ValueError):
            continue
    return content.decode("latin-1")


class Members(list[tuple[str, Any]]):
    """An object's members, those that are there twice too."""


def parse_json(text: str) -> tuple[Any] | None:
    """A JSON document, in a tuple; None when the text is none. Objects are Members."""
    try:
        return (json.loads(text, object_pairs_hook=Members),)
    except (ValueError, RecursionError):
        return None


def walk_json(value: Any, where: str, path: str, name: str, rules: RuleSet, parent: str = "") -> Iterator[Spot]:
    """The texts and numbers of a JSON document, and its members' names. `path`: as RuleSet.json_action takes it."""
    if rules.json_action(path) is Action.KEEP:
        return
    if isinstance(value, Members):
        for key, inner in value:
            yield Spot(where=f"{where}{readable(path + json_key(key))}", text=key)
            yield from walk_json(inner, where, path + json_key(key), key, rules, name)
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from walk_json(inner, where, path + json_index(at), name, rules, parent)
    elif isinstance(value, str):
        yield Spot(where=f"{where}{readable(path)}", text=value, name=name, place=Place.JSON, parent=parent)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        text = str(value)
        yield Spot(where=f"{where}{readable(path)}", text=text, name=name, place=Place.JSON, parent=parent, number=True)
