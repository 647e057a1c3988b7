"""Inbound guard for messages: what the guards of brokers, task queues and RPC servers share.

A message says that it is a bullet's in its headers, by the same three carriers as an HTTP
request. For a consumer whose messages are handed to a handler:

    with delivery(message.headers, armed, name="orders receive") as found:   # or `async with`
        if found.refused:
            reject(message, requeue=False)   # never handled as a customer's, never redelivered
        else:
            handler(message)

Where no handler is called (`for message in consumer`), see `pulling.Puller`. A guard spares
customers even this with `is_plain(headers)`. What goes out is marked by `flag_message` or
`flag_pairs` and stripped by `strip_message` or `strip_pairs`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final, Self

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace

from tracer_bullet import __version__
from tracer_bullet.context.carriers import BAGGAGE, CARRIER_NAMES, HEADER, TRACESTATE, Claim, read_claim
from tracer_bullet.context.decide import Admission, decide
from tracer_bullet.context.scope import Closer, Scope, entered, inherited_scope
from tracer_bullet.guards.evidence import TRACER_NAME
from tracer_bullet.guards.http.egress import with_flag, without_flag
from tracer_bullet.guards.inbound import first, is_nested, open_scope, untangled
from tracer_bullet.guards.registry import Armed, default
from tracer_bullet.guards.testers import tester_scope
from tracer_bullet.model import FlagState, attributes

MessageHeaders = Mapping[Any, Any] | Iterable[tuple[Any, Any]] | None
"""Names to values, or pairs of them; names and values are text or bytes, other values are not ours."""

_TRACEPARENT: Final = "traceparent"
_OURS: Final = frozenset({*CARRIER_NAMES, _TRACEPARENT})
_OUR_LENGTHS: Final = frozenset(map(len, _OURS))

_SERVING: ContextVar[Armed | None] = ContextVar("tracer_bullet_serving", default=None)


@contextlib.contextmanager
def serving(armed: Armed) -> Iterator[None]:
    """Consumers that are started or asked for messages inside the block belong to `armed`.

    Needed only where several services live in one process; else the one that is armed counts.
    """
    token = _SERVING.set(armed)
    try:
        yield
    finally:
        _SERVING.reset(token)


def consuming_service() -> Armed | None:
    """The armed service that consumers of the running code belong to; None when there is none, or several."""
    return _SERVING.get() or default()


def is_plain(headers: MessageHeaders, armed: Armed | None = None) -> bool:
    """Whether a message needs nothing of ours: no claim in it, no bullet in the running context, and no tester
    accounts in the consuming service, `armed` or `consuming_service()`.

    What every customer's message costs. `headers` is iterated once, so no iterator may be given.
    """
    if inherited_scope() is not None or read_message_claim(headers) is not None:
        return False
    armed = armed or consuming_service()
    return armed is None or not armed.config.testers


def stands_alone(headers: MessageHeaders, armed: Armed | None = None) -> bool:
    """Whether a message needs a scope, and so must not be handed out in a batch: it claims to be a bullet's, or names
    a tester account of the consuming service."""
    if read_message_claim(headers) is not None:
        return True
    armed = armed or consuming_service()
    if armed is None or not armed.config.testers:
        return False
    return tester_scope(armed, _ours(headers).get(BAGGAGE, ())) is not None


def read_message_claim(headers: MessageHeaders) -> Claim | None:
    """What a message's headers claim; None when they do not mention a bullet. Names count in any letter case."""
    found = _ours(headers)
    if not found or not found.keys() & set(CARRIER_NAMES):
        return None
    return read_claim(found.get(BAGGAGE, ()), found.get(TRACESTATE, ()), found.get(HEADER, ()))


def delivery(headers: MessageHeaders, armed: Armed | None = None, *, name: str = "message") -> Delivery:
    """One message on its way to its handler; use it with `with` or `async with`, once.

    `armed`: the consuming service, by default `consuming_service()`. `name`: what a refusal's span
    is named by, such as `orders receive`.
    """
    return Delivery(headers, armed, name)


