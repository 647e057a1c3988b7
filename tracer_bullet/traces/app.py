"""OTLP/HTTP as a bare ASGI application (OTLP 1.x specification, "OTLP/HTTP").

A refused request touches nothing that was received before: a body is decoded whole, and
only then added whole.
"""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from tracer_bullet.traces import answers
from tracer_bullet.traces.body import BodyError, DisconnectedError, Receive, read_body
from tracer_bullet.traces.buffer import SpanBuffer
from tracer_bullet.traces.counters import Tally
from tracer_bullet.traces.otlp import Decoded, MalformedError
from tracer_bullet.traces.otlp_json import decode_json
from tracer_bullet.traces.otlp_protobuf import ProtobufDecoder

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

TRACES: Final = "/v1/traces"
HEALTH: Final = "/health"
# Stock SDKs send these as soon as an endpoint is set; refusing them would fill their logs.
OTHER_SIGNALS: Final = {"/v1/metrics": "metrics", "/v1/logs": "logs"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of the receiver. The specification recommends 20 MiB for a body, inflated too."""

    max_body_bytes: int = 20 << 20
    max_inflated_bytes: int = 20 << 20
    max_spans: int = 1_000_000
    body_timeout_s: float = 30.0
    retry_after_s: float = 1.0


class OtlpApp:
    """The ASGI application: `POST /v1/traces` into a buffer, `GET /health`, other signals dropped."""

    def __init__(self, buffer: SpanBuffer, tally: Tally, limits: Limits) -> None:
        self._buffer = buffer
        self._tally = tally
        self._limits = limits
        self._decoders = {answers.PROTOBUF: ProtobufDecoder().decode, answers.JSON: decode_json}

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3, HTTP connection scope)."""
        path, method = scope["path"], scope["method"]
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        allowed = {TRACES: "POST", HEALTH: "GET"}.get(path) or ("POST" if path in OTHER_SIGNALS else None)
        if allowed is None:
            await _fail(send, content_type, 404, f"no such path; traces go to {TRACES}")
        elif method != allowed:
            await _fail(send, content_type, 405, f"{allowed} is needed", {"allow": allowed})
        elif path == HEALTH:
            health = {"status": "ok", "spans": self._tally.snapshot().spans}
            await _answer(send, answers.JSON, 200, json.dumps(health).encode())
        else:
            self._tally.request()
            await self._export(path, headers, content_type, receive, send)

    async def _export(
        self, path: str, headers: Mapping[str, str], content_type: str, receive: Receive, send: Send
    ) -> None:
        if content_type not in self._decoders:
            self._tally.rejected_request("unsupported_type")
            wanted = " or ".join(self._decoders)
            await _fail(send, content_type, 415, f"content-type {content_type!r}: {wanted} is needed")
        elif path in OTHER_SIGNALS:
            self._tally.ignored(OTHER_SIGNALS[path])
            await _answer(send, content_type, 200, answers.success(content_type, {}))
        else:
            await self._traces(headers, content_type, receive, send)

    async def _traces(self, headers: Mapping[str, str], content_type: str, receive: Receive, send: Send) -> None:
        try:
            decoded = self._decoders[content_type](await self._body(headers, receive))
        except DisconnectedError:
            self._tally.rejected_request("disconnected")
        except BodyError as error:
            self._tally.rejected_request(error.reason)
            await _fail(send, content_type, error.status, error.message)
        except MalformedError as error:
            self._tally.rejected_request("malformed")
            await _fail(send, content_type, 400, str(error))
        else:
            await self._take(decoded, content_type, send)

    async def _body(self, headers: Mapping[str, str], receive: Receive) -> bytes:
        limits = self._limits
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limits.max_body_bytes:
            raise BodyError(413, "too_large", f"the body is larger than {limits.max_body_bytes} bytes")
        return await read_body(
            receive,
            headers.get("content-encoding", "").strip().lower(),
            max_bytes=limits.max_body_bytes,
            max_inflated_bytes=limits.max_inflated_bytes,
            timeout_s=limits.body_timeout_s,
        )

    async def _take(self, decoded: Decoded, content_type: str, send: Send) -> None:
        count = len(decoded.columns)
        if count and not self._buffer.add(decoded.columns):
            self._tally.rejected_request("buffer_full")
            after = {"retry-after": str(math.ceil(self._limits.retry_after_s))}
            message = f"no room for {count} spans beside those held; at most {self._limits.max_spans} fit"
            await _fail(send, content_type, 429, message, after)
            return
        self._tally.accepted(count)
        self._tally.rejected_spans(decoded.rejected)
        if decoded.rejected and not count:
            self._tally.rejected_request("no_valid_span")
            await _fail(send, content_type, 400, answers.rejection_text(decoded.rejected))
        else:
            await _answer(send, content_type, 200, answers.success(content_type, decoded.rejected))


async def _fail(
    send: Send, content_type: str, status: int, message: str, headers: Mapping[str, str] | None = None
) -> None:
    encoding = content_type if content_type == answers.PROTOBUF else answers.JSON
    await _answer(send, encoding, status, answers.failure(encoding, message), headers)


async def _answer(
    send: Send, content_type: str, status: int, body: bytes, headers: Mapping[str, str] | None = None
) -> None:
    fields = {"content-type": content_type, "content-length": str(len(body)), **(headers or {})}
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})
