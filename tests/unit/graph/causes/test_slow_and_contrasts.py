"""Claim: slow traces are told from the usual spread, put down to what took longer, and what they share is found."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tests.unit.graph.causes.captures import Node, analyse, client, database, server, trace
from tracer_bullet.graph.causes.shares import Strata, compare_shares
from tracer_bullet.model import Span, Symptom


def buy(number: int, *, query_ms: float = 2, bank_ms: float = 3, resource: dict[str, str] | None = None) -> list[Span]:
    chance = random.Random(number)
    own = chance.lognormvariate(0, 0.3)
    bank_at = 5 + query_ms
    end = bank_at + bank_ms + own
    pay = server("pay", "/pay", 3, end - 1,
        database("pay", 4, 4 + query_ms),
        client("pay", "POST", bank_at, bank_at + bank_ms, server__address="bank.example"))  # fmt: skip
    pay = pay.has(**(resource or {}))
    return trace(number, server("shop", "/buy", 0, end + 2, client("shop", "POST", 1, end, pay)))


def many(*traces: list[Span]) -> list[Span]:
    return [span for one in traces for span in one]


def test_a_slow_query_is_named() -> None:
    found = analyse(many(*(buy(n, query_ms=80 if n % 50 == 0 else 2) for n in range(1, 201))))
    (cause,) = found.causes
    assert (cause.symptom, cause.service, cause.operation, cause.peer) == (Symptom.SLOW, "db/orders", "SELECT", True)
    assert (cause.traces, cause.share, found.bad) == (4, 1.0, 4)
    assert cause.path == ("shop /buy", "shop POST", "pay /pay", "pay SELECT", "db/orders")


def test_the_peer_of_a_slow_call_is_named_even_when_a_third_of_the_traces_are_slow() -> None:
    found = analyse(many(*(buy(n, bank_ms=90 if n % 3 == 0 else 3) for n in range(1, 121))))
    assert found.blamed == [("slow", "bank.example", "POST", 40)]


def test_a_service_that_works_longer_itself_is_named() -> None:
    def page(number: int) -> list[Span]:
        longer = 60 if number % 20 == 0 else 0
        return trace(number, server("shop", "/", 0, 20 + longer, client("shop", "GET", 1, 18 + longer,
            server("price", "/price", 2, 17 + longer, database("price", 3, 9)))))  # fmt: skip

    assert analyse(many(*(page(n) for n in range(1, 101)))).blamed == [("slow", "price", "/price", 5)]


def test_many_quick_calls_that_add_up_are_named() -> None:
    def page(number: int) -> list[Span]:
        calls = 60 if number % 20 == 0 else 2
        below = [database("shop", 1 + 2 * n, 3 + 2 * n) for n in range(calls)]
        return trace(number, server("shop", "/", 0, 2 + 2 * calls, *below))

    assert analyse(many(*(page(n) for n in range(1, 101)))).blamed == [("slow", "db/orders", "SELECT", 5)]


def test_work_after_the_answer_is_not_what_made_it_slow() -> None:
    def page(number: int) -> list[Span]:
        slow = number % 20 == 0
        late = server("mail", "/send", 3, 5_000 if slow else 6, database("mail", 3, 4_999 if slow else 5, "SEND"))
        end = 70 if slow else 8
        return trace(number, server("shop", "/", 0, end, client("shop", "POST", 2, 4, late), database("shop", 5, end)))

    found = analyse(many(*(page(n) for n in range(1, 101))))
    assert found.blamed == [("slow", "db/orders", "SELECT", 5)]


def test_the_usual_counts_traces_that_do_without_as_zero() -> None:
    # Of 99 good traces 60 ask X, for 10 to 600 ms: the median over all is 110 ms, that of the 60 would be 300.
    def page(number: int, asks: float, extra: float) -> list[Span]:
        calls = [database("shop", 0, asks, "X"), database("shop", asks, asks + extra, "Y")]
        return trace(number, server("shop", "/", 0, 2000 + asks + extra, *(c for c in calls if c.to > c.at)))

    good = [page(n, 10 * n if n <= 60 else 0, 0) for n in range(1, 100)]
    assert analyse(many(*good, page(100, 1600, 1300))).blamed == [("slow", "db/orders", "X", 1)]
    assert analyse(many(*good, page(100, 1600, 1495))).blamed == [("slow", "db/orders", "Y", 1)]


def test_what_fails_quickly_does_not_make_the_others_slow() -> None:
    failing = many(*(trace(n, server("s", "/", 0, 1).fails("500")) for n in range(1, 101)))
    good = many(*(trace(n, server("s", "/", 0, 20)) for n in range(200, 240)))
    assert analyse(failing + good).blamed == [("error", "s", "/", 100)]


def test_less_than_a_millisecond_is_nothing_to_speak_of() -> None:
    def quick(number: int, length: float) -> list[Span]:
        return trace(number, server("s", "/", 0, length))

    good = many(*(quick(n, 0.1) for n in range(1, 60)))
    assert analyse(good + quick(60, 1.05)).bad == 0
    assert analyse(good + quick(60, 1.15)).bad == 1


@pytest.mark.parametrize("seed", range(5))
def test_a_usual_spread_is_not_slow(seed: int) -> None:
    chance = random.Random(seed)
    spans = many(*(trace(n, server("s", "/", 0, 20 * chance.lognormvariate(0, 0.4))) for n in range(1, 301)))
    assert analyse(spans).bad == 0


def test_few_traces_call_nothing_slow() -> None:
    spans = many(*(trace(n, server("s", "/", 0, 1000 if n == 1 else 10)) for n in range(1, 30)))
    assert analyse(spans).bad == 0
    assert analyse(spans + trace(30, server("s", "/", 0, 10))).bad == 1


def visit(number: int, *, failing: bool, name: str = "/", resource: dict[str, str], **attributes: str) -> list[Span]:
    pay: Node = server("pay", "/pay", 2, 8, **attributes).has(**resource)
    root = server("shop", name, 0, 10, client("shop", "POST", 1, 9, pay.fails("500") if failing else pay))
    return trace(number, root.fails("500") if failing else root)


def test_the_version_the_host_and_the_flag_that_fail_are_found_among_much_else() -> None:
    chance = random.Random(1)
    spans = []
    for number in range(1, 1001):
        version, host = chance.choice(("1.2.2", "1.2.2", "1.2.2", "1.2.3")), f"h{chance.randrange(9)}"
        flags = f"new-cart={chance.choice(('on', 'off'))},theme={chance.choice(('a', 'b', 'c'))}"
        failing = (version == "1.2.3" and chance.random() < 0.8) or ("new-cart=on" in flags and chance.random() < 0.3)
        spans += visit(
            number, failing=failing, resource={"service__version": version, "host__name": host},
            tb__flags=flags, user__id=f"u{chance.randrange(300)}", request__id=f"r{number}",
            http__response__status_code="500" if failing else "200",
        )  # fmt: skip
    found = analyse(spans).contrasts
    assert [(c.service, c.attribute, c.value) for c in found] == [
        ("pay", "service.version", "1.2.3"),
        ("pay", "tb.flags", "new-cart=on"),
    ]
    version = found[0]
    assert (version.bad_total + version.good_total, version.bad > 150, version.good < 80) == (1000, True, True)
    assert 0 < version.low < version.bad / version.bad_total - version.good / version.good_total
    assert found[0].score > found[1].score > 0


def test_a_rare_endpoint_that_fails_often_is_not_the_cause_by_what_it_carries() -> None:
    spans = []
    for number in range(1, 601):
        rare = number % 10 == 0
        failing = number % 20 == 0 or number % 50 == 1
        attributes = {"region": "mars" if rare else "earth"}
        spans += visit(number, failing=failing, name="/rare" if rare else "/", resource=attributes)
    assert analyse(spans).contrasts == (), "within /rare and within / all have the same region"


def test_chance_alone_is_no_contrast() -> None:
    chance = random.Random(7)
    spans = []
    for number in range(1, 401):
        values = {f"key{k}": str(chance.randrange(4)) for k in range(40)}
        spans += visit(number, failing=chance.random() < 0.3, resource={}, **values)
    assert analyse(spans).contrasts == ()


def test_one_stratum_is_newcombes_interval() -> None:
    # The first rows of table II of Newcombe (1998), method 10: 56/70 − 48/80 and 9/10 − 3/10.
    for (bad, n1, good, n0), low in (((56, 70, 48, 80), 0.0524), ((9, 10, 3, 10), 0.1705)):
        totals = Strata(bad=np.array([n1]), good=np.array([n0]))
        found = compare_shares(totals, np.array([[bad]]), np.array([[good]]), z=1.959964)
        assert found.low[0] == pytest.approx(low, abs=5e-5)


def test_correlation_is_phi_and_strata_without_both_kinds_weigh_nothing() -> None:
    totals = Strata(bad=np.array([50, 30, 0]), good=np.array([50, 0, 40]))
    found = compare_shares(totals, np.array([[50, 0, 0], [25, 30, 0]]), np.array([[0, 0, 40], [25, 0, 0]]), z=1.96)
    assert found.correlation == pytest.approx([1.0, 0.0], abs=0.01)
    assert found.difference == pytest.approx([1.0, 0.0])
