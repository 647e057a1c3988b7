"""What text may be wrapped in: percent-encoding, HTML entities, backslash escapes, base64, hex, compression in these.

Each layer finds pieces of a text that are encoded, and says how to encode again what stands in their place. Pure
functions; damaged encodings are no pieces. Pieces of one layer do not overlap.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import html
import json
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final
from urllib.parse import quote, unquote

from tracer_bullet.capture.redaction.looking.codings import OpenError, gunzip, inflate, peek, unzstd

MAX_UNPACKED: Final = 4 << 20
_MAX_PERCENT: Final = 8
_FEWEST: Final = 14  # characters of base64, and digits of hex, below which nothing worth hiding fits


@dataclass(frozen=True, slots=True)
class Piece:
    """An encoded part of a text. `encode`: a new content → what to put in its place; None when that cannot be done
    faithfully (content in the middle of binary data), so that the piece can only be replaced whole."""

    start: int
    end: int
    content: str
    encode: Callable[[str], str] | None


_PERCENT: Final = re.compile(r"%[0-9A-Fa-f]{2}")
# What stands raw between fields is no part of them: it must not be mixed up with the same characters, encoded.
_UNBROKEN: Final = re.compile(r"[^\s\"'<>\\&=?#]+")


def percent(text: str) -> Iterator[Piece]:
    """Percent-encoding (RFC 3986, 2.1), as often as it was applied."""
    for match in _UNBROKEN.finditer(text) if "%" in text else ():
        piece = match[0]
        if _PERCENT.search(piece) is None:
            continue
        content, times = piece, 0
        while times < _MAX_PERCENT and _PERCENT.search(content):
            content, times = unquote(content), times + 1
        yield Piece(match.start(), match.end(), content, _Quoter(piece, times))


@dataclass(frozen=True, slots=True)
class _Quoter:
    piece: str
    times: int

    def __call__(self, content: str) -> str:
        """What is not encoded in the original stays so in the new text."""
        coded = {unquote(code) for code in _PERCENT.findall(self.piece)}
        safe = "".join({c for c in self.piece if c.isascii() and c not in "% "} - coded)
        content = quote(content, safe=safe, errors="surrogatepass")
        for _ in range(self.times - 1):
            content = quote(content, safe=safe)
        return content


_ENTITY: Final = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|amp|quot|lt|gt|apos|colon|equals|period|commat);")
_BETWEEN_TAGS: Final = re.compile(r"[^<>\"]+")


def entities(text: str) -> Iterator[Piece]:
    """HTML's character references, in the texts and attributes of a page."""
    for match in _BETWEEN_TAGS.finditer(text) if "&" in text else ():
        if _ENTITY.search(match[0]):
            yield Piece(match.start(), match.end(), html.unescape(match[0]), _escape_html)


def _escape_html(content: str) -> str:
    return content.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


_BETWEEN_QUOTES: Final = re.compile(r"(?:[^\"\\\r\n]++|\\[^\r\n])++")
_ESCAPE: Final = re.compile(r"\\(?:u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([\"\\/bfnrt']))")
_ESCAPED: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def escapes(text: str) -> Iterator[Piece]:
    r"""Backslash escapes of JSON, JavaScript and logs, as `\u0041`, `\x41`, `\"`."""
    for match in _BETWEEN_QUOTES.finditer(text) if "\\" in text else ():
        if _ESCAPE.search(match[0]):
            yield Piece(match.start(), match.end(), _ESCAPE.sub(_unescape, match[0]), _escape)


