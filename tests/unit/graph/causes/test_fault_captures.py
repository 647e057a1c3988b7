"""Claim: for each fault, the cause is the one that a reliability engineer would name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.graph.causes.captures import Node, analyse, client, database, inner, node, server, trace
from tracer_bullet.model import Catalog, Entity, SpanKind, Symptom

CATALOG = Catalog(
    entities=(
        Entity(ref="component:default/pay", name="pay", service="pay", owner="group:default/payments"),
        Entity(ref="component:default/shop", name="shop", service="shop", owner="group:default/web"),
        Entity(ref="resource:default/bank", name="bank", service="bank.example", owner="group:default/banking"),
    )
)


def call(caller: str, at: float, to: float, callee: Node, **attributes: str) -> Node:
    return client(caller, "POST", at, to, callee, **attributes)


def test_an_error_cascades_and_the_deepest_service_is_named() -> None:
    found = analyse(
        trace(
            1,
            server("shop", "POST /buy", 0, 50,
                call("shop", 1, 49,
                    server("pay", "POST /pay", 2, 48,
                        call("pay", 3, 47, server("risk", "POST /score", 4, 46).fails("500", "score of 17 is bad"))
                        .fails("500")).fails("500")).fails("500")).fails("500"),
        )
    )  # fmt: skip
    (cause,) = found.causes
    assert (cause.service, cause.operation, cause.peer, cause.error) == (
        "risk", "POST /score", False, "500: score of <n> is bad",
    )  # fmt: skip
    assert cause.path == ("shop POST /buy", "shop POST", "pay POST /pay", "pay POST", "risk POST /score")
    assert (cause.share, found.bad) == (1.0, 1)


def test_an_uninstrumented_peer_is_blamed_by_its_callers_word_and_its_owner_told() -> None:
    refused = client("pay", "POST", 3, 9, server__address="bank.example").fails("ConnectError", "refused")
    found = analyse(trace(1, server("shop", "/", 0, 12, call("shop", 1, 11,
        server("pay", "/pay", 2, 10, refused).fails()).fails()).fails()), CATALOG)  # fmt: skip
    (cause,) = found.causes
    assert (cause.service, cause.peer, cause.caller, cause.owner) == (
        "bank.example", True, "pay", "group:default/banking",
    )  # fmt: skip
    assert cause.path[-1] == "bank.example"


def test_the_callers_owner_is_told_of_a_peer_that_nobody_owns() -> None:
    refused = client("pay", "POST", 3, 9, server__address="mail.example").fails("ConnectError", "refused")
    (cause,) = analyse(trace(1, server("pay", "/pay", 2, 10, refused).fails()), CATALOG).causes
    assert (cause.service, cause.owner) == ("mail.example", "group:default/payments")


def test_a_store_may_be_declared_with_its_system() -> None:
    failing = trace(1, server("pay", "/", 0, 9, database("pay", 1, 5).fails("ConnectionError")).fails())
    store = Entity(ref="resource:default/db", name="db", service="postgresql/db/orders", owner="group:default/data")
    assert analyse(failing, Catalog(entities=(store,))).causes[0].owner == "group:default/data"


def test_a_service_that_is_down_is_known_by_the_address_it_answered_at() -> None:
    at = {"server__address": "10.0.0.7", "server__port": "8085"}
    well = trace(1, server("shop", "/", 0, 9, call("shop", 1, 8, server("pay", "/pay", 2, 7), **at)))
    down = trace(2, server("shop", "/", 0, 9, client("shop", "POST", 1, 8, **at).fails("ConnectError")).fails())
    (cause,) = analyse(well + down, CATALOG).causes
    assert (cause.service, cause.peer, cause.owner) == ("pay", True, "group:default/payments")


@pytest.mark.parametrize("limit", [1001, 1020], ids=["told after the end", "told before the end"])
def test_cancelled_work_below_a_time_out_is_not_blamed(limit: float) -> None:
    # pay hung; its own call to risk was fine until it was told to stop.
    hung = server("pay", "/pay", 2, 1010,
        call("pay", 3, 1008, server("risk", "/score", 4, 1007).fails("CANCELLED", "context canceled"))
        .fails("CANCELLED", "context canceled")).fails("499", "client disconnected")  # fmt: skip
    waiting = call("shop", 1, limit, hung).fails("TimeoutError", "timed out after 1000 ms")
    (cause,) = analyse(trace(1, server("shop", "/", 0, 1022, waiting).fails("504"))).causes
    assert (cause.service, cause.operation, cause.peer, cause.caller) == ("pay", "/pay", True, "shop")
    assert cause.error == "TimeoutError: timed out after <n> ms"


def test_what_fails_after_its_caller_gave_up_is_not_blamed() -> None:
    late = server("pay", "/pay", 2, 3000, database("pay", 4, 2999).fails("BrokenPipe", "broken pipe")).fails("500")
    waiting = call("shop", 1, 1001, late).fails("TimeoutError", "timed out")
    (cause,) = analyse(trace(1, server("shop", "/", 0, 1002, waiting).fails("504"))).causes
    assert (cause.service, cause.peer) == ("pay", True)


def test_a_time_out_inside_a_time_out_is_followed_inwards() -> None:
    bank = client("pay", "POST", 3, 5003, server__address="bank.example").fails("TimeoutError", "timed out")
    late = server("pay", "/pay", 2, 5004, bank).fails("500")
    waiting = call("shop", 1, 1001, replace(late, error=("504", "timed out"))).fails("TimeoutError", "timed out")
    (cause,) = analyse(trace(1, server("shop", "/", 0, 1002, waiting).fails("504"))).causes
    assert (cause.service, cause.caller) == ("bank.example", "pay")


def test_calls_cancelled_because_a_sibling_failed_are_not_blamed() -> None:
    cancelled = call("shop", 1, 20, server("stock", "/", 2, 21).fails("CANCELLED")).fails("CancelledError")
    reason = call("shop", 1, 10, server("price", "/", 2, 9).fails("500")).fails("500")
    (cause,) = analyse(trace(1, server("shop", "/", 0, 22, cancelled, reason).fails())).causes
    assert cause.service == "price"


def test_a_retry_counts_its_trace_once() -> None:
    def attempt(at: float) -> Node:
        return client("pay", "POST", at, at + 5, server__address="bank.example").fails("503")

    found = analyse(trace(1, server("pay", "/pay", 0, 30, attempt(1), attempt(8), attempt(15)).fails()))
    assert found.blamed == [("error", "bank.example", "POST", 1)]


def test_a_retry_that_helped_is_a_swallowed_error_and_no_bad_trace() -> None:
    first = client("pay", "POST", 1, 5, server__address="bank.example").fails("503")
    second = client("pay", "POST", 6, 9, server__address="bank.example")
    found = analyse(trace(1, server("pay", "/pay", 0, 30, first, second)))
    assert (found.blamed, found.bad) == ([("swallowed", "bank.example", "POST", 1)], 0)
    for at in (10, 2):
        other = database("pay", at, at + 2).fails("ConnectionError", "too many connections")
        found = analyse(trace(1, server("pay", "/pay", 0, 30, first, second, other).fails()))
        assert found.blamed == [("error", "db/orders", "SELECT", 1)], "what was made good is not why it failed"


def test_an_error_answered_as_success_counts_apart() -> None:
    swallowing = server("shop", "/", 0, 9, call("shop", 1, 8, server("ads", "/ad", 2, 7).fails("500")).fails("500"))
    found = analyse(trace(1, swallowing) + trace(2, server("shop", "/", 0, 9).fails("500")))
    assert found.blamed == [("error", "shop", "/", 1), ("swallowed", "ads", "/ad", 1)]
    assert found.bad == 1
    assert [c.share for c in found.causes] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("error", "service", "peer"),
    [
        (("ConnectionError", "too many connections"), "db/orders", True),
        (("40P01", "deadlock detected"), "db/orders", True),
        (("23505", "duplicate key value"), "pay", False),
        (("psycopg.errors.UniqueViolation", "duplicate key"), "pay", False),
        (("sqlalchemy.exc.IntegrityError", "NOT NULL"), "pay", False),
    ],
)
def test_database_errors_are_the_databases_unless_the_statement_was_wrong(
    error: tuple[str, str], service: str, peer: bool
) -> None:
    (cause,) = analyse(trace(1, server("pay", "/pay", 0, 9, database("pay", 1, 5).fails(*error)).fails())).causes
    assert (cause.service, cause.peer) == (service, peer)


@pytest.mark.parametrize(
    ("status", "service"),
    [("503", "risk"), ("429", "risk"), ("TimeoutError", "risk"), ("400", "pay"), ("401", "pay"), ("404", "pay")],
)
def test_an_error_on_the_client_half_only(status: str, service: str) -> None:
    asked = call("pay", 1, 8, server("risk", "/score", 2, 7)).fails(status)
    (cause,) = analyse(trace(1, server("pay", "/pay", 0, 9, asked).fails())).causes
    assert (cause.service, cause.peer) == (service, service == "risk")


def test_an_error_on_the_server_half_only_is_one_call_too() -> None:
    asked = call("pay", 1, 8, server("risk", "/score", 2, 7).fails("500"))
    (cause,) = analyse(trace(1, server("pay", "/pay", 0, 9, asked).fails())).causes
    assert cause.service == "risk"


def test_inner_spans_without_a_status_do_not_hide_the_error_below() -> None:
    middle = inner("pay", "handler", 1, 8, inner("pay", "pool", 2, 7, database("pay", 3, 6).fails("ConnectionError")))
    (cause,) = analyse(trace(1, server("pay", "/pay", 0, 9, middle).fails())).causes
    assert cause.service == "db/orders"


def test_a_service_without_kinds_that_is_well_has_swallowed_the_error() -> None:
    def plain(service: str, at: float, to: float, *below: Node) -> Node:
        return node(SpanKind.UNSPECIFIED, service, "work", at, to, *below)

    well = plain("b", 1, 8, plain("c", 2, 7).fails("Bug"))
    found = analyse(trace(1, plain("a", 0, 9, well).fails("Own")))
    assert found.blamed == [("error", "a", "work", 1)]
    tried = plain("b", 1, 8, plain("b", 2, 7).fails("Bug"))
    found = analyse(trace(1, plain("a", 0, 9, tried).fails("Own")))
    assert found.blamed == [("error", "a", "work", 1)]


def test_the_entry_counts_where_the_root_is_the_callers_own() -> None:
    steps = [client("browser", "GET", n, n + 8, server("shop", "/", n + 1, n + 7)) for n in (0, 10)]
    failing = replace(steps[1], below=(steps[1].below[0].fails("500"),))
    found = analyse(trace(1, inner("browser", "page", 0, 30, inner("browser", "load", 0, 29, steps[0], failing))))
    assert found.blamed == [("error", "shop", "/", 1)]


def test_a_consumer_that_fails_is_a_failure_of_its_own() -> None:
    consumer = node(SpanKind.CONSUMER, "mail", "process", 20, 30, database("mail", 21, 22).fails("ConnectionError"))
    sent = node(SpanKind.PRODUCER, "shop", "send", 2, 3, consumer.fails("ConnectionError"))
    found = analyse(trace(1, server("shop", "/", 0, 9, sent)))
    assert found.blamed == [("error", "db/orders", "SELECT", 1)]
    both = server("shop", "/", 0, 9, sent, call("shop", 4, 6, server("pay", "/", 4, 5).fails("500")).fails()).fails()
    assert analyse(trace(1, both)).blamed == [("error", "pay", "/", 1)], "nobody waits for a consumer"


def test_a_message_that_could_not_be_sent_is_the_queues_fault_whatever_its_consumer_did() -> None:
    queue = {"messaging__system": "kafka", "messaging__destination__name": "mails"}
    consumer = node(SpanKind.CONSUMER, "mail", "process", 4, 5).fails("Bug")
    sent = node(SpanKind.PRODUCER, "shop", "send", 2, 8, consumer, **queue).fails("BrokerNotAvailable")
    (cause,) = analyse(trace(1, server("shop", "/", 0, 9, sent).fails())).causes
    assert (cause.service, cause.operation, cause.peer, cause.caller) == ("mails", "send", True, "shop")


def test_work_that_was_called_off_while_all_went_well_is_no_error() -> None:
    spare = call("shop", 1, 5, server("stock", "/", 2, 4).fails("CANCELLED")).fails("CancelledError")
    assert (
        analyse(trace(1, server("shop", "/", 0, 9, spare, call("shop", 1, 4, server("stock", "/", 2, 3))))).causes == ()
    )


def test_of_several_roots_the_first_that_failed_counts() -> None:
    found = analyse(trace(1, server("b", "/", 5, 9).fails("500"), server("a", "/", 0, 4).fails("500")))
    assert found.blamed == [("error", "a", "/", 1)]


def test_spans_below_a_lost_one_are_followed() -> None:
    lost = replace(
        call("shop", 1, 8, server("pay", "/pay", 2, 7, database("pay", 3, 6).fails("Gone")).fails()), lost=True
    )
    found = analyse(trace(1, server("shop", "/", 0, 9, lost).fails("500")))
    assert found.blamed == [("error", "db/orders", "SELECT", 1)]
    swallowed = analyse(trace(1, server("shop", "/", 0, 9, lost)))
    assert (swallowed.blamed, swallowed.bad) == ([("swallowed", "db/orders", "SELECT", 1)], 0)


def test_the_exception_speaks_where_the_status_does_not() -> None:
    failing = replace(server("pay", "/pay", 0, 9).fails(), thrown=("KeyError", "'user-7f3a'"))
    (cause,) = analyse(trace(1, failing)).causes
    assert cause.error == "KeyError: <value>"


def test_parents_in_a_circle_have_no_root_and_are_not_judged() -> None:
    one, two = trace(1, server("a", "/", 0, 9).fails(), server("b", "/", 1, 8).fails())
    circle = [replace(one, parent_id=two.span_id), replace(two, parent_id=one.span_id)]
    found = analyse(circle)
    assert (found.causes, found.bad, found.contrasts, found.examples) == ((), 0, (), ())


def test_nothing_bad_and_nothing_at_all() -> None:
    assert analyse([]).causes == ()
    found = analyse(trace(1, server("shop", "/", 0, 9)))
    assert (found.causes, found.bad, found.contrasts) == ((), 0, ())
    assert [e.why for e in found.examples] == ["slowest: shop /, 9 ms"]


@pytest.mark.parametrize("shape", ["deep", "wide"])
def test_large_traces(shape: str) -> None:
    if shape == "deep":
        below = database("s", 5000, 5001).fails("Gone")
        for depth in range(9_998, 0, -1):
            below = inner("s", "step", 0, 10_000, below)
            below = below.fails() if depth % 2 else below
        root = server("s", "/", 0, 10_000, below).fails()
    else:
        root = server("s", "/", 0, 200_000, *(database("s", n, n + 1).fails("Gone") for n in range(99_999))).fails()
    found = analyse(trace(1, root))
    assert found.blamed == [("error", "db/orders", "SELECT", 1)]
    assert len(found.causes[0].path) <= 41
    assert found.of(Symptom.ERROR)[0].share == 1.0
