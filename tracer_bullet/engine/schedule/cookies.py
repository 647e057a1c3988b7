"""The cookies of one session at one origin, as a browser keeps them (RFC 6265). Pure: the time is an argument.

One origin a jar, so of Domain it matters only whether it covers the host.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

# RFC 6265, section 6.1, wants at least 4096 bytes a cookie and 50 cookies a domain; browsers keep 180.
_MOST_BYTES: Final = 4096
_MOST_COOKIES: Final = 180
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_DIGITS: Final = re.compile(r"-?[0-9]+")
_COOKIE_LINE: Final = re.compile(rb"(?<=\n)cookie[ \t]*:[ \t]*([^\r\n]*)\r\n", re.IGNORECASE)
_HOST_LINE: Final = re.compile(rb"(?<=\n)host[ \t]*:[ \t]*([^\r\n]*)\r\n", re.IGNORECASE)
_NEVER: Final = float("inf")


@dataclass(frozen=True, slots=True)
class _Cookie:
    name: str
    value: str
    path: str
    secure: bool
    until_s: float
    made: int


class Jar:
    """What an origin's answers set. `https`: whether the origin is reached by TLS."""

    __slots__ = ("_cookies", "_https", "_made")

    def __init__(self, *, https: bool) -> None:
        self._https = https
        self._cookies: dict[tuple[str, str], _Cookie] = {}
        self._made = 0

    def __len__(self) -> int:
        return len(self._cookies)

    def store(self, line: str, head: bytes, now_s: float) -> None:
        """Take the value of one Set-Cookie line, in the answer to the request of this head (section 5.2, 5.3).

        What is malformed or meant for another host is left out.
        """
        pair, *rest = line.split(";")
        name, equals, value = pair.partition("=")
        name, value = name.strip(" \t"), value.strip(" \t")
        if not equals or not name or len(line) > 2 * _MOST_BYTES or len(name) + len(value) > _MOST_BYTES:
            return
        if _CONTROL.search(pair):
            return
        told = _attributes(rest)
        domain = told.get("domain", "").removeprefix(".").lower()
        if domain and not _covers(domain, _host(head)):
            return
        path = told.get("path", "")
        if not path.startswith("/"):
            path = _default_path(_path(head))
        key = (name, path)
        before, until = self._cookies.get(key), _until(told, now_s)
        if until <= now_s:
            self._cookies.pop(key, None)
            return
        self._made += 1
        made = before.made if before is not None else self._made
        self._cookies[key] = _Cookie(name, value, path, "secure" in told, until, made)
        if len(self._cookies) > _MOST_COOKIES:
            self._make_room(now_s)

    def add_to(self, head: bytes, now_s: float) -> bytes:
        """The head with the cookies that belong to its request (section 5.4). Those that stand there already stay,
        also in place of one of the same name."""
        if not self._cookies:
            return head
        path = _path(head)
        fit = [
            c
            for c in self._cookies.values()
            if c.until_s > now_s and (self._https or not c.secure) and _matches(path, c.path)
        ]
        if not fit:
            return head
        fit.sort(key=lambda c: (-len(c.path), c.made))
        given = _COOKIE_LINE.search(head)
        if given is None:
            pairs = "; ".join([f"{c.name}={c.value}" for c in fit])
            return b"%bcookie: %b\r\n" % (head, pairs.encode("latin-1"))
        old = given[1].decode("latin-1").strip("; \t")
        names = {part.partition("=")[0].strip() for part in old.split(";")}
        pairs = "; ".join([old, *(f"{c.name}={c.value}" for c in fit if c.name not in names)]).removeprefix("; ")
        return b"%bcookie: %b\r\n%b" % (head[: given.start()], pairs.encode("latin-1"), head[given.end() :])

    def _make_room(self, now_s: float) -> None:
        """Section 5.3: the expired ones go, then the oldest one."""
        for key in [key for key, cookie in self._cookies.items() if cookie.until_s <= now_s]:
            del self._cookies[key]
        while len(self._cookies) > _MOST_COOKIES:
            del self._cookies[min(self._cookies, key=lambda k: self._cookies[k].made)]


def _attributes(parts: list[str]) -> dict[str, str]:
    """By lower-case name; the last one of a name counts."""
    told = {}
    for part in parts:
        name, _, value = part.partition("=")
        told[name.strip(" \t").lower()] = value.strip(" \t")
    return told


def _until(told: dict[str, str], now_s: float) -> float:
    """When a cookie ends, Unix seconds: Max-Age before Expires; what cannot be read does not count."""
    age = told.get("max-age", "")
    if _DIGITS.fullmatch(age):
        # A number too long to matter is not read, which would cost time.
        seconds = int(age[:12])
        return now_s + seconds if seconds > 0 else 0.0
    return _expiry(told["expires"]) if told.get("expires") else _NEVER


@lru_cache(maxsize=256)
def _expiry(text: str) -> float:
    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return _NEVER


def _covers(domain: str, host: str) -> bool:
    """Section 5.1.3."""
    return host == domain or (host.endswith("." + domain) and not _is_address(host))


def _is_address(host: str) -> bool:
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _host(head: bytes) -> str:
    line = _HOST_LINE.search(head)
    text = line[1].decode("latin-1").strip().lower() if line is not None else ""
    return text[: text.find("]") + 1] if text.startswith("[") else text.partition(":")[0]


def _path(head: bytes) -> str:
    """Of the request's target, without its query."""
    target = head[: head.find(b"\r\n")].split(b" ", 2)
    path = target[1].partition(b"?")[0].decode("latin-1") if len(target) > 1 else "/"
    return path if path.startswith("/") else "/"


def _default_path(path: str) -> str:
    """Section 5.1.4."""
    return path[: path.rfind("/")] or "/"


def _matches(path: str, of: str) -> bool:
    """Section 5.1.4: `of` is a prefix that ends at a slash."""
    return path == of or (path.startswith(of) and (of.endswith("/") or path[len(of)] == "/"))
