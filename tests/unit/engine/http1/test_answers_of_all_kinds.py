"""Against a server that logs what arrives: every kind of answer is read as what it is, and nothing is sent twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.servers.recording import Recording, Seen
from tests.unit.engine.shooting import Outcome, arrival, shoot
from tracer_bullet.model.arrival import Arrival


def fire(arrivals: list[Arrival], recording: Recording | None = None, **settings: Any) -> tuple[Outcome, Recording]:
    async def run() -> Outcome:
        async with recording.serving():
            return await shoot(arrivals, recording.port, **settings)

    recording = recording or Recording()
    return asyncio.run(run()), recording


def each_once(recording: Recording, arrivals: list[Arrival]) -> None:
    """What arrived is what was to be sent: each once, heads with our lines appended, bodies byte by byte."""
    sent = Counter((a.head.split(b"\r\n")[0], a.body) for a in arrivals)
    assert Counter((s.head.split(b"\r\n")[0], s.body) for s in recording.seen) == sent


def one_after_the_other(number: int) -> dict[str, int]:
    """So that the connection of the one before is idle."""
    return {"session": 0, "after": number - 1, "due_ns": 0}


PLAIN: dict[str, tuple[int, bytes]] = {
    "/plain": (200, b"hello"),
    "/close-said": (200, b"hello"),
    "/no-length": (200, b"until the end"),
    "/http10": (200, b"old"),
    "/chunked": (200, b"hello world"),
    "/interim": (200, b"hello"),
    "/bodiless/204": (204, b""),
    "/bodiless/304": (304, b""),
    "/one-by-one": (200, b"hello"),
    "/huge-head/100000": (200, b"hello"),
    "/long/600000": (200, b"0123456789" * 60_000),
    "/redirect": (302, b""),
}


@pytest.mark.parametrize("keep", [False, True])
def test_every_kind_of_answer_is_read(keep: bool) -> None:
    recording = Recording(extra={"redirect": b"HTTP/1.1 302 F\r\nLocation: /plain\r\nContent-Length: 0\r\n\r\n"})
    targets = list(PLAIN) * 3
    arrivals = [
        arrival(n, target, method, method.encode() * n if method == "POST" else b"", keep=keep)
        for n, (target, method) in enumerate((t, m) for t in targets for m in ("GET", "POST"))
    ]
    outcome, _ = fire(arrivals, recording, connections=3, spare=0)
    each_once(recording, arrivals)
    for a in arrivals:
        target = a.head.split(b" ")[1].decode()
        status, body = PLAIN[target]
        assert (target, outcome.error(a.number), outcome.status(a.number)) == (target, "", status)
        if keep:
            assert (outcome.kept[a.number].status, outcome.kept[a.number].body) == (status, body)
            assert a.number not in outcome.cut
        row = outcome.rows[a.number]
        assert row["answer_bytes"] >= len(body)
        assert row["first_ns"]
    assert len(outcome.kept) == (len(arrivals) if keep else 0)
    assert max(seen.connection for seen in recording.seen) >= 3  # those that closed were replaced
    assert outcome.notes[-1].sent == len(arrivals)
    assert outcome.notes[-1].resent == 0


@pytest.mark.parametrize("word", ["answer-then-close", "half-close"])
def test_a_connection_that_closes_without_a_word_costs_no_read(word: str) -> None:
    # One connection with a queue before it: the next request may be written to a connection that is just closing.
    arrivals = [arrival(n, f"/{word}/{n}", due_ns=0) for n in range(20)]
    outcome, recording = fire(arrivals, connections=1, spare=0)
    each_once(recording, arrivals)
    assert {(outcome.error(n), outcome.status(n)) for n in range(20)} == {("", 200)}


def test_kept_answers_have_their_headers_in_order_and_their_trailers() -> None:
    outcome, _ = fire([arrival(0, "/chunked", keep=True), arrival(1, "/gzip", keep=True)])
    assert outcome.kept[0].headers == (("Transfer-Encoding", "chunked"), ("Trailer", "x-sum"))
    assert outcome.kept[0].trailers == (("x-sum", "11"),)
    assert outcome.kept[1].values("content-encoding") == ["gzip"]
    assert (outcome.kept[1].body or b"")[:2] == b"\x1f\x8b"  # as it was on the wire


def test_head_has_no_body_whatever_its_length_says() -> None:
    arrivals = [
        arrival(n, t, "HEAD", keep=n % 2 == 0) for n, t in enumerate(["/head", "/interim", "/bodiless/304"] * 4)
    ]
    outcome, recording = fire(arrivals, connections=1, spare=0)
    each_once(recording, arrivals)
    assert {outcome.error(n) for n in outcome.rows} == {""}
    assert outcome.kept[0].body == b""
    assert outcome.kept[0].values("x-is") == ["head"]
    assert recording.connections == 1  # the connection stays in use


def test_connections_are_used_again_last_first() -> None:
    arrivals = [arrival(n, "/plain", "POST", bytes([n]) * n, **one_after_the_other(n)) for n in range(12)]
    outcome, recording = fire(arrivals, spare=0)
    assert len({seen.connection for seen in recording.seen}) == 1
    assert [seen.nth for seen in recording.seen] == list(range(12))
    assert outcome.notes[-1].connections == 1


def test_a_full_pool_delays_requests_and_says_so() -> None:
    recording = Recording()

    async def run() -> Outcome:
        async with recording.serving():
            shooting = asyncio.create_task(shoot(arrivals, recording.port, connections=2, spare=5))
            await recording.until(2, "gated")
            await asyncio.sleep(0.1)
            assert len(recording.seen) == 2
            recording.gate.set()
            return await shooting

    arrivals = [arrival(n, "/gated") for n in range(6)]
    outcome = asyncio.run(run())
    assert recording.connections == 2
    late = [row["sent_ns"] - row["ready_ns"] for row in outcome.rows.values()]
    assert sum(ns > 50_000_000 for ns in late) == 4  # the wait is told as lateness, and counts in the latency


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("word", ["reset-before", "reset-in-head", "reset-in-body", "end-in-body", "end-in-chunk"])
def test_a_connection_that_breaks_is_an_error_and_the_others_go_on(word: str, method: str) -> None:
    body = b"x" * 10 if method == "POST" else b""
    arrivals = [arrival(n, f"/{word}" if n % 2 else "/plain", method, body, keep=n % 3 == 0) for n in range(12)]
    # A connection that is new for each request: nothing was idle, so nothing may be sent again.
    closes = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    outcome, recording = fire(arrivals, Recording(extra={"plain": closes}), spare=0)
    each_once(recording, arrivals)
    for a in arrivals:
        assert outcome.error(a.number) == ("reset" if a.number % 2 else "")
        expected = 200 if not a.number % 2 or "body" in word or "chunk" in word else 0
        assert outcome.status(a.number) == expected
    assert outcome.notes[-1].resent == 0
    assert not any(n % 2 for n in outcome.kept)


def test_a_write_on_a_connection_that_was_idle_is_never_sent_again() -> None:
    arrivals = [
        arrival(n, "/plain" if n % 2 == 0 else "/end-before", "POST", b"x", **one_after_the_other(n)) for n in range(8)
    ]
    outcome, recording = fire(arrivals, spare=0)
    each_once(recording, arrivals)
    assert [outcome.error(n) for n in range(8)] == ["", "reset"] * 4
    assert outcome.notes[-1].resent == 0
    assert all(seen.nth == 1 for seen in recording.of("end-before"))


def test_a_read_on_a_connection_that_was_idle_is_sent_once_more() -> None:
    arrivals = [arrival(n, "/plain" if n % 2 == 0 else "/end-before", **one_after_the_other(n)) for n in range(8)]
    outcome, recording = fire(arrivals, spare=0)
    assert outcome.notes[-1].resent == 4
    seen: list[Seen] = recording.of("end-before")
    assert [s.nth for s in seen] == [1, 0] * 4  # the second time on a connection of its own
    assert [outcome.error(n) for n in range(8)] == ["", "reset"] * 4


def test_an_early_answer_is_taken_and_the_connection_closed() -> None:
    body = bytes(range(256)) * 40_000  # more than systems buffer, and the server reads none of it
    arrivals = [arrival(n, "/early", "POST", body, **one_after_the_other(n)) for n in range(3)]
    outcome, recording = fire(arrivals, spare=0)
    for n in range(3):
        assert (outcome.error(n), outcome.status(n)) == ("", 413)
    assert len(recording.seen) == 3
    assert recording.connections == 3  # what is left of a request must not be taken for the next one


def test_an_early_answer_before_a_reset_is_taken_when_it_came() -> None:
    arrivals = [arrival(0, "/early-close", "POST", b"z" * 8_000_000)]
    outcome, recording = fire(arrivals)
    assert len(recording.seen) == 1
    # Whether the answer or the reset is there first is the network's doing; it is the one or the other.
    assert (outcome.status(0), outcome.error(0)) in [(413, ""), (0, "reset")]


def test_what_follows_an_answer_unasked_is_not_the_next_ones() -> None:
    double = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
    recording = Recording(extra={"double": double, "junk": double.replace(b"HTTP/1.1 500 No", b"\x00junk")})
    arrivals = [arrival(n, ["/double", "/junk", "/plain"][n % 3], "POST") for n in range(12)]
    outcome, _ = fire(arrivals, recording, connections=1, spare=0)
    each_once(recording, arrivals)
    assert {(outcome.error(n), outcome.status(n)) for n in range(12)} == {("", 200)}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "protocol"),
        (b"HTTP/1.1 abc\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "protocol"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nblah", ""),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_is_no_answer_is_an_error(answer: bytes, error: str, method: str) -> None:
    if method == "HEAD" and b"chunked" in answer:
        error = ""  # its header section is all of it
    arrivals = [arrival(n, "/what", method) for n in range(3)]
    outcome, recording = fire(arrivals, Recording(extra={"what": answer}), spare=0)
    each_once(recording, arrivals)
    assert {outcome.error(n) for n in range(3)} == {error}


def test_too_long_a_head_is_an_error() -> None:
    outcome, recording = fire(
        [arrival(0, "/huge-head/400000"), arrival(1, "/huge-head/400000", "HEAD")], head_bytes=65_536
    )
    assert [outcome.error(0), outcome.error(1)] == ["too-large", "too-large"]
    assert len(recording.seen) == 2


def test_a_long_answer_is_cut_where_it_is_kept_and_counted_whole() -> None:
    outcome, _ = fire([arrival(0, "/long/3000000", keep=True), arrival(1, "/long/3000000")], keep_bytes=1000)
    assert outcome.kept[0].body == b"0123456789" * 100
    assert outcome.cut == {0}
    assert outcome.error(0) == ""
    for n in range(2):
        assert outcome.rows[n]["answer_bytes"] == 3_000_000 + len("HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n")


def test_bodies_of_any_size_arrive_byte_by_byte() -> None:
    sizes = [0, 1, 1000, 65_535, 65_536, 65_537, 3_000_000]
    arrivals = [arrival(n, f"/plain/{n}", "PUT", bytes((n + i) % 256 for i in range(251)) * (size // 251 + 1))
                for n, size in enumerate(sizes)]  # fmt: skip
    outcome, recording = fire(arrivals)
    each_once(recording, arrivals)
    for seen, a in zip(sorted(recording.seen, key=lambda s: s.target), arrivals, strict=True):
        assert seen.head.startswith(a.head)
        assert outcome.rows[a.number]["request_bytes"] == len(seen.head) + len(a.body)
