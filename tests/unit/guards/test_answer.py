"""Claim: one request of a connection never runs as another, and a bullet's next request sees what it wrote before.

A client may send its next request as soon as it has the last byte, while the server still
tidies up after the one before, and asyncio may start it in that one's context.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import flask
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.trace import SpanKind
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import create_async_engine

from tests.unit.guards.conftest import Telemetry
from tracer_bullet.context import current
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.guards import asgi, wsgi
from tracer_bullet.guards.answer import AnswerMeter
from tracer_bullet.model import Context

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
NOTES = sa.Table("notes", sa.MetaData(), sa.Column("text", sa.String))
Message = dict[str, Any]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/notes.db")
    NOTES.create(engine)
    yield engine
    engine.dispose()


def write(engine: Engine, text: str) -> None:
    with engine.begin() as connection:
        connection.execute(sa.insert(NOTES).values(text=text))


def read(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.scalars(sa.select(NOTES.c.text)))


async def call(
    app: Any,
    headers: dict[str, str],
    method: str = "GET",
    on_answer: Callable[[], Awaitable[None]] | None = None,
    messages: int = 2,
) -> list[Message]:
    """One ASGI request; `on_answer` is awaited when so many messages of the answer are on the wire."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)
        if on_answer is not None and len(sent) == messages:
            await on_answer()

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": "/",
        "query_string": b"",
        "headers": raw,
        "server": ("cart", 80),
        "client": ("127.0.0.1", 1),
    }
    await app(scope, receive, send)
    return sent


def next_step(headers: dict[str, str]) -> dict[str, str]:
    """The headers of the same bullet's next request: another parent span in the same trace."""
    return {**headers, "traceparent": f"00-{TRACE_ID}-{'7' * 16}-01"}


@given(sizes=st.lists(st.integers(0, 50), max_size=8), declared=st.booleans())
def test_an_answer_is_whole_with_the_byte_that_makes_its_content_length(sizes: list[int], declared: bool) -> None:
    meter = AnswerMeter("GET")
    total = sum(sizes)
    whole = meter.start(200, str(total) if declared else "")
    assert whole is (declared and total == 0)
    given_bytes = 0
    for size in sizes:
        given_bytes += size
        assert meter.body(size) is (declared and given_bytes == total)


@pytest.mark.parametrize(("method", "status", "length"), [("HEAD", 200, "9"), ("GET", 204, ""), ("GET", 304, "9")])
def test_an_answer_without_body_is_whole_with_its_head(method: str, status: int, length: str) -> None:
    assert AnswerMeter(method).start(status, length)


@pytest.mark.parametrize("length", ["", "x", "-1", "١"])
def test_a_length_that_is_none_is_not_counted(length: str) -> None:
    meter = AnswerMeter("GET")
    assert not meter.start(200, length)
    assert not meter.body(1)


@contextmanager
def inside_an_earlier_request(telemetry: Telemetry, earlier: Scope | None, *, ended: bool) -> Iterator[None]:
    """The context that a server may start a request in: another's span, baggage and scope."""
    tracer = telemetry.provider.get_tracer("earlier")
    span = tracer.start_span("the earlier request", context=otel_context.Context(), kind=SpanKind.SERVER)
    if ended:
        span.end()
    left = baggage.set_baggage("left", "behind", trace.set_span_in_context(span))
    token = otel_context.attach(left)
    try:
        with entered(earlier):
            yield
    finally:
        otel_context.detach(token)
        if not ended:
            span.end()


