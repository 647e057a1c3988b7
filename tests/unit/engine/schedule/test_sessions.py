"""Sessions at a server that logs: order, values that answers mint, what happens when one is missing, pauses."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from tests.servers.recording import Recording
from tests.unit.engine.shooting import Outcome, arrival, request, shoot
from tracer_bullet.model.arrival import Arrival, Slot, Take

FLAG = {"baggage": "request_type=TRACE,tb-run=r", "flag_lines": ("tracestate: tb=t", "x-tracer-bullet: tok")}


def fire(
    arrivals: list[Arrival], extra: dict[str, bytes] | None = None, *, at_once: bool = False, **settings: Any
) -> tuple[Outcome, Recording]:
    async def run() -> Outcome:
        async with recording.serving():
            return await shoot(arrivals, recording.port, size=len(arrivals) if at_once else 7, **settings)

    recording = Recording(extra=extra or {})
    return asyncio.run(run()), recording


def test_carriers_are_ours_and_ids_are_fresh() -> None:
    arrivals = [arrival(n, session=n % 4, last=n >= 36) for n in range(40)]
    outcome, recording = fire(arrivals, **FLAG)
    spans, traces = set(), set()
    for seen in recording.seen:
        (parent,), (baggage,) = seen.values("traceparent"), seen.values("baggage")
        found = re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-01", parent)
        assert found is not None
        assert baggage == f"request_type=TRACE,tb-run=r,request_id={found[2]}"
        assert seen.values("tracestate") == ["tb=t"]
        assert seen.values("x-tracer-bullet") == ["tok"]
        traces.add(found[1])
        spans.add((found[1], found[2]))
    assert (len(traces), len(spans)) == (4, 40)  # a trace a session
    rows = outcome.rows.values()
    assert spans == {(f"{r['trace_hi']:016x}{r['trace_lo']:016x}", f"{r['span_id']:016x}") for r in rows}
    assert all(len({r["trace_lo"] for r in rows if r["session"] == n}) == 1 for n in range(4))


def test_a_trace_a_request_and_no_flag() -> None:
    _, recording = fire([arrival(n, session=0) for n in range(10)], trace="request")
    assert len({seen.values("traceparent")[0][3:35] for seen in recording.seen}) == 10
    assert not any(seen.values("baggage") or seen.values("tracestate") for seen in recording.seen)


def test_order_within_a_session_is_kept_and_waiting_is_told_as_held() -> None:
    arrivals = []
    for step in range(4):
        for session in range(10):
            n = step * 10 + session
            arrivals.append(
                arrival(n, f"/session/{session}/{step}?delay={(session * 7) % 40}", "POST", b"x", session=session,
                        due_ns=step * 1_000_000, after=n - 10 if step else -1, last=step == 3)
            )  # fmt: skip
    outcome, recording = fire(arrivals, at_once=True)
    order: dict[str, list[str]] = {}
    for seen in recording.seen:
        _, _, session, step = seen.target.split("?")[0].split("/")
        order.setdefault(session, []).append(step)
    assert order == {str(n): ["0", "1", "2", "3"] for n in range(10)}
    for a in arrivals:
        row = outcome.rows[a.number]
        if a.after >= 0:
            assert row["ready_ns"] >= outcome.rows[a.after]["ended_ns"]
            assert row["sent_ns"] >= outcome.rows[a.after]["ended_ns"]
    assert {outcome.error(n) for n in outcome.rows} == {""}


def slot(where: bytes, captured: bytes, variable: str, encoding: str = "raw", part: str = "head") -> Slot:
    return Slot(part, where.index(captured), len(captured), variable, encoding)


def minting(number: int, target: str, *takes: Take, **more: Any) -> Arrival:
    return arrival(number, target, takes=takes, **more)


def test_values_that_answers_mint_stand_in_later_requests() -> None:
    arrivals = []
    for session in range(5):
        head = request(f"/orders/CAPTURED?sid=COOKIE&s={session}", "POST", b"?" * 21, headers="x-token: TOKEN\r\n")
        body = b'{"t": "DEEP", "n": 7}'
        slots = (
            slot(head, b"CAPTURED", "id", "percent"), slot(head, b"COOKIE", "sid", "percent"),
            slot(head, b"TOKEN", "tok"),
            slot(body, b"DEEP", "deep", "json", "body"), slot(body, b"7", "n", "raw", "body"),
        )  # fmt: skip
        takes = (
            Take("id", "json", "$.id"), Take("sid", "cookie", "sid"), Take("tok", "header", "x-token"),
            Take("deep", "json", "$.deep[0].t"), Take("n", "json", "$.n"),
        )  # fmt: skip
        arrivals.append(minting(session, f"/session/{session}/0?delay={session * 5}", *takes, session=session))
        arrivals.append(arrival(session + 5, head=head, body=body, slots=slots, session=session, last=True,
                                due_ns=8_000_000 + session))  # fmt: skip
    outcome, recording = fire(sorted(arrivals, key=lambda a: a.due_ns))
    assert {outcome.error(n) for n in outcome.rows} == {""}
    orders = {seen.target[-1]: seen for seen in recording.of("orders")}
    for session in range(5):
        seen = orders[str(session)]
        assert seen.target == f"/orders/id-session-{session}-0?sid=c-session-{session}-0&s={session}"
        assert seen.values("x-token") == ["tok"]
        assert seen.body == '{"t": "ü€", "n": 1.50}'.encode()
        assert seen.values("content-length") == [str(len(seen.body))]
        # Nothing but the value that it needs kept it: it waited for that.
        assert outcome.rows[session + 5]["ready_ns"] >= outcome.rows[session]["ended_ns"]
    assert not outcome.kept  # taken from, but not asked for


def test_what_needs_a_value_that_was_not_minted_is_not_sent() -> None:
    head = request("/orders/CAPTURED")
    needs = (slot(head, b"CAPTURED", "id"),)
    takes = (Take("id", "json", "$.nothing"),)
    arrivals = [
        minting(0, "/session/0/0", *takes, session=0),
        arrival(1, head=head, slots=needs, takes=(Take("next", "json", "$.id"),), session=0),
        arrival(2, head=head, slots=(slot(head, b"CAPTURED", "next"),), session=0),  # depends on what is not sent
        arrival(3, "/plain/3", session=0, after=2),  # only its order does
        minting(4, "/reset-in-body", *takes, session=1),
        arrival(5, head=head, slots=needs, session=1),
        arrival(6, head=head, slots=needs, session=2),  # nothing ever mints it
        minting(7, "/breaks", Take("id", "header", "x-evil"), session=3),
        arrival(8, head=head, slots=needs, session=3),  # a value that would end the request line
    ]
    outcome, recording = fire(
        arrivals, {"breaks": b"HTTP/1.1 200 OK\r\nX-Evil: a HTTP/1.1\r\nContent-Length: 0\r\n\r\n"}
    )
    assert [outcome.error(n) for n in range(9)] == ["", "slot", "slot", "", "reset", "slot", "slot", "", "slot"]
    assert not recording.of("orders")
    assert all(outcome.rows[n]["sent_ns"] == 0 for n in (1, 2, 5, 6, 8))
    assert len(recording.of("plain")) == 1


def test_a_later_answer_mints_the_value_again() -> None:
    head = request("/orders/CAPTURED/")
    needs = (slot(head, b"CAPTURED", "id"),)
    takes = (Take("id", "json", "$.id"),)
    arrivals = [
        minting(0, "/session/1/0", *takes, session=7),
        arrival(1, head=head, slots=needs, session=7, after=0),
        minting(2, "/session/2/0?delay=30", *takes, session=7, after=1),
        arrival(3, head=head, slots=needs, session=7, after=2, last=True),
    ]
    _, recording = fire(arrivals)
    assert [seen.target for seen in recording.of("orders")] == ["/orders/id-session-1-0/", "/orders/id-session-2-0/"]


def test_a_host_that_asks_for_a_pause_gets_one() -> None:
    busy = b"HTTP/1.1 429 Slow\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
    arrivals = [arrival(0, "/busy"), *(arrival(n, f"/plain/{n}", due_ns=(300 + n) * 1_000_000) for n in range(1, 90))]
    outcome, recording = fire(arrivals, {"busy": busy}, back_off_s=0.8)
    assert outcome.status(0) == 429
    ended = outcome.rows[0]["ended_ns"]
    for n in range(1, 90):
        assert outcome.rows[n]["sent_ns"] >= ended + 0.79e9  # 1 s was asked for, 0.8 s is the longest
        assert outcome.rows[n]["ready_ns"] >= ended + 0.79e9  # the target's wish is not the engine's lateness
    assert outcome.notes[-1].backed_off == 89
    assert len(recording.seen) == 90


def test_who_asks_for_a_pause_gets_one_if_it_is_allowed() -> None:
    asked = b"HTTP/1.1 503 No\r\nRetry-After: 100\r\nContent-Length: 0\r\n\r\n"
    silent = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
    arrivals = [arrival(0, "/a"), arrival(1, "/a", due_ns=300_000_000)]  # due when the first has long been answered
    outcome, _ = fire(arrivals, {"a": silent})
    assert outcome.notes[-1].backed_off > 0, "a second, when it does not say how long"
    outcome, _ = fire(arrivals, {"a": asked}, back_off_s=0)
    assert outcome.notes[-1].backed_off == 0


def test_the_kill_switch_is_told() -> None:
    body = b'{"type": "urn:tracer-bullet:disabled", "status": 503}'
    answer = b"HTTP/1.1 503 No\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n" % len(body)
    outcome, _ = fire([arrival(0, "/off")], {"off": answer + body})
    assert outcome.notes[-1].disabled
    outcome, _ = fire([arrival(0, "/off")], {"off": (answer + body).replace(b"disabled", b"unarmed!")})
    assert not outcome.notes[-1].disabled