class Delivery:
    """A message's way through its handler. Inside the block:

    a bullet's (`state` VALID): the code runs under its `scope`, as part of its trace, and what it
    left open is released at the end, also when the handler fails or is cancelled;
    a customer's (ABSENT): the code runs without anything that another message left behind; one that
    names a tester account of the service has a `scope` in which every write is refused (testers.py);
    `refused` (REFUSED or LOST): the handler must not run. The trace says so already; `reason` and
    `detail` are for the log.
    """

    def __init__(self, headers: MessageHeaders, armed: Armed | None, name: str) -> None:
        self.state = FlagState.ABSENT
        self.scope: Scope | None = None
        self.reason = self.detail = ""
        self._headers = _ours(headers)
        self._armed = armed
        self._name = name
        self._opened = contextlib.ExitStack()
        self._closers: list[Closer] = []
        self._owned = False

    @property
    def refused(self) -> bool:
        """Whether the message must be rejected without a second delivery."""
        return self.state in (FlagState.REFUSED, FlagState.LOST)

    @property
    def parent(self) -> otel_context.Context | None:
        """The trace context that a bullet's message came with."""
        return None if self.scope is None else self.scope.parent

    def __enter__(self) -> Self:
        self.admit()
        for late in self._late():
            late.closed.wait(self._hold_s())
        self._enter()
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._opened.close()
        finally:
            self.release()

    async def __aenter__(self) -> Self:
        self.admit()
        for late in self._late():
            await asyncio.to_thread(late.closed.wait, self._hold_s())
        self._enter()
        return self

    async def __aexit__(self, *error: object) -> None:
        try:
            self._opened.close()
        finally:
            if self._owned:  # a cancelled handler must still roll back
                await asyncio.shield(asyncio.ensure_future(self.arelease()))

    def admit(self, impossible: str = "") -> None:
        """Decide on the message, and open its scope; the context stays as it is. `with` does it.

        `impossible`: why not even a bullet with proof can be handled as one here; it is refused then.
        """
        claim = read_message_claim(self._headers)
        armed = self._armed = self._armed or consuming_service()
        if claim is None:
            self._admit_customer(armed)
            return
        admission = armed.admit(claim) if armed is not None else decide(claim, None)
        if impossible and admission.state is FlagState.VALID:
            admission = Admission(
                state=FlagState.REFUSED, reason="no-scope", detail=impossible, carriers=admission.carriers
            )
        self.state, self.reason, self.detail = admission.state, admission.reason, admission.detail
        traceparent = first(self._headers, _TRACEPARENT)
        if admission.state is not FlagState.VALID or armed is None:
            with untangled(traceparent):
                self._record(armed, admission)
        elif is_nested(armed, traceparent):
            self.scope = inherited_scope()
        else:
            with untangled(traceparent):
                self.scope, _ = open_scope(armed, admission, self._headers)
            self._owned = True

    def _admit_customer(self, armed: Armed | None) -> None:
        if armed is not None and armed.config.testers:
            self.scope = tester_scope(armed, self._headers.get(BAGGAGE, ()))
            self._owned = self.scope is not None

    def end(self) -> None:
        """End the scope and leave its seal; what it has open is for `release` or `arelease`. `with` does it."""
        if not self._owned or self.scope is None or self._armed is None or self.scope.ended:
            return
        if self.state is FlagState.ABSENT:  # a tester's: no bullet, and so no seal
            self._closers = self.scope.end()
            return
        with self._armed.sealed(self.scope, self.scope.parent) as self._closers:
            pass

    def release(self) -> None:
        """End the scope if need be and release what it had open, from a thread without an event loop."""
        self.end()
        try:
            while self._closers:
                self._closers.pop(0).close()
        finally:
            self._closed()

    async def arelease(self) -> None:
        """The same on the event loop that the message was handled on."""
        self.end()
        try:
            while self._closers:
                await self._closers.pop(0).aclose()
        finally:
            self._closed()

    def _closed(self) -> None:
        if self._owned and self._armed is not None and self.scope is not None:
            self._armed.closed(self.scope)

    def _enter(self) -> None:
        if self.scope is None:
            if inherited_scope() is not None and not self.refused:
                self._opened.enter_context(untangled(first(self._headers, _TRACEPARENT)))
        elif self._owned:
            self._opened.enter_context(untangled(first(self._headers, _TRACEPARENT)))
            self._opened.enter_context(_traced(self.scope.parent))
            self._opened.enter_context(entered(self.scope))

    def _late(self) -> Sequence[Scope]:
        if not self._owned or self._armed is None or self.scope is None:
            return ()
        return self._armed.late(self.scope.trace_id)

    def _hold_s(self) -> float:
        return self._armed.config.hold_s if self._armed is not None else 0.0

    def _record(self, armed: Armed | None, admission: Admission) -> None:
        """Leave the refusal on the trace: on the instrumentation's span, or on one of our own."""
        evidence = {
            attributes.SCHEMA: attributes.SCHEMA_VERSION,
            attributes.REFUSED: admission.reason,
            attributes.CARRIERS: ",".join(admission.carriers),
            attributes.REQUEST_TYPE: "TRACE",
        }
        running = trace.get_current_span()
        if running.is_recording():
            running.set_attributes(evidence)
            return
        tracer = armed.tracer if armed is not None else trace.get_tracer(TRACER_NAME, __version__)
        parent = otel_context.get_current()
        if not running.get_span_context().is_valid:
            parent = propagate.extract(self._headers, context=parent)
        tracer.start_span(
            f"{self._name} refused", context=parent, kind=trace.SpanKind.CONSUMER, attributes=evidence
        ).end()


