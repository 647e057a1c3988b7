"""One request that the harness sent, and how it went."""

from __future__ import annotations

from dataclasses import dataclass

from tracer_bullet.model.context import RequestType


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """A request of a bullet. Times are Unix nanoseconds; `error` is set when no answer came.

    Latency counts from `scheduled_ns`, the intended time, so that lateness shows.
    """

    run_id: str
    bullet: int
    step: str
    trace_id: str
    span_id: str
    request_type: RequestType
    method: str
    url: str
    scheduled_ns: int
    sent_ns: int
    ended_ns: int
    status: int | None
    error: str | None
    request_bytes: int
    response_bytes: int

    @property
    def latency_ms(self) -> float:
        """From the intended time to the end of the answer."""
        return (self.ended_ns - self.scheduled_ns) / 1e6
