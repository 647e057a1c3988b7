"""Claim: ClickHouse finds the causes that DuckDB finds, query by query."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.graph.causes.captures import client, database, inner, node, server, trace
from tests.unit.graph.engines.mirror import MirrorEngine
from tracer_bullet.graph.causes import choose_examples, find_causes, find_contrasts
from tracer_bullet.graph.engines import DuckEngine
from tracer_bullet.graph.prepare import prepare
from tracer_bullet.model import Catalog, Span, SpanKind, System
from tracer_bullet.traces import spans_to_table

pytest.importorskip("chdb", reason="chDB is not installed")


def spans() -> list[Span]:
    """Failures of many kinds, slow ones, and enough good ones to tell them by."""
    made: list[Span] = []
    for number in range(1, 121):
        failing, slow = number % 10 == 0, number % 10 == 5
        end = 90 if slow else 9 + number % 3
        pay = server("pay", "/pay", 2, end - 2, inner("pay", "pool", 3, end - 3, database("pay", 3, end - 4)))
        pay = pay.has(service__version="2" if failing else "1", host__name=f"h{number % 4}")
        call = client("shop", "POST", 1, end - 1, pay.fails("500", f"order {number} is bad") if failing else pay)
        root = server("shop", "/buy", 0, end, call.fails("500") if failing else call, tb__flags="a=on,b=off")
        made += trace(number, root.fails("500") if failing else root)
    asked = client("pay", "POST", 2, 3, server__address="bank.example").fails("TimeoutError", "timed out")
    late = node(SpanKind.CONSUMER, "mail", "process", 5, 9).fails("Bug")
    sent = node(SpanKind.PRODUCER, "shop", "send", 2, 3, late, messaging__destination__name="mails")
    page = inner("browser", "page", 0, 9, client("browser", "GET", 1, 8, server("shop", "/", 2, 7).fails("500")))
    orphan = server("pay", "/pay", 3, 4).fails("500")
    made += (
        trace(200, server("pay", "/pay", 0, 9, asked)) + trace(201, server("shop", "/", 0, 9, sent)) + trace(202, page)
    )
    return made + trace(203, server("shop", "/", 0, 9).fails("500"), missing_parent=[orphan])


def test_clickhouse_agrees_with_duckdb_at_every_query(tmp_path: Path) -> None:
    from tests.servers.clickhouse import ChdbClient, export
    from tracer_bullet.graph.engines.clickhouse import ClickHouseEngine

    table = spans_to_table(spans())
    name = export(table, tmp_path)
    with DuckEngine(table) as duck, ClickHouseEngine(ChdbClient(), name) as clickhouse:
        both = MirrorEngine(duck, clickhouse)
        prepare(both, System())
        causes, bad = find_causes(both, Catalog())
        contrasts = find_contrasts(both)
        examples = choose_examples(both, causes)
    ChdbClient().run(f"DROP TABLE {name}")
    assert {(c.symptom.value, c.service) for c in causes} == {
        ("error", "pay"), ("error", "mail"), ("error", "shop"), ("slow", "db/orders"), ("swallowed", "bank.example"),
    }  # fmt: skip
    assert bad == 12 + 12 + 3
    assert [(c.attribute, c.value) for c in contrasts] == [("service.version", "2")]
    assert len(examples) > 5
