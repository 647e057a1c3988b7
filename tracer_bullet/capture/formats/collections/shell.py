"""Words of a POSIX shell's command line, with bash's `$'…'`, which browsers use where a body has special characters."""

from __future__ import annotations

import re
from typing import Final

_PLAIN: Final = re.compile(r"[^\s'\"\\$;&|<>`]+")
_SINGLE: Final = re.compile(r"'([^']*)'")
_DOUBLE: Final = re.compile(r'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)
_ANSI: Final = re.compile(r"\$'((?:[^'\\]++|\\.)*+)'", re.DOTALL)
_ESCAPE: Final = re.compile(
    r"\\(?:x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})|U([0-9A-Fa-f]{1,8})|([0-7]{1,3})|(.))", re.DOTALL
)
_NAMED: Final = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "e": "\x1b", "E": "\x1b"}
_OPERATORS: Final = re.compile(r"&&|\|\||>>|[;&|<>]")


def words(text: str) -> list[str] | None:
    """The words; operators are words of their own. None when a quote is open, or a backslash ends the last line."""
    found: list[str] = []
    word: list[str] | None = None
    at = 0
    while at < len(text):
        char = text[at]
        if char.isspace():
            if word is not None:
                found.append("".join(word))
                word = None
            at += 1
        elif char == "\\":
            if text[at + 1 :] in ("", "\n"):
                return None
            if text[at + 1] != "\n":
                word = [] if word is None else word
                word.append(text[at + 1])
            at += 2
        elif operator := _OPERATORS.match(text, at):
            if word is not None:
                found.append("".join(word))
            found.append(operator.group())
            word, at = None, operator.end()
        else:
            piece = _piece(text, at)
            if piece is None:
                return None
            word = [] if word is None else word
            word.append(piece[0])
            at = piece[1]
    return [*found, "".join(word)] if word is not None else found


def _piece(text: str, at: int) -> tuple[str, int] | None:
    """The quoted or plain text that begins here, and where it ends."""
    if found := _ANSI.match(text, at):
        return _ESCAPE.sub(_unescaped, found.group(1)), found.end()
    if found := _SINGLE.match(text, at):
        return found.group(1), found.end()
    if found := _DOUBLE.match(text, at):
        return re.sub(
            r"\\([\"\\$`\n])", lambda m: "" if m.group(1) == "\n" else m.group(1), found.group(1)
        ), found.end()
    if text[at] in "'\"" or text.startswith("$'", at):
        return None
    if found := _PLAIN.match(text, at):
        return found.group(), found.end()
    return text[at], at + 1


def _unescaped(found: re.Match[str]) -> str:
    for group, base in ((1, 16), (4, 8)):
        if digits := found.group(group):  # a byte
            return bytes([int(digits, base) & 0xFF]).decode("utf-8", "surrogateescape")
    if digits := found.group(2) or found.group(3):
        code = int(digits, 16)
        return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"
    return _NAMED.get(found.group(5), found.group(5))