def _unescape(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    if code is None:
        return _ESCAPED.get(match[4], match[4])
    return chr(min(int(code, 16), 0x10FFFF))


def _escape(content: str) -> str:
    return json.dumps(content)[1:-1]


# Four groups of base64 in a row that stand for printable ASCII, at any offset: of random ones 1 in 40,000 does.
_QUADS: Final = "(?:[I-Za-f][C-HS-Xi-nyz0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/_-]){4}"
_PACKED: Final = "H4sI|eJ[w-z]|eA[E-H]|eF[4-7]|eN[o-r]|KLUv"  # gzip, zlib, zstd
_PAIRS: Final = "(?:[2-7][0-9a-fA-F]){8}|1[fF]8[bB]08"  # the same in hex
BASE64_HINTS: Final = f"{_QUADS}|{_PACKED}"
"""A pattern (source) without which there is no text in base64."""
HEX_HINTS: Final = _PAIRS
"""The same for hexadecimal digits."""
_MAY_BE_BASE64: Final = re.compile(BASE64_HINTS)
_PACKED_AT: Final = re.compile(_PACKED)
_MAY_BE_HEX: Final = re.compile(HEX_HINTS)
_BASE64: Final = re.compile(rf"[A-Za-z0-9+/_-]{{{_FEWEST},}}(?:\r?\n[A-Za-z0-9+/_-]+)*={{0,2}}")
_PARTS: Final = tuple(
    re.compile(rf"[{letters}]{{{_FEWEST},}}=*") for letters in ("A-Za-z0-9+_-", "A-Za-z0-9+", "A-Za-z0-9")
)
_HEX: Final = re.compile(rf"(?<![A-Za-z0-9])(?:0[xX])?((?:[0-9a-fA-F]{{2}}){{{_FEWEST // 2},}})(?![A-Za-z0-9])")
_MOST_PACKED: Final = 8  # starts of compressed content that are tried in one run
_LETTERS: Final = re.compile(rb"[ -~]{12,}")


def base64_runs(text: str) -> Iterator[Piece]:
    """base64 and base64url (RFC 4648, with line breaks and without padding too), also compressed before.

    A run may begin late, as in a path: then its parts are tried.
    """
    for start, run in _runs(text):
        piece = _base64_piece(run, start)
        if piece is not None:
            yield piece
            continue
        for pattern in _PARTS:
            parts = [
                part
                for found in pattern.finditer(run)
                if len(found[0]) < len(run) and (part := _base64_piece(found[0], start + found.start())) is not None
            ]
            if parts:
                yield from parts
                break


def base64_around(text: str) -> Iterator[Piece]:
    """Runs of base64 that hold text at some offset, within binary data or after letters of something else."""
    for start, run in _runs(text):
        if _base64_piece(run, start) is None and (content := _hidden_in_base64(run)):
            yield Piece(start, start + len(run), content, None)


def _runs(text: str) -> Iterator[tuple[int, str]]:
    for match in _BASE64.finditer(text) if _MAY_BE_BASE64.search(text) else ():
        if _MAY_BE_BASE64.search(match[0].replace("\n", "").replace("\r", "")):
            yield match.start(), match[0]


def _base64_piece(run: str, start: int) -> Piece | None:
    data = _from_base64(run)
    opened = _open(data) if data is not None else None
    if opened is None:
        return None
    return Piece(start, start + len(run), opened[0], _Base64(run, opened[1]))


def _from_base64(run: str) -> bytes | None:
    bare = run.rstrip("=").replace("\n", "").replace("\r", "").replace("-", "+").replace("_", "/")
    if len(bare) % 4 == 1:
        return None
    try:
        return binascii.a2b_base64(bare + "=" * (-len(bare) % 4))
    except binascii.Error:
        return None


def _hidden_in_base64(run: str) -> str:
    bare = run.rstrip("=").replace("\n", "").replace("\r", "").replace("-", "+").replace("_", "/")
    found: list[str] = []
    for offset in range(4):
        part = bare[offset:]
        data = _from_base64(part[: len(part) - (len(part) % 4 == 1)])
        if data is not None:
            found += [letters.decode("ascii") for letters in _LETTERS.findall(data)]
    for match in islice(_PACKED_AT.finditer(bare), _MOST_PACKED):
        part = bare[match.start() :]
        data = _from_base64(part[: len(part) - (len(part) % 4 == 1)])
        text = as_text(peek(data, MAX_UNPACKED)) if data is not None else None
        if text:
            found.append(text)
    return "\n".join(found)


@dataclass(frozen=True, slots=True)
class _Base64:
    run: str
    pack: Callable[[bytes], bytes]

    def __call__(self, content: str) -> str:
        data = self.pack(content.encode("utf-8", "surrogatepass"))
        url = "-" in self.run or "_" in self.run
        text = (base64.urlsafe_b64encode(data) if url else base64.b64encode(data)).decode("ascii")
        if not self.run.endswith("=") and (url or len(self.run) % 4):
            text = text.rstrip("=")
        width = self.run.find("\n")
        if width < 0:
            return text
        width = len(self.run[:width].rstrip("\r"))
        return "\n".join(text[at : at + width] for at in range(0, len(text), width))


def hex_runs(text: str) -> Iterator[Piece]:
    """Text in hexadecimal digits."""
    for match in _HEX.finditer(text) if _MAY_BE_HEX.search(text) else ():
        data = bytes.fromhex(match[1])
        opened = _open(data)
        if opened is not None:
            content, pack = opened
            upper = match[1].upper() == match[1]
            yield Piece(match.start(1), match.end(1), content, _Hex(pack, upper=upper))
        elif found := _LETTERS.findall(data):
            yield Piece(match.start(1), match.end(1), b"\n".join(found).decode("ascii"), None)


@dataclass(frozen=True, slots=True)
class _Hex:
    pack: Callable[[bytes], bytes]
    upper: bool

    def __call__(self, content: str) -> str:
        text = self.pack(content.encode("utf-8", "surrogatepass")).hex()
        return text.upper() if self.upper else text


LAYERS: Final = (percent, entities, escapes, base64_runs, base64_around, hex_runs)

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")


def as_text(data: bytes) -> str | None:
    """The text that bytes are in UTF-8; None when they are no text, as with control characters."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text


def _open(data: bytes) -> tuple[str, Callable[[bytes], bytes]] | None:
    text = as_text(data)
    if text is not None:
        return text, _same
    for magics, unpack, pack in _PACKINGS:
        if data.startswith(magics):
            try:
                text = as_text(unpack(data, MAX_UNPACKED))
            except OpenError:
                return None
            return None if text is None else (text, pack)
    return None


def _same(data: bytes) -> bytes:
    return data


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


_PACKINGS: Final[tuple[tuple[tuple[bytes, ...], Callable[[bytes, int], bytes], Callable[[bytes], bytes]], ...]] = (
    ((b"\x1f\x8b",), gunzip, _gzip),
    ((b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"), inflate, zlib.compress),
    ((b"\x28\xb5\x2f\xfd",), unzstd, _gzip),
)
