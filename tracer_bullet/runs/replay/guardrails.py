"""When a replay must stop by what came back: errors, latency, bytes. Pure over what was counted."""

from __future__ import annotations

from tracer_bullet.engine.histogram import Window
from tracer_bullet.model.replay import StopEvent
from tracer_bullet.workspace.sending import GuardrailsSpec, LimitsSpec

# Fewer answers decide nothing: one error of two is no outage.
MIN_REQUESTS = 20


def judge_window(window: Window, spec: GuardrailsSpec, after_s: float) -> StopEvent | None:
    """Why the last `window_s` seconds are a reason to stop; None when they are none."""
    if window.requests < MIN_REQUESTS:
        return None
    within = f"within {spec.window_s:g} s"
    if window.bad_share > spec.errors:
        detail = f"{window.bad} of {window.requests} requests failed {within} (allowed: {spec.errors:.0%})"
        return StopEvent(reason="guardrail", detail=detail, after_s=after_s)
    limit_ms = spec.latency_p99_ms
    if limit_ms is not None and window.latency.p99_ms > limit_ms:
        detail = f"p99 was {window.latency.p99_ms:.0f} ms {within} (allowed: {limit_ms:g} ms)"
        return StopEvent(reason="guardrail", detail=detail, after_s=after_s)
    return None


def judge_budget(bytes_on_wire: int, limits: LimitsSpec, after_s: float) -> StopEvent | None:
    """Why the bytes that went over the wire are a reason to stop."""
    if limits.bytes is None or bytes_on_wire < limits.bytes:
        return None
    detail = f"{bytes_on_wire} bytes went over the wire (limits.bytes: {limits.bytes})"
    return StopEvent(reason="budget", detail=detail, after_s=after_s)
