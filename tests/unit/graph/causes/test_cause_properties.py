"""Claim: causes do not depend on how spans came, and every bad trace is in exactly one of them."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.graph.causes.captures import analyse
from tracer_bullet.graph.causes import find
from tracer_bullet.graph.causes.texts import error_texts, plain_texts
from tracer_bullet.model import Span, SpanKind, SpanStatus, Symptom

ERRORS = ("", "500", "503", "404", "TimeoutError", "CANCELLED", "ConnectError")
TARGETS: tuple[dict[str, str], ...] = (
    {},
    {"db.system": "postgresql", "server.address": "db"},
    {"server.address": "bank.example"},
    {"peer.service": "pay"},
)


@st.composite
def traces(draw: st.DrawFn) -> list[Span]:
    """Up to three traces of up to nine spans: gaps, circles, several roots, every kind, errors anywhere."""
    spans = []
    for number in range(draw(st.integers(1, 3))):
        size = draw(st.integers(1, 9))
        for index in range(size):
            start = draw(st.integers(0, 40))
            parent = draw(st.none() | st.integers(0, size))
            error = draw(st.sampled_from(ERRORS))
            spans.append(
                Span(
                    trace_id=f"{(number + 10) << 62:032x}",
                    span_id=f"{(index + 10) << 59:016x}",
                    parent_id=None if parent is None else f"{(parent + 10) << 59:016x}",
                    name=draw(st.sampled_from(("a", "b"))),
                    kind=draw(st.sampled_from(SpanKind)),
                    service=draw(st.sampled_from(("web", "pay", "stock"))),
                    start_ns=start,
                    end_ns=draw(st.integers(max(0, start - 2), 40)),
                    status=draw(st.sampled_from((SpanStatus.UNSET, SpanStatus.ERROR, SpanStatus.ERROR))),
                    attributes={**draw(st.sampled_from(TARGETS)), **({"error.type": error} if error else {})},
                )
            )
    return spans


@settings(max_examples=15)
@given(traces(), st.data())
def test_order_copies_and_id_case_do_not_matter(spans: list[Span], data: st.DataObject) -> None:
    unique = list({(s.trace_id, s.span_id): s for s in spans}.values())
    wanted = analyse(unique)
    copies = data.draw(st.lists(st.sampled_from(unique), max_size=4))
    shouted = [
        replace(
            s, trace_id=s.trace_id.upper(), span_id=s.span_id.upper(), parent_id=s.parent_id and s.parent_id.upper()
        )
        for s in [*unique, *copies]
    ]
    assert analyse(data.draw(st.permutations(shouted))) == wanted


@settings(max_examples=25)
@given(traces())
def test_every_bad_trace_is_in_one_cause(spans: list[Span]) -> None:
    found = analyse(spans)
    for symptoms, total in (
        ((Symptom.ERROR, Symptom.SLOW), found.bad),
        ((Symptom.SWALLOWED,), sum(c.traces for c in found.of(Symptom.SWALLOWED))),
    ):
        causes = [c for c in found.causes if c.symptom in symptoms]
        assert sum(c.traces for c in causes) == total
        assert sum(c.share for c in causes) == pytest.approx(1.0 if total else 0.0)
        ids = [i for c in causes for i in c.example_trace_ids]
        assert len(ids) == len(set(ids))
    assert found.bad <= len({s.trace_id for s in spans})
    assert len({c.key for c in found.causes}) == len(found.causes)
    for cause in found.causes:
        failed = {(s.service, s.name) for s in spans if s.failed}
        assert cause.peer or (cause.service, cause.operation) in failed
        assert all(len(step.split(" ")) == 2 for step in cause.path[: -1 if cause.peer else None])


def test_a_trace_is_found_bad_whatever_others_there_are() -> None:
    one = Span(
        trace_id=f"{1:032x}", span_id=f"{1:016x}", parent_id=None, name="a", kind=SpanKind.SERVER, service="web",
        start_ns=0, end_ns=9, status=SpanStatus.ERROR,
    )  # fmt: skip
    many = [replace(one, trace_id=f"{n:032x}", status_message=f"order {n} of 'x{n}' lost") for n in range(1, 400)]
    found = analyse(many)
    assert [(c.traces, c.error) for c in found.causes] == [(399, "order <n> of <value> lost")]
    assert found.causes[0].example_trace_ids == tuple(f"{n:032x}" for n in (1, 2, 3))


def test_rare_causes_are_folded_into_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "MOST_CAUSES", 3)
    spans = [
        Span(
            trace_id=f"{n:032x}", span_id=f"{1:016x}", parent_id=None, name=f"op{min(n % 10, 6)}", kind=SpanKind.SERVER,
            service="web", start_ns=0, end_ns=9, status=SpanStatus.ERROR,
        )
        for n in range(1, 101)
    ]  # fmt: skip
    found = analyse(spans)
    assert [(c.service, c.operation, c.traces) for c in found.causes] == [
        ("", "", 50),
        ("web", "op6", 40),
        ("web", "op0", 10),
    ]
    assert found.causes[0].error == "(other causes)"
    assert sum(c.share for c in found.causes) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("user 4711 not found", "user <n> not found"),
        ("no order 3f2504e0-4f89-41d3-9a0c-0305e82c3301", "no order <id>"),
        ("at 0x7f3a2b: req_9f8e7d6c failed", "at <id>: <id> failed"),
        ("dial tcp 10.1.2.3:5432: refused", "dial tcp <address>: refused"),
        ("GET https://bank.example/charges/17?x=1 failed", "GET <address> failed"),
        ("[::1]:8080 and localhost:80 and db.prod:5432", "<address> and <address> and <address>"),
        ("key 'it''s' and \"b\" and `c`", "key <value> and <value> and <value>"),
        ("can't connect, don't retry", "can't connect, don't retry"),
        ("after 1.5 s,  12:30:01\n x", "after <n> s, <n> x"),
        ("mail to a.b@example.org bounced", "mail to <address> bounced"),
        ("", ""),
    ],
)
def test_what_differs_is_taken_out_of_messages(text: str, plain: str) -> None:
    assert plain_texts(pa.array([text])).to_pylist() == [plain]


@given(st.lists(st.text(max_size=80), max_size=5))
def test_taking_out_twice_changes_nothing_and_no_digit_stays(texts: list[str]) -> None:
    texts = [t.encode("utf-8", "ignore").decode() for t in texts]
    once = plain_texts(pa.array(texts, pa.string()))
    assert plain_texts(once) == once
    assert not any(c in "0123456789" for text in once.to_pylist() for c in text)


def test_types_and_messages_are_joined_without_saying_a_thing_twice() -> None:
    types = ["httpx.ConnectError", "ValueError", "500", "", "KeyError", ""]
    messages = ["ConnectError: refused", "bad id 5", "", "lost", "KeyError", ""]
    assert error_texts(pa.array(types), pa.array(messages)).to_pylist() == [
        "ConnectError: refused", "ValueError: bad id <n>", "500", "lost", "KeyError", "",
    ]  # fmt: skip
