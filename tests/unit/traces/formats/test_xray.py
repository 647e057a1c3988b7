"""AWS X-Ray: what the real SDK sends and moto answers, documents by X-Ray's documentation, and anything at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.traces.formats.reading import counts, golden, json_values, mutated, ordered, read, traces
from tracer_bullet.model import Span, SpanKind, SpanLink, SpanStatus, Trace
from tracer_bullet.traces.formats import xray
from tracer_bullet.traces.formats.convert import BAD_LINK, LINK_ATTRIBUTES, NO_ID, NO_SPAN, NO_TIME
from tracer_bullet.traces.formats.xray import XRay

XRAY = XRay()
TRACE = "1-581cf771-a006649127e371903a2de979"
HEX = "581cf771a006649127e371903a2de979"
HEADER = {"format": "json", "version": 1}


def segment(span_id: str, name: str = "shop", **more: Any) -> dict[str, Any]:
    return {"trace_id": TRACE, "id": span_id * 16, "name": name, "start_time": 1.5, "end_time": 2.5, **more}


def by_name(spans: list[Span]) -> dict[str, Span]:
    return {s.name: s for s in spans}


@pytest.mark.parametrize("path", ["xray/daemon.txt", "xray/daemon-apart.txt", "xray/batch-get-traces.json"])
def test_what_the_sdk_writes(path: str) -> None:
    values = golden(path)
    assert XRAY.recognises(values[0])
    spans, losses = read(XRAY, *values)
    found = by_name(spans)
    trace = Trace.of(spans[0].trace_id, spans)
    assert len(spans) == 8
    assert not trace.orphans
    assert not losses.repaired
    assert [s.name for s in trace.roots] == ["web"]

    web, call, shop = found["web"], found["shop.example"], found["shop"]
    assert (web.kind, call.kind, shop.kind) == (SpanKind.SERVER, SpanKind.CLIENT, SpanKind.SERVER)
    assert trace.parent(shop) == call
    assert (web.service, call.service, shop.service) == ("web", "web", "shop")
    assert web.attributes["http.response.status_code"] == "502"
    assert web.attributes["url.full"] == "https://web.example/cart"
    assert web.attributes["tenant"] == "acme"
    assert web.attributes["retry"] == "2"
    assert web.attributes["user.id"] == "u-1"
    assert json.loads(web.attributes["aws.xray.metadata.shop"]) == {"cart": {"items": [1, 2.5]}}
    assert web.resource["telemetry.sdk.name"] == "X-Ray for Python"
    assert web.resource["process.runtime.name"] == "CPython"

    assert found["price"].kind is SpanKind.INTERNAL
    table, query, queue = found["DynamoDB"], found["orders@db.example"], found["SQS"]
    assert trace.parent(table) == found["price"]
    assert table.attributes["db.system.name"] == "aws.dynamodb"
    assert table.attributes["db.collection.name"] == "prices"
    assert table.attributes["rpc.method"] == "GetItem"
    assert query.attributes["db.system.name"] == "postgresql"
    assert (query.attributes["server.address"], query.attributes["server.port"]) == ("db.example", "5432")
    assert query.attributes["db.query.text"] == "SELECT 1"
    assert queue.attributes["messaging.destination.name"] == "orders"

    bank = found["bank.example"]
    assert (bank.status, bank.status_message) == (SpanStatus.ERROR, "the bank did not answer")
    assert [e.attributes["exception.type"] for e in bank.events] == ["TimeoutError"]
    assert "shop" in bank.events[0].attributes["exception.stacktrace"]


def test_missing_traces_are_told() -> None:
    _, losses = read(XRAY, *golden("xray/batch-get-traces.json"))
    assert dict(losses.lost) == {xray.UNPROCESSED: 1}


def test_times_in_strings_are_exact_and_numbers_as_they_were_written() -> None:
    times = '"start_time": 1478293361.123456789, "end_time": 1.478293361449E9'
    text = f'{{"trace_id": "{TRACE}", "id": "{"1" * 16}", "name": "a", {times}}}'
    ((span,), _) = read(XRAY, {"Traces": [{"Id": TRACE, "Segments": [{"Id": "1" * 16, "Document": text}]}]})
    assert (span.start_ns, span.end_ns) == (1478293361_123456789, 1478293361_449000000)
    ((span,), _) = read(XRAY, segment("1", start_time=1478293361.123456, end_time=1478293361.123457))
    assert (span.start_ns, span.end_ns) == (1478293361_123456000, 1478293361_123457000)


def test_documents_without_a_trace_id_take_their_traces() -> None:
    document = json.dumps({k: v for k, v in segment("1").items() if k != "trace_id"})
    null = json.dumps({**segment("2"), "trace_id": None})
    spans, _ = read(XRAY, {"Traces": [{"Id": TRACE, "Segments": [{"Document": document}, {"Document": null}]}]})
    assert [s.trace_id for s in spans] == [HEX, HEX]


UNFINISHED = segment(
    "1", in_progress=True, end_time=None, subsegments=[segment("2", "b", in_progress=True, end_time=None)]
)
FINISHED = segment("1", end_time=9.5, http={"response": {"status": 200}})


@given(st.permutations([UNFINISHED, FINISHED, segment("2", "b", type="subsegment", parent_id="1" * 16, end_time=3.5)]))
def test_a_finished_document_overwrites_one_in_progress(order: list[Any]) -> None:
    spans, losses = read(XRAY, *order)
    assert {(s.name, s.end_ns) for s in spans} == {("shop", 9_500_000_000), ("b", 3_500_000_000)}
    assert {s.service for s in spans} == {"shop"}
    assert dict(losses.repaired) == {xray.OVERWRITTEN: 2}


def test_what_never_ended_is_kept_and_marked() -> None:
    late = segment("3", "c", type="subsegment", parent_id="2" * 16, end_time=7.5)
    spans, losses = read(XRAY, UNFINISHED, late)
    found = by_name(spans)
    assert found["shop"].end_ns == found["b"].end_ns == 7_500_000_000
    assert found["b"].attributes["aws.xray.in_progress"] == "true"
    assert "aws.xray.in_progress" not in found["c"].attributes
    assert losses.repaired[xray.UNFINISHED] == 2
    ((alone,), _) = read(XRAY, segment("1", in_progress=True, end_time=None))
    assert (alone.start_ns, alone.end_ns) == (1_500_000_000, 1_500_000_000)


CALL = segment("2", "DynamoDB", namespace="aws", type="subsegment", parent_id="1" * 16, aws={"operation": "GetItem"})
INFERRED = segment(
    "3", "DynamoDB", inferred=True, parent_id="2" * 16, origin="AWS::DynamoDB::Table", aws={"table_name": "prices"}
)


@given(st.permutations([segment("1"), CALL, INFERRED, segment("4", "stock", parent_id="3" * 16)]))
def test_an_inferred_segment_is_its_subsegments_peer(order: list[Any]) -> None:
    spans, losses = read(XRAY, *order)
    found = by_name(spans)
    assert len(spans) == 3
    assert found["DynamoDB"].kind is SpanKind.CLIENT
    assert found["DynamoDB"].attributes["peer.service"] == "DynamoDB"
    assert found["DynamoDB"].attributes["aws.xray.peer.origin"] == "AWS::DynamoDB::Table"
    assert found["DynamoDB"].attributes["db.collection.name"] == "prices"
    assert found["stock"].parent_id == found["DynamoDB"].span_id
    assert dict(losses.repaired) == {xray.INFERRED: 1}


def test_an_inferred_segment_alone_is_kept_and_marked() -> None:
    ((span,), losses) = read(XRAY, INFERRED)
    assert (span.attributes["aws.xray.inferred"], span.parent_id) == ("true", "2" * 16)
    assert losses.repaired[xray.INFERRED_ALONE] == 1


def test_lambda_s_two_segments() -> None:
    service = segment("1", "f", origin="AWS::Lambda", aws={"function_arn": "arn:f"})
    function = segment("2", "f", origin="AWS::Lambda::Function", parent_id="1" * 16)
    spans, _ = read(XRAY, function, service)
    trace = Trace.of(HEX, spans)
    assert [s.span_id for _, s in trace.walk()] == ["1" * 16, "2" * 16]
    assert {s.kind for s in spans} == {SpanKind.SERVER}
    assert spans[0].resource["cloud.resource_id"] == "arn:f"
    assert spans[1].resource["cloud.platform"] == "aws_lambda"


def test_links_causes_and_limits() -> None:
    links = [{"trace_id": TRACE, "id": "5" * 16, "attributes": {"a": 1}}, {"trace_id": "no", "id": "5" * 16}]
    odd = segment("1", links=links, cause="4" * 16, throttle=True, precursor_ids=["9" * 16])
    answer = {"Traces": [{"Id": TRACE, "LimitExceeded": True, "Segments": [{"Document": json.dumps(odd)}]}]}
    ((span,), losses) = read(XRAY, answer)
    assert span.links == (SpanLink(trace_id=HEX, span_id="5" * 16),)
    assert span.status is SpanStatus.ERROR
    assert (span.attributes["aws.xray.cause"], span.attributes["aws.xray.throttle"]) == ("4" * 16, "true")
    lost = {xray.LIMIT_EXCEEDED: 1, BAD_LINK: 1, LINK_ATTRIBUTES: 1, xray.PRECURSORS: 1}
    assert dict(losses.lost) == lost


def test_a_subsegment_without_its_segment_has_no_service() -> None:
    ((span,), losses) = read(XRAY, segment("2", "b", type="subsegment", parent_id="1" * 16))
    assert (span.service, span.parent_id) == ("unknown_service", "1" * 16)
    assert losses.repaired[xray.NO_SEGMENT] == 1


def test_depth_and_chains_do_not_recurse() -> None:
    nested: dict[str, Any] = {"id": "f" * 16, "name": "leaf", "start_time": 1, "end_time": 2}
    for number in range(200):
        nested = {"id": f"{number + 1:016x}", "name": "n", "start_time": 1, "end_time": 2, "subsegments": [nested]}
    spans, losses = read(XRAY, {**nested, "trace_id": TRACE})
    assert len(spans) == 201
    assert not losses.lost
    apart = [
        {"trace_id": TRACE, "id": f"{n + 1:016x}", "parent_id": f"{n:016x}", "name": "n", "type": "subsegment",
         "start_time": 1, "in_progress": True}
        for n in range(1, 10_000)
    ]  # fmt: skip
    spans, _ = read(XRAY, *apart, segment("0") | {"id": f"{1:016x}"})
    assert {s.service for s in spans} == {"shop"}
    assert len(spans) == 10_000


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (5, NO_SPAN), ({}, NO_SPAN), ({"Traces": [5]}, NO_SPAN), ("not json", "documents that are no JSON"),
        ("[1]", NO_SPAN), (segment("x"), NO_ID), (segment("1", trace_id="1-2-3"), NO_ID),
        (segment("1", start_time="soon"), NO_TIME), (segment("1", start_time=-5), NO_TIME),
        (segment("1", start_time=1e300, end_time=1e300), NO_TIME), (segment("1", subsegments=[{"id": "x"}]), NO_ID),
        (segment("1", subsegments=["x"]), NO_SPAN),
    ],
)  # fmt: skip
def test_a_bad_document_loses_only_itself(bad: Any, reason: str) -> None:
    spans, losses = read(XRAY, [bad, segment("7", "good")])
    assert "good" in {s.name for s in spans}
    assert losses.lost[reason] == 1


KINDS = (SpanKind.SERVER, SpanKind.CLIENT, SpanKind.INTERNAL)


@given(traces(kinds=KINDS), st.booleans(), st.randoms(use_true_random=False))
def test_traces_come_back(trace: list[Span], apart: bool, random: Any) -> None:
    """Written as segments with subsegments inside them or apart; each service is the segment's above."""
    written, services = to_xray(trace, apart=apart)
    random.shuffle(written)
    found, losses = read(XRAY, HEADER, *written)
    assert not losses.lost
    assert not losses.repaired
    for got, sent in zip(ordered_by_id(found), ordered_by_id(trace), strict=True):
        for member in ("trace_id", "span_id", "parent_id", "name", "start_ns", "end_ns", "status"):
            assert getattr(got, member) == getattr(sent, member), member
        assert got.service == services[sent.span_id]
        assert sent.attributes.items() <= got.attributes.items()
        assert got.kind is (sent.kind if sent.parent_id else SpanKind.SERVER)


