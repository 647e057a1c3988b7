"""Claim: waiting ends: when it is quiet around our traces, whatever others send, and at the deadline at the latest."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from tests.unit.runs.conftest import Source
from tracer_bullet.model import Span, SpanKind, System
from tracer_bullet.runs.settle import settle
from tracer_bullet.scenario import BulletResult

TRACE = "ab" * 16
RESULT = BulletResult(bullet=0, trace_id=TRACE, shots=(), checks=(), spans=())


def span(number: int) -> Span:
    parent = None if number == 1 else f"{1:016x}"
    return Span(
        trace_id=TRACE, span_id=f"{number:016x}", parent_id=parent, name="n", kind=SpanKind.INTERNAL,
        service="s", start_ns=1, end_ns=2,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def no_breath(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settle.__globals__, "_BREATH_S", 0)


@dataclass
class Growing(Source):
    """One more span of our trace at each of the first `grows` waits; others' spans come all the time."""

    grows: int = 0
    now_s: float = 0.0

    async def wait_for_change(self, seen: int, timeout_s: float) -> int:
        self.now_s += min(0.5, timeout_s)
        if self.changes < self.grows:
            self.found[TRACE].append(span(self.changes + 2))
        return await super().wait_for_change(seen, timeout_s)


def settled_s(source: Growing, *, settle_s: float, quiet_s: float, sealed: bool = True) -> float:
    async def main() -> None:
        waits = settle(
            source, [RESULT], System(), settle_s=settle_s, quiet_s=quiet_s, clock_s=lambda: source.now_s, sealed=sealed
        )
        async for _ in waits:
            pass

    asyncio.run(main())
    return source.now_s


def test_spans_of_others_do_not_keep_it_waiting() -> None:
    assert settled_s(Growing(found={TRACE: [span(1)]}), settle_s=60, quiet_s=2) == 2


def test_our_own_spans_do() -> None:
    assert settled_s(Growing(found={TRACE: [span(1)]}, grows=4), settle_s=60, quiet_s=2) == 4


def test_not_for_ever() -> None:
    assert settled_s(Growing(found={TRACE: [span(1)]}, grows=999), settle_s=60, quiet_s=2) == 20


def test_a_trace_that_is_never_whole_ends_at_the_deadline() -> None:
    assert settled_s(Growing(), settle_s=3, quiet_s=2) == 3


def test_a_source_that_stays_away_ends_at_the_deadline() -> None:
    assert settled_s(Growing(away=range(1, 99)), settle_s=3, quiet_s=2) == 3


def test_a_control_run_waits_for_quiet_alone() -> None:
    assert settled_s(Growing(), settle_s=60, quiet_s=2, sealed=False) == 2
