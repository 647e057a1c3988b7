"""Claim: bullets are judged once their traces are whole and quiet or their time is over, and harm stops the replay."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

import pytest

from tests.unit.engine.shot_batches import batch
from tests.unit.runs.replay.flights import flying, row, served
from tracer_bullet.errors import UnreachableError
from tracer_bullet.model import Outcome, Span
from tracer_bullet.runs.replay.bullets import Bullets, rows_in
from tracer_bullet.runs.replay.job import ReplayJob
from tracer_bullet.runs.replay.proof import Proof
from tracer_bullet.scenario import BulletResult


@dataclass
class Memory:
    """A trace source that holds what it was given; away while `away`."""

    held: dict[str, list[Span]] = field(default_factory=dict)
    away: bool = False
    asked: int = 0

    def take(self, spans: Iterable[Span]) -> None:
        for span in spans:
            self.held.setdefault(span.trace_id, []).append(span)

    async def fetch(self, trace_ids: Collection[str]) -> Mapping[str, Sequence[Span]]:
        self.asked += 1
        if self.away:
            raise UnreachableError("TB402", "away")
        return {trace_id: self.held[trace_id] for trace_id in trace_ids if trace_id in self.held}

    async def wait_for_change(self, seen: int, timeout_s: float) -> int:
        await asyncio.sleep(0)
        return seen + 1

    async def close(self) -> None:
        return None


@dataclass
class Clock:
    now_s: float = 1_000.0

    def monotonic(self) -> float:
        return self.now_s


@dataclass
class Bench:
    """A proof with its source and clock. Traces have 60 s, and must be quiet for 5 s."""

    proof: Proof
    source: Memory
    clock: Clock

    def fire(self, number: int = 0, **more: object) -> BulletResult:
        bullets = Bullets("t", "run", random.Random(number), count(number), per_request=True)
        (one,) = rows_in(batch([row(number, session=number, **more)]), 1.0)  # type: ignore[arg-type]
        done = bullets.add(one, flying(number, last=True), f"GET /{number}", "http://h/")
        assert done is not None
        self.proof.add(done)
        return done

    def serve(self, bullet: BulletResult, **more: bool) -> None:
        self.source.take(served(bullet.trace_id, bullet.shots[0].span_id, number=bullet.bullet, **more))

    def look(self, after_s: float = 0.0) -> None:
        self.clock.now_s += after_s
        asyncio.run(self.proof.look())

    def outcomes(self) -> list[Outcome]:
        return [v.outcome for v in self.proof.verdicts]


@pytest.fixture
def bench(prepare: Callable[..., ReplayJob], monkeypatch: pytest.MonkeyPatch) -> Bench:
    clock, source = Clock(), Memory()
    monkeypatch.setattr("tracer_bullet.runs.replay.proof.time", clock)
    return Bench(Proof(prepare(), source), source, clock)


def test_a_whole_and_quiet_trace_is_judged_and_proves_its_endpoint(bench: Bench) -> None:
    bench.serve(bench.fire())
    bench.look()
    assert bench.proof.waiting == 1, "more may come"
    bench.look(4.9)
    assert bench.proof.waiting == 1
    bench.look(0.2)
    assert (bench.outcomes(), bench.proof.waiting) == ([Outcome.PASSED], 0)
    assert bench.proof.endpoints == {"GET /0"}
    assert len(bench.proof.spans) == 4
    assert bench.proof.stop is None


def test_spans_that_come_late_begin_the_quiet_anew(bench: Bench) -> None:
    bullet = bench.fire()
    bench.serve(bullet)
    bench.look()
    bench.clock.now_s += 4
    late = Span(**{**{f: getattr(bench.source.held[bullet.trace_id][0], f) for f in Span.__dataclass_fields__},
                   "span_id": "f" * 16, "parent_id": bench.source.held[bullet.trace_id][0].span_id,
                   "attributes": {"tb.refused": "invalid"}})  # fmt: skip
    bench.source.take([late])
    bench.look()
    bench.look(4)
    assert bench.outcomes() == []
    bench.look(1.1)
    assert bench.outcomes() == [Outcome.FAILED], "the late one counts"


def test_an_incomplete_trace_has_its_time(bench: Bench) -> None:
    bench.serve(bench.fire(), seal=False)
    bench.look(59.9)
    assert bench.outcomes() == []
    bench.look(0.2)
    assert bench.outcomes() == [Outcome.INCONCLUSIVE]
    assert bench.proof.endpoints == set()


def test_a_source_that_is_away_for_a_while_is_asked_again(bench: Bench) -> None:
    bench.serve(bench.fire())
    bench.source.away = True
    bench.look()
    bench.look(30)
    bench.source.away = False
    bench.look()
    bench.look(5)
    assert bench.outcomes() == [Outcome.PASSED]


def test_a_source_that_stays_away_proves_nothing(bench: Bench) -> None:
    bench.fire()
    bench.source.away = True
    bench.look(61)
    assert bench.outcomes() == [Outcome.INCONCLUSIVE]


def test_harm_stops_the_replay(bench: Bench) -> None:
    bench.serve(bench.fire(), marked=False, seal=False)
    bench.look(61)
    assert bench.outcomes() == [Outcome.FAILED]
    assert bench.proof.stop is not None
    assert bench.proof.stop.reason == "not-harmless"
    assert bench.proof.stop.detail.partition(":")[0] in {f.rule for f in bench.proof.verdicts[0].findings}


def test_what_was_not_answered_proves_no_endpoint(bench: Bench) -> None:
    bench.serve(bench.fire(error="answer-timeout"))
    bench.look()
    bench.look(6)
    assert bench.proof.endpoints == set()


def test_too_many_lost_traces_stop_the_replay(bench: Bench) -> None:
    """10 % may be lost; fewer than twenty judged ones say nothing."""
    for number in range(19):
        bench.serve(bench.fire(number), seal=number >= 4)
    bench.look(61)
    assert (len(bench.proof.verdicts), bench.proof.stop) == (19, None)
    bench.serve(bench.fire(19))
    bench.look(61)
    assert bench.proof.stop is not None
    assert bench.proof.stop.reason == "lost-traces"
    assert "4 of 20 traces" in bench.proof.stop.detail


def test_a_few_lost_traces_do_not(bench: Bench) -> None:
    for number in range(40):
        bench.serve(bench.fire(number), seal=number % 10 != 0)
    bench.look(61)
    bench.look(6)
    assert len(bench.proof.verdicts) == 40
    assert bench.proof.stop is None, "a tenth is allowed"


def test_unarmed_is_told_and_goes_on(prepare: Callable[..., ReplayJob], monkeypatch: pytest.MonkeyPatch) -> None:
    clock, source = Clock(), Memory()
    monkeypatch.setattr("tracer_bullet.runs.replay.proof.time", clock)
    bench = Bench(Proof(prepare(unarmed=True), source), source, clock)
    bench.serve(bench.fire(), marked=False, seal=False)
    bench.look(61)
    assert bench.outcomes() == [Outcome.FAILED]
    assert bench.proof.stop is None


def test_settling_judges_all_that_is_left(prepare: Callable[..., ReplayJob]) -> None:
    job = prepare()
    proof = Proof(job, source := Memory())
    object.__setattr__(job, "traces", job.traces.model_copy(update={"settle_s": 0.0, "quiet_s": 0.0}))
    bench = Bench(proof, source, Clock())
    bench.serve(bench.fire(0))
    bench.fire(1)
    asyncio.run(proof.settle())
    assert sorted(o.value for o in bench.outcomes()) == ["inconclusive", "passed"]
    assert proof.waiting == 0


def test_nothing_is_asked_when_nothing_is_awaited(bench: Bench) -> None:
    bench.look()
    assert bench.source.asked == 0