@contextlib.contextmanager
def _traced(parent: otel_context.Context | None) -> Iterator[None]:
    """Run the block in a message's trace where no instrumentation made a span for it."""
    if parent is None or trace.get_current_span().get_span_context().is_valid:
        yield
        return
    token = otel_context.attach(parent)
    try:
        yield
    finally:
        otel_context.detach(token)


def flag_message(headers: Mapping[str, Any] | None, scope: Scope) -> dict[str, Any]:
    """Headers of an outgoing message with the three carriers and a trace context; others stay as they are."""
    return _rewritten(headers, with_flag(_texts(headers), scope))


def strip_message(headers: Mapping[str, Any] | None) -> dict[str, Any]:
    """Headers of an outgoing message without anything of ours: what a policy sends for real carries no flag."""
    return _rewritten(headers, without_flag(_texts(headers)))


def flag_pairs(pairs: Iterable[tuple[str, bytes]] | None, scope: Scope) -> list[tuple[str, bytes]]:
    """`flag_message` for headers that are pairs of text and bytes, as Kafka's are."""
    kept = list(pairs or ())
    return _rewritten_pairs(kept, with_flag(_texts(kept), scope))


def strip_pairs(pairs: Iterable[tuple[str, bytes]] | None) -> list[tuple[str, bytes]]:
    """`strip_message` for headers that are pairs of text and bytes."""
    kept = list(pairs or ())
    return _rewritten_pairs(kept, without_flag(_texts(kept)))


def _rewritten(headers: Mapping[str, Any] | None, ours: list[tuple[str, str]]) -> dict[str, Any]:
    rest = {k: v for k, v in (headers or {}).items() if _name(k) not in _OURS}
    return {**rest, **{name.lower(): value for name, value in ours}}


def _rewritten_pairs(pairs: list[tuple[str, bytes]], ours: list[tuple[str, str]]) -> list[tuple[str, bytes]]:
    rest = [(k, v) for k, v in pairs if _name(k) not in _OURS]
    return [*rest, *((name, value.encode("latin-1", "replace")) for name, value in ours)]


def _texts(headers: MessageHeaders) -> list[tuple[str, str]]:
    return [(name, value) for name, values in _ours(headers).items() for value in values]


def _ours(headers: MessageHeaders) -> dict[str, list[str]]:
    """The carriers and the trace context among the headers: lower-case name to texts."""
    found: dict[str, list[str]] = {}
    if not headers:
        return found
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        if len(name) in _OUR_LENGTHS and (known := _name(name)) in _OURS:
            found.setdefault(known, []).extend(_values(value))
    return found


def _name(name: Any) -> str:
    return (name.decode("latin-1") if isinstance(name, bytes) else str(name)).lower()


def _values(value: Any) -> list[str]:
    """A header's value as texts. One that is no text still claims, and will not verify."""
    if isinstance(value, (list, tuple)):
        return [text for part in value for text in _values(part)] or [""]
    if isinstance(value, (bytes, bytearray)):
        return [bytes(value).decode("latin-1")]
    return [str(value)]
