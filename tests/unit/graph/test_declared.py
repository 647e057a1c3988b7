"""Claim: what is declared and what was observed are compared both ways, and nothing observed is asked for twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.graph.declared import REQUESTS_NEEDED, compare_declared, entity_of
from tracer_bullet.graph.undeclared import NewEntity, find_undeclared
from tracer_bullet.model import Catalog, CatalogFinding, Edge, Entity, Latency, Node, NodeKind, ServiceGraph

TODAY = date(2026, 11, 21)
NO_TIME = Latency(p50_ms=0, p90_ms=0, p95_ms=0, p99_ms=0, p999_ms=0, max_ms=0)


def component(name: str, *depends_on: str, **more: str) -> Entity:
    made = Entity(
        ref=f"component:default/{name}", name=name, service=name, owner="group:default/web", on_call="#web",
        depends_on=depends_on, depends_at=tuple(f"c.yaml:{10 + i}" for i in range(len(depends_on))),
        where="c.yaml:1", type="service",
    )  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


def resource(name: str, service: str = "", **more: str) -> Entity:
    made = Entity(
        ref=f"resource:default/{name}", name=name, service=service or name, owner="group:default/web", where="c.yaml:2"
    )
    return replace(made, **more)  # type: ignore[arg-type]


def catalog(*entities: Entity) -> Catalog:
    return Catalog(entities=entities, owners=("group:default/web",), others=("system:default/shop",))


def graph(*edges: tuple[str, str], calls: int = 5) -> ServiceGraph:
    ids = sorted({end for edge in edges for end in edge})
    nodes = []
    for node_id in ids:
        kind, _, name = node_id.partition(":")
        system, slash, rest = name.partition("/") if kind in ("store", "queue") else ("", "", "")
        nodes.append(Node(id=node_id, name=rest if slash else name, kind=NodeKind(kind), system=system, calls=calls))
    made = tuple(
        Edge(source=a, target=b, calls=calls, errors=0, latency=NO_TIME, evidence=()) for a, b in sorted(edges)
    )
    return ServiceGraph(nodes=tuple(nodes), edges=made, operations=(), traces=calls, spans=calls)


def rules(found: tuple[CatalogFinding, ...]) -> list[tuple[str, str]]:
    return [(f.rule if f.error else f"({f.rule})", f.entity.rpartition("/")[2]) for f in found]


SHOP = graph(
    ("harness:tracer-bullet", "service:web"),
    ("service:web", "service:pay"),
    ("service:web", "service:web"),
    ("service:pay", "store:postgresql/db/orders"),
    ("service:pay", "queue:kafka/paid"),
    ("queue:kafka/paid", "service:mail"),
    ("service:pay", "third_party:bank.example"),
    ("service:mail", "peer:10.0.0.7:25"),
)
DECLARED = (
    component("web", "component:default/pay"),
    component("pay", "resource:default/orders", "resource:default/paid", "resource:default/bank"),
    component("mail", "resource:default/paid", "resource:default/relay"),
    resource("orders", "postgresql/db/orders"),
    resource("paid"),
    resource("bank", "Bank.Example"),
    resource("relay", "10.0.0.*:25"),
)


def test_a_catalog_that_says_all_has_no_findings() -> None:
    assert compare_declared(catalog(*DECLARED), SHOP, TODAY) == ()
    assert find_undeclared(catalog(*DECLARED), SHOP).added == {}
    assert find_undeclared(catalog(*DECLARED), SHOP).new == ()


def test_everything_undeclared_is_told() -> None:
    bare = catalog(*(component(n) for n in ("web", "pay")), resource("paid"))
    found = compare_declared(bare, SHOP, TODAY)
    assert rules(found) == [
        ("service-without-entity", "mail"),
        ("undeclared-dependency", "pay"),  # the bank
        ("undeclared-dependency", "pay"),  # the store
        ("undeclared-dependency", "pay"),  # the queue
        ("undeclared-dependency", "web"),
    ]
    assert found[-1] == CatalogFinding(
        rule="undeclared-dependency",
        entity="component:default/web",
        message="web uses pay (5 times), which dependsOn does not name",
        cure="add `component:pay` to dependsOn, or run `tracer-bullet catalog sync`",
        where="c.yaml:1",
    )


def test_an_address_that_nothing_is_known_of_is_a_warning() -> None:
    found = compare_declared(catalog(component("mail")), graph(("service:mail", "peer:10.0.0.7:25")), TODAY)
    assert rules(found) == [("(undeclared-dependency)", "mail")]
    assert "`tracer-bullet/service: 10.0.0.7:25`" in found[0].cure


@pytest.mark.parametrize(
    ("requests", "says"),
    [
        (1, "was not used in 1 request of web; it takes 299 to say at 95 % that not even 1 in 100 uses it"),
        (299, "was not used in 299 requests of web; at 95 %, at most 1.00% of its requests use it"),
        (2995, "was not used in 2,995 requests of web; at 95 %, at most 0.10% of its requests use it"),
    ],
)
def test_unused_dependencies_say_how_much_was_looked_at(requests: int, says: str) -> None:
    declared = catalog(component("web", "component:default/pay", "component:default/old"), component("pay"))
    declared = catalog(*declared.entities, component("old"))
    found = compare_declared(declared, graph(("service:web", "service:pay"), calls=requests), TODAY)
    assert rules(found) == [("(never-observed)", "old"), ("(unused-dependency)", "web")]
    assert found[1].message == f"component:old is declared, and {says}"
    assert found[1].where == "c.yaml:11"


def test_the_number_of_requests_is_that_of_the_binomial() -> None:
    assert 0.99**REQUESTS_NEEDED <= 0.05 < 0.99 ** (REQUESTS_NEEDED - 1)


def test_nothing_is_unused_of_what_was_not_observed_or_cannot_be() -> None:
    declared = catalog(
        component("web", "component:default/lib", "system:default/shop"),
        component("lib", type="library", on_call=""),
        component("gone", "component:default/web"),
    )
    found = compare_declared(declared, graph(("harness:tracer-bullet", "service:web")), TODAY)
    assert rules(found) == [("(never-observed)", "gone")]


def test_owners_on_call_and_references() -> None:
    declared = catalog(
        component("web", "component:default/pya", owner=""),
        component("pay", owner="group:default/wbe", on_call=""),
    )
    observed = graph(("harness:tracer-bullet", "service:web"), ("harness:tracer-bullet", "service:pay"))
    found = compare_declared(declared, observed, TODAY)
    assert rules(found) == [
        ("no-owner", "web"),
        ("unknown-dependency", "web"),
        ("unknown-owner", "pay"),
        ("(no-on-call)", "pay"),
    ]
    assert [f.cure for f in found[1:3]] == [
        "did you mean 'component:default/pay'?",
        "did you mean 'group:default/web'?",
    ]
    elsewhere = compare_declared(replace(declared, owners=()), observed, TODAY)
    assert "unknown-owner" not in {f.rule for f in elsewhere}, "where groups are not described here, none is unknown"


@pytest.mark.parametrize(
    ("reviewed", "due"),
    [("2026-05-25", False), ("2026-05-24", True), ("", True)],
)
def test_reviews_are_due_after_their_time(reviewed: str, due: bool) -> None:
    entity = replace(component("web", reviewed=reviewed), review_days=180)
    found = compare_declared(catalog(entity), graph(("harness:tracer-bullet", "service:web")), TODAY)
    assert rules(found) == ([("(review-due)", "web")] if due else [])


def test_a_misspelt_entity_is_suggested() -> None:
    found = compare_declared(catalog(component("payments")), graph(("harness:tracer-bullet", "service:payment")), TODAY)
    assert [(f.rule, f.cure.partition("?")[0]) for f in found] == [
        ("service-without-entity", "did you mean 'payments'"),
        ("never-observed", "did you mean 'payment'"),
    ]


def test_what_has_no_entity_gets_one_and_all_it_needs() -> None:
    bare = catalog(component("web"), resource("kafka-paid", "other"))
    found = find_undeclared(bare, SHOP)
    assert found.new == (
        NewEntity(ref="component:default/mail", kind="Component", name="mail", service="mail", type="service",
                  depends_on=("resource:default/paid",)),
        NewEntity(ref="component:default/pay", kind="Component", name="pay", service="pay", type="service",
                  depends_on=("resource:default/bank.example", "resource:default/db-orders", "resource:default/paid")),
        NewEntity(ref="resource:default/bank.example", kind="Resource", name="bank.example", service="bank.example",
                  type="third-party"),
        NewEntity(ref="resource:default/db-orders", kind="Resource", name="db-orders", service="postgresql/db/orders",
                  type="database"),
        NewEntity(ref="resource:default/paid", kind="Resource", name="paid", service="kafka/paid", type="queue"),
    )  # fmt: skip
    assert found.added == {"component:default/web": ("component:default/pay",)}


def test_one_name_in_two_systems_gives_two_entities() -> None:
    found = find_undeclared(Catalog(), graph(("service:a", "queue:kafka/paid"), ("service:a", "queue:rabbitmq/paid")))
    assert [(e.name, e.service) for e in found.new] == [
        ("a", "a"), ("paid", "kafka/paid"), ("rabbitmq-paid-queue", "rabbitmq/paid"),
    ]  # fmt: skip


def test_services_prefer_components_and_whole_names_go_before_globs() -> None:
    one, two = component("pay", service="p*"), resource("pay", "pay")
    assert entity_of(catalog(one, two), Node(id="service:pay", name="pay", kind=NodeKind.SERVICE)) is two
    same = component("pay")
    assert entity_of(catalog(two, same), Node(id="service:PAY", name="PAY", kind=NodeKind.SERVICE)) is same
    assert entity_of(catalog(same, two), Node(id="peer:pay", name="pay", kind=NodeKind.PEER)) is two
    assert entity_of(catalog(component("tracer-bullet")), Node(
        id="harness:tracer-bullet", name="tracer-bullet", kind=NodeKind.HARNESS)) is None  # fmt: skip


node_ids = st.sampled_from(
    ("service:a", "service:A b", "service:c", "store:sqlite//x/a.db", "store:sqlite//y/a.db", "queue:kafka/a",
     "queue:a", "third_party:a", "third_party:b.example:8080", "peer:10.0.0.1", "harness:tracer-bullet")
)  # fmt: skip


@given(st.lists(st.tuples(node_ids.filter(lambda n: n.startswith("service")), node_ids), min_size=1, max_size=8))
def test_after_a_sync_only_owners_and_addresses_are_open(edges: list[tuple[str, str]]) -> None:
    observed = graph(*edges)
    found = find_undeclared(Catalog(), observed)
    synced = Catalog(
        entities=tuple(
            Entity(ref=e.ref, name=e.name, service=e.service, depends_on=e.depends_on, type=e.type) for e in found.new
        )
    )
    again = find_undeclared(synced, observed)
    assert (again.new, again.added) == ((), {})
    names = [(e.kind, e.service.lower()) for e in found.new]
    assert len(set(names)) == len(names), "each can be told from the others"
    left = {f.rule for f in compare_declared(synced, observed, TODAY) if f.error}
    assert left <= {"no-owner"}
