"""The manifest of a run: who fired what, when, at what, with which settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tracer_bullet.model.context import RequestType


@dataclass(frozen=True, slots=True, kw_only=True)
class RunManifest:
    """`run.json` of a run folder. Times are Unix nanoseconds; `ended_ns` None means interrupted or running.

    `token_id` is the token's `kid` and expiry, never the token itself. `override_window`: why it was sent though a
    window of the target was closed.
    """

    run_id: str
    kind: str
    scenario: str
    scenario_file: str
    target: str
    target_url: str
    production: bool
    request_type: RequestType
    bullets: int
    concurrency: int
    started_ns: int
    ended_ns: int | None = None
    token_id: str = ""
    fired_by: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    state: str = "running"
    override_window: str = ""