def ordered_by_id(spans: list[Span]) -> list[Span]:
    return sorted(spans, key=lambda s: s.span_id)


def to_xray(trace: list[Span], *, apart: bool) -> tuple[list[Any], dict[str, str]]:
    """Documents of a trace: roots and servers are segments (named by their span), others subsegments."""
    documents: dict[str, dict[str, Any]] = {}
    top: dict[str, str] = {}
    sent: list[Any] = []
    for span in trace:  # parents come first
        is_top = span.parent_id is None or span.kind is SpanKind.SERVER
        top[span.span_id] = span.name if is_top else top[span.parent_id or ""]
        document: dict[str, Any] = {
            "id": span.span_id, "name": span.name, "start_time": span.start_ns / 10**9, "end_time": span.end_ns / 10**9,
            "annotations": dict(span.attributes), "fault": span.status is SpanStatus.ERROR,
            "namespace": "remote" if span.kind is SpanKind.CLIENT else "local",
        }  # fmt: skip
        documents[span.span_id] = document
        if is_top or apart:
            document["trace_id"] = f"1-{span.trace_id[:8]}-{span.trace_id[8:]}"
            document |= {"parent_id": span.parent_id} if span.parent_id else {}
            document |= {} if is_top else {"type": "subsegment"}
            sent.append(document)
        else:
            documents[span.parent_id or ""].setdefault("subsegments", []).append(document)
    return sent, top


