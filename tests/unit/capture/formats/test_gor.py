"""GoReplay's traps, each as it was met in its files, and the real GoReplay as the judge."""

from __future__ import annotations

import io
import subprocess
import time
from pathlib import Path

import pytest

from tests.servers.goreplay import build_goreplay
from tests.unit.capture.formats.samples import golden
from tests.unit.capture.formats.shop import VISIT, shop
from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.gor import reader, records, writer
from tracer_bullet.capture.formats.gor.reader import Gor
from tracer_bullet.capture.formats.gor.records import SEPARATOR
from tracer_bullet.capture.formats.gor.writer import GorWriter
from tracer_bullet.capture.formats.shared import http1
from tracer_bullet.capture.formats.shared.waiting import Waiting
from tracer_bullet.model.exchange import Exchange, Lack, Request
from tracer_bullet.model.losses import Losses

GET = b"GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ID = b"afd28a417f00000168845106"


def record(header: bytes, message: bytes) -> bytes:
    return header + b"\n" + message + SEPARATOR


def read(content: bytes, losses: Losses | None = None) -> list[Exchange]:
    return list(Gor().read(io.BytesIO(content), losses if losses is not None else Losses(), ReadOptions()))


def test_times_are_of_first_bytes_and_the_fourth_field_is_no_response_time() -> None:
    (one,) = read(record(b"1 %s 1000 77" % ID, GET) + record(b"2 %s 5000 30" % ID, OK))
    assert (one.started_ns, one.first_byte_ns, one.ended_ns) == (1000, 5000, 5030)
    assert (one.session, one.lacks) == ("afd28a417f000001", frozenset())


@pytest.mark.parametrize(("field", "ended"), [(b"", None), (b" -1", None), (b" 0", 5000)])
def test_old_files_have_three_fields_and_captures_minus_one(field: bytes, ended: int | None) -> None:
    old = b"f45590522cd1838b4a0d5c5aab80b77929dea3b3"
    (one,) = read(record(b"1 %s 1000" % old + field, GET) + record(b"2 %s 5000" % old + field, OK))
    assert (one.ended_ns, one.session) == (ended, "")
    assert one.lacks == {Lack.SESSION} | (set() if ended else {Lack.DURATION})


def test_a_last_record_without_separator_is_kept() -> None:
    losses = Losses()
    (one,) = read(record(b"1 a 1000 0", GET) + b"2 a 2000 0\n" + OK, losses)
    assert one.answer is not None
    assert (losses.repaired[records.NOT_ENDED], losses.lost.total()) == (1, 0)


def test_a_separator_inside_a_body_does_not_split_it() -> None:
    body = b"x" + SEPARATOR + b"y" + SEPARATOR
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    losses = Losses()
    for behind in (1, 9):  # the last records are cut in another place than those before
        losses = Losses()
        first, *others = read(record(b"1 a 1 0", post) + record(b"1 b 2 0", GET) * behind, losses)
        assert first.request.body == body
        assert [one.request.target for one in others] == ["/a"] * behind
    assert losses.repaired[records.SEPARATOR_INSIDE] == 1


def test_an_id_that_comes_again_pairs_with_the_next_answer() -> None:
    no = OK.replace(b"200 OK", b"500 No")
    content = record(b"1 a 1 0", GET) + record(b"2 a 2 0", OK) + record(b"1 a 3 0", GET) + record(b"2 a 4 0", no)
    assert [e.answer and e.answer.status for e in read(content)] == [200, 500]
    lost = record(b"1 a 1 0", GET) + record(b"1 a 3 0", GET) + record(b"2 a 4 0", no)
    assert [e.answer and e.answer.status for e in read(lost)] == [None, 500]


def test_answers_before_their_requests_and_order_of_the_file() -> None:
    content = record(b"2 b 9 0", OK) + record(b"1 a 1 0", GET) + record(b"1 b 5 0", GET) + record(b"2 a 7 0", OK)
    assert [(e.started_ns, e.first_byte_ns) for e in read(content)] == [(1, 7), (5, 9)]


