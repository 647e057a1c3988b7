"""Pieces of an exchange from what other tools write: addresses, headers, versions, times. None of it raises."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Final

from tracer_bullet.model.exchange import Headers
from tracer_bullet.model.losses import Losses

MAX_NS: Final = 2**63 - 1
FOREIGN_SCHEME: Final = "requests that are no HTTP"
NO_ADDRESS: Final = "requests whose address cannot be read"
NO_METHOD: Final = "requests whose method is no HTTP method"
NO_TIME: Final = "records without a time that can be read"
QUOTED: Final = "request targets with characters that no URL has: percent-encoded"
LINE_BREAKS: Final = "header values with line breaks or zeros: replaced by spaces"
BAD_HEADER: Final = "headers whose name is no token"

_METHOD: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,40}")
_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_AUTHORITY: Final = re.compile(r"[!-~]{1,255}")
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):(?://([^/?#\\]*))?([^#]*)(?:#.*)?", re.DOTALL)
_ISO: Final = re.compile(
    r"\s*(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,18}))?)?\s*(?:([Zz])|([+-])(\d\d):?(\d\d)?)?\s*",
    re.ASCII,
)
_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_VERSIONS: Final = {"http/1.0": "1.0", "h2": "2", "h2c": "2", "http/2": "2", "http/2.0": "2", "h3": "3", "http/3": "3",
                    "http/3.0": "3", "1.0": "1.0", "2": "2", "2.0": "2", "3": "3", "quic": "3"}  # fmt: skip
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request goes: `target` in origin form."""

    scheme: str
    authority: str
    target: str


def place(url: object, losses: Losses) -> Place | None:
    """An absolute URL taken apart; None, and counted, when it is none or not HTTP's. User and fragment are left out."""
    found = _URL.fullmatch(url.strip()) if isinstance(url, str) else None
    if found is None:
        losses.lose(NO_ADDRESS, url)
        return None
    scheme = _SCHEMES.get(found.group(1).lower())
    if scheme is None:
        losses.lose(FOREIGN_SCHEME, found.group(1))
        return None
    authority = (found.group(2) or "").rpartition("@")[2]
    if not is_authority(authority):
        losses.lose(NO_ADDRESS, url)
        return None
    return Place(scheme, authority, origin_form(found.group(3), losses))


def origin_form(target: str, losses: Losses) -> str:
    """A request target that begins with a slash and has no character that would break the request line.

    `*` stays (OPTIONS). What is as it was sent stays so, even `|` and `"`, which browsers send.
    """
    if target == "*":
        return target
    if not target.startswith("/"):
        target = "/" + target
    if target.isascii() and target.isprintable() and " " not in target:
        return target
    losses.repair(QUOTED, target)
    return "".join(c if "!" <= c <= "~" else "".join(f"%{b:02X}" for b in octets(c)) for c in target)


def is_authority(text: str) -> bool:
    """Whether it can stand in a Host header."""
    return _AUTHORITY.fullmatch(text) is not None and not set(text) & set("/?#@\\")


def method(value: object, losses: Losses) -> str | None:
    """The method; None, and counted, when it is none."""
    if isinstance(value, str) and _METHOD.fullmatch(value):
        return value
    losses.lose(NO_METHOD, value)
    return None


def http_version(value: object) -> str:
    """`1.0`, `1.1`, `2` or `3`, from any way to write it; what is not known is 1.1."""
    text = str(value).strip().lower() if isinstance(value, str | int | float) else ""
    return "3" if text.startswith("h3-") else _VERSIONS.get(text, "1.1")


