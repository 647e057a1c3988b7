"""Zipkin v1 and v2 as files: what a real server wrote, both lengths of ids, pieces, and anything at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.servers.zipkin import to_zipkin
from tests.unit.traces.formats.reading import counts, golden, json_values, mutated, ordered, read, traces
from tracer_bullet.model import Span, SpanKind, SpanStatus, Trace
from tracer_bullet.traces.formats.convert import BAD_PARENT, NO_ID, NO_SPAN, NO_TIME, PADDED
from tracer_bullet.traces.formats.zipkin import Zipkin
from tracer_bullet.traces.zipkin_spans import from_zipkin

ZIPKIN = Zipkin()
KINDS = (SpanKind.INTERNAL, SpanKind.CLIENT, SpanKind.SERVER, SpanKind.PRODUCER, SpanKind.CONSUMER)
ID = {"traceId": "a" * 32, "id": "b" * 16}


def one(**more: Any) -> Span:
    ((span,), _) = read(ZIPKIN, {**ID, "timestamp": 10, **more})
    return span


def test_v1_reads_as_the_real_server_reads_it() -> None:
    ours, losses = read(ZIPKIN, *golden("zipkin/v1.json"))
    servers, _ = read(ZIPKIN, *golden("zipkin/v1-as-v2.json"))
    assert ordered(ours) == ordered(servers)
    assert len(ours) == 13
    assert not losses.lost


def test_v2_with_both_lengths_of_the_trace_id_is_one_trace() -> None:
    spans, losses = read(ZIPKIN, *golden("zipkin/v2.json"))
    trace = Trace.of(spans[0].trace_id, spans)
    assert {s.trace_id for s in spans} == {"5af7183fb1d4cf5f6b221d5bc9e6496c"}
    assert len(spans) == 8
    assert not trace.orphans
    by = {(s.name, s.service): s for s in spans}
    client, server = by["get /cart", "web"], by["get /cart", "shop"]
    assert (client.start_ns % 10**9, client.end_ns - client.start_ns) == (100_000, 5_000_000), "two pieces of one span"
    assert client.attributes["late"] == "piece"
    assert [e.name for e in client.events] == ["wire send"]
    assert trace.parent(server) == client
    assert (server.status, server.status_message) == (SpanStatus.ERROR, "no stock")
    assert trace.parent(by["select", "shop"]) == server
    assert by["select", "shop"].attributes["peer.service"] == "mysql"
    assert trace.parent(by["receive", "stock"]) == by["send", "shop"], "a producer and a consumer that share an id"
    assert by["get /", "web"].attributes["client.address"] == "2001:db8::c001"
    assert by["", "shop"].attributes["zipkin.debug"] == "true"
    lost, repaired = counts(losses)
    assert not lost
    assert repaired["64-bit trace ids joined to the 128-bit id with the same lower half"] == 5
    assert repaired["pieces of one span merged"] == 1


def test_the_servers_answers_hold_the_same_traces() -> None:
    both, _ = read(ZIPKIN, *golden("zipkin/v2-traces.json"))
    posted, _ = read(ZIPKIN, *golden("zipkin/v1.json"), *golden("zipkin/v2.json"))
    assert ordered(both) == ordered(posted)
    trace, _ = read(ZIPKIN, *golden("zipkin/v2-trace.json"))
    assert {s.name for s in trace} < {s.name for s in both}


@given(traces(kinds=KINDS), st.randoms(use_true_random=False))
def test_spans_come_back_with_microseconds(trace: list[Span], random: Any) -> None:
    written = [to_zipkin(s) for s in trace]
    random.shuffle(written)
    found, losses = read(ZIPKIN, written[:3], *written[3:])
    assert not losses.lost
    for got, sent in zip(sorted(found, key=lambda s: s.span_id), sorted(trace, key=lambda s: s.span_id), strict=True):
        for member in ("trace_id", "span_id", "parent_id", "name", "kind", "service", "start_ns", "end_ns", "status"):
            assert getattr(got, member) == getattr(sent, member), member
        assert sent.attributes.items() <= got.attributes.items()


@given(st.permutations([*golden("zipkin/v1.json")[0], *golden("zipkin/v2.json")[0]]))
@settings(max_examples=25)
def test_the_order_of_spans_does_not_matter(order: list[Any]) -> None:
    spans, losses = read(ZIPKIN, *order)
    assert (spans, counts(losses)) == (WHOLE, WHOLE_COUNTS)


WHOLE, _LOSSES = read(ZIPKIN, *golden("zipkin/v1.json"), *golden("zipkin/v2.json"))
WHOLE_COUNTS = counts(_LOSSES)


PIECES = [
    {**ID, "timestamp": 10, "name": name, "tags": {"k": value}, "localEndpoint": {"serviceName": "s"}}
    for name, value in [("a", "1"), ("a", "2"), ("a", "3")]
]


@given(st.permutations(PIECES))
def test_pieces_that_contradict_each_other_merge_the_same_way(order: list[Any]) -> None:
    ((span,), _) = read(ZIPKIN, *order)
    ((first,), _) = read(ZIPKIN, *PIECES)
    assert span == first
    assert from_zipkin("a" * 32, order) == from_zipkin("a" * 32, PIECES), "the query API's answers too"


def v1(*annotations: tuple[int, str, str], **more: Any) -> list[Span]:
    """The spans of a v1 span with (time, value, service) annotations."""
    told = [{"timestamp": t, "value": v, "endpoint": {"serviceName": s}} for t, v, s in annotations]
    return sorted(read(ZIPKIN, {**ID, "annotations": told, **more})[0], key=lambda s: s.start_ns)


def test_v1_times() -> None:
    (span,) = v1((10, "cs", "web"), (90, "cr", "web"), timestamp=5, duration=70)
    assert (span.start_ns, span.end_ns) == (5_000, 75_000), "what the client says of the span itself comes first"
    (span,) = v1((10, "cs", "web"), (90, "cr", "web"))
    assert (span.start_ns, span.end_ns) == (10_000, 90_000)
    client, server = v1((10, "cs", "web"), (20, "sr", "shop"), (40, "ss", "shop"), timestamp=10, duration=80)
    assert (client.end_ns, server.start_ns, server.end_ns) == (90_000, 20_000, 40_000)
    client, server = v1((10, "cs", "web"), (20, "sr", "shop"))
    assert (client.end_ns, server.end_ns) == (10_000, 20_000), "one way: nobody knows how long"
    (span,) = v1((20, "ss", "shop"))
    assert (span.kind, [e.name for e in span.events]) == (SpanKind.SERVER, ["ss"])
    sender, taker = v1((10, "ms", "web"), (12, "ws", "web"), (50, "wr", "shop"), (55, "mr", "shop"))
    assert [(s.kind.name, s.end_ns - s.start_ns) for s in (sender, taker)] == [("PRODUCER", 2_000), ("CONSUMER", 5_000)]
    assert taker.parent_id == sender.span_id


def test_a_v1_server_that_wrote_no_timestamp_did_not_begin_the_span() -> None:
    (shared,) = v1((20, "sr", "shop"), (40, "ss", "shop"))
    assert shared.parent_id == ID["id"], "its client's half is elsewhere"
    (own,) = v1((20, "sr", "shop"), (40, "ss", "shop"), timestamp=20)
    assert (own.span_id, own.parent_id) == (ID["id"], None)


def test_v1_addresses() -> None:
    def address(key: str, service: str) -> dict[str, Any]:
        return {"key": key, "value": True, "endpoint": {"serviceName": service, "ipv4": "10.0.0.9"}}

    (span,) = v1((10, "sr", "shop"), timestamp=10, binaryAnnotations=[address("ca", "shop")])
    assert "peer.service" not in span.attributes, "a server's client with the server's own name is Finagle's port"
    assert span.attributes["client.address"] == "10.0.0.9"
    (span,) = v1(timestamp=10, binaryAnnotations=[address("ca", "web"), address("sa", "db")])
    assert (span.service, span.attributes["peer.service"]) == ("web", "db")


def test_a_piece_without_a_service_belongs_to_the_only_one() -> None:
    pieces = [{**ID, "duration": 5}, {**ID, "timestamp": 10, "localEndpoint": {"serviceName": "s"}}]
    ((span,), _) = read(ZIPKIN, pieces)
    assert (span.service, span.end_ns) == ("s", 15_000)


def test_two_long_ids_with_the_same_lower_half_stay_two_traces() -> None:
    ids = ["1" * 16 + "a" * 16, "2" * 16 + "a" * 16, "a" * 16]
    spans, losses = read(ZIPKIN, [{**ID, "traceId": t, "timestamp": 1} for t in ids])
    assert {s.trace_id for s in spans} == {*ids[:2], "0" * 16 + "a" * 16}
    assert not [r for r in losses.repaired if "joined" in r]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (1, NO_SPAN), (None, NO_SPAN), ("x", NO_SPAN), ({}, NO_ID), ({**ID, "id": "0" * 16}, NO_ID),
        ({**ID, "traceId": "x"}, NO_ID), ({**ID, "traceId": 5}, NO_ID), ({"traceId": "c" * 32, "id": "d"}, NO_TIME),
        ({**ID, "annotations": ["x"], "timestamp": 1}, "annotations that are none"),
        ({**ID, "tags": [1], "timestamp": 1}, "tags that are no object"),
        ({**ID, "kind": "BOTH", "timestamp": 1}, "kinds that Zipkin does not have"),
        ({**ID, "localEndpoint": "x", "timestamp": 1}, "endpoints that are no objects"),
        ({**ID, "timestamp": 1, "duration": -5}, "durations that are no whole number of microseconds"),
        ({**ID, "timestamp": "now"}, "starts that are no whole number of microseconds"),
    ],
)  # fmt: skip
def test_a_bad_span_loses_only_itself(bad: Any, reason: str) -> None:
    good = {"traceId": "c" * 31 + "1", "id": "e" * 16, "timestamp": 5, "name": "good"}
    spans, losses = read(ZIPKIN, [bad, good])
    assert "good" in {s.name for s in spans}
    assert losses.lost[reason] == 1


def test_what_can_be_put_right_is() -> None:
    odd = {"traceId": "c", "id": "D", "parentId": "no", "timestamp": "10", "duration": 2.0, "tags": {"a": 1, "b": None}}
    ((span,), losses) = read(ZIPKIN, odd)
    assert (span.trace_id, span.span_id, span.parent_id) == (f"{12:032x}", f"{13:016x}", None)
    assert (span.start_ns, span.end_ns, span.attributes) == (10_000, 12_000, {"a": "1", "b": ""})
    assert losses.repaired[PADDED] == losses.repaired[BAD_PARENT] == 1
    assert losses.repaired["tags that were no text"] == 2
    assert one(kind="client").kind is SpanKind.CLIENT


@given(mutated([*golden("zipkin/v1.json")[0], *golden("zipkin/v2.json")[0]]) | json_values)
def test_nothing_is_too_odd(value: Any) -> None:
    ZIPKIN.recognises(value)
    read(ZIPKIN, value)


@given(mutated(golden("zipkin/v1.json")[0]))
def test_a_mutation_in_one_span_leaves_the_others(value: list[Any]) -> None:
    spans, _ = read(ZIPKIN, value)
    assert len(spans) >= 9


@pytest.mark.parametrize("name", ["v1", "v1-as-v2", "v2", "v2-trace", "v2-traces"])
def test_files_are_recognised_whole_and_as_lines(name: str) -> None:
    (value,) = golden(f"zipkin/{name}.json")
    assert ZIPKIN.recognises(value)
    assert ZIPKIN.recognises(value[0])
    assert not ZIPKIN.recognises({"traceId": "a", "spans": []})