def test_replayed_answers_and_answers_of_nobody_are_counted() -> None:
    losses = Losses()
    (one,) = read(record(b"1 a 1 0", GET) + record(b"3 a 2 9", OK) + record(b"2 z 3 0", OK), losses)
    assert one.answer is None
    assert losses.lost == {reader.REPLAYED: 1, reader.UNASKED: 1}


def test_chunks_trailers_and_interim_answers() -> None:
    put = (
        b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n"
    )
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    more = b"HTTP/1.1 100 Continue\r\n\r\n"
    losses = Losses()
    content = record(b"1 a 1 0", put) + record(b"2 a 2 0", more) + record(b"2 a 3 0", hint + OK)
    (one,) = read(content, losses)
    assert (one.request.body, one.request.trailers) == (b"abcde", (("X-T", "1"),))
    assert one.answer is not None
    assert (one.answer.status, one.answer.body, one.first_byte_ns) == (200, b"ok", 3)
    assert losses.repaired[http1.INTERIM] == 2


@pytest.mark.parametrize(
    "body", [b"Content-Length: 9\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
             b"Transfer-Encoding: gzip, chunked\r\n\r\n9\r\nabc"]
)  # fmt: skip
def test_bodies_that_are_cut_are_marked(body: bytes) -> None:
    message = b"POST / HTTP/1.1\r\nHost: a\r\n" + body
    (one,) = read(record(b"1 a 1 0", message))
    assert (one.request.body, one.unreplayable) == (b"abc", "body-cut")
    (one,) = read(record(b"1 a 1 0", GET) + record(b"2 a 2 0", b"HTTP/1.1 200 OK\r\n" + body))
    assert Lack.ANSWER_BODY_CUT in one.lacks


def test_pieces_of_a_body_in_records_of_their_own_are_joined() -> None:
    losses = Losses()
    head = b"PUT /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"
    content = record(b"1 a 1 0", head) + record(b"1 a 2 0", b"8\r\nsecond\r\n\r\n") + record(b"1 a 3 0", b"0\r\n\r\n")
    (one,) = read(content + record(b"2 a 4 0", OK), losses)
    assert (one.request.body, one.started_ns, one.first_byte_ns) == (b"firstsecond\r\n", 1, 4)
    assert losses.repaired[reader.JOINED] == 2


def test_head_and_status_without_bodies() -> None:
    head = GET.replace(b"GET", b"HEAD")
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"
    for content in (
        record(b"1 a 1 0", head) + record(b"2 a 2 0", answer),
        record(b"2 a 2 0", answer) + record(b"1 a 1 0", head),
    ):
        (one,) = read(content)
        assert one.answer is not None
        assert (one.answer.body, one.lacks & {Lack.ANSWER_BODY_CUT}) == (b"", set())


def test_an_absolute_target_wins_over_host_and_a_missing_host_is_marked() -> None:
    (one,) = read(record(b"1 a 1 0", b"GET https://b.example:1/x?y HTTP/1.1\r\nHost: a.example\r\n\r\n"))
    assert (one.request.scheme, one.request.authority, one.request.target) == ("https", "b.example:1", "/x?y")
    (one,) = Gor().read(io.BytesIO(record(b"1 a 1 0", b"GET / HTTP/1.0\r\n\r\n")), Losses(), ReadOptions(authority="c"))
    assert (one.request.authority, Lack.AUTHORITY in one.lacks) == ("c", True)


def test_records_that_are_too_large_cost_themselves_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "RECORD_BYTES", 1 << 20)
    post = b"POST / HTTP/1.1\r\nHost: a\r\n\r\n" + b"x" * (2 << 20)
    losses = Losses()
    (one,) = read(record(b"1 a 1 0", post) + record(b"1 b 2 0", GET), losses)
    assert one.started_ns == 2
    assert losses.lost == {records.TOO_LARGE: 1}


