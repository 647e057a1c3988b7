"""Shots as columns → what a replay reports: results by endpoint, timing, and the series by second."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tracer_bullet.engine.histogram.buckets import SLOTS, Ints, slots_of_ns
from tracer_bullet.engine.histogram.hdr import Histogram
from tracer_bullet.engine.histogram.punctuality import Punctuality
from tracer_bullet.engine.histogram.series import SecondSeries
from tracer_bullet.engine.histogram.table import BucketTable
from tracer_bullet.model.arrival import Endpoint
from tracer_bullet.model.replay import EndpointResult, Timing
from tracer_bullet.model.shots import NOT_SENT, SHOT_ERRORS, ShotBatch

# Both indexed by a shot's error.
_NEVER_GOES: Final = np.array([error in NOT_SENT for error in SHOT_ERRORS])
_CUT_OFF: Final = np.array([error in ("stopped", "lost") for error in SHOT_ERRORS])
_UNEXPECTED: Final = SHOT_ERRORS.index("unexpected")
_STATUSES: Final = 1000
_NS: Final = 1_000_000_000
Flags = NDArray[np.bool_]


class Histograms:
    """All that is counted of a run's shots. Memory grows with endpoints, not with shots.

    A shot is *sent* unless it never left, for whatever reason (`NOT_SENT`, no `sent_ns`); it *failed* when it was sent
    and no whole answer came, or an unexpected one, whose status is counted all the same. Latencies are of all that was
    sent, failures included, since leaving out time-outs would flatter; only what the end of the run, or of the engine,
    cut off is left out.
    """

    def __init__(self, series: SecondSeries | None = None) -> None:
        self.punctuality = Punctuality()
        self.series = SecondSeries() if series is None else series
        self._latency = BucketTable(SLOTS)
        self._service = BucketTable(SLOTS)
        self._held = BucketTable(SLOTS)
        self._statuses = BucketTable(_STATUSES)
        self._errors = BucketTable(len(SHOT_ERRORS))
        self._unsent = BucketTable(len(SHOT_ERRORS))

    def record(self, batch: ShotBatch) -> None:
        """Count a batch. Under a microsecond a shot in batches of a thousand."""
        if not len(batch):
            return
        endpoint = np.asarray(batch.endpoint).astype(np.int64)
        error = np.asarray(batch.error).astype(np.int64)
        status = np.clip(np.asarray(batch.status).astype(np.int64), 0, _STATUSES - 1)
        due, ready, sent_at, ended = map(np.asarray, (batch.due_ns, batch.ready_ns, batch.sent_ns, batch.ended_ns))
        left = sent_at > 0
        unsent = _NEVER_GOES[error] & ~left
        if unsent.any():
            self._unsent.add(endpoint[unsent], error[unsent])
        self._outcomes(endpoint, status, error, ~unsent)
        whole = ~unsent & ~_CUT_OFF[error]
        latency = slots_of_ns((ended - due)[whole])
        self._latency.add(endpoint[whole], latency)
        bad = (error != 0) | (status >= 500)
        self.series.record(ended[whole] // _NS, latency, bad[whole].astype(np.int64))
        served = whole & left
        self._service.add(endpoint[served], slots_of_ns((ended - sent_at)[served]))
        self.punctuality.record(due[left], ready[left], sent_at[left])
        held = left & (ready > due)
        if held.any():
            self._held.add(endpoint[held], slots_of_ns((ready - due)[held]))

    def merge(self, other: Histograms) -> None:
        """Add what another one counted."""
        self.punctuality.merge(other.punctuality)
        self.series.merge(other.series)
        for mine, theirs in zip(self._tables(), other._tables(), strict=True):
            mine.merge(theirs)

    def endpoint_results(self, endpoints: Iterable[Endpoint]) -> tuple[EndpointResult, ...]:
        """The results of those of these endpoints that had shots, in their order."""
        rows = set(np.union1d(self._statuses.rows(), self._errors.rows()).tolist())
        return tuple(
            _result(f"{e.method} {e.name}", *(table.row(e.number) for table in self._counted()))
            for e in endpoints
            if e.number in rows
        )

    def overall(self, name: str = "all") -> EndpointResult:
        """The result of all endpoints together."""
        return _result(name, *(table.total() for table in self._counted()))

    def timing(self, bound_ms: float) -> Timing:
        """The run's own punctuality; invalid when p99 of what waited for no answer is above the bound."""
        return self.punctuality.timing(bound_ms)

    def latency(self, endpoint: int | None = None) -> Histogram:
        """Latencies of an endpoint, or of all."""
        return Histogram(self._latency.total() if endpoint is None else self._latency.row(endpoint))

    def outcomes(self, endpoint: int) -> Mapping[str, int]:
        """What became of an endpoint's shots that were sent, by error; "" is a whole answer that was expected."""
        errors = self._errors.row(endpoint)
        answered = int(self._statuses.row(endpoint).sum()) - int(errors[_UNEXPECTED])
        return {**({"": answered} if answered else {}), **_named(errors)}

    def not_sent(self) -> Mapping[str, int]:
        """What was never sent, by reason."""
        return _named(self._unsent.total())

    def _counted(self) -> tuple[BucketTable, ...]:
        return self._latency, self._service, self._held, self._statuses, self._errors

    def _tables(self) -> tuple[BucketTable, ...]:
        return *self._counted(), self._unsent

    def _outcomes(self, endpoint: Ints, status: Ints, error: Ints, sent: Flags) -> None:
        """Each shot that was sent is counted once: by its status, or by its error; an unexpected answer by both."""
        failed = sent & (error != 0)
        answered = sent & ((error == 0) | (error == _UNEXPECTED))
        self._statuses.add(endpoint[answered], status[answered])
        self._errors.add(endpoint[failed], error[failed])


def _result(name: str, latency: Ints, service: Ints, held: Ints, statuses: Ints, errors: Ints) -> EndpointResult:
    failed = int(errors.sum())
    sent = int(statuses.sum()) + failed - int(errors[_UNEXPECTED])
    return EndpointResult(
        endpoint=name,
        sent=sent,
        failed=failed,
        latency=Histogram(latency).quantiles(),
        service=Histogram(service).quantiles(),
        held=Histogram(held).quantiles(),
        statuses={str(s): int(statuses[s]) for s in np.flatnonzero(statuses)},
        errors=_named(errors),
    )


def _named(errors: Ints) -> dict[str, int]:
    return {SHOT_ERRORS[e]: int(errors[e]) for e in np.flatnonzero(errors)}
