"""What a run tells while it happens. Shells render these; the run knows no shell."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tracer_bullet.model.finding import Verdict
from tracer_bullet.model.load import LoadLive


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """First event. `folder` is the run folder."""

    run_id: str
    folder: Path
    scenario: str
    target: str
    bullets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseStarted:
    """A phase began: arm, send, settle, judge, report."""

    phase: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the current phase has come; `total` 0: nobody knows how much there is. `live`: of load under way."""

    phase: str
    done: int
    total: int
    live: LoadLive | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """Last event."""

    verdict: Verdict
    folder: Path


RunEvent = RunStarted | PhaseStarted | Progress | RunEnded
