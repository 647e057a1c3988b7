"""Claim: whatever senders tell, and in whatever batches, the numbers add up, and what is missing never passes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.engine.shot_batches import SECOND, START, batch, shot
from tests.unit.runs.load.test_conclude import CLEAN
from tracer_bullet.model import Outcome
from tracer_bullet.model.load import LoadReport, SenderEvent, SenderJob, SenderNote, SenderResult, SenderShots, StepKey
from tracer_bullet.model.replay import StopEvent
from tracer_bullet.model.shots import SHOT_ERRORS, EngineNote
from tracer_bullet.runs.load.conclude import REACHED, conclude
from tracer_bullet.runs.load.failures import Failures
from tracer_bullet.runs.load.figures import LoadFigures
from tracer_bullet.runs.load.report import Findings, make_report, sender_results
from tracer_bullet.runs.load.sending import Sending, endpoints_of
from tracer_bullet.runs.replay.parts import ShotParts
from tracer_bullet.workspace.runs import RunFolder
from tracer_bullet.workspace.traffic import LoadSpec

STEPS = [
    StepKey(scenario="buy", step="look", method="GET", path="/a", index=0, of=3),
    StepKey(scenario="buy", step="pay", method="POST", path="/b", index=1, of=3),
    StepKey(scenario="buy", step="done", method="GET", path="/c", index=2, of=3),
    StepKey(scenario="browse", step="list", method="GET", path="/d", index=0, of=1),
]
FIRST = {"buy": 0, "browse": 3}
# Without a byte on the wire, and with some.
UNSENT = ("slot", "stopped", "skipped", "stale", "lost", "connect")
SENT = ("", "", "", "", "unexpected", "reset", "answer-timeout", "stopped", "lost")
JOB = SenderJob(run_id="r", start_ns=0, base_url="http://x", scenarios=(), variables=(), rows=(), weights=(), engine={})
Row = dict[str, int]


@st.composite
def iterations(draw: st.DrawFn) -> tuple[int, list[Row]]:
    """A sender, and the rows of one iteration of it, in order; some of the last may never come back."""
    scenario = draw(st.sampled_from(sorted(FIRST)))
    of = STEPS[FIRST[scenario]].of
    come = draw(st.sampled_from([of, of, of, draw(st.integers(0, of))]))
    at = START + draw(st.integers(0, 4)) * SECOND
    rows = []
    for k in range(come):
        gone = draw(st.booleans()) or draw(st.booleans())
        error = draw(st.sampled_from(SENT if gone else UNSENT))
        rows.append(shot(endpoint=FIRST[scenario] + k, due=at + k * 1000, error=error, sent=gone))
    return draw(st.integers(0, 2)), rows


@st.composite
def streams(draw: st.DrawFn) -> list[SenderEvent]:
    """Iterations whose rows come among each other, in batches."""
    left: list[tuple[int, list[Row]]] = []
    for session, (sender, rows) in enumerate(draw(st.lists(iterations(), max_size=12))):
        left.append((sender, [{**row, "session": session, "number": session * 3 + k} for k, row in enumerate(rows)]))
    events: list[SenderEvent] = []
    while left := [(sender, rows) for sender, rows in left if rows]:
        sender = draw(st.sampled_from(sorted({sender for sender, _ in left})))
        its = [rows for who, rows in left if who == sender]
        chosen = draw(st.lists(st.integers(0, len(its) - 1), min_size=1, max_size=6))
        some = [its[n].pop(0) for n in chosen if its[n]]
        if some:
            events.append(SenderShots(sender=sender, batch=batch(some)))
    if draw(st.booleans()):
        note = EngineNote(sent=5, waiting=0, connections=1)
        events.append(SenderNote(sender=0, engine=note, planned=5, iterations=5))
    return events


class Told:
    """Senders that tell what they were given."""

    lead_ns = 0
    results: tuple[SenderResult, ...] = ()

    def __init__(self, events: list[SenderEvent]) -> None:
        self._events = events

    async def run(self, job: SenderJob) -> AsyncIterator[SenderEvent]:
        for event in self._events:
            yield event
            await asyncio.sleep(0)

    def look(self) -> None:
        return None

    def stop(self) -> None:
        pass


def told(events: list[SenderEvent], folder: Path, *, warm_up_s: int) -> tuple[LoadFigures, Sending]:
    figures = LoadFigures(STEPS, measured_from_ns=START + warm_up_s * SECOND if warm_up_s else 0)
    collector: Any = SimpleNamespace(shots=lambda _: None, finish=lambda: None)
    parts = ShotParts(RunFolder(path=folder), endpoints_of(STEPS))
    sending = Sending(Told(events), STEPS, figures, Failures(STEPS), collector, parts)

    async def main() -> int:
        return [done async for done in sending.run(JOB)][-1:] == [] or 0

    asyncio.run(main())
    return figures, sending


def report_of(figures: LoadFigures, sending: Sending, stop: StopEvent | None) -> LoadReport:
    """As a run makes it, of all that it is made from."""
    job: Any = SimpleNamespace(
        traffic=(), spec=LoadSpec.model_validate({"rate": "1/s", "duration": "5s"}), find_capacity=False
    )
    profile = SimpleNamespace(lines=lambda: ("1/s for 5 s",), span_s=5.0, rate_at=lambda _: 1.0)
    found = Findings(stop=stop, audited=3, senders=sender_results(figures, sending.changes, ()))
    beginning: Any = SimpleNamespace(profile=profile)
    return make_report(job, beginning, figures, found, start_ns=START)


@settings(max_examples=150, deadline=None)
@given(
    streams(),
    st.sampled_from([0, 0, 1, 3]),
    st.sampled_from([None, None, REACHED, "budget", "interrupt", "threshold", "lost-traces"]),
)
def test_the_numbers_add_up_and_what_is_missing_never_passes(
    tmp_path_factory: Any, events: list[SenderEvent], warm_up_s: int, stopped: str | None
) -> None:
    figures, sending = told(events, tmp_path_factory.mktemp("run"), warm_up_s=warm_up_s)
    stop = None if stopped is None else StopEvent(reason=stopped, detail="d", after_s=1.0)
    report = report_of(figures, sending, stop)
    counted = report.accounting
    rows = sum(len(event.batch) for event in events if isinstance(event, SenderShots))

    assert counted.planned + counted.warm_up == rows
    assert counted.planned == counted.sent + sum(counted.not_sent.values())
    assert counted.sent == counted.answered + counted.failed
    assert counted.begun == counted.whole + counted.broken + counted.cut
    assert counted.sent == sum(step.sent for step in report.steps)
    assert counted.failed == sum(step.failed for step in report.steps) == report.overall.failed
    assert counted.whole == sum(one.sent - one.failed for one in report.iterations)
    assert sum(one.latency.count for one in report.iterations) == counted.whole
    assert all(n > 0 for n in counted.not_sent.values())

    verdict = conclude(report, CLEAN, run_id="r", name="buy")
    if verdict.outcome is not Outcome.PASSED:
        return
    measured = [
        (SHOT_ERRORS[error], sent)
        for event in events
        if isinstance(event, SenderShots)
        for error, sent, due in zip(event.batch.error, event.batch.sent_ns, event.batch.due_ns, strict=True)
        if due >= figures.measured_from_ns
    ]
    excused = {"", *(("stopped",) if stopped == REACHED else ()), *(("skipped",) if counted.warm_up else ())}
    assert {error for error, _ in measured} <= excused
    assert counted.sent
    assert stopped in (None, REACHED)
    assert counted.broken == 0 or counted.warm_up
    assert counted.cut == 0 or stopped == REACHED
