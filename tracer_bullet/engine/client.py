"""How the scheduler speaks to a client of an origin, whatever its protocol: HTTP/1.1, HTTP/2 and gRPC implement it.

One `Shot` is one request under way. The scheduler makes it, decides when it goes, fills its slots and draws its ids;
the client writes it, reads the answer, and hands the shot back by `done`. A shot is a plain mutable record, since an
object or a call more for each request is what the engine's rate is made of.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Protocol

from tracer_bullet.engine.settings import EngineSettings
from tracer_bullet.model.arrival import Origin
from tracer_bullet.model.exchange import Answer
from tracer_bullet.model.shots import SHOT_ERRORS

# Indexes into SHOT_ERRORS, for `Shot.error`.
CONNECT: Final = SHOT_ERRORS.index("connect")
TLS: Final = SHOT_ERRORS.index("tls")
CONNECT_TIMEOUT: Final = SHOT_ERRORS.index("connect-timeout")
SEND_TIMEOUT: Final = SHOT_ERRORS.index("send-timeout")
ANSWER_TIMEOUT: Final = SHOT_ERRORS.index("answer-timeout")
TOTAL_TIMEOUT: Final = SHOT_ERRORS.index("total-timeout")
RESET: Final = SHOT_ERRORS.index("reset")
PROTOCOL: Final = SHOT_ERRORS.index("protocol")
TOO_LARGE: Final = SHOT_ERRORS.index("too-large")
SLOT: Final = SHOT_ERRORS.index("slot")
STOPPED: Final = SHOT_ERRORS.index("stopped")
LOST: Final = SHOT_ERRORS.index("lost")
UNEXPECTED: Final = SHOT_ERRORS.index("unexpected")
SKIPPED: Final = SHOT_ERRORS.index("skipped")
STALE: Final = SHOT_ERRORS.index("stale")

# What is wanted of an answer, for `Shot.wants`, beside its figures.
NOTHING: Final = 0
ALL: Final = 1
COOKIES: Final = 2  # its Set-Cookie lines, when it has any

# Answers with these statuses are always handed over with their headers: they may ask for a pause.
BACK_OFF: Final = frozenset({429, 503})

now_ns = time.monotonic_ns
"""The engine's one clock. All times inside the engine are its; they become Unix times when they leave."""


class Shot:
    """One request under way. Times are `now_ns()`; 0 means not yet.

    Set by the scheduler before `send`, and only read by the client:
    `head`: HTTP/1.1 request line and header lines, each ended by CRLF, with host and content-length, with no empty
    line and none of the flag's carriers, slots filled. `carriers`: more header lines, each ended by CRLF, to be sent
    after those of `head` (names are lower-case, no other header has them). `body`. `wants`: what is needed of the
    answer itself. `ready_ns`: from here `total_s` counts, or the endpoint's own limit.

    Set by the client before `done`:
    `sent_ns`: when the first byte was handed to the system. `first_ns`: the first byte of the final answer (not of a
    1xx one). `ended_ns`. `status`: of the final answer, 0 when none was seen (it may be set beside an error, as when
    the connection broke in the body). `error`: 0, or one of the indexes above. `request_bytes`, `answer_bytes`: on
    the wire, above TLS. `answer`: when `wants` is ALL, or when the status is in BACK_OFF: headers as they came, body
    without transfer coding but with content coding, at most `keep_bytes` of it, and then `cut` is True. A HEAD's, 204's
    or 304's answer has the body b"". When `wants` is COOKIES, an answer that sets some, perhaps without its other
    headers and its body. With an error it is None.

    The rest belongs to the scheduler.
    """

    __slots__ = (
        "answer",
        "answer_bytes",
        "body",
        "carriers",
        "cut",
        "due_ns",
        "ended_ns",
        "endpoint",
        "error",
        "first_ns",
        "head",
        "number",
        "origin",
        "plot",
        "ready_ns",
        "request_bytes",
        "sent_ns",
        "session",
        "span",
        "status",
        "trace",
        "wants",
    )

    def __init__(
        self, number: int, due_ns: int, session: int, origin: int, endpoint: int, head: bytes, body: bytes
    ) -> None:
        self.number = number
        self.due_ns = self.ready_ns = due_ns
        self.session = session
        self.origin = origin
        self.endpoint = endpoint
        self.head = head
        self.body = body
        self.carriers = b""
        self.trace = self.span = b""
        self.sent_ns = self.first_ns = self.ended_ns = 0
        self.status = self.error = self.request_bytes = self.answer_bytes = 0
        self.wants = NOTHING
        self.cut = False
        self.answer: Answer | None = None
        self.plot: object = None

    @property
    def method(self) -> bytes:
        """The request's method, as it stands in `head`."""
        return self.head[: self.head.find(b" ")]


Limits = Mapping[int, int]
"""Of each endpoint that has a `total_s` of its own: nanoseconds. It may grow."""
NO_LIMITS: Final[Limits] = MappingProxyType({})

Done = Callable[[Shot], None]
"""Called once for each shot, on the loop's thread, and never from within `send`."""


class Client(Protocol):
    """A client of one origin. All methods are called on the loop's thread and return at once; none raises for what
    the network does: that is told by the shot's `error`."""

    def send(self, shot: Shot) -> None:
        """Send it now, on a free connection or as soon as there is one. `done` gets it back exactly once, unless
        `drop` hands it over first. A request is never written twice when the first may have been processed; an
        answer's redirect is not followed."""

    def sweep(self, now: int) -> None:
        """End what has passed one of its time-outs by `now`. Called some 20 times a second, so that no shot needs a
        timer. The client closes what it can no longer use."""

    def halt(self) -> list[Shot]:
        """Write no further request: forget the shots that were not written yet, and return them, without calling
        `done` for them. Those under way go on, and are handed over by `done`."""

    def drop(self) -> list[Shot]:
        """Forget all shots that are waiting or under way, without calling `done` for them, and close their
        connections. Those that were never written have `sent_ns` 0. Nothing is sent from here on."""

    async def close(self) -> None:
        """Close all connections and wait until that is done, at most about 0.2 s. Called once, after `drop`."""

    @property
    def waiting(self) -> int:
        """Shots that wait for a connection (or, with HTTP/2, a stream)."""

    @property
    def connections(self) -> int:
        """Connections that are open or being opened."""

    @property
    def resent(self) -> int:
        """Requests written again, since an idle connection had been closed beneath them."""


class ClientFactory(Protocol):
    """What makes the client of an origin. It opens connections only once something is sent."""

    def __call__(self, origin: Origin, settings: EngineSettings, done: Done, limits: Limits = ..., /) -> Client:
        """A client for `origin`, to be used on the running loop."""
