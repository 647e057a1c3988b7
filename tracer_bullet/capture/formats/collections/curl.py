"""Lists of curl commands, as browsers copy them ("Copy all as cURL"): one after the other, over any number of lines."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Final
from urllib.parse import quote_plus

from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.collections import listed
from tracer_bullet.capture.formats.collections.shell import words
from tracer_bullet.capture.formats.shared import parts
from tracer_bullet.capture.formats.shared.streams import lines
from tracer_bullet.model.exchange import Exchange, Lack, Request
from tracer_bullet.model.losses import Losses

NO_COMMAND: Final = "lines that are no curl command"
NOT_CLOSED: Final = "curl commands whose quotes are not closed"
UNKNOWN: Final = "curl options that are not known: left out"
SHELL: Final = "curl commands that need a shell (variables, pipes) or a file: their bodies are marked as missing"
WINDOWS: Final = "curl commands for Windows' cmd: copy them as bash"
_HEAD: Final = re.compile(
    rb"(?:\s*#[^\n]*\n)*\s*(?:\$ )?curl(?:\.exe)?\s+[^\n]*(?:https?://|\\\s*$|\\\n|-)", re.MULTILINE
)
_BEGINS: Final = re.compile(r"(?:\$ )?curl(?:\.exe)? +['\"$-]?")
_COMMAND_BYTES: Final = 16 << 20
_FLAGS: Final = frozenset(
    {"compressed", "insecure", "silent", "location", "fail", "include", "verbose", "show-error", "globoff", "http1.1",
     "http2", "http1.0", "http3", "http2-prior-knowledge", "path-as-is", "ipv4", "ipv6", "no-buffer", "tcp-nodelay",
     "keepalive"}
)  # fmt: skip
_SHORT: Final = {"H": "header", "X": "request", "d": "data", "b": "cookie", "A": "user-agent", "e": "referer",
                 "u": "user", "F": "form", "G": "get", "I": "head", "k": "insecure", "s": "silent", "L": "location",
                 "f": "fail", "i": "include", "v": "verbose", "S": "show-error", "g": "globoff", "o": "output",
                 "m": "max-time", "x": "proxy", "0": "http1.0", "4": "ipv4", "6": "ipv6", "N": "no-buffer",
                 "T": "upload-file"}  # fmt: skip
_DATA: Final = frozenset({"data", "data-raw", "data-binary", "data-ascii", "data-urlencode", "json"})
_FORMS: Final = frozenset({"form", "form-string", "upload-file"})
_HEADERS: Final = {"cookie": "Cookie", "user-agent": "User-Agent", "referer": "Referer"}
_VALUES: Final = _DATA | _FORMS | set(_HEADERS) | {
    "header", "request", "user", "url", "output", "max-time", "connect-timeout", "proxy", "cacert", "cert", "key",
    "resolve", "connect-to", "retry", "oauth2-bearer",
}  # fmt: skip


@dataclass(slots=True)
class _Call:
    url: str = ""
    method: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    options: set[str] = field(default_factory=set)
    is_json: bool = False
    missing: bool = False


class Curl:
    """The reader."""

    name = "curl commands"

    def recognises(self, head: bytes) -> bool:
        """Whether the first line that is no comment is a curl command."""
        return _HEAD.match(head) is not None

    def read(self, stream: BinaryIO, losses: Losses, options: ReadOptions) -> Iterator[Exchange]:
        """The requests in the order of the list."""
        order = 0
        for command in _commands(stream, losses):
            call = _call(command, losses)
            found = _request(call, losses, options) if call is not None else None
            if found is not None:
                order += 1
                lacks = {Lack.REQUEST_BODY} if found.body is None else set()
                yield listed.listed("curl", order, found, None, lacks)


def _commands(stream: BinaryIO, losses: Losses) -> Iterator[list[str]]:
    """The words of each command; a command ends with a line whose quotes are closed and that no backslash continues."""
    held, looked_at = "", 0
    for line in lines(stream, losses):
        text = line.decode("utf-8", "surrogateescape")
        if not held and (not text.strip() or text.lstrip().startswith("#")):
            continue
        if held and _BEGINS.match(text) and not held.endswith("\\\n"):
            losses.lose(NOT_CLOSED, held[:80])  # a quote was open; this is the next command
            held = ""
        looked_at = looked_at + len(held) if held else 0
        held = f"{held}{text}\n"
        if text.endswith("\\") and len(held) < _COMMAND_BYTES:
            continue
        # Each line that leaves a quote open is looked at again: a bound, or a long file would take for ever.
        found = words(held) if looked_at < _COMMAND_BYTES else []
        if found is None:
            continue
        if found[:1] == ["$"]:
            found = found[1:]
        if found and found[0] in ("curl", "curl.exe"):
            yield found[1:]
        else:
            losses.lose(NO_COMMAND, held[:80])
        held = ""
    if held:
        found = words(held.rstrip("\\\n"))
        if found and found[0] in ("curl", "curl.exe"):
            yield found[1:]
        else:
            losses.lose(NOT_CLOSED, held[:80])


def _call(arguments: list[str], losses: Losses) -> _Call | None:
    call = _Call()
    if any(word.startswith('^"') or word == "^" for word in arguments):
        losses.lose(WINDOWS)
        return None
    given = iter(arguments)
    for word in given:
        if word in (";", "&", "&&", "|", ">", ">>", "||") or (word.startswith(("$(", "`"))):
            if word not in (";", "&", "&&"):
                losses.repair(SHELL, word)
            break
        for name, inline in _options(word):
            if name == "":
                call.url = call.url or inline
            elif name in _VALUES:
                _take(call, name, inline or next(given, ""), losses)
            elif name in _FLAGS or name in ("get", "head"):
                call.options.add(name)
            else:
                losses.repair(UNKNOWN, name)
    return call


def _options(word: str) -> Iterator[tuple[str, str]]:
    """A word's options: `-sSL`, `-XPOST`, `--compressed`; an empty name is a URL."""
    if word.startswith("--") and len(word) > 2:
        yield word[2:], ""
    elif word.startswith("-") and len(word) > 1:
        for at, letter in enumerate(word[1:], start=2):
            name = _SHORT.get(letter, letter)
            yield name, word[at:] if name in _VALUES else ""
            if name in _VALUES:
                return
    else:
        yield "", word


