"""Records what a WSGI application (Flask, Django and every other) is asked and answers.

Put it outermost: `app.wsgi_app = CaptureMiddleware(app.wsgi_app)`. Chunks pass through one by one and untouched;
nothing that goes wrong in recording reaches the application or its client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any
from urllib.parse import quote

from tracer_bullet.capture.take import Capture, Kept, Recording, from_environment, has_no_body, now_ns
from tracer_bullet.model.exchange import Headers

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]


class CaptureMiddleware:
    """Hands every exchange of an application to `capture`; by default to what TRACER_BULLET_CAPTURE names, or nobody.

    A request's body is recorded as far as the application reads it. WSGI joins repeated headers and loses their case,
    and tells nothing of the target's own percent-encoding but where a server gives RAW_URI or REQUEST_URI.
    """

    def __init__(self, app: WsgiApp, capture: Capture | None = None, *, clock: Callable[[], int] = now_ns) -> None:
        self._app = app
        self._capture = capture
        self._clock = clock

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """The WSGI entry (PEP 3333)."""
        capture = self._capture or from_environment()
        recording = self._begin(environ, capture) if capture is not None else None
        if capture is None or recording is None:
            return self._app(environ, start_response)
        answer = _Answer(recording, capture, start_response, self._clock)
        environ["wsgi.input"] = _Input(environ["wsgi.input"], recording, _length(environ))
        try:
            answer.body = self._app(environ, answer.start)
        except BaseException:
            answer.finish()
            raise
        return answer

    def _begin(self, environ: Environ, capture: Capture) -> Recording | None:
        try:
            headers = _request_headers(environ)
            client = environ.get("REMOTE_ADDR", "")
            if not capture.wants(environ.get("PATH_INFO", ""), headers, client):
                return None
            return Recording(
                method=environ["REQUEST_METHOD"],
                scheme=environ.get("wsgi.url_scheme", "http"),
                authority=environ.get("HTTP_HOST") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}",
                target=_target(environ),
                http_version=environ.get("SERVER_PROTOCOL", "HTTP/1.1").removeprefix("HTTP/"),
                headers=headers,
                client=client,
                started_ns=self._clock(),
                body=Kept(capture.body_limit),
                answer_body=Kept(capture.body_limit),
                body_assumed_empty=has_no_body(headers),
            )
        except Exception as error:  # noqa: BLE001  # a recording is lost, not a request
            capture.failed(error)
            return None


class _Answer:
    """An application's answer: the same chunks, seen as they pass. The server closes it (PEP 3333)."""

    def __init__(
        self, recording: Recording, capture: Capture, start_response: StartResponse, clock: Callable[[], int]
    ) -> None:
        self._recording = recording
        self._capture = capture
        self._start_response = start_response
        self._clock = clock
        self._chunks: Iterator[bytes] | None = None
        self._finished = False
        self.body: Iterable[bytes] = ()

    def start(self, status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
        """The application's `start_response`."""
        write = self._start_response(status, headers, *error)
        try:
            self._recording.status = int(status.split(" ", 1)[0])
            self._recording.answer_headers = tuple(headers)
            self._recording.first_byte_ns = self._clock()
        except Exception as problem:  # noqa: BLE001
            self._capture.failed(problem)

        def written(data: bytes) -> Any:
            self._see(data)
            return write(data)

        return written

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._chunks is None:
            self._chunks = iter(self.body)
        try:
            chunk = next(self._chunks)
        except StopIteration:
            self._recording.answer_complete = True
            raise
        self._see(chunk)
        return chunk

    def __len__(self) -> int:
        """Servers ask: an answer of one chunk needs no chunked coding. TypeError, as from a generator, otherwise."""
        return len(self.body)  # type: ignore[arg-type]

    def __bool__(self) -> bool:
        return True

    def close(self) -> None:
        """End the request; called also when the client went away."""
        try:
            close = getattr(self.body, "close", None)
            if close is not None:
                close()
        finally:
            self.finish()

    def finish(self) -> None:
        """Hand the exchange over, once."""
        if not self._finished:
            self._finished = True
            self._recording.ended_ns = self._clock()
            self._capture.hand_over(self._recording.finish)

    def _see(self, chunk: bytes) -> None:
        try:
            self._recording.answer_body.add(chunk)
        except Exception:  # noqa: BLE001  # what an application sends is the server's business to refuse
            self._recording.answer_body.cut = True


class _Input:
    """`wsgi.input` that sees what the application reads."""

    def __init__(self, stream: Any, recording: Recording, length: int | None) -> None:
        self._stream = stream
        self._recording = recording
        self._length = length
        self._read = 0

    def read(self, *size: int) -> bytes:
        data: bytes = self._stream.read(*size)
        self._see(data, at_end=size[:1] != (0,))
        return data

    def readline(self, *size: int) -> bytes:
        data: bytes = self._stream.readline(*size)
        self._see(data, at_end=size[:1] != (0,))
        return data

    def readlines(self, *hint: int) -> list[bytes]:
        lines: list[bytes] = self._stream.readlines(*hint)
        self._see(b"".join(lines), at_end=True)
        return lines

    def __iter__(self) -> Iterator[bytes]:
        for line in self._stream:
            self._see(line, at_end=True)
            yield line
        self._see(b"", at_end=True)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._stream, name)  # what the server's stream cannot do, this one cannot either
        if name == "read1":
            return partial(self._read1, found)
        return partial(self._readinto, found) if name in ("readinto", "readinto1") else found

    def _read1(self, read: Callable[..., bytes], *size: int) -> bytes:
        data = read(*size)
        self._see(data, at_end=size[:1] != (0,))
        return data

    def _readinto(self, read: Callable[[Any], int | None], buffer: Any) -> int | None:
        count = read(buffer)
        self._see(bytes(memoryview(buffer)[: count or 0]), at_end=count == 0 and len(buffer) > 0)
        return count

    def _see(self, data: bytes, *, at_end: bool) -> None:
        """`at_end`: whether nothing read means that there is no more."""
        self._read += len(data)
        self._recording.body.add(data)
        if (self._length is not None and self._read >= self._length) or (not data and at_end):
            self._recording.body_complete = True


def _length(environ: Environ) -> int | None:
    try:
        return int(environ.get("CONTENT_LENGTH") or "")
    except ValueError:
        return None


def _request_headers(environ: Environ) -> Headers:
    headers = [
        (key[5:].replace("_", "-").title(), value)
        for key, value in environ.items()
        if key.startswith("HTTP_") and isinstance(value, str)
    ]
    for key, name in (("CONTENT_TYPE", "Content-Type"), ("CONTENT_LENGTH", "Content-Length")):
        if environ.get(key):
            headers.append((name, environ[key]))
    return tuple(headers)


def _target(environ: Environ) -> str:
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if isinstance(raw, str) and raw.startswith("/"):
        return raw
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    target = quote(path.encode("latin-1"), safe="/:@!$&'()*+,;=~") or "/"
    query = environ.get("QUERY_STRING", "")
    return f"{target}?{query}" if query else target