@given(st.permutations(golden("xray/daemon-apart.txt")))
@settings(max_examples=25)
def test_the_order_of_documents_does_not_matter(order: list[Any]) -> None:
    assert read(XRAY, *order)[0] == WHOLE


WHOLE, _ = read(XRAY, *golden("xray/daemon-apart.txt"))


@given(mutated(golden("xray/daemon.txt")) | mutated(golden("xray/batch-get-traces.json")) | json_values)
def test_nothing_is_too_odd(value: Any) -> None:
    XRAY.recognises(value)
    read(XRAY, value)


@given(mutated(golden("xray/daemon.txt")))
def test_a_document_in_a_string_reads_as_it_does_outside(documents: list[Any]) -> None:
    bodies = [d for d in documents if isinstance(d, dict) and "id" in d and "start_time" in d]
    inside, _ = read(XRAY, {"TraceSegmentDocuments": [json.dumps(d) for d in bodies]})
    outside, _ = read(XRAY, bodies)
    assert ordered(inside) == ordered(outside)


@given(mutated(golden("xray/daemon-apart.txt")))
def test_a_mutation_in_one_document_leaves_the_others(value: list[Any]) -> None:
    spans, _ = read(XRAY, value)
    assert len(spans) >= 7


def test_copies_are_kept() -> None:
    spans, losses = read(XRAY, FINISHED, FINISHED)
    assert len(spans) == 2
    assert counts(losses) == ({}, {})
    assert ordered(spans)[0] == ordered(spans)[1]