def _take(call: _Call, name: str, value: str, losses: Losses) -> None:
    if name == "url":
        call.url = value
    elif name == "request":
        call.method = value
    elif name in _DATA:
        _take_data(call, name, value, losses)
    elif name in _FORMS:
        call.missing = True
        losses.repair(SHELL, name)
    elif (line := _header(name, value)) is not None:
        call.headers.append(line)


def _header(name: str, value: str) -> tuple[str, str] | None:
    if name == "header":
        key, colon, text = value.partition(":")
        if colon and text.strip():
            return key.strip(), text.strip()
        return (value[:-1], "") if value.endswith(";") else None  # curl's way to say an empty value
    if name == "oauth2-bearer":
        return "Authorization", f"Bearer {value}"
    if name == "user":
        return "Authorization", "Basic " + base64.b64encode(parts.octets(value)).decode("ascii")
    if name in _HEADERS and (name != "cookie" or "=" in value):  # else it is a file
        return _HEADERS[name], value
    return None


def _take_data(call: _Call, name: str, value: str, losses: Losses) -> None:
    if value.startswith("@") and name != "data-raw":
        call.missing = True
        losses.repair(SHELL, value)
    elif name == "data-urlencode":
        key, equals, text = value.partition("=")
        prefix = f"{key}=" if equals and key else ""
        call.data.append(prefix + quote_plus(parts.octets(text if equals else key)))
    else:
        # curl takes line breaks out of `--data` only where it reads a file.
        call.data.append(value)
        call.is_json = call.is_json or name == "json"


def _request(call: _Call, losses: Losses, options: ReadOptions) -> Request | None:
    url = call.url if "://" in call.url else f"http://{call.url}"
    has_body = bool(call.data) or call.missing
    body = parts.octets(("" if call.is_json else "&").join(call.data))
    if "get" in call.options and call.data:
        url += ("&" if "?" in url else "?") + body.decode("utf-8", "surrogateescape")
        has_body, body = False, b""
    method = call.method or ("HEAD" if "head" in call.options else "POST" if has_body else "GET")
    place = parts.place(url, losses)
    known = parts.method(method, losses)
    if place is None or known is None:
        return None
    names = {name.lower() for name, _ in call.headers}
    if has_body and "content-type" not in names:
        mime = "application/json" if call.is_json else "application/x-www-form-urlencoded"
        call.headers.append(("Content-Type", mime))
    headers = parts.headers(call.headers, losses)[0]
    host = parts.first(headers, "host")
    version = next((v for o, v in (("http2", "2"), ("http1.0", "1.0"), ("http3", "3")) if o in call.options), "1.1")
    return Request(
        method=known,
        scheme=place.scheme,
        authority=host if parts.is_authority(host) else place.authority or options.authority,
        target=place.target,
        http_version=version,
        headers=headers,
        body=None if call.missing else body,
    )
