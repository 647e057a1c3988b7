"""From shots that came back to bullets that can be judged: one trace each, with the harness's own spans."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from tracer_bullet.model import RequestType, Shot, Span, SpanKind, SpanStatus
from tracer_bullet.model.attributes import HARNESS_SERVICE, REQUEST_TYPE, RUN, STEP
from tracer_bullet.model.shots import SHOT_ERRORS, ShotBatch
from tracer_bullet.scenario import BulletResult
from tracer_bullet.traces.ids import rows_in_share, span_hex, trace_hex

_MARKS = {REQUEST_TYPE: RequestType.TRACE.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One shot of a batch, as Python values. Times are Unix nanoseconds."""

    number: int
    trace_id: str
    span_id: str
    due_ns: int
    sent_ns: int
    ended_ns: int
    status: int
    error: str
    request_bytes: int
    answer_bytes: int

    @property
    def was_sent(self) -> bool:
        """Whether a byte of it left. What could not connect has no time of sending, and no trace to be awaited."""
        return self.sent_ns > 0


def rows_in(batch: ShotBatch, share: float) -> Iterator[Row]:
    """The shots of a batch whose traces are kept, when `share` (0 to 1) of all are."""
    for i in np.flatnonzero(rows_in_share(np.asarray(batch.trace_lo), share)).tolist():
        yield Row(
            number=batch.number[i],
            trace_id=trace_hex(batch.trace_hi[i], batch.trace_lo[i]),
            span_id=span_hex(batch.span_id[i]),
            due_ns=batch.due_ns[i],
            sent_ns=batch.sent_ns[i],
            ended_ns=batch.ended_ns[i],
            status=batch.status[i],
            error=SHOT_ERRORS[batch.error[i]],
            request_bytes=batch.request_bytes[i],
            answer_bytes=batch.answer_bytes[i],
        )


class Place(Protocol):
    """Where a shot stands in its session: the `nth`, from 1 on, and whether it is the `last`."""

    @property
    def nth(self) -> int:
        """From 1 on."""
        ...

    @property
    def last(self) -> bool:
        """Whether none comes after it."""
        ...


@dataclass
class _Open:
    """A trace whose requests are still coming back."""

    shots: list[Shot] = field(default_factory=list)
    steps: list[Span] = field(default_factory=list)
    awaited: int | None = None
    seen: int = 0


class Bullets:
    """Gathers shots by trace. A trace is whole when its session's last request and all before it are back.

    `name` is that of root spans. `per_request`: each request is a trace of its own. `numbers` counts bullets; `rng`
    draws the ids of root spans.
    """

    def __init__(
        self, name: str, run_id: str, rng: random.Random, numbers: Iterator[int], *, per_request: bool
    ) -> None:
        self._name = name
        self._run_id = run_id
        self._rng = rng
        self._per_request = per_request
        self._open: dict[str, _Open] = {}
        self._numbers = numbers

    def add(self, row: Row, place: Place, endpoint: str, url: str, *, step: str = "") -> BulletResult | None:
        """Take a shot in; the bullet that it completes. What was never sent counts, but leaves no shot.

        `endpoint`: `METHOD name`; `step`: how the report calls it, where that is another.
        """
        trace = self._open.setdefault(row.trace_id, _Open())
        trace.seen += 1
        if row.was_sent:
            shot = self._shot(row, endpoint, url, step or endpoint)
            trace.shots.append(shot)
            trace.steps.append(self._span(shot, row))
        if place.last:
            trace.awaited = place.nth
        if not self._per_request and trace.awaited != trace.seen:
            return None
        return self._close(row.trace_id)

    def rest(self) -> list[BulletResult]:
        """The bullets of sessions that did not come to their end, because the run stopped."""
        found = [self._close(trace_id) for trace_id in list(self._open)]
        return [bullet for bullet in found if bullet is not None]

    def _close(self, trace_id: str) -> BulletResult | None:
        trace = self._open.pop(trace_id)
        if not trace.shots:
            return None
        number = next(self._numbers)
        root = self._root(trace_id, trace.steps)
        steps = sorted(trace.steps, key=lambda s: (s.start_ns, s.span_id))
        spans = (root, *(_under(root.span_id, s) for s in steps))
        shots = (replace(s, bullet=number) for s in sorted(trace.shots, key=lambda s: (s.sent_ns, s.span_id)))
        return BulletResult(bullet=number, trace_id=trace_id, shots=tuple(shots), checks=(), spans=spans)

    def _shot(self, row: Row, endpoint: str, url: str, step: str) -> Shot:
        return Shot(
            run_id=self._run_id,
            bullet=-1,  # until its trace is whole
            step=step,
            trace_id=row.trace_id,
            span_id=row.span_id,
            request_type=RequestType.TRACE,
            method=endpoint.partition(" ")[0],
            url=url,
            scheduled_ns=row.due_ns,
            sent_ns=row.sent_ns,
            ended_ns=row.ended_ns,
            status=row.status or None,
            error=row.error or None,
            request_bytes=row.request_bytes,
            response_bytes=row.answer_bytes,
        )

    def _span(self, shot: Shot, row: Row) -> Span:
        failed = bool(row.error) or row.status >= 500
        attributes = {
            **_MARKS,
            RUN: self._run_id,
            STEP: shot.step,
            "http.request.method": shot.method,
            "url.full": shot.url,
            **({"http.response.status_code": str(row.status)} if row.status else {}),
            **({"error.type": row.error or str(row.status)} if failed else {}),
        }
        return Span(
            trace_id=shot.trace_id,
            span_id=shot.span_id,
            parent_id=None,
            name=shot.step,
            kind=SpanKind.CLIENT,
            service=HARNESS_SERVICE,
            start_ns=shot.sent_ns,
            end_ns=shot.ended_ns,
            status=SpanStatus.ERROR if failed else SpanStatus.UNSET,
            status_message=row.error,
            attributes=attributes,
        )

    def _root(self, trace_id: str, steps: Sequence[Span]) -> Span:
        failed = any(s.status is SpanStatus.ERROR for s in steps)
        return Span(
            trace_id=trace_id,
            span_id=span_hex(self._rng.randrange(1, 2**64)),
            parent_id=None,
            name=self._name,
            kind=SpanKind.INTERNAL,
            service=HARNESS_SERVICE,
            start_ns=min(s.start_ns for s in steps),
            end_ns=max(s.end_ns for s in steps),
            status=SpanStatus.ERROR if failed else SpanStatus.UNSET,
            attributes={**_MARKS, RUN: self._run_id},
        )


def _under(parent_id: str, span: Span) -> Span:
    return replace(span, parent_id=parent_id)
