"""Arrivals as scenarios make them: due a pause after another one's end, needing it to have gone well, with cookies."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.servers.recording import Recording
from tests.unit.engine.schedule.test_sessions import fire, slot
from tests.unit.engine.shooting import Outcome, arrival, origin, request
from tracer_bullet.engine import EngineProcess, EngineSettings
from tracer_bullet.engine.schedule.expectations import statuses_of
from tracer_bullet.model.arrival import Arrival, Endpoint, Take
from tracer_bullet.model.shots import ShotBatch

MS = 1_000_000
OK = Endpoint(number=1, method="GET", name="/ok", statuses=("2xx", "404"))
NOT_FOUND = b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"
BROKEN = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
NOBODY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def step(number: int, target: str = "/plain", after: int = -1, pause_ms: int = 0, **more: Any) -> Arrival:
    pause_ns = pause_ms * MS if after >= 0 else -1
    return arrival(number, target, **{"session": 0, "after": after, "pause_ns": pause_ns, "needs": after >= 0, **more})


def errors(outcome: Outcome) -> list[str]:
    return [outcome.error(n) for n in sorted(outcome.rows)]


def due_after(outcome: Outcome, number: int, after: int) -> int:
    """How long after the end of that one this one was due."""
    return int(outcome.rows[number]["due_ns"] - outcome.rows[after]["ended_ns"])


def test_it_is_due_its_pause_after_the_end_of_what_it_waits_for() -> None:
    arrivals = [
        step(0, "/session/0/0?delay=30"),
        step(1, after=0, pause_ms=40, due_ns=10**12),  # expected far too late
        step(2, after=1, pause_ms=0, due_ns=0),  # and too early
        step(3, after=2, pause_ms=15, session=5, needs=False),  # another session's
        *(arrival(n, due_ns=n * MS) for n in range(4, 60)),  # nobody is kept by any of it
    ]
    outcome, _ = fire(arrivals)
    assert [due_after(outcome, n, n - 1) for n in (1, 2, 3)] == [40 * MS, 0, 15 * MS]
    for row in outcome.rows.values():
        assert row["ready_ns"] == row["due_ns"] <= row["sent_ns"]
    traces = {n: outcome.rows[n]["trace_lo"] for n in range(4)}
    assert traces[0] == traces[1] == traces[2] != traces[3]


def run_slowly(parts: list[list[Arrival]], recording: Recording, **settings: Any) -> Outcome:
    """Each part is handed over only when all before it has come back."""

    async def run() -> Outcome:
        outcome, back = Outcome(), threading.Semaphore(0)

        def source() -> Iterator[list[Arrival]]:
            for part in parts:
                yield part
                for _ in part:
                    assert back.acquire(timeout=60)

        async with recording.serving(), EngineProcess(EngineSettings(**settings)) as engine:
            engine.define(origin(recording.port))
            engine.define(OK)
            async for result in engine.run(source(), time.time_ns()):
                outcome.take(result)
                if isinstance(result, ShotBatch):
                    back.release(len(result))
        return outcome

    outcome = asyncio.run(run())
    outcome.whole([a for part in parts for a in part])
    return outcome


def test_the_end_and_the_outcome_of_what_is_over_already_are_known() -> None:
    recording = Recording(extra={"broken": BROKEN})
    parts = [
        [step(0)],
        [step(1, "/broken", endpoint=1, session=1)],
        [step(2, after=0, pause_ms=1, session=2)],
        [step(4, after=1, pause_ms=1, session=4)],
        [step(5, after=1, pause_ms=1, session=5, needs=False)],
        [step(6, after=4, pause_ms=1, session=6)],  # what was skipped has not gone well either
        [step(7, after=1, session=7, pause_ns=-1)],  # at a time of its own, and needs it all the same
        [step(8, after=77, pause_ms=1, session=8)],  # never heard of
        [step(9, after=77, pause_ms=1, session=9, needs=False)],
    ]
    outcome = run_slowly(parts, recording)
    assert {n: outcome.error(n) for n in outcome.rows} == {
        0: "", 1: "unexpected", 2: "", 4: "skipped", 5: "", 6: "skipped", 7: "skipped", 8: "skipped", 9: "",
    }  # fmt: skip
    assert due_after(outcome, 2, 0) == due_after(outcome, 5, 1) == MS
    assert outcome.status(1) == 500
    assert outcome.notes[-1].starved >= 2  # those came after they were due
    assert len(recording.seen) == 5


def test_what_needs_an_answer_that_went_wrong_is_not_sent() -> None:
    head = request("/orders/CAPTURED")
    arrivals = [
        step(0, "/broken", endpoint=1, session=0), step(1, after=0, pause_ms=5_000, session=0),
        step(2, after=1, pause_ms=5_000, session=0), step(3, after=2, needs=False, session=0),
        step(4, "/reset-before", method="POST", session=1), step(5, after=4, session=1),
        step(6, "/missing", endpoint=1, session=2), step(7, after=6, session=2),  # 404 is expected
        step(8, "/broken", session=3), step(9, after=8, session=3),  # nobody said what is
        step(10, session=4), step(11, after=10, head=head, slots=(slot(head, b"CAPTURED", "id"),), session=4),
        step(12, after=11, session=4),
        step(13, "/broken", endpoint=1, session=5),
        step(14, after=13, pause_ns=-1, due_ns=400 * MS, session=5), step(15, after=14, pause_ns=-1, session=5),
    ]  # fmt: skip
    extra = {"broken": BROKEN, "missing": NOT_FOUND}
    outcome, recording = fire(arrivals, extra, endpoints=[OK])
    assert errors(outcome) == [
        "unexpected", "skipped", "skipped", "",
        "reset", "skipped",
        "", "",
        "", "",
        "", "slot", "skipped",
        "unexpected", "skipped", "skipped",
    ]  # fmt: skip
    assert {outcome.rows[n]["sent_ns"] for n in (1, 2, 5, 11, 12, 14, 15)} == {0}
    assert outcome.rows[2]["ended_ns"] - outcome.rows[0]["ended_ns"] < 5_000 * MS  # at once, without the pauses
    assert (outcome.status(0), outcome.status(6)) == (500, 404)
    assert len(recording.seen) == 9


def test_an_endpoint_may_have_a_time_out_of_its_own() -> None:
    hasty = Endpoint(number=2, method="GET", name="/never", timeout_s=0.2)
    arrivals = [step(0, "/never", endpoint=2), step(1, after=0), step(2, "/session/1/1?delay=700", session=1)]
    outcome, _ = fire(arrivals, endpoints=[hasty])
    assert errors(outcome) == ["total-timeout", "skipped", ""]
    assert outcome.rows[0]["ended_ns"] - outcome.rows[0]["ready_ns"] >= 200 * MS


@pytest.mark.parametrize("status", ["", "2x", "6xx", "2xxx", "99", "200 ", "abc"])
def test_what_is_no_status_is_refused_when_it_is_told(status: str) -> None:
    with pytest.raises(ValueError, match="neither a status"):
        statuses_of(["200", status])


def test_statuses_are_single_or_classes() -> None:
    assert statuses_of(["201", "4xx"]) == {201, *range(400, 500)}
    assert statuses_of([]) == set()


def test_an_answer_that_lacks_what_its_step_takes_is_unexpected_where_answers_are_judged() -> None:
    takes = (Take("id", "json", "$.id"),)
    arrivals = [
        step(0, "/empty", endpoint=1, takes=takes), step(1, after=0),
        step(2, "/empty", takes=takes, session=1), step(3, after=2, session=1),
    ]  # fmt: skip
    outcome, _ = fire(arrivals, {"empty": NOBODY}, endpoints=[OK])
    assert errors(outcome) == ["unexpected", "skipped", "", ""]


def test_values_keep_the_type_that_they_were_taken_with() -> None:
    body = b'{"number": @, "text": @, "flag": @, "none": @, "list": @, "map": @, "status": @, "quoted": "@"}'
    names = ["number", "text", "flag", "none", "list", "map", "status", "number"]
    places = [at for at in range(len(body)) if body[at : at + 1] == b"@"]
    slots = tuple(
        slot(body[:at] + b"#" + body[at + 1 :], b"#", name, "json" if n == 7 else "value", "body")
        for n, (name, at) in enumerate(zip(names, places, strict=True))
    )
    told = '{"number": 1.50, "text": "a\\"ü", "flag": false, "none": null, "list": [1, "x"], "map": {"a": {"b": 2.0}}}'
    takes = (*(Take(name, "json", f"$.{name}") for name in names[:6]), Take("status", "status", ""))
    answer = f"HTTP/1.1 201 OK\r\nContent-Length: {len(told.encode())}\r\n\r\n{told}".encode()
    arrivals = [
        step(0, "/told", takes=takes),
        arrival(1, "/orders", "POST", body, session=0, after=0, slots=slots),
    ]
    outcome, recording = fire(arrivals, {"told": answer})
    assert errors(outcome) == ["", ""]
    (seen,) = recording.of("orders")
    wanted = '{"number": 1.50, "text": "a\\"ü", "flag": false, "none": null, "list": [1,"x"], "map": {"a":{"b":2.0}}'
    assert seen.body.decode() == wanted + ', "status": 201, "quoted": "1.50"}'
    assert seen.values("content-length") == [str(len(seen.body))]


def test_a_null_fills_no_text_and_does_not_replace_one() -> None:
    head = request("/orders/CAPTURED")
    needs = (slot(head, b"CAPTURED", "id"),)
    takes = (Take("id", "json", "$.id"),)
    null = b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"id": null}'
    arrivals = [
        arrival(0, "/null", takes=takes, session=0), arrival(1, head=head, slots=needs, session=0, after=0),
        arrival(2, "/session/1/0", takes=takes, session=1), arrival(3, "/null", takes=takes, session=1, after=2),
        arrival(4, head=head, slots=needs, session=1, after=3),
    ]  # fmt: skip
    outcome, recording = fire(arrivals, {"null": null})
    assert errors(outcome) == ["", "slot", "", "", ""]
    assert [seen.target for seen in recording.of("orders")] == ["/orders/id-session-1-0"]


def test_a_session_with_cookies_sends_what_its_answers_set() -> None:
    arrivals = []
    for session in range(3):
        n = session * 10
        with_head = request("/plain/given", headers="cookie: mine=1; sid=own\r\n")
        arrivals += [
            step(n, f"/session/{session}/0", session=session, cookies=True),
            step(n + 1, "/plain/a", after=n, session=session, cookies=True),
            step(n + 2, head=with_head, after=n + 1, session=session, cookies=True),
            step(n + 3, "/plain/b", after=n + 2, session=session),
            step(n + 4, "/deleted", after=n + 3, session=session, cookies=True),
            step(n + 5, "/plain/c", after=n + 4, session=session, cookies=True, keep=True, last=True),
        ]
    deleted = (
        b"HTTP/1.1 200 OK\r\nSet-Cookie: sid=; Max-Age=0; Path=/\r\nset-cookie: new=2\r\nContent-Length: 0\r\n\r\n"
    )
    outcome, recording = fire(sorted(arrivals), {"deleted": deleted})
    assert set(errors(outcome)) == {""}
    by_trace = {outcome.rows[s * 10]["trace_lo"]: s for s in range(3)}
    for word, target, wanted in [
        ("session", None, []), ("plain", "/plain/a", ["sid=c-session-@-0"]),
        ("plain", "/plain/given", ["mine=1; sid=own"]),
        ("plain", "/plain/b", []), ("deleted", None, ["sid=c-session-@-0"]), ("plain", "/plain/c", ["new=2"]),
    ]:  # fmt: skip
        found = [seen for seen in recording.of(word) if target in (None, seen.target)]
        assert len(found) == 3
        for seen in found:
            session = by_trace[int(seen.values("traceparent")[0][19:35], 16)]
            assert seen.values("cookie") == [line.replace("@", str(session)) for line in wanted]
    assert set(outcome.kept) == {5, 15, 25}


def test_what_is_stale_when_its_turn_comes_is_not_sent() -> None:
    arrivals = [
        arrival(0, due_ns=-20_000 * MS, session=0), step(1, after=0, session=0),
        step(2, after=0, pause_ms=0, needs=False, session=0),
        arrival(3, due_ns=-100 * MS, session=1),
    ]  # fmt: skip
    outcome, recording = fire(arrivals, stale_s=10.0)
    assert errors(outcome) == ["stale", "skipped", "", ""]
    assert len(recording.seen) == 2
    outcome, _ = fire(arrivals)
    assert set(errors(outcome)) == {""}


def test_after_a_long_pause_for_the_host_what_is_stale_is_not_sent() -> None:
    busy = b"HTTP/1.1 503 Slow\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
    arrivals = [
        arrival(0, "/busy", session=0), step(1, after=0, needs=False, session=0),
        *(arrival(n, due_ns=(200 + n) * MS) for n in range(2, 40)),
        *(arrival(n, due_ns=(1200 + n) * MS) for n in range(40, 60)),
    ]  # fmt: skip
    outcome, _ = fire(arrivals, {"busy": busy}, stale_s=0.5)
    assert {outcome.error(n) for n in range(2, 40)} == {"stale"}
    assert {outcome.error(n) for n in (0, 1)} == {""}, "who waited for an answer goes on"


@pytest.mark.parametrize("wait", ["pause", "after"])
def test_a_stop_ends_what_waits(wait: str) -> None:
    arrivals = [
        step(0), step(1, after=0, pause_ms=3_600_000), step(2, after=1), step(3, "/never", session=1),
        step(4, after=3, pause_ms=1 if wait == "pause" else -1, session=1),
    ]  # fmt: skip

    async def run() -> Outcome:
        outcome, recording = Outcome(), Recording()
        async with recording.serving(), EngineProcess(EngineSettings()) as engine:
            engine.define(origin(recording.port))
            async for result in engine.run([arrivals], time.time_ns()):
                outcome.take(result)
                if 0 in outcome.rows and outcome.notes:
                    engine.stop()
        return outcome

    outcome = asyncio.run(run())
    outcome.whole(arrivals)
    assert errors(outcome) == ["", "stopped", "stopped", "stopped", "stopped"]


def test_an_engine_that_was_frozen_does_not_burst() -> None:
    arrivals = [arrival(n, due_ns=n * 5 * MS, last=True) for n in range(400)]

    async def run() -> Outcome:
        outcome, recording = Outcome(), Recording()
        async with recording.serving(), EngineProcess(EngineSettings(stale_s=0.3)) as engine:
            engine.define(origin(recording.port))
            frozen = False
            async for result in engine.run([arrivals], time.time_ns() + 100 * MS):
                outcome.take(result)
                if outcome.rows and not frozen:
                    frozen = True
                    os.kill(engine.pid, signal.SIGSTOP)
                    await asyncio.sleep(1.0)
                    os.kill(engine.pid, signal.SIGCONT)
        return outcome

    outcome = asyncio.run(run())
    outcome.whole(arrivals)
    stale = [n for n in outcome.rows if outcome.error(n) == "stale"]
    assert len(stale) >= 100, "0.7 s of 5 ms each were too late, and so not sent"
    assert stale == sorted(stale)
    assert {outcome.rows[n]["sent_ns"] for n in stale} == {0}
