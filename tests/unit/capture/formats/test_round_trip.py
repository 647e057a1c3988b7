"""What is written is read again: every format with a writer."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings

from tests.unit.capture.formats.samples import SAMPLES
from tests.unit.capture.formats.strategies import recordings
from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.detect import open_recording
from tracer_bullet.capture.formats.registry import FORMATS, WRITERS
from tracer_bullet.model.exchange import Answer, Exchange, Lack, Request
from tracer_bullet.model.losses import Losses

# What a format has no place for, as the reader gives it.
SOURCES = {"har": "har", "goreplay": "goreplay", "mitmproxy": "mitmproxy"}


def write(key: str, exchanges: Iterable[Exchange], losses: Losses | None = None) -> bytes:
    stream = io.BytesIO()
    WRITERS[key].write(exchanges, stream, losses or Losses())
    return stream.getvalue()


def read(key: str, content: bytes, losses: Losses) -> list[Exchange]:
    if not content:
        return []
    found, stream = open_recording(io.BytesIO(content))
    with stream:
        assert found is FORMATS[key]
        return list(found.read(stream, losses, ReadOptions()))


def expected(key: str, exchange: Exchange) -> Exchange:
    exchange = replace(exchange, source=SOURCES[key])
    return replace(exchange, id="") if key == "goreplay" else exchange


def comparable(key: str, exchange: Exchange) -> Exchange:
    """But for how a body with GoReplay's separator is framed, which is the writer's to choose."""
    if key != "goreplay":
        return exchange
    framing = ("transfer-encoding", "content-length")

    def plain(message: Request | Answer) -> Request | Answer:
        return replace(message, headers=tuple(h for h in message.headers if h[0].lower() not in framing))

    answer = plain(exchange.answer) if exchange.answer else None
    return replace(exchange, request=plain(exchange.request), answer=answer)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", WRITERS)
@given(exchanges=recordings)
@settings(max_examples=80)
def test_what_is_written_is_read_again(key: str, exchanges: list[Exchange]) -> None:
    losses = Losses()
    found = read(key, write(key, exchanges), losses)
    assert [comparable(key, one) for one in found] == [comparable(key, expected(key, one)) for one in exchanges]
    assert not losses.lost


@pytest.mark.parametrize("key", WRITERS)
@pytest.mark.parametrize("source", ["har", "goreplay", "mitmproxy", "envoy-tap", "speedscale"])
def test_recordings_move_from_format_to_format(key: str, source: str) -> None:
    for sample in SAMPLES[source]:
        given_ = list(FORMATS[source].read(io.BytesIO(sample), Losses(), ReadOptions()))
        sent = [
            one
            for one in given_
            if key != "goreplay" or (one.request.body is not None and Lack.REQUEST_BODY_CUT not in one.lacks)
        ]
        found = read(key, write(key, given_), Losses())
        assert len(found) == len(sent)
        for before, after in zip(sent, found, strict=True):
            assert after.started_ns == before.started_ns
            assert after.request.body == before.request.body
            assert (after.request.method, after.request.target) == (before.request.method, before.request.target)
            assert after.request.authority == before.request.authority
            assert (after.answer is None) == (before.answer is None)


def test_a_body_without_its_coding_has_headers_that_fit() -> None:
    body = b'{"a": 1}' * 9
    coded = gzip.compress(body)
    said = (("Content-Encoding", "gzip"), ("Content-Length", str(len(coded))), ("X-A", "1"))
    given_ = _exchange(answer=Answer(status=200, headers=said, body=coded))
    losses = Losses()
    (found,) = read("har", write("har", [given_]), losses)
    assert found.answer == Answer(status=200, headers=(("Content-Length", str(len(body))), ("X-A", "1")), body=body)
    assert losses.repaired.total() == 1


def test_bodies_in_another_charset_keep_their_bytes() -> None:
    said = (("Host", "a.example"), ("Content-Type", "text/plain; charset=latin-1"))
    given_ = _exchange(body="ä".encode(), headers=said, answer=Answer(status=200, headers=said[1:], body="ä".encode()))
    (found,) = read("har", write("har", [given_]), Losses())
    assert (found.request.body, found.answer) == (given_.request.body, given_.answer)


def test_a_coding_that_is_not_known_stays() -> None:
    given_ = _exchange(answer=Answer(status=200, headers=(("Content-Encoding", "br"),), body=b"\x0b\x01\x80hi\x03"))
    losses = Losses()
    (found,) = read("har", write("har", [given_], losses), Losses())
    assert found.answer == given_.answer
    assert losses.repaired.total() == 1


@pytest.mark.parametrize("key", WRITERS)
@pytest.mark.parametrize("lack", [Lack.REQUEST_BODY, Lack.REQUEST_BODY_CUT])
def test_a_body_that_is_missing_never_becomes_an_empty_one(key: str, lack: Lack) -> None:
    body = None if lack is Lack.REQUEST_BODY else b"abc"
    given_ = _exchange(body=body, lacks={lack}, headers=(("Host", "a.example"), ("Content-Length", "9")))
    losses = Losses()
    found = read(key, write(key, [given_], losses), Losses())
    assert all(one.unreplayable for one in found)
    assert losses.lost or losses.repaired or found[0].lacks >= {lack}


@pytest.mark.parametrize("key", ["har", "mitmproxy"])
def test_no_answer_is_told_from_an_unknown_one(key: str) -> None:
    none, unknown = _exchange(), _exchange(lacks={Lack.ANSWER})
    found = read(key, write(key, [replace(none, id="1"), replace(unknown, id="2")]), Losses())
    assert [Lack.ANSWER in one.lacks for one in found] == [False, True]


@pytest.mark.parametrize("version", ["2", "3"])
def test_newer_versions_are_kept_where_there_is_a_place_for_them(version: str) -> None:
    given_ = replace(_exchange(), request=replace(_exchange().request, http_version=version, headers=()))
    for key in ("har", "mitmproxy"):
        (found,) = read(key, write(key, [given_]), Losses())
        assert (found.request.http_version, found.request.authority) == (version, "a.example")
    losses = Losses()
    (found,) = read("goreplay", write("goreplay", [given_], losses), Losses())
    assert (found.request.http_version, found.request.authority) == ("1.1", "a.example")
    assert losses.repaired.total() == 1


def test_a_document_without_entries() -> None:
    assert read("har", write("har", []), Losses()) == []


def _exchange(
    *,
    body: bytes | None = b"",
    answer: Answer | None = None,
    lacks: set[Lack] = frozenset(),  # type: ignore[assignment]
    headers: tuple[tuple[str, str], ...] = (("Host", "a.example"),),
) -> Exchange:
    request = Request(method="POST", scheme="http", authority="a.example", target="/", headers=headers, body=body)
    return Exchange(
        id="1", session="s", source="", started_ns=10**18, request=request, answer=answer, lacks=frozenset(lacks)
    )
