"""Locust's requests as columns: histograms, a series by second, and the shots on disk."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from tracer_bullet.engine.histogram import Histograms, SecondSeries
from tracer_bullet.model.arrival import Endpoint
from tracer_bullet.model.load import LoadAccounting, LoadSecond
from tracer_bullet.model.replay import EndpointResult
from tracer_bullet.model.shots import ShotBatch
from tracer_bullet.runs.replay.parts import ShotParts
from tracer_bullet.workspace.runs import RunFolder

_HALF = 1 << 64


class LocustFigures:
    """Counts what all processes tell. A process numbers its endpoints by itself; here they have one number each."""

    def __init__(self, folder: RunFolder, *, window_s: float) -> None:
        self.endpoints: list[Endpoint] = []
        self._numbers: dict[str, int] = {}
        self.histograms = Histograms(SecondSeries(max(60, int(window_s) + 1)))
        self.parts = ShotParts(folder, self.endpoints)
        self.count = 0
        self.answer_bytes = 0
        self.first_ns = 0
        self.last_ns = 0

    def number(self, text: str) -> int:
        """The number of `METHOD name`."""
        found = self._numbers.get(text)
        if found is None:
            found = self._numbers[text] = len(self.endpoints)
            method, _, name = text.partition(" ")
            self.endpoints.append(Endpoint(number=found, method=method, name=name))
        return found

    def add(self, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Take in rows (load.locustfile.rows) of a process whose endpoints have these names. Raises ValueError,
        TypeError, IndexError or OverflowError for what is no row."""
        batch = self._batch([self.number(name) for name in names], rows)
        if not len(batch):
            return
        self.histograms.record(batch)
        self.parts.add(batch)
        self.count += len(batch)
        self.answer_bytes += sum(batch.answer_bytes)
        first, last = min(batch.sent_ns), max(batch.ended_ns)
        self.first_ns = min(self.first_ns or first, first)
        self.last_ns = max(self.last_ns, last)

    def accounting(self) -> LoadAccounting:
        """All that Locust has counted. Closed model: nothing is planned that is not sent."""
        overall = self.histograms.overall()
        return LoadAccounting(
            planned=overall.sent,
            sent=overall.sent,
            answered=overall.sent - overall.failed,
            failed=overall.failed,
            answer_bytes=self.answer_bytes,
        )

    def steps(self) -> tuple[EndpointResult, ...]:
        """By endpoint, in order of appearance."""
        return self.histograms.endpoint_results(self.endpoints)

    def curve(self, users: Mapping[int, int]) -> tuple[LoadSecond, ...]:
        """By second since the first request. `users`: how many there were, by Unix second."""
        seconds = self.histograms.series.seconds()
        first = seconds[0].second if seconds else 0
        return tuple(
            LoadSecond(
                t_s=float(s.second - first),
                width_s=1.0,
                planned_rate=0.0,
                rate=float(s.requests),
                bad=s.bad,
                p50_ms=s.p50_ms,
                p99_ms=s.p99_ms,
                users=users.get(s.second, 0),
            )
            for s in seconds
        )

    def _batch(self, numbers: Sequence[int], rows: Sequence[Sequence[Any]]) -> ShotBatch:
        endpoint, trace, span, sent, ended, status, error, size = zip(*rows, strict=True) if rows else ((),) * 8
        traces = [int(t, 16) for t in trace]
        first = self.count
        at = array("q", sent)
        return ShotBatch(
            number=array("q", range(first, first + len(rows))),
            session=array("q", bytes(8 * len(rows))),
            endpoint=array("i", [numbers[e] for e in endpoint]),
            origin=array("i", bytes(4 * len(rows))),
            trace_hi=array("Q", [t // _HALF for t in traces]),
            trace_lo=array("Q", [t % _HALF for t in traces]),
            span_id=array("Q", [int(s, 16) for s in span]),
            due_ns=at,
            ready_ns=at,
            sent_ns=at,
            first_ns=array("q", bytes(8 * len(rows))),
            ended_ns=array("q", ended),
            status=array("i", status),
            error=array("b", error),
            request_bytes=array("q", bytes(8 * len(rows))),
            answer_bytes=array("q", size),
        )
