"""Claim: whatever speaks against a bullet's harmlessness is found, and named by service, hop and operation."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.audit import AllowedWrite, AuditRules, audit_trace
from tracer_bullet.model import Finding, Severity, Span, SpanKind, SpanStatus, System, Trace

TRACE = "ab" * 16
SYSTEM = System(services=("gateway", "cart"), forwarders=("relay",), third_parties=("pay.example",))
MARK = {"tb.request_type": "TRACE", "tb.run": "r"}


def span(span_id: int, parent: int | None, name: str, service: str, kind: str = "INTERNAL", **settings: Any) -> Span:
    marked = settings.pop("marked", True)
    attributes = {**(MARK if marked else {}), **settings.pop("attributes", {})}
    return Span(
        trace_id=TRACE,
        span_id=f"{span_id:016x}",
        parent_id=None if parent is None else f"{parent:016x}",
        name=name,
        kind=SpanKind[kind],
        service=service,
        start_ns=span_id * 10,
        end_ns=span_id * 10 + settings.pop("length", 5),
        attributes=attributes,
        **settings,
    )


def seal(span_id: int, parent: int, service: str, carriers: str = "baggage,tracestate,header") -> Span:
    attributes = {
        "tb.scope": service,
        "tb.sealed_spans": "1",
        "tb.carriers": carriers,
        "tb.guards": "sqlalchemy=rollback",
    }
    return span(span_id, parent, "tracer-bullet seal", service, attributes=attributes)


def clean() -> list[Span]:
    """harness → gateway → cart → its database, all as it should be."""
    insert = {"db.system": "sqlite", "db.statement": "INSERT INTO carts VALUES (?)", "db.name": "/var/cart.db"}
    decided = {"tb.guard.decision": "rolled_back", "tb.guard.operation": "INSERT carts"}
    return [
        span(1, None, "bullet", "tracer-bullet"),
        span(2, 1, "POST /cart", "tracer-bullet", "CLIENT"),
        span(3, 2, "POST /cart", "gateway", "SERVER", attributes={"http.status_code": "201"}, length=99),
        seal(4, 2, "gateway"),
        span(5, 3, "POST", "gateway", "CLIENT", attributes={"http.method": "POST", "http.url": "http://cart:80/carts"}),
        span(6, 5, "POST /carts", "cart", "SERVER", attributes={"http.status_code": "201"}, length=99),
        seal(7, 5, "cart"),
        span(8, 6, "INSERT", "cart", "CLIENT", attributes={**insert, **decided}),
        span(9, 6, "SELECT", "cart", "CLIENT", attributes={**insert, "db.statement": "SELECT * FROM carts"}),
    ]


def audit(spans: list[Span], **rules: Any) -> list[Finding]:
    return list(audit_trace(Trace.of(TRACE, spans), SYSTEM, AuditRules(**rules)))


def change(spans: list[Span], span_id: int, *, drop: tuple[str, ...] = (), **attributes: str) -> list[Span]:
    from dataclasses import replace

    key = f"{span_id:016x}"
    return [
        replace(s, attributes={k: v for k, v in {**s.attributes, **attributes}.items() if k not in drop})
        if s.span_id == key
        else s
        for s in spans
    ]


def told(findings: list[Finding]) -> list[tuple[str, str, str, str]]:
    return [(f.rule, f.service, f.hop, f.operation) for f in findings]


def test_a_clean_trace_has_no_findings() -> None:
    assert audit(clean()) == []


def test_a_write_without_a_decision_is_named() -> None:
    spans = change(clean(), 8, drop=("tb.guard.decision", "tb.guard.operation"))
    assert told(audit(spans)) == [("unguarded-write", "cart", "cart → sqlite cart.db", "INSERT carts")]
    assert audit(spans, no_writes=False) == []
    assert audit(spans, ignore=("unguarded-write",)) == []


@pytest.mark.parametrize(
    ("attributes", "operation"),
    [
        (
            {"db.system.name": "postgresql", "db.query.text": "WITH x AS (DELETE FROM t RETURNING 1) SELECT 1"},
            "DELETE t",
        ),
        ({"db.system.name": "postgresql", "db.operation.name": "UPDATE", "db.collection.name": "t"}, "UPDATE t"),
        ({"db.system": "postgresql"}, "x"),
        ({"db.system": "redis", "db.statement": "SET key value"}, "SET"),
        ({"db.system": "mongodb", "db.operation": "insert"}, "INSERT"),
        ({"db.system": "redis", "db.statement": "SCRIPT LOAD ?"}, "SCRIPT"),
        ({"db.system": "redis", "db.statement": "JSON.SET doc"}, "JSON.SET"),
        ({"db.system": "redis", "db.statement": "BLPOP queue 0"}, "BLPOP"),
        ({"http.method": "POST", "http.url": "https://pay.example/charges?card=1"}, "POST pay.example/charges"),
        ({"http.request.method": "DELETE", "server.address": "pay.example"}, "DELETE pay.example"),
        ({"rpc.system": "grpc", "rpc.method": "Charge", "server.address": "pay.example"}, "CALL pay.example Charge"),
        ({"server.address": "pay.example"}, "CALL pay.example x"),
        ({"db.system": "redis", "db.statement": "GET ?\nSET ? ?"}, "SET"),
        ({"db.system": "redis", "db.statement": " "}, "X"),
        ({"db.system": "mongodb", "db.operation": "aggregate", "db.statement": 'x [{"$out": "y"}]'}, "AGGREGATE"),
        ({"messaging.system": "kafka", "messaging.destination.name": "q"}, "PUBLISH q"),
        ({"messaging.system": "kafka", "messaging.operation.type": "send"}, "PUBLISH x"),
    ],
)
def test_writes_of_other_instrumentations_are_seen(attributes: dict[str, str], operation: str) -> None:
    found = audit([*clean(), span(20, 6, "x", "cart", "CLIENT", attributes=attributes)])
    assert [(f.rule, f.operation) for f in found] == [("unguarded-write", operation)]


@pytest.mark.parametrize(
    "attributes",
    [
        {"db.system": "redis", "db.statement": "GET key"},
        {"db.system": "redis", "db.statement": "WATCH key\nXRANGE s - +\nMULTI\nEXEC"},
        {"db.system.name": "redis", "db.operation.name": "script exists"},
        {"db.system": "mongodb", "db.operation": "getMore"},
        {"db.system": "mongodb", "db.operation": "commitTransaction"},
        {"db.system": "sqlite", "db.statement": "PRAGMA foreign_keys = ON"},
        {"db.system.name": "sqlite", "db.operation.name": "SELECT"},
        {"http.method": "GET", "http.url": "https://pay.example/rates"},
        {"http.method": "POST", "http.url": "http://cart/inside"},
        {"db.system": "redis", "db.statement": "GET ?\n\nHGET ? ?"},
        {"db.system": "mongodb", "db.operation": "aggregate", "db.statement": "x []"},
        {"messaging.system": "kafka", "messaging.operation.type": "receive"},
        {"rpc.system": "aws-api", "rpc.method": "GetObject", "server.address": "pay.example"},
        {"rpc.system": "grpc", "rpc.method": "Charge", "server.address": "cart"},
    ],
)
def test_reads_and_calls_inside_are_no_writes(attributes: dict[str, str]) -> None:
    assert audit([*clean(), span(20, 6, "x", "cart", "CLIENT", attributes=attributes)]) == []


@pytest.mark.parametrize(("service", "name"), [("tracer-bullet", "INSERT"), ("cart", "tracer-bullet seal")])
def test_nobody_hides_behind_a_name_of_ours(service: str, name: str) -> None:
    wrote = {"db.system": "sqlite", "db.statement": "INSERT INTO t VALUES (1)"}
    found = audit([*clean(), span(20, 6, name, service, "CLIENT", attributes=wrote)])
    assert [f.rule for f in found] == ["unguarded-write"]


def test_a_status_of_any_length_is_read() -> None:
    assert audit(change(clean(), 5, **{"http.status_code": "9" * 5000})) == []


def test_publishing_is_a_write() -> None:
    message = {"messaging.system": "rabbitmq", "messaging.destination.name": "order.created"}
    found = audit([*clean(), span(20, 6, "send", "cart", "PRODUCER", attributes=message)])
    assert told(found) == [("unguarded-write", "cart", "cart → order.created", "PUBLISH order.created")]


def test_an_unflagged_service_is_named_with_its_hop() -> None:
    unmarked = span(6, 5, "POST /carts", "cart", "SERVER", marked=False)
    spans = [*clean()[:5], unmarked, span(8, 6, "work", "cart", marked=False)]
    assert told(audit(spans)) == [("unmarked-service", "cart", "gateway → cart", "POST /carts")]
    assert audit(spans, every_service_flagged=False) == []


def test_a_forwarder_need_not_be_marked_nor_pass_our_header() -> None:
    relayed = [
        span(20, 5, "POST", "relay", "SERVER", marked=False),
        span(21, 20, "POST", "relay", "CLIENT", marked=False),
        span(22, 21, "POST /carts", "cart", "SERVER"),
        seal(23, 21, "cart", "baggage,tracestate"),
    ]
    assert audit([*clean(), *relayed]) == []
    write = span(
        24, 20, "x", "relay", "CLIENT", marked=False, attributes={"db.system": "mysql", "db.statement": "DELETE FROM t"}
    )
    assert told(audit([*clean(), *relayed, write])) == [("unguarded-write", "relay", "relay → mysql", "DELETE t")]


def test_work_outside_the_request_scope_is_named() -> None:
    found = audit([*clean(), span(20, 6, "flush", "cart", marked=False)])
    assert told(found) == [("scope-lost", "cart", "gateway → cart", "flush")]


@pytest.mark.parametrize(
    ("carriers", "lost"),
    [("tracestate,header", "baggage"), ("baggage,header", "tracestate"), ("baggage,tracestate", "x-tracer-bullet")],
)
def test_the_loss_of_one_carrier_is_noticed(carriers: str, lost: str) -> None:
    (finding,) = audit(change(clean(), 7, **{"tb.carriers": carriers}))
    assert (finding.rule, finding.service, finding.hop) == ("carrier-lost", "cart", "gateway → cart")
    assert finding.operation == "POST /carts"
    assert finding.message.startswith(f"{lost} was lost on gateway → cart")


@pytest.mark.parametrize(
    ("reason", "rule"), [("flag-lost", "flag-lost"), ("expired", "refused"), ("unarmed", "refused")]
)
def test_refusals_are_told(reason: str, rule: str) -> None:
    refused = span(
        20, 5, "POST refused", "cart", "SERVER", attributes={"tb.refused": reason, "http.response.status_code": "403"}
    )
    assert ("cart", "gateway → cart") in [(f.service, f.hop) for f in audit([*clean()[:5], refused]) if f.rule == rule]


def test_allowed_writes_need_a_rule() -> None:
    spans = change(clean(), 8, **{"tb.guard.decision": "allowed"})
    assert told(audit(spans)) == [("unallowed-write", "cart", "cart → sqlite cart.db", "INSERT carts")]
    assert audit(spans, allow=(AllowedWrite(service="ca*", operation="INSERT *"),)) == []
    assert len(audit(spans, allow=(AllowedWrite(service="ca*", operation="DELETE *"),))) == 1


def test_a_denied_write_is_a_warning_what_no_guard_saw_a_gap_and_an_unknown_decision_an_error() -> None:
    (denied,) = audit(change(clean(), 8, **{"tb.guard.decision": "denied"}))
    assert (denied.rule, denied.severity) == ("denied-write", Severity.WARNING)
    (net,) = audit(change(clean(), 8, **{"tb.guard.decision": "unguarded"}))
    assert (net.rule, net.severity) == ("unguarded-call", Severity.GAP)
    fine = (AllowedWrite(service=net.service, operation="*"),)
    assert audit(change(clean(), 8, **{"tb.guard.decision": "unguarded"}), allow=fine) == []
    (unknown,) = audit(change(clean(), 8, **{"tb.guard.decision": "trust-me"}))
    assert (unknown.rule, unknown.severity) == ("unknown-decision", Severity.ERROR)


def test_a_swallowed_error_is_named_and_a_retried_one_is_not() -> None:
    failed = {"http.method": "POST", "http.url": "http://cart/carts", "http.status_code": "503"}
    spans = [*clean()[:4], span(5, 3, "POST", "gateway", "CLIENT", attributes=failed, status=SpanStatus.ERROR)]
    assert told(audit(spans)) == [("error-swallowed", "gateway", "gateway → cart:80", "POST")]
    retry = span(10, 3, "POST", "gateway", "CLIENT", attributes={**failed, "http.status_code": "201"})
    assert audit([*spans, retry]) == []
    told_upwards = change(spans, 3, **{"http.status_code": "502"})
    assert audit(told_upwards) == []
    not_found = change(spans, 5, **{"http.status_code": "404"})
    assert audit(not_found) == []


@given(st.permutations(clean()), st.lists(st.sampled_from(clean()), max_size=4))
def test_order_and_duplicates_do_not_matter(spans: list[Span], again: list[Span]) -> None:
    broken = change([*spans, *again], 8, drop=("tb.guard.decision",), **{"db.name": "x"})
    assert told(audit(broken)) == [("unguarded-write", "cart", "cart → sqlite x", "INSERT carts")]


@given(st.data())
def test_any_span_that_loses_its_mark_is_found(data: st.DataObject) -> None:
    spans = clean()
    victim = data.draw(st.sampled_from([s for s in spans if s.service != "tracer-bullet" and "seal" not in s.name]))
    broken = change(spans, int(victim.span_id, 16), drop=("tb.request_type",))
    assert victim.service in {f.service for f in audit(broken)}
