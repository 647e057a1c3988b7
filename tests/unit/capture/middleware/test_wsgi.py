"""WSGI: what real servers and Flask do is recorded, and nothing of it is changed, delayed or lost."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from a2wsgi import WSGIMiddleware
from flask import Flask, Response, request, stream_with_context

from tests.unit.capture.middleware.serving import BULLET, WAIT_S, Taken, asgi_server, ask, wsgi_server
from tracer_bullet.capture.take import Capture
from tracer_bullet.capture.wsgi import CaptureMiddleware
from tracer_bullet.model.exchange import Lack

SERVERS: dict[str, Any] = {"wsgiref": wsgi_server, "a2wsgi": lambda app: asgi_server(WSGIMiddleware(app))}


@pytest.fixture(params=sorted(SERVERS))
def serve(request: pytest.FixtureRequest) -> Any:
    return SERVERS[request.param]


def flask_app(capture: Capture, **more: Any) -> Any:
    app = Flask("shop")

    @app.route("/echo/<path:rest>", methods=["GET", "POST"])
    def echo(rest: str) -> Response:
        return Response(request.get_data(), 201, {"X-Seen": rest, "Set-Cookie": "a=b"})

    @app.post("/form")
    def form() -> dict[str, str]:
        return dict(request.form)

    @app.route("/unread", methods=["POST"])
    def unread() -> str:
        return "ok"

    @app.route("/broken")
    def broken() -> str:
        raise ValueError("the application's own")

    for path, view in more.items():
        app.add_url_rule(path, view_func=view)
    app.wsgi_app = CaptureMiddleware(app.wsgi_app, capture)  # type: ignore[method-assign]
    return app


def test_a_request_and_its_answer(serve: Any) -> None:
    taken = Taken()
    with serve(flask_app(taken.capture)) as where:
        assert ask(where, "POST", "/echo/k%C3%B6ln?q=1&q=%20", b"hello", {"X-A": "1"}) == (201, b"hello")
        exchange = taken.next()
    assert exchange.answer is not None
    assert exchange.request.method == "POST"
    assert exchange.request.target == "/echo/k%C3%B6ln?q=1&q=%20"
    assert exchange.request.authority == f"{where[0]}:{where[1]}"
    assert (exchange.request.body, exchange.request.values("x-a")) == (b"hello", ["1"])
    assert (exchange.answer.status, exchange.answer.body, exchange.answer.values("set-cookie")) == (
        201,
        b"hello",
        ["a=b"],
    )
    assert exchange.first_byte_ns is not None
    assert exchange.ended_ns is not None
    assert exchange.started_ns <= exchange.first_byte_ns <= exchange.ended_ns
    assert exchange.lacks == frozenset()


def test_a_form_that_the_framework_reads_piece_by_piece(serve: Any) -> None:
    taken = Taken()
    with serve(flask_app(taken.capture)) as where:
        status, body = ask(where, "POST", "/form", b"a=1&b=2", {"Content-Type": "application/x-www-form-urlencoded"})
        assert (status, body.strip()) == (200, b'{"a":"1","b":"2"}')
        exchange = taken.next()
    assert exchange.request.body == b"a=1&b=2"
    assert exchange.lacks == frozenset()


def test_what_was_not_read_and_what_was_too_long_is_marked(serve: Any) -> None:
    taken = Taken(body_limit=100)
    with serve(flask_app(taken.capture)) as where:
        assert ask(where, "POST", "/unread", b"x" * 10) == (200, b"ok")
        assert taken.next().lacks == {Lack.REQUEST_BODY}
        assert ask(where, "POST", "/echo/a", b"y" * 5000) == (201, b"y" * 5000)
        exchange = taken.next()
    assert exchange.request.body == b"y" * 100
    assert exchange.lacks == {Lack.REQUEST_BODY_CUT, Lack.ANSWER_BODY_CUT}


def test_a_stream_passes_at_once(serve: Any) -> None:
    taken, had = Taken(), threading.Event()

    def stream() -> Response:
        def parts() -> Iterator[bytes]:
            yield b"first\n"
            assert had.wait(WAIT_S)
            yield b"second\n"

        return Response(stream_with_context(parts()))

    with serve(flask_app(taken.capture, **{"/stream": stream})) as where:
        with socket.create_connection(where, timeout=WAIT_S) as client:
            client.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            seen = b""
            while b"first" not in seen:
                seen += client.recv(4096)
            had.set()
            while part := client.recv(4096):
                seen += part
        exchange = taken.next()
    assert b"second" in seen
    assert exchange.answer is not None
    assert exchange.answer.body == b"first\nsecond\n"
    assert exchange.lacks == frozenset()


def test_an_answer_that_ends_early_is_cut_and_closed() -> None:
    taken, closed = Taken(), threading.Event()

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            yield b"first"
            raise OSError("the application's own")

        def close(self) -> None:
            closed.set()

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return Body()

    with wsgi_server(CaptureMiddleware(app, taken.capture)) as where, socket.create_connection(where, WAIT_S) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        while client.recv(4096):
            pass
        exchange = taken.next()
    assert closed.wait(WAIT_S)
    assert exchange.answer is not None
    assert (exchange.answer.body, exchange.lacks) == (b"first", {Lack.ANSWER_BODY_CUT})


def test_exceptions_of_the_application_stay_its_own(serve: Any) -> None:
    taken = Taken()
    with serve(flask_app(taken.capture)) as where:
        assert ask(where, "GET", "/broken")[0] == 500
        exchange = taken.next()
    assert exchange.answer is not None
    assert exchange.answer.status == 500

    def raises(environ: Any, start_response: Any) -> Any:
        raise KeyError("mine")

    environ = {"REQUEST_METHOD": "GET", "SERVER_NAME": "s", "SERVER_PORT": "1", "wsgi.input": None}
    with pytest.raises(KeyError, match="mine"):
        CaptureMiddleware(raises, taken.capture)(environ, lambda *_: None)
    assert taken.next().lacks == {Lack.ANSWER}


def test_a_length_is_asked_of_the_answer_itself() -> None:
    """A server that finds one part sends it with its length, as without us."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"abc"]

    with (
        wsgi_server(CaptureMiddleware(app, Taken().capture)) as where,
        socket.create_connection(where, WAIT_S) as client,
    ):
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        seen = b""
        while part := client.recv(4096):
            seen += part
    assert b"content-length: 3" in seen.lower()


def test_the_old_write_is_seen_too() -> None:
    taken = Taken()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])(b"written ")
        return [b"returned"]

    with wsgi_server(CaptureMiddleware(app, taken.capture)) as where:
        assert ask(where, "GET", "/") == (200, b"written returned")
        exchange = taken.next()
    assert exchange.answer is not None
    assert exchange.answer.body == b"written returned"


def test_bullets_are_not_recorded(serve: Any) -> None:
    taken = Taken()
    with serve(flask_app(taken.capture)) as where:
        assert ask(where, "GET", "/echo/a", headers=BULLET)[0] == 201
        assert ask(where, "GET", "/echo/b")[0] == 201
        assert taken.next().request.target == "/echo/b"
    assert taken.capture.counts == {"bullet": 1, "taken": 1}


def test_a_recording_that_fails_costs_no_request(serve: Any) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("the disk is full")

    taken = Taken()
    taken.capture.take = fail
    with serve(flask_app(taken.capture)) as where:
        for _ in range(2):
            assert ask(where, "POST", "/echo/a", b"hello") == (201, b"hello")
    assert taken.capture.counts["failed"] == 2
