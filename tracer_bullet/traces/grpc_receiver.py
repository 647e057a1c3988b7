"""OTLP/gRPC (OTLP 1.x specification, "OTLP/gRPC"): the same buffer as the HTTP receiver's, on a port of its own.

grpc calls its handlers in a thread of its own; one, because decoding holds the interpreter's lock anyway, and the
decoder remembers attributes between bodies.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import grpc

from tracer_bullet.errors import UnreachableError
from tracer_bullet.traces import answers
from tracer_bullet.traces.address import local_url
from tracer_bullet.traces.app import Limits
from tracer_bullet.traces.buffer import SpanBuffer
from tracer_bullet.traces.counters import Tally
from tracer_bullet.traces.otlp import Decoded, MalformedError
from tracer_bullet.traces.otlp_protobuf import ProtobufDecoder

_SERVICES: Final = {
    "opentelemetry.proto.collector.trace.v1.TraceService": "traces",
    "opentelemetry.proto.collector.metrics.v1.MetricsService": "metrics",
    "opentelemetry.proto.collector.logs.v1.LogsService": "logs",
}
_GRACE_S: Final = 2.0


class GrpcReceiver:
    """Takes `TraceService/Export` calls into `buffer`; those of other signals are answered and dropped."""

    def __init__(self, host: str, port: int, buffer: SpanBuffer, tally: Tally, limits: Limits) -> None:
        self._host = host
        self._port = port
        self._handlers = _Handlers(buffer, tally, limits)
        self._limits = limits
        self._server: grpc.Server | None = None

    @property
    def url(self) -> str:
        """Base address for senders on this machine, once started."""
        return local_url(self._host, self._port)

    def start(self) -> None:
        """Listen. Raises UnreachableError (TB401) when the address cannot be had."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        server = grpc.server(
            ThreadPoolExecutor(1, thread_name_prefix="tracer-bullet otlp"),
            options=(("grpc.max_receive_message_length", self._limits.max_body_bytes), ("grpc.so_reuseport", 0)),
        )
        for service, signal in _SERVICES.items():
            handler = grpc.unary_unary_rpc_method_handler(self._handlers.of(signal))
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": handler}),))
        try:
            self._port = server.add_insecure_port(f"{host}:{self._port}")
        except RuntimeError as error:
            raise UnreachableError(
                "TB401",
                "cannot listen for spans",
                where=f"{host}:{self._port}",
                why=str(error),
                cure="stop what uses the port, or let the receiver take another one (port 0 takes a free one)",
            ) from error
        server.start()
        self._server = server

    def stop(self) -> None:
        """Finish calls that are being answered, then stop; a second call does nothing."""
        if self._server is not None:
            self._server.stop(_GRACE_S).wait()
            self._server = None


class _Handlers:
    """One function a signal: the request's bytes in, the answer's bytes out."""

    def __init__(self, buffer: SpanBuffer, tally: Tally, limits: Limits) -> None:
        self._buffer = buffer
        self._tally = tally
        self._limits = limits
        self._decoder = ProtobufDecoder()

    def of(self, signal: str) -> Any:
        """The function for a signal's `Export`."""
        if signal == "traces":
            return self._traces

        def dropped(_: bytes, __: grpc.ServicerContext) -> bytes:
            self._tally.request()
            self._tally.ignored(signal)
            return b""  # every field of the answer has its default

        return dropped

    def _traces(self, body: bytes, context: grpc.ServicerContext) -> bytes:
        self._tally.request()
        try:
            decoded = self._decoder.decode(body)
        except MalformedError as error:
            self._tally.rejected_request("malformed")
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        self._keep(decoded, context)
        self._tally.accepted(len(decoded.columns))
        self._tally.rejected_spans(decoded.rejected)
        if decoded.rejected and not len(decoded.columns):
            self._tally.rejected_request("no_valid_span")
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, answers.rejection_text(decoded.rejected))
        return answers.success(answers.PROTOBUF, decoded.rejected)

    def _keep(self, decoded: Decoded, context: grpc.ServicerContext) -> None:
        count = len(decoded.columns)
        if count and not self._buffer.add(decoded.columns):
            self._tally.rejected_request("buffer_full")
            # The specification: RESOURCE_EXHAUSTED is only tried again when the answer says after how long.
            message = f"no room for {count} spans beside those held; at most {self._limits.max_spans} fit"
            code: Any = grpc.StatusCode.RESOURCE_EXHAUSTED
            details = answers.retry_later(code.value[0], message, self._limits.retry_after_s)
            context.set_trailing_metadata((("grpc-status-details-bin", details),))
            context.abort(code, message)
