"""What differs between plain HTTP/2 and gRPC over it: how a request's head is told, and what an answer means. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from hpack import HeaderTuple, NeverIndexedHeaderTuple

from tracer_bullet.model.exchange import Headers

# RFC 9113, section 8.2.2: they speak of one HTTP/1.1 connection, and make a request malformed.
_OF_THE_CONNECTION: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"http2-settings"}
)
# Other ones each time: as entries of the compression's table they would only push out those that repeat.
_UNIQUE: Final = frozenset({b"traceparent", b"baggage"})


class Dialect(Protocol):
    """How requests and answers are told."""

    def fields(self, head: bytes, carriers: bytes, scheme: bytes, authority: bytes) -> list[HeaderTuple]:
        """The header list of a request: pseudo-headers, then the rest. Raises ValueError when `head` is none."""

    def outcome(self, status: int, headers: Headers, trailers: Headers) -> tuple[int, int]:
        """The status and error (index into SHOT_ERRORS) of a whole answer."""


class PlainHttp:
    """HTTP itself: the answer's status is its status."""

    def fields(self, head: bytes, carriers: bytes, scheme: bytes, authority: bytes) -> list[HeaderTuple]:
        """As in Dialect."""
        return request_fields(head, carriers, scheme, authority)

    def outcome(self, status: int, headers: Headers, trailers: Headers) -> tuple[int, int]:  # noqa: ARG002
        """As in Dialect."""
        return status, 0


def request_fields(head: bytes, carriers: bytes, scheme: bytes, authority: bytes) -> list[HeaderTuple]:
    """An HTTP/1.1 head and further header lines as HTTP/2 header fields (RFC 9113, section 8.3).

    The host becomes `:authority` (`authority` when there is none), names become lower-case, and what speaks of the
    connection is left out. Raises ValueError when the first line is no request line.
    """
    line, _, rest = head.partition(b"\r\n")
    parts = line.split(b" ")
    if len(parts) < 3 or not parts[0] or not parts[-1].startswith(b"HTTP/"):
        raise ValueError("no request line")
    named = _named(rest + carriers)
    also_dropped = {
        token.strip().lower() for name, value in named if name == b"connection" for token in value.split(b",")
    }
    fields = [
        _field(name, value)
        for name, value in named
        if name != b"host"
        and name not in _OF_THE_CONNECTION
        and name not in also_dropped
        and (name != b"te" or value.lower() == b"trailers")
    ]
    hosts = [value for name, value in named if name == b"host"]
    return [
        HeaderTuple(b":method", parts[0]),
        HeaderTuple(b":scheme", scheme),
        HeaderTuple(b":authority", hosts[0] if hosts else authority),
        HeaderTuple(b":path", b" ".join(parts[1:-1]) or b"/"),
        *fields,
    ]


def texts(fields: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Header fields of an answer as text, without the pseudo ones."""
    return tuple((n.decode("latin-1"), v.decode("latin-1")) for n, v in fields if not n.startswith(b":"))


def status_of(fields: Sequence[tuple[bytes, bytes]]) -> int:
    """The `:status`; 0 when there is none that is a number of three digits."""
    for name, value in fields:
        if name == b":status":
            return int(value) if len(value) == 3 and value.isdigit() else 0
    return 0


def _named(lines: bytes) -> list[tuple[bytes, bytes]]:
    named = []
    for line in lines.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon and name:
            named.append((name.strip().lower(), value.strip(b" \t")))
    return named


def _field(name: bytes, value: bytes) -> HeaderTuple:
    return NeverIndexedHeaderTuple(name, value) if name in _UNIQUE else HeaderTuple(name, value)
