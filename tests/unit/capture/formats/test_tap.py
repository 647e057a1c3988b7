"""Envoy's taps: every output format says the same, and what it leaves out is marked."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers.envoy import EnvoyServer, EnvoyUnavailableError
from tests.unit.capture.formats.make_golden import TAPS, admin_stream, tap_config
from tests.unit.capture.formats.samples import GOLDEN
from tests.unit.capture.formats.shop import VISIT, shop, visit
from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.detect import open_recording
from tracer_bullet.capture.formats.shared import json_cut
from tracer_bullet.capture.formats.tap import reader, traces, wire
from tracer_bullet.capture.formats.tap.reader import TapJson, TapProto
from tracer_bullet.model.exchange import Exchange, Lack
from tracer_bullet.model.losses import Losses

FOLDER = GOLDEN / "envoy-tap"
SENT = [(m, t, body if isinstance(body, bytes) else b"".join(body)) for m, t, _, body in VISIT]
_PSEUDO = {":method": "GET", ":path": "/", ":authority": "a.example", ":scheme": "https"}
REQUEST = [{"key": key, "value": value} for key, value in _PSEUDO.items()]
STATUS = [{"key": ":status", "value": "200"}]


def read(place: Path, losses: Losses | None = None) -> list[Exchange]:
    found, stream = open_recording(place)
    with stream:
        return list(found.read(stream, losses if losses is not None else Losses(), ReadOptions()))


def sent(exchanges: list[Exchange]) -> list[tuple[str, str, bytes | None]]:
    return [(e.request.method, e.request.target, e.request.body) for e in exchanges]


def one(request: dict[str, Any], response: dict[str, Any] | None = None) -> Exchange:
    trace = {"http_buffered_trace": {"request": request, **({"response": response} if response else {})}}
    (found,) = TapJson().read(io.BytesIO(json.dumps(trace).encode()), Losses(), ReadOptions())
    return found


@pytest.mark.parametrize("kind", TAPS)
def test_every_output_format_of_envoy(kind: str) -> None:
    losses = Losses()
    found = read(FOLDER / kind, losses)
    timed = kind.startswith("buffered")
    # Envoy writes bytes that are no text as spaces there: not believed, so missing.
    assert sent(found) == [(m, t, None if (kind, t) == ("buffered-text", "/bytes") else body) for m, t, body in SENT]
    assert all(e.answer for e in found)
    assert [Lack.START in e.lacks for e in found] == [not timed] * len(found)
    assert [e.started_ns for e in found] == sorted(e.started_ns for e in found)
    assert all(bool(e.session) == timed for e in found)
    assert not losses.lost


def test_bytes_written_as_text_are_not_believed() -> None:
    (found,) = [e for e in read(FOLDER / "buffered-text") if e.request.target == "/bytes"]
    assert found.unreplayable == "write-without-body"


def test_the_admin_interface_streams_without_delimiters() -> None:
    assert sent(read(FOLDER / "admin.json")) == SENT


def test_truncated_and_absent_bodies() -> None:
    cut = one({"headers": REQUEST, "body": {"truncated": True, "as_bytes": "YWI="}})
    assert (cut.request.body, cut.unreplayable) == (b"ab", "body-cut")
    nothing = one({"headers": REQUEST, "body": {"truncated": True}})
    assert Lack.REQUEST_BODY in nothing.lacks
    said = [*REQUEST, {"key": "content-length", "value": "5"}]
    assert Lack.REQUEST_BODY in one({"headers": said}).lacks
    assert one({"headers": REQUEST}).request.body == b""
    head = one({"headers": [{"key": ":method", "value": "HEAD"}]}, {"headers": [*STATUS, *said[4:]]})
    assert head.answer is not None
    assert head.answer.body == b""


def test_what_a_trace_lacks_is_marked() -> None:
    bare = one({"headers": [{"key": ":method", "value": "GET"}]})
    assert bare.lacks == {Lack.START, Lack.DURATION, Lack.SESSION, Lack.AUTHORITY, Lack.SCHEME, Lack.ANSWER}
    timed = one({"headers": REQUEST, "headers_received_time": "2026-01-02T03:04:05.678901234Z"}, {"headers": STATUS})
    assert timed.started_ns % 10**9 == 678_901_234
    assert timed.lacks == {Lack.DURATION, Lack.SESSION}


def test_header_bytes_come_back() -> None:
    raw = {"key": "x-a", "raw_value": "6Q=="}
    assert one({"headers": [*REQUEST, raw, {"key": "x-b", "value": "é"}]}).request.headers == (
        ("x-a", "é"),
        ("x-b", "Ã©"),
    )


def test_a_trace_id_that_comes_again_begins_anew() -> None:
    def segment(number: int, **more: Any) -> bytes:
        return json.dumps({"http_streamed_trace_segment": {"trace_id": str(number), **more}}).encode() + b"\n"

    begin = {"request_headers": {"headers": REQUEST}}
    end = {"response_headers": {"headers": STATUS}}
    losses = Losses()
    content = segment(1, **begin) + segment(2, **begin) + segment(1, **end) + segment(1, **begin) + segment(9, **end)
    found = list(TapJson().read(io.BytesIO(content), losses, ReadOptions()))
    assert [e.answer is not None for e in found] == [True, False, False]
    assert losses.lost == {traces.ORPHANS: 1}


def test_a_document_that_is_cut_off_costs_itself_alone() -> None:
    whole = (FOLDER / "admin.json").read_bytes()
    pieces = whole.split(b"\n}\n")
    for broken in (pieces[1][:200], pieces[1][:200] + b'"', pieces[1].replace(b'"key"', b"key")):
        content = b"\n}\n".join([pieces[0], broken, *pieces[2:]])
        losses = Losses()
        found = list(TapJson().read(io.BytesIO(content), losses, ReadOptions()))
        assert len(found) == len(pieces) - 2, broken[-20:]
        assert losses.lost.total() >= 1


@given(st.binary(max_size=40))
def test_any_bytes_are_a_message_or_refused(content: bytes) -> None:
    wire.seems_wrapper(content, 0)
    with contextlib.suppress(ValueError):
        wire.wrapper(content)


def test_other_messages_of_the_same_nesting_are_not_taken_for_a_trace() -> None:
    def message(content: bytes) -> bytes:
        return b"\x0a" + wire.frame(content)

    assert wire.seems_wrapper(message(message(message(message(b":path")))), 0)
    assert not wire.seems_wrapper(message(message(message(message(b"service.name")))), 0)


@given(st.binary(max_size=300))
def test_frames_come_back(content: bytes) -> None:
    size, at = wire.varint(wire.frame(content), 0)
    assert (size, wire.frame(content)[at:]) == (len(content), content)


def test_a_message_that_is_too_large_ends_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "RECORD_BYTES", 2_000)
    small = (FOLDER / "buffered-delimited" / "tap_2.pb_length_delimited").read_bytes()
    losses = Losses()
    found = list(TapProto().read(io.BytesIO(small + wire.frame(b"\0" * 3_000) + small), losses, ReadOptions()))
    assert len(found) == 1
    assert losses.lost == {reader.TOO_LARGE: 1}


def test_json_in_one_line_and_in_many() -> None:
    document = json.loads((FOLDER / "buffered-json" / "tap_1.json").read_text())
    for text in (json.dumps(document), json.dumps(document, indent=4), json.dumps([document])[1:-1]):
        losses = Losses()
        assert len(list(TapJson().read(io.BytesIO((text * 3).encode()), losses, ReadOptions()))) == 3
        assert json_cut.NO_JSON not in losses.lost


def test_the_envoy_that_is_installed(tmp_path: Path) -> None:
    with shop() as port:
        try:
            server = EnvoyServer(tap_config(tmp_path, port, 1024), tmp_path / "envoy")
        except EnvoyUnavailableError as error:
            pytest.skip(str(error))
        with server as envoy:
            for name in TAPS:
                visit(int(envoy.url(name).rpartition(":")[2]))
            (tmp_path / "admin.json").write_bytes(admin_stream(envoy))
    for name in TAPS:
        found = read(tmp_path / name)
        assert [e.request.target for e in found] == [target for _, target, _ in SENT], name
    assert sent(read(tmp_path / "admin.json")) == SENT
