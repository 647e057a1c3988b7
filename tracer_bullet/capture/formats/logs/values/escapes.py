"""How servers escape a value inside a line, undone. Text is latin-1: a character is a byte."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote_to_bytes

Unescape = Callable[[str], str]

_C: Final = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_WIDE: Final = re.compile(r"[^\x00-\xff]+")
_C_NAMES: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "a": "\a"}


def backslashes(text: str) -> str:
    r"""nginx's `\xHH` (`escape=default`), and Apache's `\xhh`, `\"`, `\\`, `\n` … (`ap_escape_logitem`)."""
    return _C.sub(_unescaped, text) if "\\" in text else text


def json_text(text: str) -> str:
    r"""What stands between the quotes of a JSON string: nginx's `escape=json`, which leaves bytes over 0x7f alone."""
    if "\\" not in text:
        return text
    try:
        return latin(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return backslashes(text)


def plain(text: str) -> str:
    """Nothing was escaped."""
    return text


def percent(text: str) -> str:
    """CloudFront's: bytes as `%HH`; older logs encoded the percent signs again."""
    found = unquote_to_bytes(text).decode("latin-1")
    return unquote_to_bytes(found).decode("latin-1") if "%25" in text else found


def latin(text: str) -> str:
    """Characters that are more than a byte as the bytes of their UTF-8."""
    return _WIDE.sub(_bytes, text)


def _bytes(found: re.Match[str]) -> str:
    return found[0].encode("utf-8", "surrogatepass").decode("latin-1")


def _unescaped(found: re.Match[str]) -> str:
    if found[1] is not None:
        return chr(int(found[1], 16))
    return _C_NAMES.get(found[2], found[2])
