"""The request scope: which bullet, if any, the running code belongs to.

The flag is a property of one request. A scope ends with its request plus a linger for
background work; code that still runs under a copied context after that, or in a forked
child, is STANDARD again and is counted as stale: a customer's write is never dropped
because a worker happened to start inside a bullet.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from tracer_bullet.model import Context, RequestType

DEFAULT_LINGER_S = 5.0


class Closer(Protocol):
    """Something that ends with the scope, such as a transaction to roll back."""

    def close(self) -> None:
        """Release from a thread without an event loop."""

    def aclose(self) -> Awaitable[None]:
        """Release from the event loop that the request ran on."""

    def answered(self) -> bool:
        """Called before the answer's last byte goes out: make ready what the bullet's next request needs.

        False when that must wait for the release.
        """


class Scope:
    """One bullet's request in one service. Made by inbound guards; `owner` is the guard that made it.

    A context whose request type is STANDARD is a tester's request without the flag (guards/testers.py):
    guards refuse its writes, and nothing else of it is a bullet's.
    """

    __slots__ = (
        "_clock_s",
        "_closers",
        "_ended_s",
        "_lock",
        "_pid",
        "carriers",
        "closed",
        "context",
        "id",
        "linger_s",
        "owner",
        "parent",
        "spans",
        "state",
        "trace_id",
        "traceparent",
    )

    def __init__(
        self,
        context: Context,
        owner: object,
        *,
        linger_s: float = DEFAULT_LINGER_S,
        trace_id: str = "",
        traceparent: str = "",
        carriers: tuple[str, ...] = (),
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.context = context
        self.owner = owner
        self.linger_s = linger_s
        self.trace_id = trace_id
        self.traceparent = traceparent
        self.carriers = carriers
        self.id = secrets.token_hex(8)
        self.closed = threading.Event()  # set when all closers are released
        self.spans = 0
        self.parent: Any = None  # OpenTelemetry context that the request came with
        self.state: dict[object, Any] = {}  # what guards keep for this request, by a key of their own
        self._clock_s = clock_s
        self._ended_s: float | None = None
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._closers: list[Closer] = []

    @property
    def ended(self) -> bool:
        """Whether the request is over; background work may still linger."""
        return self._ended_s is not None

    @property
    def live(self) -> bool:
        """Whether work under this scope is the bullet's."""
        if self._pid != os.getpid():
            return False
        return self._ended_s is None or self._clock_s() - self._ended_s <= self.linger_s

    def count_span(self) -> bool:
        """Count a span started while the request runs; False once it has ended."""
        with self._lock:
            if self._ended_s is not None:
                return False
            self.spans += 1
            return True

    def on_end(self, closer: Closer) -> bool:
        """Register something to release at the end; False when the end is past and the caller must do it."""
        with self._lock:
            if self._ended_s is not None:
                return False
            self._closers.append(closer)
            return True

    def answered(self) -> bool:
        """Tell the closers that the answer is about to be whole; whether all are ready for the next request."""
        with self._lock:
            closers = list(self._closers)
        ready = [closer.answered() for closer in closers]  # every one of them is told
        return all(ready)

    def end(self) -> list[Closer]:
        """End the request; the closers, last first, for the caller to release. A second call gives none."""
        with self._lock:
            if self._ended_s is None:
                self._ended_s = self._clock_s()
            closers, self._closers = self._closers[::-1], []
            return closers


_CURRENT: ContextVar[Scope | None] = ContextVar("tracer_bullet_scope", default=None)
_stale_lock = threading.Lock()
_stale = 0


def live_scope() -> Scope | None:
    """The bullet's scope that the running code belongs to, or None for STANDARD."""
    scope = _CURRENT.get()
    if scope is None:  # every customer request ends here
        return None
    if scope.live:
        return scope
    _count_stale()
    return None


def inherited_scope() -> Scope | None:
    """The scope in the running context, live or stale."""
    return _CURRENT.get()


def current() -> Context | None:
    """The bullet's context when the running code belongs to one, else None."""
    scope = live_scope()
    return scope.context if scope is not None and scope.context.request_type is RequestType.TRACE else None


def is_trace() -> bool:
    """Whether the running code belongs to a tracer bullet."""
    return current() is not None


def stale_contexts() -> int:
    """How often code asked under a bullet's context that had ended (`stale_context`)."""
    return _stale


@contextmanager
def entered(scope: Scope | None) -> Iterator[None]:
    """Run the block under `scope`; None makes it STANDARD."""
    token = _CURRENT.set(scope)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def switch(scope: Scope | None) -> None:
    """Make `scope` that of the running context from here on, with no end: for consumers that are asked for messages."""
    _CURRENT.set(scope)


def _count_stale() -> None:
    global _stale  # noqa: PLW0603  # a process-wide counter
    with _stale_lock:
        _stale += 1
