"""What is known of one worker of a fleet."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tracer_bullet.engine.histogram.punctuality import Punctuality
from tracer_bullet.model.load import SenderNote, SenderResult
from tracer_bullet.model.shots import NOT_SENT, SHOT_ERRORS, ShotBatch
from tracer_bullet.runs.load.fleet.clocks import Offset, RoundTrip, offset_of
from tracer_bullet.runs.load.fleet.duties import Duty

PINGS = 8
_UNSENT = [index for index, error in enumerate(SHOT_ERRORS) if error in NOT_SENT]


@dataclass
class Member:
    """A worker. `number` is its sender's, `client` how Locust names it.

    `state`: `new` (its clock is not known), `idle`, `sending`, `ended` (with this job), `lost` (for good: whoever comes
    again after that is another), `left` in order. `ready`: it has understood the job. `silent`: beats without a word
    of it while it sends. `rows`: shots that it told of; `said`: how many it says it told. `gaps`: what it was to take
    over, and could not.
    """

    number: int
    client: str
    name: str = ""
    state: str = "new"
    lost: str = ""
    ready: bool = False
    silent: int = 0
    rows: int = 0
    said: int = 0
    unaccounted: int = 0
    clock: Offset = field(default_factory=Offset)
    trips: list[RoundTrip] = field(default_factory=list)
    gaps: list[Duty] = field(default_factory=list)
    punctuality: Punctuality = field(default_factory=Punctuality)
    sent: int = 0
    note: SenderNote | None = None

    @property
    def here(self) -> bool:
        """Whether it can be given work."""
        return self.state in ("idle", "sending", "ended")

    def heard_ping(self, trip: RoundTrip) -> bool:
        """Take a round trip in; whether its clock is known now."""
        self.trips.append(trip)
        if len(self.trips) < PINGS:
            return False
        self.clock = offset_of(self.trips)
        return True

    def begin(self) -> None:
        """Another job."""
        self.state, self.ready = "sending", False
        self.silent = self.rows = self.said = self.unaccounted = self.sent = 0
        self.punctuality, self.note, self.gaps = Punctuality(), None, []

    def count(self, batch: ShotBatch) -> None:
        """Count shots that it told of."""
        self.rows += len(batch)
        due, ready, sent = (np.asarray(c) for c in (batch.due_ns, batch.ready_ns, batch.sent_ns))
        left = sent > 0
        self.sent += int(np.count_nonzero(left | ~np.isin(np.asarray(batch.error), _UNSENT)))
        self.punctuality.record(due[left], ready[left], sent[left])

    @property
    def clock_text(self) -> str:
        """Its clock against ours, for people."""
        return f"clock {self.clock.ns / 1e6:+.1f} ms (±{self.clock.within_ns / 1e6:.1f})"

    def result(self, bound_ms: float) -> SenderResult:
        """How it did."""
        lateness = self.punctuality.lateness_of_all.quantiles()
        late = (
            f"; late by itself: p99 {lateness.p99_ms:g} ms, bound {bound_ms:g} ms" if lateness.p99_ms > bound_ms else ""
        )
        return SenderResult(
            sender=self.number,
            name=self.name or self.client,
            sent=self.sent,
            lateness=lateness,
            cpu_share=self.note.cpu if self.note is not None else 0.0,
            lost=self.lost,
            unaccounted=self.unaccounted,
            detail=self.clock_text + late,
        )
