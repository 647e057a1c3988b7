"""A recorded request and its answer: what capture writes and replay reads. docs/archive.md is the file format."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

Headers = tuple[tuple[str, str], ...]  # as sent, in order, repeated names kept; text is latin-1

# RFC 9110, section 9.2.1.
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class Lack(Enum):
    """What a source could not tell of an exchange. A mark is a promise: what is not marked is as it was on the wire."""

    START = "start"  # only the end is known, and no duration: `started_ns` is the end
    SUBSECOND = "subsecond"  # times have whole seconds
    DURATION = "duration"
    SESSION = "session"  # the client was guessed, or is unknown
    AUTHORITY = "authority"
    SCHEME = "scheme"
    REQUEST_HEADERS = "request-headers"
    REQUEST_BODY = "request-body"
    REQUEST_BODY_CUT = "request-body-cut"
    ANSWER = "answer"
    ANSWER_HEADERS = "answer-headers"
    ANSWER_BODY = "answer-body"
    ANSWER_BODY_CUT = "answer-body-cut"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked. `target` is the request target in origin form: path and query, percent-encoded as it was sent.

    `authority` is `host` or `host:port`. `body` is the content after transfer coding, with its content coding
    (RFC 9112, 7.1; RFC 9110, 8.4); None when it is not known (`Lack.REQUEST_BODY`), b"" when there was none.
    """

    method: str
    scheme: str
    authority: str
    target: str
    http_version: str = "1.1"
    headers: Headers = ()
    body: bytes | None = b""
    trailers: Headers = ()

    @property
    def is_write(self) -> bool:
        """Whether the method is not one of the safe ones."""
        return self.method not in SAFE_METHODS

    def values(self, name: str) -> list[str]:
        """The header lines of this name, whatever its case."""
        return _values(self.headers, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. `body` as in Request; None when it is not known."""

    status: int
    headers: Headers = ()
    body: bytes | None = b""
    trailers: Headers = ()

    def values(self, name: str) -> list[str]:
        """The header lines of this name, whatever its case."""
        return _values(self.headers, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and its answer, as recorded.

    `id` is unique within an archive. `session`: whose request it is (a pseudonym of the client's cookie, login,
    connection or address), empty when unknown. Times are Unix nanoseconds: `started_ns` when the first byte of the
    request was there, `first_byte_ns` and `ended_ns` of the answer, None when unknown. `lacks` marks what is missing.
    `redacted` names what redaction changed, as `header:authorization`, `json:$.card`, `query:token`.
    `answer` is None when there was none, or when it is not known (`Lack.ANSWER`).
    """

    id: str
    session: str
    source: str
    started_ns: int
    request: Request
    answer: Answer | None = None
    first_byte_ns: int | None = None
    ended_ns: int | None = None
    lacks: frozenset[Lack] = frozenset()
    redacted: tuple[str, ...] = ()

    @property
    def unreplayable(self) -> str:
        """Why it must not be sent again; empty when it may be."""
        if self.request.method == "CONNECT":
            return "connect"
        if self.request.values("upgrade") and any("upgrade" in v.lower() for v in self.request.values("connection")):
            return "upgrade"
        if Lack.REQUEST_BODY in self.lacks and self.request.is_write:
            return "write-without-body"
        if Lack.REQUEST_BODY_CUT in self.lacks:
            return "body-cut"
        return ""


def _values(headers: Iterable[tuple[str, str]], name: str) -> list[str]:
    name = name.lower()
    return [value for key, value in headers if key.lower() == name]
