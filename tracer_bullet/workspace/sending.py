"""What replays and load alike say of sending many requests: limits, guardrails, proof."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from tracer_bullet.workspace.load import Spec
from tracer_bullet.workspace.quantities import Share, Size

Globs = tuple[str, ...]


class LimitsSpec(Spec):
    """What a replay may use up."""

    requests: int | None = Field(default=None, ge=1)
    bytes: Size | None = None
    """Of requests and answers together."""
    duration_s: float | None = Field(default=None, gt=0)
    connections: int = Field(default=512, ge=1, le=60_000)
    """To one host at once. A full pool delays requests, which the report tells."""
    connect_s: float = Field(default=5.0, gt=0)
    send_s: float = Field(default=30.0, gt=0)
    answer_s: float = Field(default=30.0, gt=0)
    """From the request's end to the first byte of the answer."""
    total_s: float = Field(default=60.0, gt=0)
    allow: Globs = ()
    """Further `host` or `host:port` that requests may go to, besides the target's own and those of `rewrite.hosts`."""


class TlsSpec(Spec):
    """Whom to trust, for targets behind https."""

    verify: bool = True
    ca_file: Path | None = None
    """PEM of the authorities that are trusted instead of the system's; relative to this file."""


class GuardrailsSpec(Spec):
    """When sending stops, exit code 4 (lateness: invalid, 3)."""

    lateness_p99_ms: float = Field(default=10.0, gt=0)
    errors: Share = 0.5
    """Share of answers that are 5xx or missing, over `window_s`, from 20 requests on."""
    latency_p99_ms: float | None = Field(default=None, gt=0)
    """From the intended time, over `window_s`."""
    window_s: float = Field(default=10.0, gt=0)
    lost_traces: Share = 0.1
    """Share of audited traces that do not come back complete."""
    back_off_s: float = Field(default=30.0, ge=0)
    """The longest pause for a host that answers 429 or 503; its Retry-After counts. 0: none."""
    kill_file: Path = Path(".tracer-bullet/stop")
    """A file that, once it is there, stops the replay; relative to the workspace. It must be removed by hand."""


class ProofSpec(Spec):
    """How it is proved that nothing was written."""

    traces_per_s: float = Field(default=5.0, gt=0)
    """How many sessions' traces are audited, a second at most, beside those that arm the replay."""
    max_traces: int = Field(default=2000, ge=1)
    """How many in all; of a long replay the traces are chosen evenly."""
    max_arming_requests: int = Field(default=2000, ge=1)
    """Refuse to begin when it takes more requests to reach every endpoint once."""
