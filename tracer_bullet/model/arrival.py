"""What the engine is given: requests ready to send, each with the time at which it is due."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Protocol(Enum):
    """How an origin is spoken to. `GRPC` is HTTP/2 with messages framed by the gRPC client; `HTTP2` over TLS or prior
    knowledge."""

    HTTP1 = "http1"
    HTTP2 = "http2"
    GRPC = "grpc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where requests go. `number` is how arrivals name it. `host` is an IP address or a name, without brackets."""

    number: int
    scheme: str
    host: str
    port: int
    protocol: Protocol = Protocol.HTTP1


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An entry of the statistics, as `POST /orders/{}`. `number` is how arrivals name it.

    `statuses`: what answers are expected, as `201` or `2xx`; others are the error `unexpected`. Empty: any.
    `timeout_s`: from when a request may go to the end of its answer; 0: the engine's own `total_s`.
    """

    number: int
    method: str
    name: str
    statuses: tuple[str, ...] = ()
    timeout_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in the request that a variable of the session fills before it is sent.

    `start` is an offset into `head` when `part` is "head", into `body` when it is "body"; `length` bytes there (the
    captured value) are replaced by the variable's value, encoded as `encoding` says: `raw`, `percent` (path, query,
    form), `json` (inside a JSON string), `value` (a whole JSON value, of the type that it was taken with), `base64`.
    """

    part: str
    start: int
    length: int
    variable: str
    encoding: str = "raw"


@dataclass(frozen=True, slots=True)
class Take:
    """What an answer mints: `variable` gets the value at `path` of `source`.

    `source`: `json` (path as `$.a.b[0]`), `header` (path is a lower-case name), `cookie` (path is the cookie's name),
    `status` (no path).
    `pattern`: when it is not empty, a regular expression that is searched in the text there, and whose group 1 is the
    value; no match is no value. So an id comes out of `location: http://host/orders/17`.
    """

    variable: str
    source: str
    path: str
    pattern: str = ""


class Arrival(NamedTuple):
    """A request that is due `due_ns` after the schedule's start.

    A tuple, since one is made for each request: a frozen dataclass takes three times as long, and tuples turn into
    columns at once.

    `number` counts arrivals from 0. `record` is the archive's id of the exchange that it replays, empty when there is
    none. `head` is the HTTP/1.1 request line and header lines, each ended by CRLF, with host and content-length, but
    without the flag's carriers and without the empty line: the engine adds both. `after` is the number of the arrival
    of the same session whose answer must have ended before this one is sent, -1 for none. `takes` fill variables of
    the session from this one's answer; a slot whose variable is not there yet waits for it. `last`: nothing more comes
    of this session, which may be forgotten. `keep`: the answer itself is wanted, not only its figures.

    `pause_ns` from 0 on: it is due so long after the end of `after`, whose session need not be its own, and `due_ns`
    only says when it is expected, so that it is handed over in time; its shot tells when it was due. `needs`: it is not
    sent (`skipped`) unless `after` was sent, answered, and answered as its endpoint expects. `cookies`: it is sent with
    the cookies that the answers of its session set (RFC 6265), and its answer may set some.
    """

    number: int
    due_ns: int
    session: int
    origin: int
    endpoint: int
    head: bytes
    body: bytes = b""
    record: str = ""
    after: int = -1
    slots: tuple[Slot, ...] = ()
    takes: tuple[Take, ...] = ()
    last: bool = False
    keep: bool = False
    pause_ns: int = -1
    needs: bool = False
    cookies: bool = False
