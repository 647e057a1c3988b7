"""Claim: every iteration is whole, broken or cut, warm-up counts nowhere else, and each sender has its own lateness."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.engine.shot_batches import SECOND, START, batch, shot
from tracer_bullet.model.load import StepKey
from tracer_bullet.runs.load.figures import LoadFigures, recent_seconds, rows_where

STEPS = [
    StepKey(scenario="buy", step="look", method="GET", path="/a", index=0, of=2),
    StepKey(scenario="buy", step="pay", method="POST", path="/b", index=1, of=2),
    StepKey(scenario="browse", step="list", method="GET", path="/c", index=0, of=1),
]
MS = 1_000_000


def row(session: int, endpoint: int, *, at_ms: int = 0, **more: object) -> dict[str, int]:
    made = shot(number=session * 2 + endpoint, endpoint=endpoint, due=START + at_ms * MS, **more)  # type: ignore[arg-type]
    return {**made, "session": session}


def test_iterations_are_whole_broken_or_cut() -> None:
    figures = LoadFigures(STEPS)
    figures.shots(0, batch([row(1, 0), row(2, 0), row(3, 0), row(4, 2)]))
    figures.shots(0, batch([row(1, 1, at_ms=50), row(2, 1, error="skipped", sent=False)]))
    figures.shots(0, batch([row(3, 1, error="stopped", sent=False), row(5, 0), row(6, 2, error="reset")]))
    found = figures.accounting()
    assert (found.begun, found.whole, found.broken, found.cut) == (6, 2, 2, 2), "one was still under way"
    assert (found.planned, found.sent, found.answered, found.failed) == (9, 7, 6, 1)
    assert found.not_sent == {"skipped": 1, "stopped": 1}
    buy, browse = figures.iteration_results()
    assert (buy.endpoint, buy.sent, buy.failed, buy.latency.count) == ("buy", 2, 1, 1)
    assert 51 < buy.latency.p50_ms < 51.2, "from the first step's intended time to the last one's end"
    assert (browse.endpoint, browse.sent, browse.failed) == ("browse", 2, 1)


def test_an_unexpected_answer_has_its_status_and_has_failed() -> None:
    figures = LoadFigures(STEPS)
    figures.shots(0, batch([{**row(1, 2, error="unexpected"), "status": 404}]))
    (result,) = figures.step_results()
    assert (result.endpoint, result.sent, result.failed) == ("browse / list", 1, 1)
    assert result.errors == {"unexpected": 1}


def test_warm_up_is_counted_and_nothing_else() -> None:
    figures = LoadFigures(STEPS, measured_from_ns=START + SECOND)
    figures.shots(0, batch([row(1, 0), row(2, 0, at_ms=999), row(3, 2, at_ms=1000)]))
    # Begun in the warm-up and ended after it: its step counts, its iteration does not.
    figures.shots(0, batch([row(2, 1, at_ms=1500)]))
    found = figures.accounting()
    assert (found.warm_up, found.planned, found.sent) == (2, 2, 2)
    assert (found.begun, found.whole) == (1, 1)


def test_each_sender_has_its_own_lateness() -> None:
    figures = LoadFigures(STEPS)
    figures.shots(0, batch([row(n, 2, late=1 * MS) for n in range(50)]))
    figures.shots(1, batch([row(n, 2, late=30 * MS) for n in range(50)]))
    fast, slow = (figures.senders[n].lateness.quantiles().p50_ms for n in (0, 1))
    assert 0.9 < fast < 1.1
    assert 29 < slow < 31
    assert figures.accounting().whole == 100, "sessions of two senders may have the same number"


@given(st.lists(st.booleans(), max_size=50))
def test_rows_are_chosen_as_asked(wanted: list[bool]) -> None:
    import numpy as np

    rows = [row(n, 2) for n in range(len(wanted))]
    chosen = rows_where(batch(rows), np.array(wanted, bool))
    assert chosen == batch([r for r, yes in zip(rows, wanted, strict=True) if yes])


def test_memory_does_not_grow_with_iterations() -> None:
    figures = LoadFigures(STEPS)
    for n in range(300):
        figures.shots(0, batch([row(n * 10 + k, 0) for k in range(10)]))
        figures.shots(0, batch([row(n * 10 + k, 1) for k in range(10)]))
    assert not figures._open
    assert figures.accounting().whole == 3000


def test_what_a_guardrail_looks_at_is_whole_and_what_is_older_is_forgotten() -> None:
    figures = LoadFigures(STEPS, recent=recent_seconds(300))
    for second in range(3000):
        slow = second < 2750
        figures.shots(0, batch([row(second, 2, at_ms=second * 1000, service=(900 if slow else 1) * MS)]))
    window = figures.recent.window(300)
    assert window.requests == 300
    assert window.latency.count == 300, "a window longer than two minutes is judged by all of it"
    assert window.latency.p99_ms > 800
    assert len(figures.recent._seconds) <= 3 * 301
    assert len(figures.all.series.seconds()) == 3000, "the curve has all of them"
