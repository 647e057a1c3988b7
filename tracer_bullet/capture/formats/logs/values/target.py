"""Request lines, targets and addresses as they are found in logs."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import quote

from tracer_bullet.capture.formats.logs.lines.columns import ENCODED, OLD
from tracer_bullet.capture.formats.shared.parts import is_authority

_USUAL: Final = re.compile(r"([A-Z]{1,20}) (/[\x21-\x7e]*+) HTTP/(1\.[01]|2\.0|3\.0|[23])", re.ASCII)
_USUAL_VERSIONS: Final = {"1.0": "1.0", "1.1": "1.1", "2.0": "2", "3.0": "3", "2": "2", "3": "3"}
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,40}", re.ASCII)  # RFC 9110, 5.6.2
_PROTOCOL: Final = re.compile(r"(?:HTTP/|h|H)([0-9])(?:\.([0-9]))?", re.ASCII)
_ABSOLUTE: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,20})://([^/?#\s]*)([^#]*)(?:#.*)?", re.DOTALL | re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x20\x7f-\xff]")
_PORTS: Final = {"http": ":80", "https": ":443"}
_ADDRESS: Final = re.compile(r"\[([0-9A-Fa-f:.%]+)\](?::\d+)?|(\d+\.\d+\.\d+\.\d+):\d+", re.ASCII)


class Asked(NamedTuple):
    """What a request line says. `scheme` and `authority` are empty unless it has them.

    `repair`: what had to be put right; of an answer 400 such a line was no request.
    """

    method: str
    target: str
    version: str
    scheme: str = ""
    authority: str = ""
    repair: str = ""


def version_of(text: str) -> str:
    """`HTTP/1.1`, `HTTP/2.0`, `h2` as `1.1`, `2`, `2`; empty for what is no HTTP."""
    found = _PROTOCOL.fullmatch(text)
    if found is None:
        return ""
    major, minor = found.groups()
    return major if major in "23" else "1.0" if (major, minor) == ("1", "0") else "1.1"


def request_line(text: str) -> Asked | None:
    """The three parts of a request line, whose target may hold spaces; None for what is no request of HTTP.

    A line without a version is HTTP/0.9 (`GET /`), and taken as 1.0.
    """
    if found := _USUAL.fullmatch(text):  # most lines, at a third of the time
        return Asked(found[1], found[2], _USUAL_VERSIONS[found[3]])
    method, _, rest = text.partition(" ")
    target, _, last = rest.rpartition(" ")
    if version := version_of(last):
        return asked(method, target, version)
    found_old = asked(method, rest, "1.0") if method == "GET" and rest.startswith("/") else None
    return None if found_old is None else found_old._replace(repair=OLD)


def asked(method: str, target: str, version: str) -> Asked | None:
    """A request of parts that a log keeps apart; None for what is none."""
    if not (version and _TOKEN.fullmatch(method)):
        return None
    scheme = authority = repair = ""
    if not target.startswith("/"):
        if method == "CONNECT":
            return Asked(method, "/", version, "", target) if is_authority(target) else None
        if target == "*":
            return Asked(method, target, version) if method == "OPTIONS" else None
        found = _ABSOLUTE.fullmatch(target)
        if found is None or not found[2]:
            return None
        scheme, target = found[1].lower(), found[3]
        authority = found[2].rpartition("@")[2].removesuffix(_PORTS.get(scheme, "\n"))
        target = target if target.startswith("/") else f"/{target}"
        if not is_authority(authority):
            return None
    if _CONTROL.search(target):
        target, repair = _CONTROL.sub(lambda c: f"%{ord(c[0]):02X}", target), ENCODED
    return Asked(method, target, version, scheme, authority, repair)


def encoded_path(path: str) -> str:
    """A path that the server logged decoded, as latin-1, encoded again."""
    return quote(path.encode("latin-1", "replace"), safe="/:@!$&'()*+,;=-._~")


@lru_cache(4096)  # clients send more than one request
def address(text: str) -> str:
    """The first address of `203.0.113.9:4711`, `[::1]:80`, `::1`, `tcp://…`, or a list; empty for none."""
    first = text.split(",", 1)[0].strip().removeprefix("tcp://")
    if first in ("", "-", "unknown", "unix:", "@"):
        return ""
    found = _ADDRESS.fullmatch(first)
    return (found[1] or found[2]) if found else first
