"""A tapped exchange and the line of the access log about it → one exchange that knows all that both do. Pure.

The tap has headers, bodies and when headers came; the log has the HTTP version, when all had ended, and whether it
ended as it should. They have no id in common that the target would not see, so they are paired by the client's
connection: of one connection both come in the order in which its requests ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from tracer_bullet.capture.cuts import without_frames
from tracer_bullet.model.exchange import Answer, Exchange, Lack, Request

# How long one half waits for the other; Envoy writes its log at least this often many times over.
WAIT_NS: Final = 5_000_000_000
# Envoy's clock of headers and of the log may be read a moment apart.
_SLACK_NS: Final = 5_000_000
_VERSIONS: Final = {"HTTP/1.0": "1.0", "HTTP/1.1": "1.1", "HTTP/2": "2", "HTTP/3": "3"}
# Answers that end with their headers (RFC 9112, 6.3).
_BODILESS: Final = frozenset({204, 304})


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What a line of the log says. Times are Unix nanoseconds. `flags` are Envoy's response flags, empty when all went
    well (https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage, RESPONSE_FLAGS)."""

    connection: str
    method: str
    target: str
    started_ns: int
    ended_ns: int
    version: str
    flags: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tapped:
    """An exchange as the tap told it, when that was, and of which connection."""

    connection: str
    exchange: Exchange
    told_ns: int


class Pairing:
    """Holds what waits for its other half."""

    def __init__(self) -> None:
        self._tapped: dict[str, deque[Tapped]] = {}
        self._lines: dict[str, deque[Line]] = {}
        self.waiting = 0

    def tapped(self, one: Tapped) -> Iterator[Exchange]:
        """An exchange came; it, with its line, if that was there first."""
        if one.connection in self._tapped or (line := self._match(one)) is None:
            self._tapped.setdefault(one.connection, deque()).append(one)
            self.waiting += 1
        else:
            yield merge(one, line)

    def line(self, line: Line) -> Iterator[Exchange]:
        """A line came; what it was waited for."""
        self._lines.setdefault(line.connection, deque()).append(line)
        held = self._tapped.get(line.connection)
        while held and (found := self._match(held[0])) is not None:
            self.waiting -= 1
            yield merge(held.popleft(), found)
        if not held:
            self._tapped.pop(line.connection, None)

    def expired(self, now_ns: int) -> Iterator[Exchange]:
        """What has waited long enough, as it is. Lines that nothing was tapped for are forgotten."""
        for connection in [c for c, held in self._tapped.items() if held[0].told_ns + WAIT_NS <= now_ns]:
            held = self._tapped[connection]
            while held and held[0].told_ns + WAIT_NS <= now_ns:
                self.waiting -= 1
                yield merge(held.popleft(), None)
            if not held:
                del self._tapped[connection]
        for connection in [c for c, lines in self._lines.items() if lines[-1].ended_ns + 5 * WAIT_NS <= now_ns]:
            del self._lines[connection]

    def rest(self) -> Iterator[Exchange]:
        """All that still waits, as it is."""
        for held in self._tapped.values():
            yield from (merge(one, None) for one in held)
        self._tapped, self._lines, self.waiting = {}, {}, 0

    def _match(self, one: Tapped) -> Line | None:
        """The first line of the connection that is about it; those before are about requests that were not tapped."""
        lines = self._lines.get(one.connection)
        for at, line in enumerate(lines or ()):
            if lines is not None and _is_about(line, one.exchange):
                for _ in range(at + 1):
                    lines.popleft()
                if not lines:
                    del self._lines[one.connection]
                return line
        return None


def read_line(fields: dict[str, Any]) -> Line | None:
    """The members of a line in JSON (`bootstrap.PAIR_FIELDS`), or None when they are not what they must be."""
    try:
        started_ns = _nanoseconds(fields["start_time"])
        return Line(
            connection=str(fields["connection"]),
            method=str(fields["method"]),
            target=str(fields["path"]),
            started_ns=started_ns,
            ended_ns=started_ns + int(fields["duration_ns"] or 0),
            version=_VERSIONS.get(str(fields["protocol"]), ""),
            flags=str(fields["response_flags"] or "").removeprefix("-"),
        )
    except (KeyError, TypeError, ValueError):
        return None


def merge(one: Tapped, line: Line | None) -> Exchange:
    """The exchange as both halves tell it. Without a line its end stays unknown."""
    exchange = one.exchange
    lacks = exchange.lacks | _cuts(exchange, line)
    lacks -= {Lack.DURATION} if line is not None else frozenset()
    request = exchange.request
    if line is not None and line.version:
        request = replace(request, http_version=line.version)
    merged = replace(exchange, request=request, lacks=lacks)
    if line is not None:
        started_ns = min(line.started_ns, exchange.started_ns)
        ended_ns = max(line.ended_ns, exchange.first_byte_ns or started_ns)
        merged = replace(merged, started_ns=started_ns, ended_ns=ended_ns)
    return without_frames(merged)


def _cuts(exchange: Exchange, line: Line | None) -> frozenset[Lack]:
    """Bodies that end before they were complete: shorter than said, or ended by a failure."""
    found = set()
    request, answer = exchange.request, exchange.answer
    failed = bool(line is not None and line.flags)
    if request.body is not None and (
        _is_short(request.values("content-length"), request.body) or _is_open(request, answer)
    ):
        found.add(Lack.REQUEST_BODY_CUT)
    if answer is not None and answer.body is not None and request.method != "HEAD" and answer.status not in _BODILESS:
        told = answer.values("content-length")
        if _is_short(told, answer.body) or (failed and not told):
            found.add(Lack.ANSWER_BODY_CUT)
    return frozenset(found)


def _is_open(request: Request, answer: Answer | None) -> bool:
    """A chunked request that nothing answered: whether its end came is not known."""
    return answer is None and bool(request.values("transfer-encoding"))


def _is_short(told: list[str], body: bytes) -> bool:
    return bool(told) and told[0].isascii() and told[0].isdigit() and len(body) < int(told[0])


def _is_about(line: Line, exchange: Exchange) -> bool:
    return (
        line.method == exchange.request.method
        and line.target == exchange.request.target
        and line.started_ns - _SLACK_NS <= exchange.started_ns <= line.ended_ns + _SLACK_NS
    )


def _nanoseconds(text: str) -> int:
    """`seconds.fraction`, exactly: a float has not the digits."""
    seconds, _, fraction = str(text).partition(".")
    return int(seconds) * 1_000_000_000 + int(fraction.ljust(9, "0")[:9] or 0)
