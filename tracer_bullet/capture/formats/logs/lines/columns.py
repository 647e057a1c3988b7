"""What a place in a log line holds, and why a line may not become an exchange."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from tracer_bullet.capture.formats.logs.values.clock import Stamp

NO_FORM: Final = "lines that are not in the log's format"
NO_REQUEST: Final = "lines whose request is none of HTTP"
NO_TIME: Final = "lines without a time that can be read"
TOO_LONG: Final = "lines over 1 MiB"
TORN: Final = "a last line that was cut off"
NO_HTTP: Final = "lines without a request: connections that are not HTTP, or that closed before they asked"
OLD: Final = "requests of HTTP/0.9: taken as HTTP/1.0"
CUT_TARGET: Final = "requests whose path the log's format cuts off"
NO_ZONE: Final = "times without a zone: taken as UTC"
ENCODED: Final = "targets with spaces, control characters or bytes over 0x7e: percent-encoded"
NORMALISED: Final = "targets that the server logged decoded: percent-encoded again"
UPGRADED: Final = "connections that were upgraded, to what is not logged: taken as WebSocket"
LEFT: Final = "requests that got no answer: the client left, or the server hung up"
UNCLEAN: Final = "header values with control characters: left out of them"
NUL: Final = "NUL bytes before a line, as rotation by copying leaves them"

SECOND_NS: Final = 1_000_000_000


class Role(Enum):
    """What a value means."""

    SKIP = "skip"
    REQUEST_LINE = "request line"
    METHOD = "method"
    TARGET = "target"  # path and query as sent
    PATH = "path"  # decoded by the server
    QUERY = "query"  # with or without `?`
    PROTOCOL = "protocol"  # HTTP/1.1
    SCHEME = "scheme"
    HTTPS = "https"  # `on`, or nothing
    HOST = "host"  # without a port, perhaps in lower case
    PORT = "port"  # of the server
    STATUS = "status"
    CLIENT = "client"  # an address, perhaps with a port, or a chain of them
    HEADER = "header"
    COOKIE = "cookie"
    ANSWER_HEADER = "answer header"
    START = "start"
    END = "end"
    DURATION = "duration"
    FIRST_BYTE = "first byte"  # from the start to the answer's first byte
    UPGRADE = "upgrade"  # ws or wss, or something else


# A path behind which a missing query leaves a `-`: nginx's `$uri$is_args$args` is `/orders-`.
WITH_DASH: Final = "path with a dash"
NUMBER: Final = r"-?\d++(?:\.\d++)?+|-|"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A place in a line. `name` is that of a header, in lower case, or of a cookie; `unit_ns` is of durations.

    Regular expressions without groups say what its value looks like: `pattern` wherever it is, `near` where no literal
    parts it from another value, `enclosed` where quotes stand around it. `longest`: where the log's format cuts it (0:
    nowhere). `stamp` is of START and END.
    """

    role: Role
    name: str = ""
    pattern: str = ""
    near: str = ""
    enclosed: str = ""
    unit_ns: int = 0
    longest: int = 0
    stamp: Stamp | None = None


SKIP: Final = Column(role=Role.SKIP)


def header(name: str, enclosed: str = "") -> Column:
    """A header line of the request."""
    return Column(role=Role.HEADER, name=name.lower(), enclosed=enclosed)


def answer_header(name: str) -> Column:
    """A header line of the answer."""
    return Column(role=Role.ANSWER_HEADER, name=name.lower())


def number() -> Column:
    """A number that nobody needs."""
    return Column(role=Role.SKIP, pattern=NUMBER)


def status() -> Column:
    """A status code."""
    return Column(role=Role.STATUS, pattern=r"\d{1,3}|-|")


def duration(unit_ns: int, role: Role = Role.DURATION) -> Column:
    """A duration in units of so many nanoseconds, perhaps with decimals."""
    return Column(role=role, pattern=NUMBER, unit_ns=unit_ns)


def moment(role: Role, stamp: Stamp) -> Column:
    """A time, or a part of one."""
    return Column(role=role, pattern=stamp.pattern, stamp=stamp)
