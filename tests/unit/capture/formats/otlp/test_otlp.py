"""Server spans where traffic entered become exchanges, marked as shape and timing; in JSON and protobuf the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.capture.formats.otlp.exports import CLIENT, SERVER, START, S, as_json, export, framed, read
from tracer_bullet.capture.formats.detect import open_recording
from tracer_bullet.capture.formats.otlp import entries, exchange, spans
from tracer_bullet.capture.formats.otlp.entries import Entries
from tracer_bullet.capture.formats.registry import FORMATS
from tracer_bullet.model.exchange import Exchange, Lack
from tracer_bullet.model.losses import Losses

JSON, PROTOBUF = FORMATS["otlp-json"], FORMATS["otlp-protobuf"]
COLLECTOR = Path(__file__).parents[3] / "traces" / "golden" / "collector"
NEW = {
    "http.request.method": "POST", "url.path": "/orders", "url.query": "a=1&b=%C3%A4", "url.scheme": "https",
    "server.address": "shop.example", "server.port": 8443, "http.response.status_code": 201,
    "user_agent.original": "curl/8", "client.address": "203.0.113.7", "network.protocol.version": "2",
    "http.request.header.x-request-id": ["6f1c"], "http.response.header.content_type": ["text/plain"],
}  # fmt: skip
OLD = {
    "http.method": "POST", "http.target": "/orders?a=1&b=%C3%A4", "http.scheme": "https",
    "http.host": "shop.example:8443",
    "http.status_code": 201, "http.user_agent": "curl/8", "http.client_ip": "203.0.113.7", "http.flavor": "2.0",
    "http.request.header.x_request_id": ["6f1c"], "http.response.header.content_type": ["text/plain"],
}  # fmt: skip


def _both(*given: S, **options: str) -> tuple[list[Exchange], Losses]:
    """What JSON and protobuf give, which is the same."""
    request = export(*given)
    found, losses = read(JSON, orjson.dumps(as_json(request)), **options)
    for content in (request.SerializeToString(), framed(request)):
        again, losses_again = read(PROTOBUF, content, **options)
        assert again == found
        assert (losses_again.lost, losses_again.repaired) == (losses.lost, losses.repaired)
    return found, losses


def _one(attributes: dict[str, Any], **options: str) -> Exchange:
    found, losses = _both(S(1, attributes=attributes), **options)
    assert len(found) == 1, losses
    return found[0]


@pytest.mark.parametrize("attributes", [NEW, OLD], ids=["new names", "old names"])
def test_http(attributes: dict[str, Any]) -> None:
    found = _one(attributes)
    request = found.request
    assert (request.method, request.target, request.http_version) == ("POST", "/orders?a=1&b=%C3%A4", "2")
    assert (request.scheme, request.authority) == ("https", "shop.example:8443")
    assert dict(request.headers) == {"x-request-id": "6f1c", "user-agent": "curl/8"}
    assert found.answer is not None
    assert found.answer.status == 201
    assert found.answer.headers == (("content-type", "text/plain"),)
    assert (found.started_ns, found.ended_ns) == (START, START + 1000)
    assert found.session == "client:203.0.113.7"
    assert found.lacks == {Lack.SESSION, Lack.REQUEST_HEADERS, Lack.REQUEST_BODY, Lack.ANSWER_HEADERS, Lack.ANSWER_BODY}
    assert found.unreplayable == "write-without-body"


@pytest.mark.parametrize(
    ("attributes", "target", "authority", "scheme"),
    [
        ({"http.url": "https://shop.example/a?b"}, "/a?b", "shop.example", "https"),
        ({"url.full": "http://shop.example:81/a"}, "/a", "shop.example:81", "http"),
        ({"http.target": "/a", "net.host.name": "shop.example", "net.host.port": 443, "http.scheme": "https"},
         "/a", "shop.example", "https"),
        ({"url.path": "/a b", "server.address": "2001:db8::7", "server.port": 80}, "/a%20b", "[2001:db8::7]", "http"),
        ({"url.path": "/", "url.query": "?x"}, "/?x", "", "http"),
    ],
)  # fmt: skip
def test_where_a_request_went(attributes: dict[str, Any], target: str, authority: str, scheme: str) -> None:
    found = _one({"http.request.method": "GET", **attributes})
    assert (found.request.target, found.request.authority, found.request.scheme) == (target, authority, scheme)
    assert (Lack.AUTHORITY in found.lacks) is (authority == "")
    assert found.unreplayable == ""


def test_what_the_user_says_stands_in() -> None:
    found = _one({"http.method": "GET", "http.target": "/a"}, scheme="https", authority="shop.example")
    assert (found.request.scheme, found.request.authority) == ("https", "shop.example")
    assert {Lack.SCHEME, Lack.AUTHORITY, Lack.ANSWER} <= found.lacks
    assert found.answer is None


@pytest.mark.parametrize(
    ("attributes", "target", "status"),
    [
        ({"rpc.system": "grpc", "rpc.service": "shop.Cart", "rpc.method": "Add", "rpc.grpc.status_code": 0},
         "/shop.Cart/Add", "0"),
        ({"rpc.system.name": "grpc", "rpc.method": "shop.Cart/Add", "rpc.response.status_code": "NOT_FOUND"},
         "/shop.Cart/Add", "5"),
    ],
)  # fmt: skip
def test_grpc_is_never_replayed(attributes: dict[str, Any], target: str, status: str) -> None:
    found = _one(attributes)
    assert (found.request.method, found.request.target, found.request.http_version) == ("POST", target, "2")
    assert found.answer is not None
    assert found.answer.trailers == (("grpc-status", status),)
    assert found.unreplayable == "write-without-body"


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"http.request.method": "GET", "http.route": "/items/{id}"}, exchange.NO_PATH),
        ({"rpc.system": "grpc", "rpc.service": "shop.Cart"}, exchange.NO_PATH),
        ({"messaging.system": "kafka"}, exchange.NO_REQUEST),
        ({**NEW, "tb.request_type": "TRACE"}, exchange.BULLET),
    ],
)  # fmt: skip
def test_what_is_passed_over_is_counted(attributes: dict[str, Any], reason: str) -> None:
    found, losses = _both(S(1, attributes=attributes))
    assert not found
    assert losses.lost == {reason: 1}


@pytest.mark.parametrize("parent_first", [True, False])
def test_only_where_traffic_entered(parent_first: bool) -> None:
    entry = S(1, attributes={**NEW, "url.path": "/entry"})
    call = S(2, parent=1, kind=CLIENT)
    inner = S(3, parent=2, attributes={**NEW, "url.path": "/inner"})
    from_outside = S(4, parent=99, trace=2, attributes={**NEW, "url.path": "/outside"})
    same_id_elsewhere = S(5, parent=2, trace=3, attributes={**NEW, "url.path": "/other"})
    given_spans = (entry, call, inner) if parent_first else (inner, call, entry)
    found, losses = _both(*given_spans, from_outside, same_id_elsewhere)
    assert [e.request.target.partition("?")[0] for e in found] == ["/entry", "/outside", "/other"]
    assert losses.lost == {entries.INNER: 1}


def test_spans_that_were_exported_twice() -> None:
    found, losses = _both(S(1, attributes=NEW), S(1, attributes=NEW))
    assert len(found) == 1
    assert losses.lost == {entries.TWICE: 1}


def _span(number: int, parent: int) -> spans.Span:
    return spans.Span(
        trace_id="1", span_id=str(number), parent_id=str(parent) if parent else "", is_server=True, start_ns=START,
        end_ns=START, attributes={},
    )  # fmt: skip


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 30)), unique_by=lambda pair: pair[0], max_size=30))
def test_entries_are_those_without_a_parent_here_in_any_order(pairs: list[tuple[int, int]]) -> None:
    losses = Losses()
    tried = Entries(losses)
    template = _one({"http.method": "GET", "http.target": "/a"})
    found = []
    for number, parent in pairs:
        span = _span(number, parent)
        assert tried.note(span)
        found += tried.offer(span, _numbered(template, number))
    found += tried.rest()
    ids = {number for number, _ in pairs}
    assert [e.started_ns for e in found] == [number for number, parent in pairs if parent not in ids]
    assert len(found) + losses.lost[entries.INNER] == len(pairs)


def _numbered(template: Exchange, number: int) -> Exchange:
    return replace(template, started_ns=number)


def test_what_waits_is_bounded() -> None:
    losses = Losses()
    tried = Entries(losses, waiting=10, seen=20)
    template = _one({"http.method": "GET", "http.target": "/a"})
    given_out = 0
    for number in range(1, 1000):
        span = _span(number, 5000 + number)
        tried.note(span)
        given_out += len(list(tried.offer(span, template)))
        assert number - given_out <= 10
    assert losses.repaired == {entries.UNSURE: given_out}
    assert given_out + len(list(tried.rest())) == 999


@pytest.mark.parametrize(("name", "key"), [("collector.jsonl", "otlp-json"), ("collector.binpb", "otlp-protobuf")])
def test_files_of_the_collector(name: str, key: str) -> None:
    """Their server spans have no method; other signals stand between."""
    found, stream = open_recording(COLLECTOR / name)
    stream.close()
    assert found is FORMATS[key]
    exchanges, losses = read(found, (COLLECTOR / name).read_bytes())
    assert not exchanges
    assert losses.lost == {exchange.NO_REQUEST: 2}


def test_lines_of_the_collector_with_other_signals_between() -> None:
    lines = [as_json(export(S(number, attributes=NEW))) for number in (1, 2, 3)]
    content = b"\n".join(
        [orjson.dumps(lines[0]), b'{"resourceLogs":[]}', orjson.dumps(lines[1]), orjson.dumps(lines[2])]
    )
    found, losses = read(JSON, content)
    assert len(found) == 3
    assert not losses.lost
    pretty, _ = read(JSON, json.dumps(lines[0], indent=2).encode())
    assert len(pretty) == 1


@given(st.binary(max_size=200))
def test_any_bytes(content: bytes) -> None:
    for format in (JSON, PROTOBUF):  # noqa: A001
        format.recognises(content)
        for head in (b"", b"\n", b'{"resourceSpans":[', b"\x00\x00\x00\x20\n"):
            read(format, head + content)


_WHOLE = export(S(1, attributes=NEW), S(2, attributes=OLD), S(3, parent=1, kind=SERVER, attributes=NEW))


@given(st.integers(0, 2000), st.binary(max_size=8), st.integers(0, 8), st.sampled_from(["json", "bare", "framed"]))
def test_damaged_exports(at: int, put: bytes, cut: int, encoding: str) -> None:
    contents = {
        "json": orjson.dumps(as_json(_WHOLE)), "bare": _WHOLE.SerializeToString(), "framed": framed(_WHOLE, _WHOLE),
    }  # fmt: skip
    content = bytearray(contents[encoding])
    content[at : at + cut] = put
    found, _ = read(JSON if encoding == "json" else PROTOBUF, bytes(content))
    assert len(found) <= 4


@pytest.mark.parametrize("framing", [True, False])
def test_torn_exports_give_what_is_whole(framing: bool) -> None:
    first, second = export(S(1, attributes=NEW)), export(S(2, attributes=NEW))
    bodies = framed(first, second) if framing else first.SerializeToString() + second.SerializeToString()
    for cut in range(1, len(second.SerializeToString())):
        found, losses = read(PROTOBUF, bodies[:-cut])
        assert len(found) == 1
        assert sum(losses.lost.values()) == 1