def octets(text: str) -> bytes:
    """UTF-8; what was escaped as a surrogate is the byte that it was, other lone surrogates become `?`."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def header_text(text: str) -> str:
    """The bytes of a header that a tool wrote as text, in latin-1, as the model has them: they were UTF-8."""
    return octets(text).decode("latin-1")


def headers(
    pairs: Iterable[tuple[object, object]], losses: Losses, *, as_bytes: bool = False
) -> tuple[Headers, dict[str, str]]:
    """The header lines, and the pseudo headers (`:authority` …) apart. What cannot be sent is left out and counted.

    `as_bytes`: each character of a value is a byte; else it is text, whose bytes were UTF-8.
    """
    kept: list[tuple[str, str]] = []
    pseudo: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        if not isinstance(raw_name, str) or not isinstance(raw_value, str):
            losses.lose(BAD_HEADER, raw_name)
            continue
        name, value = raw_name.strip(), raw_value.strip(" \t\r\n")
        if name.startswith(":"):
            pseudo.setdefault(name.lower(), value)
            continue
        value = value if as_bytes else header_text(value)
        if not _NAME.fullmatch(name):
            losses.lose(BAD_HEADER, name)
        elif "\n" in value and name.lower() == "set-cookie":  # as Chromium joins them
            kept += [(name, clean) for line in value.split("\n") if (clean := _clean(line.strip(), losses))]
        else:
            kept.append((name, _clean(value, losses)))
    return tuple(kept), pseudo


def _clean(value: str, losses: Losses) -> str:
    if "\n" in value or "\r" in value or "\0" in value:
        losses.repair(LINE_BREAKS)
        value = value.replace("\r\n", " ").replace("\n", " ").replace("\r", " ").replace("\0", " ")
    return value


def first(lines: Headers, name: str) -> str:
    """The value of the first header of this name (in lower case); empty when there is none."""
    return next((value for key, value in lines if key.lower() == name), "")


def without(lines: Headers, *names: str) -> Headers:
    """The headers but for these names (in lower case)."""
    return tuple((key, value) for key, value in lines if key.lower() not in names)


def length_said(lines: Headers) -> int | None:
    """What Content-Length says; None when it says nothing that is a number."""
    text = first(lines, "content-length").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def bounded_ns(value: int) -> int | None:
    """The time, when 64 bits can hold it and it is not before 1970."""
    return value if 0 <= value <= MAX_NS else None


def iso_ns(text: object) -> int | None:
    """Unix nanoseconds of an ISO 8601 time with up to 18 digits behind the second; without a zone it is UTC."""
    found = _ISO.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    year, month, day, hour, minute = (int(found.group(i)) for i in range(1, 6))
    second = int(found.group(6) or 0)
    zone = UTC
    try:
        if found.group(9):
            offset = timedelta(hours=int(found.group(10)), minutes=int(found.group(11) or 0))
            zone = timezone(-offset if found.group(9) == "-" else offset)
        whole = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=zone) - _EPOCH
    except (ValueError, OverflowError):
        return None
    leap = 1 if second == 60 else 0
    fraction = int((found.group(7) or "").ljust(9, "0")[:9])
    return bounded_ns((whole.days * 86_400 + whole.seconds + leap) * 10**9 + fraction)


def iso_text(ns: int) -> str:
    """A time as ISO 8601 in UTC: microseconds, or nanoseconds where there are any."""
    seconds, rest = divmod(ns, 10**9)
    digits = f"{rest:09d}" if rest % 1000 else f"{rest // 1000:06d}"
    return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}.{digits}Z"


def scaled_ns(value: object, scale: int) -> int | None:
    """A number of units of `scale` nanoseconds as nanoseconds; None when it is no number, negative or too large."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    try:
        if not -1 < value < 2**63:  # False for NaN, too; what it bounds can be multiplied
            return None
        return bounded_ns(round(value * scale))
    except ArithmeticError:  # a signalling NaN
        return None


def as_dict(value: Any) -> dict[str, Any]:
    """The value when it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """The value when it is an array, else an empty one."""
    return value if isinstance(value, list) else []


def as_text(value: Any) -> str:
    """The value when it is a string, else an empty one."""
    return value if isinstance(value, str) else ""
