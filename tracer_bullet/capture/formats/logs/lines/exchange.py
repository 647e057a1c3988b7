"""The values of one line → an exchange, with marks for all that a log does not tell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.logs.lines import columns as c
from tracer_bullet.capture.formats.logs.lines import marks
from tracer_bullet.capture.formats.logs.lines.columns import Column, Role
from tracer_bullet.capture.formats.logs.lines.times import Times
from tracer_bullet.capture.formats.logs.values.escapes import Unescape
from tracer_bullet.capture.formats.logs.values.target import (
    Asked,
    address,
    asked,
    encoded_path,
    request_line,
    version_of,
)
from tracer_bullet.capture.formats.shared.parts import is_authority
from tracer_bullet.model.exchange import Answer, Exchange, Headers, Request
from tracer_bullet.model.losses import Losses

Values = Sequence[str | None]

_ALWAYS: Final = marks.SESSION | marks.REQUEST_HEADERS
_UPGRADES: Final = {"ws": "http", "wss": "https"}
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_BODILESS: Final = ("204", "304")  # RFC 9110, 6.4.1; answers to HEAD besides


class Maker:
    """Makes exchanges of lines with these columns.

    `no_answer`: status codes that say that nothing was answered. `unescape` undoes the server's escaping of a value.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        source: str,
        options: ReadOptions,
        losses: Losses,
        unescape: Unescape,
        no_answer: frozenset[int] = frozenset({0}),
    ) -> None:
        self._source, self._options, self._losses, self._unescape = source, options, losses, unescape
        self._no_answer = frozenset(f"{status:03}" for status in no_answer) | {str(status) for status in no_answer}
        self._times = Times(columns, losses)
        self._headers = _named(columns, Role.HEADER)
        self._answer_headers = _named(columns, Role.ANSWER_HEADER)
        self._cookies = _named(columns, Role.COOKIE)
        self._clients = tuple(p for p, col in enumerate(columns) if col.role is Role.CLIENT)
        self._cuts = tuple((p, col.longest) for p, col in enumerate(columns) if col.longest)
        self._places = {role: p for p, role in reversed([(p, col.role) for p, col in enumerate(columns)])}
        self._line, self._status_at = self._places.get(Role.REQUEST_LINE), self._places.get(Role.STATUS)
        self._has_dash = any(col.name == c.WITH_DASH for col in columns)
        self._may_upgrade = Role.UPGRADE in self._places
        # What most logs do not have is looked for only where it may be.
        self._origin_known = bool(
            self._places.keys() & {Role.SCHEME, Role.HTTPS, Role.HOST}
            or any(name == "host" for _, name in self._headers)
        )
        self._length_known = any(name == "content-length" for _, name in self._headers)
        self._forwarded = next((p for p, name in self._headers if name == "x-forwarded-for"), None)

    def make(self, values: Values) -> Exchange | None:
        """None, and counted, for what is no request or has no time."""
        found = self._asked(values)
        if found is None:
            return None
        times = self._times.read(values)
        if times is None:
            self._losses.lose(c.NO_TIME, found.target)
            return None
        bits = times.marks | _ALWAYS
        headers = self._lines(values, self._headers)
        if self._cookies and (cookies := self._lines(values, self._cookies)):
            headers += (("cookie", "; ".join(f"{name}={value}" for name, value in cookies)),)
        scheme, authority, unknown = self._origin(values, found, headers)
        status = (values[self._status_at] or "-") if self._status_at is not None else "-"
        if status == "101" or self._may_upgrade:
            headers = self._upgraded(values, status, headers)
        is_empty = self._length_known and ("content-length", "0") in headers
        answer, missing = self._answer(values, status, found.method)
        bits |= unknown | missing | (0 if is_empty else marks.REQUEST_BODY)
        return Exchange(
            id="",
            session=self._session(values),
            source=self._source,
            started_ns=times.start_ns,
            request=Request(
                method=found.method, scheme=scheme, authority=authority, target=found.target,
                http_version=found.version, headers=headers, body=b"" if is_empty else None,
            ),
            answer=answer,
            first_byte_ns=None if answer is None else times.first_byte_ns,
            ended_ns=times.end_ns,
            lacks=marks.lacks_of(bits),
        )  # fmt: skip

    def _text(self, values: Values, role: Role) -> str:
        """The value of a role, unescaped; empty when it is missing."""
        place = self._places.get(role)
        value = None if place is None else values[place]
        return "" if value is None or value == "-" else self._unescape(value)

    def _asked(self, values: Values) -> Asked | None:
        for place, longest in self._cuts:
            if len(values[place] or "") >= longest:
                self._losses.lose(c.CUT_TARGET, values[place])
                return None
        if self._line is not None:
            text = values[self._line] or ""
            found = request_line(self._unescape(text) if "\\" in text else text)
        else:
            method, target = self._text(values, Role.METHOD), self._target(values)
            protocol = self._text(values, Role.PROTOCOL)
            text = f"{method} {target} {protocol}"
            found = asked(method, target, version_of(protocol or "HTTP/1.1"))
        if found is None or (found.repair and self._text(values, Role.STATUS) == "400"):
            self._losses.lose(c.NO_REQUEST if text.strip(" -") else c.NO_HTTP, text)
            return None
        if found.repair:
            self._losses.repair(found.repair, text)
        return found

    def _target(self, values: Values) -> str:
        if target := self._text(values, Role.TARGET):
            return target
        path, asks, query = self._text(values, Role.PATH).partition("?")
        if self._has_dash and not asks:
            path = path.removesuffix("-")
        target = encoded_path(path)
        if target != path:
            self._losses.repair(c.NORMALISED, path)
        query = query or self._text(values, Role.QUERY).removeprefix("?")
        return f"{target}?{query}" if query else target

    def _lines(self, values: Values, places: tuple[tuple[int, str], ...]) -> Headers:
        found = []
        for place, name in places:
            text = values[place]
            if text is not None and text not in ("-", ""):
                value = self._unescape(text)
                if not value.isprintable():  # a line end in a header would begin another one when it is sent
                    value = self._cleaned(value)
                found.append((name, value))
        return tuple(found)

    def _cleaned(self, value: str) -> str:
        cleaned = _CONTROL.sub("", value)
        if cleaned != value:
            self._losses.repair(c.UNCLEAN, value)
        return cleaned

    def _origin(self, values: Values, found: Asked, headers: Headers) -> tuple[str, str, int]:
        """Scheme, authority, and the marks of those that the user must have said."""
        scheme, authority, bits = found.scheme, found.authority, 0
        if self._origin_known:
            scheme = scheme or self._scheme(values)
            authority = authority or next((value for name, value in headers if name == "host"), "")
            authority = authority if is_authority(authority) else ""
            if not authority and is_authority(host := self._text(values, Role.HOST)):
                port = self._text(values, Role.PORT)
                plain = not port or port == _DEFAULT_PORTS.get(scheme or self._options.scheme) or ":" in host
                authority = host if plain else f"{host}:{port}"
        if scheme not in _DEFAULT_PORTS:
            scheme, bits = self._options.scheme, marks.SCHEME
        if not authority:
            authority, bits = self._options.authority, bits | marks.AUTHORITY
        return scheme, authority, bits

    def _scheme(self, values: Values) -> str:
        if Role.HTTPS in self._places:
            return "https" if self._text(values, Role.HTTPS) == "on" else "http"
        scheme = self._text(values, Role.SCHEME).lower()
        return _UPGRADES.get(scheme, scheme)

    def _answer(self, values: Values, status: str, method: str) -> tuple[Answer | None, int]:
        if not (len(status) <= 3 and status.isascii() and status.isdigit()):
            return None, marks.ANSWER
        if status in self._no_answer or len(status) < 3 or status[0] == "0":
            self._losses.repair(c.LEFT, status)
            return None, 0
        headers = self._lines(values, self._answer_headers) if self._answer_headers else ()
        if method == "HEAD" or status in _BODILESS:
            return Answer(status=int(status), headers=headers), marks.ANSWER_HEADERS
        return Answer(status=int(status), headers=headers, body=None), marks.ANSWER_HEADERS | marks.ANSWER_BODY

    def _upgraded(self, values: Values, status: str, headers: Headers) -> Headers:
        kind = self._text(values, Role.UPGRADE)
        if status != "101" and kind not in _UPGRADES:
            return headers
        names = {name for name, _ in headers}
        if "upgrade" not in names:
            if kind not in _UPGRADES:
                self._losses.repair(c.UPGRADED)
            headers += (("upgrade", "websocket"),)
        return headers if "connection" in names else (*headers, ("connection", "Upgrade"))

    def _session(self, values: Values) -> str:
        if self._forwarded is not None and (found := address(values[self._forwarded] or "")):
            return f"client:{found}"
        for place in self._clients:
            if found := address(values[place] or ""):
                return f"client:{found}"
        return ""


def _named(columns: Sequence[Column], role: Role) -> tuple[tuple[int, str], ...]:
    """Places and names, each name once."""
    found: dict[str, int] = {}
    for place, column in enumerate(columns):
        if column.role is role:
            found.setdefault(column.name, place)
    return tuple((place, name) for name, place in found.items())
