"""A request while it is being made: the recorded one without what must not be sent as it was recorded."""

from __future__ import annotations

import re
from typing import Final

from tracer_bullet.model.exchange import Exchange, Headers

# RFC 9110, 7.6.1 and RFC 9112: what is between two hops; the framing is made anew.
_HOP_BY_HOP: Final = frozenset(
    [
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
        "content-length",
        "expect",
        "host",
    ]
)
# Who measured and traced the recorded request; the flag's carriers are the engine's (docs/protocol.md).
_TRACES: Final = frozenset(
    [
        "traceparent",
        "tracestate",
        "baggage",
        "x-tracer-bullet",
        "b3",
        "uber-trace-id",
        "sentry-trace",
        "x-cloud-trace-context",
        "x-amzn-trace-id",
        "grpc-trace-bin",
        "x-ot-span-context",
        "elastic-apm-traceparent",
        "newrelic",
        "traceresponse",
        "x-instana-t",
        "x-instana-s",
        "x-instana-l",
    ]
)
_TRACE_PREFIXES: Final = ("x-b3-", "uberctx-", "x-datadog-", "ot-tracer-", "ot-baggage-", "x-envoy-")
# When it was sent, and signatures over what is no longer so (RFC 9421, RFC 9530, AWS Signature Version 4 …).
_SIGNED: Final = frozenset(
    [
        "date",
        "x-amz-date",
        "x-amz-content-sha256",
        "x-goog-date",
        "x-ms-date",
        "signature",
        "signature-input",
        "content-digest",
        "digest",
        "repr-digest",
        "want-digest",
        "content-md5",
        "x-signature",
        "x-hub-signature",
        "x-hub-signature-256",
        "x-hmac-signature",
        "dpop",
    ]
)
DROPPED: Final = _HOP_BY_HOP | _TRACES | _SIGNED

TARGET: Final = -1
BODY: Final = -2


class Draft:
    """Method, target, header lines and body, to be changed in place. `target` begins with the path of the recording.

    `is_rpc`: gRPC, which needs `te: trailers`.
    """

    __slots__ = ("body", "exchange", "headers", "method", "target")

    def __init__(self, exchange: Exchange, headers: list[tuple[str, str]]) -> None:
        request = exchange.request
        self.exchange = exchange
        self.method = request.method
        self.target = request.target
        self.headers = headers
        self.body = request.body or b""

    @property
    def path(self) -> str:
        """The path without the query, as recorded or as it is now."""
        return self.target.partition("?")[0]

    def content_type(self) -> str:
        """The media type, lower-case, without parameters; empty when none is said."""
        for name, value in self.headers:
            if len(name) == 12 and name.lower() == "content-type":
                return value.partition(";")[0].strip().lower()
        return ""


class HeaderFilter:
    """Which recorded header lines are sent. Names recur, so what was decided of one is remembered."""

    def __init__(self, removed: re.Pattern[str] | None, replaced: frozenset[str]) -> None:
        self._removed = removed
        self._replaced = replaced
        self._kept: dict[str, bool] = {}
        self._odd: dict[str, str] = {}  # names that need a closer look, in lower case

    def lines(self, headers: Headers) -> list[tuple[str, str]]:
        """The lines that stay, in order. Cookies that HTTP/2 spread over lines are one again (RFC 9113, 8.2.3)."""
        kept = self._kept
        lines: list[tuple[str, str]] = []
        named: set[str] = set()
        cookie = -1
        for line in headers:
            name = line[0]
            stays = kept.get(name)
            if stays is None:
                stays = self._decide(name)
            if name in self._odd:
                if self._odd[name] == "connection":
                    named.update(part.strip().lower() for part in line[1].split(","))
                elif stays and cookie >= 0:
                    lines[cookie] = (lines[cookie][0], f"{lines[cookie][1]}; {line[1]}")
                    continue
                else:
                    cookie = len(lines)
            if stays:
                lines.append(line)
        named -= {"close", "keep-alive", ""}
        return [line for line in lines if line[0].lower() not in named] if named else lines

    def _decide(self, name: str) -> bool:
        if len(self._kept) > 10_000:
            self._kept.clear()
        lowered = name.lower()
        stays = not (
            lowered in DROPPED
            or lowered in self._replaced
            or lowered.startswith((":", *_TRACE_PREFIXES))
            or (self._removed is not None and self._removed.match(lowered))
        )
        self._kept[name] = stays
        if lowered in ("connection", "cookie"):
            self._odd[name] = lowered
        return stays
