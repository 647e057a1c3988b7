"""Records what an ASGI application (Starlette, FastAPI and every other) is asked and answers.

Put it outermost: `app = CaptureMiddleware(app)`. Messages pass through untouched and at once, streams too; nothing that
goes wrong in recording reaches the application or its client. Websockets are not recorded.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import quote

from tracer_bullet.capture.take import Capture, Kept, Recording, from_environment, has_no_body, now_ns
from tracer_bullet.model.exchange import Headers

AsgiScope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[AsgiScope, Receive, Send], Awaitable[None]]


class CaptureMiddleware:
    """Hands every exchange of an application to `capture`; by default to what TRACER_BULLET_CAPTURE names, or nobody.

    `clock`: Unix nanoseconds.
    """

    def __init__(self, app: AsgiApp, capture: Capture | None = None, *, clock: Callable[[], int] = now_ns) -> None:
        self._app = app
        self._capture = capture
        self._clock = clock

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """The ASGI entry."""
        capture = (self._capture or from_environment()) if scope["type"] == "http" else None
        recording = self._begin(scope, capture) if capture is not None else None
        if capture is None or recording is None:
            await self._app(scope, receive, send)
            return
        tap = _Tap(recording, capture, receive, send, self._clock)
        try:
            await self._app(scope, tap.receive, tap.send)
        finally:
            tap.finish()

    def _begin(self, scope: AsgiScope, capture: Capture) -> Recording | None:
        try:
            headers = _headers(scope["headers"])
            client = (scope.get("client") or ("",))[0]
            if not capture.wants(scope["path"], headers, str(client)):
                return None
            return Recording(
                method=scope["method"],
                scheme=scope.get("scheme", "http"),
                authority=_authority(scope, headers),
                target=_target(scope),
                http_version=scope.get("http_version", "1.1"),
                headers=headers,
                client=str(client),
                started_ns=self._clock(),
                body=Kept(capture.body_limit),
                answer_body=Kept(capture.body_limit),
                body_assumed_empty=has_no_body(headers),
            )
        except Exception as error:  # noqa: BLE001  # a recording is lost, not a request
            capture.failed(error)
            return None


class _Tap:
    """The application's `receive` and `send`, which see what passes."""

    __slots__ = ("_broken", "_capture", "_clock", "_finished", "_receive", "_recording", "_send", "_trailers")

    def __init__(
        self, recording: Recording, capture: Capture, receive: Receive, send: Send, clock: Callable[[], int]
    ) -> None:
        self._recording = recording
        self._capture = capture
        self._finished = False
        self._trailers = False
        self._receive = receive
        self._send = send
        self._clock = clock
        self._broken = False

    def finish(self) -> None:
        """Hand the exchange over, once: when the answer is whole, so that what runs after it is not counted to it."""
        if not self._finished:
            self._finished = True
            self._recording.ended_ns = self._clock()
            self._capture.hand_over(self._recording.finish)

    async def receive(self) -> Message:
        message = await self._receive()
        if not self._broken:
            self._see(self._received, message)
        return message

    async def send(self, message: Message) -> None:
        await self._send(message)
        if not self._broken:
            self._see(self._sent, message)

    def _see(self, look: Callable[[Message], None], message: Message) -> None:
        try:
            look(message)
        except Exception:  # noqa: BLE001  # what an application sends is the server's business to refuse
            self._broken = True
            self._recording.answer_complete = False

    def _received(self, message: Message) -> None:
        if message["type"] == "http.request":
            self._recording.body.add(message.get("body", b""))
            self._recording.body_complete = not message.get("more_body", False)

    def _sent(self, message: Message) -> None:
        recording = self._recording
        kind = message["type"]
        if self._finished:
            return
        if kind == "http.response.start":
            recording.status = message["status"]
            recording.answer_headers = _headers(message.get("headers", ()))
            recording.first_byte_ns = self._clock()
            self._trailers = bool(message.get("trailers", False))
        elif kind == "http.response.body":
            recording.answer_body.add(message.get("body", b""))
            recording.answer_complete = not message.get("more_body", False)
            if recording.answer_complete and not self._trailers:
                self.finish()
        elif kind in ("http.response.pathsend", "http.response.zerocopysend"):
            recording.answer_body.cut = True  # the server reads the file itself
        elif kind == "http.response.trailers":
            recording.answer_trailers += _headers(message.get("headers", ()))


def _headers(headers: Any) -> Headers:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)


def _authority(scope: AsgiScope, headers: Headers) -> str:
    for name, value in headers:
        if name.lower() == "host":
            return value
    host, port = scope.get("server") or ("", None)
    return f"{host}:{port}" if port else str(host)


def _target(scope: AsgiScope) -> str:
    raw = scope.get("raw_path")
    path = raw.decode("latin-1") if raw else quote(scope["path"], safe="/%:@!$&'()*+,;=~")
    query = scope.get("query_string", b"")
    return f"{path.partition('?')[0]}?{query.decode('latin-1')}" if query else path
