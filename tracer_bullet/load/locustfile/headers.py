"""The header lines that make a request a bullet (docs/protocol.md, section 1). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

HEADER: Final = "x-tracer-bullet"
# What a request of a locustfile may have by itself, and the flag replaces or joins.
CARRIERS: Final = frozenset({"traceparent", "tracestate", "baggage", HEADER})
_OURS: Final = ("request_type", "tb-run", "tb-token", "user_id", "account_id", "request_id")
_MOST_BYTES: Final = 8192


def flag_headers(
    trace_id: str,
    span_id: str,
    *,
    token: str,
    baggage: str,
    tracestate: str,
    own: Iterable[tuple[str, str]] = (),
) -> dict[str, str]:
    """The carriers of one request. `own`: what it had; other people's baggage and trace state are kept behind ours."""
    members, states = [baggage, f"request_id={span_id}"], [tracestate]
    for name, value in own:
        parts = [part.strip() for part in value.split(",") if part.strip()]
        if name == "baggage":
            members += [p for p in parts if p.partition("=")[0].strip() not in _OURS]
        elif name == "tracestate":
            states += [p for p in parts if p.partition("=")[0] != "tb"]
    return {
        "traceparent": f"00-{trace_id}-{span_id}-01",
        "tracestate": ",".join(states[:32]),
        "baggage": _join(members),
        HEADER: token,
    }


def _join(members: Iterable[str]) -> str:
    """As many as the limit of W3C Baggage leaves room for, ours first."""
    text = ""
    for member in members:
        grown = f"{text},{member}" if text else member
        if len(grown) <= _MOST_BYTES:
            text = grown
    return text
