"""Where each scalar of a JSON text stands, byte for byte, without changing or rebuilding it. Pure; never raises."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

# RFC 8259: strings, numbers, names and structure; what is none of them is passed over.
_TOKENS: Final = re.compile(
    rb'"(?:[^"\\\x00-\x1f]|\\.)*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|[{}\[\],:]'
)
_MOST_DEPTH: Final = 64
_OPEN_OBJECT, _CLOSE_OBJECT, _OPEN_LIST, _CLOSE_LIST, _COMMA, _COLON, _QUOTE = b'{}[],:"'
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class Span(NamedTuple):
    """A scalar: its path with `[*]` for indexes, its text (a string without quotes and escapes), its bytes without
    quotes, and whether it is a string."""

    path: str
    text: str
    start: int
    length: int
    is_string: bool


def key_path(path: str, key: str) -> str:
    """The path of a member, as `$.a` or `$['a b']`."""
    return f"{path}.{key}" if _PLAIN_KEY.fullmatch(key) else f"{path}['{key}']"


def json_spans(data: bytes) -> Iterator[Span]:
    """The scalars of a JSON text, in order. Of what is no JSON, whatever looks like it."""
    path = "$"
    stack: list[tuple[str, bool]] = []  # path of the container, and whether it is an object
    in_object, key = False, ""
    wants_key = False
    for match in _TOKENS.finditer(data):
        start = match.start()
        first = data[start]
        if first == _COMMA:
            wants_key = in_object
        elif first == _COLON:
            wants_key = False
        elif first in (_OPEN_OBJECT, _OPEN_LIST):
            if len(stack) >= _MOST_DEPTH:
                return
            stack.append((path, in_object))
            path = _inside(path, key, in_object=in_object, depth=len(stack) - 1)
            in_object = wants_key = first == _OPEN_OBJECT
        elif first in (_CLOSE_OBJECT, _CLOSE_LIST):
            if not stack:
                return
            path, in_object = stack.pop()
            wants_key = False
        elif wants_key:
            key = _text(match[0]) if first == _QUOTE else ""
        else:
            where = _inside(path, key, in_object=in_object, depth=len(stack))
            yield _span(where, match[0], start, is_string=first == _QUOTE)


def _inside(path: str, key: str, *, in_object: bool, depth: int) -> str:
    if in_object:
        return key_path(path, key)
    return f"{path}[*]" if depth else path


def _span(path: str, token: bytes, start: int, *, is_string: bool) -> Span:
    if is_string:
        return Span(path, _text(token), start + 1, len(token) - 2, is_string=True)
    return Span(path, token.decode("ascii"), start, len(token), is_string=False)


def _text(token: bytes) -> str:
    if b"\\" in token:
        try:
            return str(json.loads(token))
        except ValueError:
            return ""
    return token[1:-1].decode("utf-8", "replace")