def test_waiting_is_bounded() -> None:
    waiting: Waiting[int, int] = Waiting(most=3, most_bytes=100)
    out = [pair for n in range(10) for pair in waiting.ask(str(n), n, 1)]
    assert out == [(n, None) for n in range(7)]
    assert list(waiting.ask("large", 10, 200)) == [(7, None), (8, None), (9, None), (10, None)]
    assert list(waiting.answer("8", 1, 1)) == []
    assert list(waiting.rest()) == []
    assert waiting.unasked == 1
    assert list(waiting.ask("a", 11, 1)) == []
    assert list(waiting.ask("a", 12, 1)) == [(11, None)]  # nothing can answer the first one any more


def test_what_goreplay_recorded() -> None:
    ordered, unordered = golden("goreplay/goreplay-1.3.2.gor", "goreplay/goreplay-1.3.2-unordered.gor")
    sent = {(method, target): body if isinstance(body, bytes) else b"".join(body) for method, target, _, body in VISIT}
    assert {(e.request.method, e.request.target): e.request.body for e in read(unordered)} == sent
    losses = Losses()
    found = {(e.request.method, e.request.target): e.request.body for e in read(ordered, losses)}
    assert found == {key: body for key, body in sent.items() if key != ("PUT", "/upload")}
    assert losses.lost == {http1.NO_HTTP: 2, reader.UNASKED: 1}


@pytest.mark.slow
def test_goreplay_replays_what_we_write(tmp_path: Path) -> None:
    """Bodies with separators, chunks, trailers: each arrives as it was recorded."""
    bodies = [b"", b"plain", SEPARATOR, b"a" + SEPARATOR + b"1 00 7 0\n" + SEPARATOR, bytes(range(256))]
    exchanges = [
        Exchange(
            id=str(n), session="s", source="x", started_ns=10**18 + n * 10**7,
            request=Request(method="POST", scheme="http", authority="a.example", target=f"/{n}", body=body,
                            headers=(("Content-Length", str(len(body))),)),
        )
        for n, body in enumerate(bodies)
    ]  # fmt: skip
    with (tmp_path / "x.gor").open("wb") as to:
        assert GorWriter().write(exchanges, to, Losses()) == len(bodies)
    program = build_goreplay()
    seen: dict[str, bytes] = {}
    with shop(seen) as port:
        command = [program, "--input-file", tmp_path / "x.gor", "--output-http", f"http://127.0.0.1:{port}"]
        process = subprocess.Popen(
            [*command, "--exit-after", "20s"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            deadline = time.monotonic() + 30
            while len(seen) < len(bodies) and time.monotonic() < deadline:
                time.sleep(0.05)  # nothing tells when it is done
        finally:
            process.terminate()
            process.wait(timeout=30)
    assert seen == {f"/{n}": body for n, body in enumerate(bodies)}


def test_no_separator_is_written_but_between_records() -> None:
    body = b"a" + SEPARATOR + b"1 00 7 0\n" + SEPARATOR
    one = Exchange(
        id="1", session="", source="x", started_ns=1,
        request=Request(method="PUT", scheme="http", authority="a", target="/", body=body),
    )  # fmt: skip
    to = io.BytesIO()
    GorWriter().write([one, one], to, Losses())
    assert to.getvalue().count(SEPARATOR) == 2


def test_what_would_be_sent_wrong_is_not_written() -> None:
    cut = Exchange(
        id="1", session="", source="x", started_ns=1, lacks=frozenset({Lack.REQUEST_BODY_CUT}),
        request=Request(method="PUT", scheme="http", authority="a", target="/", body=b"abc"),
    )  # fmt: skip
    losses = Losses()
    assert GorWriter().write([cut], io.BytesIO(), losses) == 0
    assert losses.lost == {writer.NOT_SENT: 1}