@pytest.mark.parametrize("kind", ["customer", "bullet", "refused"])
@pytest.mark.parametrize("ended", [True, False], ids=["ended", "still-running"])
def test_a_request_started_inside_a_bullets_is_in_its_own_trace(
    kind: str, ended: bool, arm_service, flag_headers, telemetry: Telemetry
) -> None:
    armed = arm_service()
    earlier = Scope(Context(run_id="run-1", token="t"), armed, trace_id="e" * 32, linger_s=60.0)
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((current() is not None, baggage.get_baggage("left")))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    inner = OpenTelemetryMiddleware(app, tracer_provider=telemetry.provider)
    headers = {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01"}
    if kind == "bullet":
        headers = flag_headers(TRACE_ID)
    elif kind == "refused":
        headers["tracestate"] = "tb=t"
    with inside_an_earlier_request(telemetry, earlier, ended=ended):
        asyncio.run(call(asgi.GuardMiddleware(inner, armed), headers))
    (span,) = [s for s in telemetry.spans if s.kind is SpanKind.SERVER and s.name != "the earlier request"]
    assert f"{span.context.trace_id:032x}" == TRACE_ID
    assert (f"{span.parent.span_id:016x}" if span.parent else None) == "b7ad6b7169203331"
    assert ("tb.request_type" in span.attributes) is (kind != "customer")
    assert seen == ([] if kind == "refused" else [(kind == "bullet", None)])


@pytest.mark.parametrize("ended", [True, False], ids=["ended", "still-running"])
def test_a_bullet_started_inside_a_customers_request_is_in_its_own_trace(
    ended: bool, arm_service, flag_headers, telemetry: Telemetry
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    inner = OpenTelemetryMiddleware(app, tracer_provider=telemetry.provider)
    with inside_an_earlier_request(telemetry, None, ended=ended):
        asyncio.run(call(asgi.GuardMiddleware(inner, arm_service()), flag_headers(TRACE_ID)))
    (server,) = [s for s in telemetry.spans if s.kind is SpanKind.SERVER and s.name != "the earlier request"]
    (seal,) = telemetry.having("tb.sealed_spans")
    assert {f"{s.context.trace_id:032x}" for s in (server, seal)} == {TRACE_ID}
    assert {f"{s.parent.span_id:016x}" for s in (server, seal)} == {"b7ad6b7169203331"}


def test_a_server_span_made_outside_the_guard_stays_the_parent(arm_service, flag_headers, telemetry: Telemetry) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        telemetry.provider.get_tracer("t").start_span("work").end()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    guarded = asgi.GuardMiddleware(app, arm_service())
    outer = OpenTelemetryMiddleware(guarded, tracer_provider=telemetry.provider)
    asyncio.run(call(outer, flag_headers(TRACE_ID)))
    spans = {s.name: s for s in telemetry.spans}
    server = next(s for s in telemetry.spans if s.kind is SpanKind.SERVER)
    assert server.attributes["tb.request_type"] == "TRACE"
    assert spans["work"].parent.span_id == server.context.span_id


def test_a_bullet_sent_again_with_the_same_headers_is_not_taken_for_the_first(
    arm_service, flag_headers, engine: Engine
) -> None:
    """A proxy's retry, started in the context of the first try when that has ended: no scope but its own is live."""
    armed = arm_service()
    contexts: list[otel_context.Context | Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        import contextvars

        contexts.append(contextvars.copy_context())
        write(engine, "bullet")
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    guarded = asgi.GuardMiddleware(app, armed)

    async def main() -> None:
        headers = flag_headers()
        await call(guarded, headers)
        await asyncio.get_running_loop().create_task(call(guarded, headers), context=contexts[0])

    asyncio.run(main())
    assert read(engine) == []


@pytest.mark.parametrize("framing", ["content-length", "last-chunk", "head"])
def test_the_next_request_sees_the_writes_while_the_first_still_ends(
    framing: str, arm_service, flag_headers, engine: Engine
) -> None:
    """The client has the whole answer before the server has finished with it."""
    seen: list[list[str]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if seen or read(engine):
            seen.append(read(engine))
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})
            return
        write(engine, "first step")
        length = [(b"Content-Length", b"4")] if framing != "last-chunk" else []
        await send({"type": "http.response.start", "status": 200, "headers": length})
        more = framing == "content-length"
        await send({"type": "http.response.body", "body": b"" if framing == "head" else b"done", "more_body": more})
        if more:
            await send({"type": "http.response.body"})

    guarded = asgi.GuardMiddleware(app, arm_service(hold_s=60.0))

    async def next_request() -> None:
        await asyncio.create_task(call(guarded, next_step(flag_headers(TRACE_ID))))

    if framing == "head":
        asyncio.run(call(guarded, flag_headers(TRACE_ID), "HEAD", next_request, messages=1))
    else:
        asyncio.run(call(guarded, flag_headers(TRACE_ID), "GET", next_request))
    assert seen == [["first step"]]
    assert read(engine) == []


@pytest.mark.parametrize("with_length", [True, False])
def test_the_next_wsgi_request_sees_them_too(with_length: bool, arm_service, flag_headers, engine: Engine) -> None:
    app = flask.Flask(__name__)

    @app.post("/")
    def do_write() -> flask.Response:
        write(engine, "first step")
        answer = flask.Response(iter(["do", "ne"]))
        if with_length:
            answer.headers["Content-Length"] = "4"
        return answer

    @app.get("/")
    def do_read() -> list[str]:
        return read(engine)

    guarded = wsgi.GuardMiddleware(app, arm_service(hold_s=60.0))  # type: ignore[arg-type]

    def request(method: str, headers: dict[str, str]) -> Any:
        carriers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
        environ = {"REQUEST_METHOD": method, "PATH_INFO": "/", "SERVER_NAME": "cart", "SERVER_PORT": "80"}
        return guarded({**environ, "wsgi.url_scheme": "http", **carriers}, lambda *_: None)

    first = request("POST", flag_headers(TRACE_ID))
    assert [next(first), next(first)] == [b"do", b"ne"]
    if not with_length:
        assert next(first, None) is None
    second = request("GET", next_step(flag_headers(TRACE_ID)))  # the server has not closed the first answer yet
    assert b"".join(second) == b'["first step"]\n'
    second.close()
    first.close()
    assert read(engine) == []


def test_the_next_request_waits_for_a_session_that_closes_after_the_answer(
    arm_service, flag_headers, engine: Engine
) -> None:
    """As FastAPI's dependencies with `yield` do."""
    seen: list[list[str]] = []
    second_came = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "POST":
            connection = await asyncio.to_thread(engine.connect)
            await asyncio.to_thread(connection.execute, sa.insert(NOTES).values(text="first step"))
            await asyncio.to_thread(connection.commit)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body"})
            await second_came.wait()
            await asyncio.to_thread(connection.close)
            return
        seen.append(await asyncio.to_thread(read, engine))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    guarded = asgi.GuardMiddleware(app, arm_service(hold_s=60.0))

    async def main() -> None:
        answered = asyncio.Event()

        async def on_answer() -> None:
            answered.set()

        first = asyncio.create_task(call(guarded, flag_headers(TRACE_ID), "POST", on_answer))
        await answered.wait()
        second = asyncio.create_task(call(guarded, next_step(flag_headers(TRACE_ID))))
        await asyncio.sleep(0)  # the second is at the door
        second_came.set()
        await asyncio.gather(first, second)

    asyncio.run(main())
    assert seen == [["first step"]]
    assert read(engine) == []


def test_without_a_hold_the_answer_changes_nothing(arm_service, flag_headers, engine: Engine) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        write(engine, "bullet")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        assert read(engine) == ["bullet"], "still the same lane"
        await send({"type": "http.response.body"})

    asyncio.run(call(asgi.GuardMiddleware(app, arm_service()), flag_headers()))
    assert read(engine) == []


def test_an_async_engines_lane_is_not_held_where_no_loop_could_end_it(tmp_path: Path, arm_service) -> None:
    """`asyncio.run` inside a WSGI view: its loop is gone when the request ends."""
    url = f"sqlite+aiosqlite:///{tmp_path}/notes.db"
    plain = sa.create_engine(url.replace("+aiosqlite", ""))
    NOTES.create(plain)
    armed = arm_service(hold_s=60.0)
    scope = Scope(Context(run_id="run-1", token="t"), armed, trace_id=TRACE_ID)

    async def view() -> None:
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            await connection.execute(sa.insert(NOTES).values(text="bullet"))

    with entered(scope):
        asyncio.run(view())
    before = threading.active_count()
    for closer in scope.end():
        closer.close()
    assert threading.active_count() <= before
    assert read(plain) == []
    plain.dispose()
