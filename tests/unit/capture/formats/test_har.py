"""HAR as browsers and proxies really write it."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest

from tests.unit.capture.formats.samples import HAR_ODD, golden
from tests.unit.capture.formats.shop import ITEMS, VISIT
from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.har import bodies, reader
from tracer_bullet.capture.formats.har.reader import Har
from tracer_bullet.capture.formats.shared import json_cut, parts
from tracer_bullet.model.exchange import Exchange, Lack
from tracer_bullet.model.losses import Losses

MISSING = {Lack.REQUEST_BODY}


def read(content: bytes, losses: Losses | None = None) -> list[Exchange]:
    return list(Har().read(io.BytesIO(content), losses if losses is not None else Losses(), ReadOptions()))


def document(*entries: object, **more: Any) -> bytes:
    return json.dumps({"log": {"version": "1.2", "entries": list(entries), **more}}).encode()


def entry(request: dict[str, Any] | None = None, response: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    asked = {
        "method": "POST",
        "url": "https://a.example/x",
        "headers": [{"name": "X-A", "value": "1"}],
        **(request or {}),
    }
    return {"startedDateTime": "2026-01-02T03:04:05.678Z", "time": 5, "request": asked,
            "response": response or {"status": 200, "content": {"size": 0}}, **more}  # fmt: skip


def one(request: dict[str, Any] | None = None, response: dict[str, Any] | None = None, **more: Any) -> Exchange:
    (found,) = read(document(entry(request, response, **more)))
    return found


def test_what_chromium_recorded() -> None:
    losses = Losses()
    (content,) = golden("har/chromium.har")
    found = {e.request.target: e for e in read(content, losses)}
    login = found["/login"]
    assert login.request.body == '{"name":"änne"}'.encode()
    assert login.answer is not None
    assert login.answer.values("set-cookie") == ["sid=1; Path=/", "theme=dark"]
    items = found["/items?q=%C3%A4pfel%20rot"]
    assert items.answer is not None
    assert (items.answer.body, items.answer.values("content-encoding")) == (ITEMS, [])
    assert items.request.values("cookie") == ["sid=1; theme=dark"]
    assert found["/form"].request.body == b"a=1+2&b=%C3%A4%26%3D"
    assert found["/bytes"].unreplayable == "write-without-body"  # Chromium writes bytes as text that they are not
    assert found["/none"].request.body == b""
    assert [e.started_ns for e in found.values()] == sorted(e.started_ns for e in found.values())
    assert losses.repaired[bodies.DECODED] == 1


def test_what_mitmproxy_exported() -> None:
    (content,) = golden("har/mitmproxy-11.0.2.har")
    sent = [(m, t, body if isinstance(body, bytes) else b"".join(body)) for m, t, _, body in VISIT]
    assert [(e.request.method, e.request.target, e.request.body) for e in read(content)] == sent


def test_oddities() -> None:
    losses = Losses()
    odd, form, connect = read(json.dumps(HAR_ODD).encode(), losses)
    assert odd.request.target == "/a%20b?q=%C3%A4"
    assert (odd.request.authority, odd.request.http_version) == ("other.example", "3")
    assert odd.started_ns == parts.iso_ns("2026-01-02T02:04:05.678Z")
    assert odd.lacks == {Lack.ANSWER, Lack.DURATION, Lack.SESSION}
    assert (form.request.body, form.session, form.unreplayable) == (None, "12", "write-without-body")
    assert form.answer is not None
    assert form.answer.values("set-cookie") == ["a=1", "b=2"]
    assert form.answer.body is None
    assert (connect.request.authority, connect.unreplayable) == ("shop.example:443", "connect")
    assert losses.lost == {parts.NO_TIME: 1, reader.NO_REQUEST: 1, parts.FOREIGN_SCHEME: 1}


@pytest.mark.parametrize(
    "version", ["", "http/2.0", "HTTP/2", "h2", "h3", "HTTP/3", "h3-29", "HTTP/1.0", "unknown", None]
)
def test_versions(version: str | None) -> None:
    wanted = {"http/2.0": "2", "HTTP/2": "2", "h2": "2", "h3": "3", "HTTP/3": "3", "h3-29": "3", "HTTP/1.0": "1.0"}
    assert one({"httpVersion": version}).request.http_version == wanted.get(version or "", "1.1")


def test_times_are_counted_from_the_wire() -> None:
    found = one(
        timings={"blocked": 10, "dns": -1, "connect": 5.5, "ssl": 3, "send": 1, "wait": 20, "receive": 2.25}, time=0
    )
    began = parts.iso_ns("2026-01-02T03:04:05.678Z") or 0
    assert found.started_ns == began + 15_500_000
    assert found.first_byte_ns == found.started_ns + 21_000_000
    assert found.ended_ns == found.first_byte_ns + 2_250_000
    assert one(timings={"send": -1, "wait": -1, "receive": -1}, time=7.5).ended_ns == began + 7_500_000
    for nothing in (None, -1, "5", float("nan"), 1e300):
        assert Lack.DURATION in one(time=nothing).lacks


@pytest.mark.parametrize(
    ("data", "headers", "body"),
    [
        ({"text": "ä", "mimeType": "text/plain"}, {}, "ä".encode()),
        ({"text": "ä", "mimeType": "text/plain; charset=latin-1"}, {}, b"\xe4"),
        ({"text": "x\0ÿ", "mimeType": ""}, {"Content-Length": "3"}, b"x\0\xff"),
        ({"text": base64.b64encode(b"\0\1").decode(), "encoding": "base64"}, {}, b"\0\1"),
        ({"params": [{"name": "a", "value": "1 2"}, {"name": "b", "value": "ä"}]}, {"Content-Length": "14"},
         b"a=1+2&b=%C3%A4"),
        ({"params": [{"name": "a", "value": "1+2"}, {"name": "b", "value": "%41"}]}, {"Content-Length": "11"},
         b"a=1+2&b=%41"),
        ({"params": [{"name": "a", "value": "1"}]}, {}, b"a=1"),
    ],
)  # fmt: skip
def test_bodies(data: dict[str, Any], headers: dict[str, str], body: bytes) -> None:
    lines = [{"name": name, "value": value} for name, value in {"X-A": "1", **headers}.items()]
    found = one({"postData": data, "headers": lines})
    assert (found.request.body, found.lacks & MISSING) == (body, set())


@pytest.mark.parametrize(
    ("request_", "lack"),
    [
        ({}, Lack.REQUEST_BODY),
        ({"bodySize": 5}, Lack.REQUEST_BODY),
        ({"postData": {"text": ""}, "bodySize": 5}, Lack.REQUEST_BODY),
        ({"postData": {"text": "a\ufffd"}}, Lack.REQUEST_BODY),
        ({"postData": {"text": "!", "encoding": "base64"}}, Lack.REQUEST_BODY),
        ({"postData": {"params": [{"name": "a", "value": "1 2"}]}}, Lack.REQUEST_BODY),
        ({"postData": {"params": [{"name": "f", "fileName": "a.png"}]}, "bodySize": 3}, Lack.REQUEST_BODY),
        ({"postData": {"mimeType": "multipart/form-data", "params": [{"name": "a", "value": "1"}]}}, Lack.REQUEST_BODY),
        ({"postData": {"text": "x"}, "headers": [{"name": "Content-Encoding", "value": "gzip"}]}, Lack.REQUEST_BODY),
        ({"postData": {"text": "x"}, "bodySize": 9}, Lack.REQUEST_BODY_CUT),
    ],
)
def test_bodies_that_are_not_what_was_sent_are_marked(request_: dict[str, Any], lack: Lack) -> None:
    found = one(request_)
    assert lack in found.lacks
    assert found.unreplayable


def test_a_write_that_had_no_body_is_whole() -> None:
    assert one({"bodySize": 0}).unreplayable == ""
    assert one({"headers": [{"name": "content-length", "value": "0"}]}).unreplayable == ""
    assert one({"method": "GET"}).request.body == b""


def test_answers() -> None:
    def answer(**content: Any) -> bytes | None:
        found = one(None, {"status": 200, "content": content}).answer
        assert found is not None
        return found.body

    assert answer(text="ä") == "ä".encode()
    assert answer(text="w6Q=", encoding="base64") == "ä".encode()
    assert answer(size=5) is None
    assert answer(text="", size=5) is None
    assert answer(size=0) == b""
    assert one(None, {"status": 0, "_error": "net::ERR_FAILED"}).lacks & {Lack.ANSWER} == set()
    assert one(None, {"status": 0}).lacks & {Lack.ANSWER} == {Lack.ANSWER}


def test_cookies_where_the_header_is_missing() -> None:
    found = one({"cookies": [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]})
    assert found.request.values("cookie") == ["a=1; b=2"]


def test_members_in_any_order_and_other_arrays() -> None:
    content = json.dumps(
        {"log": {"pages": [{"entries": [1]}], "entries": [entry()], "x": ["]", {"entries": []}]}}
    ).encode()
    assert Har().recognises(content)
    assert len(read(content)) == 1
    assert len(read(content + b"\n" + content)) == 2  # as a folder comes


def test_a_bad_entry_costs_itself_alone() -> None:
    good = json.dumps(entry()).encode()
    for bad in (
        b"{]}",
        b'{"startedDateTime": NaNa}',
        b'{"a": "\n}',
        b"[1]",
        b"null",
        b'{"x": "' + b"\xff" + b'"}',
        b"{" * 9,
    ):
        losses = Losses()
        content = b'{"log": {"entries": [' + good + b"," + bad + b"," + good + b"]}}"
        assert len(read(content, losses)) == 2, bad
        assert losses.lost.total() >= 1, bad


def test_lone_surrogates_and_raw_bytes_are_taken() -> None:
    losses = Losses()
    (found,) = read(document(entry()).replace(b'"X-A"', b'"X-A\\ud800"').replace(b'"1"', b'"\\ud800"', 1), losses)
    assert found.request.method == "POST"
    assert losses.repaired[json_cut.REPLACED] == 1


def test_an_entry_that_is_too_large_costs_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_cut, "RECORD_BYTES", 1 << 20)
    losses = Losses()
    large = entry({"postData": {"text": "[{" * (1 << 20)}})
    assert len(read(document(entry(), large, entry()), losses)) == 2
    assert losses.lost == {json_cut.TOO_LARGE: 1}


def test_a_file_that_is_cut_off_keeps_what_is_whole() -> None:
    content = document(*[entry()] * 5)
    losses = Losses()
    assert len(read(content[: len(content) * 7 // 10], losses)) == 3
    assert losses.lost == {json_cut.CUT: 1}
