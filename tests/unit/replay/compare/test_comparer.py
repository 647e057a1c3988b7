"""Claim: a difference is a finding only with enough samples, above its noise, and unless it is ignored or minted."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.model.exchange import Answer, Exchange, Lack, Request
from tracer_bullet.model.replay import Comparison, Correlation
from tracer_bullet.model.shares import wilson
from tracer_bullet.model.shots import KeptAnswer
from tracer_bullet.replay.compare import Comparer
from tracer_bullet.workspace.replay import CompareSpec

GET = "GET /things"


def answer(body: Any = None, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    lines = (("Content-Type", "application/json"), *headers)
    return Answer(status=status, headers=lines, body=json.dumps(body).encode())


def exchange(recorded: Answer | None, lacks: frozenset[Lack] = frozenset()) -> Exchange:
    request = Request(method="GET", scheme="http", authority="shop", target="/things")
    return Exchange(id="1", session="s", source="test", started_ns=1, request=request, answer=recorded, lacks=lacks)


def kept(replayed: Answer, *, cut: bool = False) -> KeptAnswer:
    return KeptAnswer(number=0, answer=replayed, cut=cut)


def compare(pairs: list[tuple[Any, Any]], comparer: Comparer | None = None) -> Comparison:
    comparer = comparer or Comparer(CompareSpec())
    for recorded, replayed in pairs:
        comparer.see(GET, exchange(answer(recorded)), kept(answer(replayed)))
    return comparer.result()


def test_equal_answers_are_counted_as_such() -> None:
    result = compare([({"a": 1}, {"a": 1})] * 7)
    assert (result.compared, result.equal, result.findings) == (7, 7, ())


def test_a_finding_has_its_share_bounds_and_examples() -> None:
    result = compare([({"price": 1}, {"price": 2})] * 6 + [({"price": 1}, {"price": 1})] * 4)
    (finding,) = result.findings
    assert (finding.field, finding.kind, finding.differing, finding.compared) == ("$.price", "value", 6, 10)
    assert finding.share_low < 0.6 < finding.share_high
    assert finding.examples == (("1", "2"),)


def test_few_samples_decide_nothing() -> None:
    result = compare([({"a": 1}, {"a": 2})] * 4)
    assert not result.findings
    assert [d.field for d in result.unsure] == ["$.a"]


def test_what_differs_by_itself_is_noise_and_more_than_that_is_a_finding() -> None:
    comparer = Comparer(CompareSpec())
    for i in range(20):
        same = i < 18
        comparer.noise(GET, kept(answer({"t": 0, "n": 0})), kept(answer({"t": i + 1, "n": 0 if same else 1})))
    result = compare([({"t": 1, "n": 1}, {"t": 2, "n": 2})] * 40, comparer)
    assert [d.field for d in result.noisy] == ["$.t"]
    assert [(d.field, d.noise) for d in result.findings] == [("$.n", 0.1)]


def test_ignored_fields_and_minted_values_do_not_differ() -> None:
    spec = CompareSpec.model_validate({"ignore": [{"field": "$.items[*].at*", "endpoint": "GET *"}]})
    token = Correlation(variable="token", minted=f"{GET} $.token", used=(), sessions=1, uses=1)
    comparer = Comparer(spec, [token])
    recorded = {"items": [{"at": 1}], "token": "a", "order": "o-1", "owner": "x"}
    replayed = {"items": [{"at": 2}], "token": "b", "order": "o-9", "owner": "y"}
    for _ in range(9):
        comparer.see(GET, exchange(answer(recorded)), kept(answer(replayed)), {b"o-1": b"o-9"})
    assert [d.field for d in comparer.result().findings] == ["$.owner"]


def test_another_status_says_it_all() -> None:
    comparer = Comparer(CompareSpec())
    for _ in range(9):
        comparer.see(GET, exchange(answer({"a": 1})), kept(answer({"error": "no"}, status=500)))
    assert [(d.field, d.examples) for d in comparer.result().findings] == [("status", (("200", "500"),))]


def test_headers_are_compared_as_asked() -> None:
    comparer = Comparer(CompareSpec.model_validate({"headers": ["Location"]}))
    for _ in range(9):
        recorded = answer(1, headers=(("location", "/a"), ("date", "x")))
        comparer.see(GET, exchange(recorded), kept(answer(1, headers=(("Location", "/b"), ("date", "y")))))
    assert [d.field for d in comparer.result().findings] == ["header:location"]


def test_codings_do_not_count() -> None:
    zipped = Answer(
        status=200,
        headers=(("content-type", "application/json"), ("content-encoding", "gzip")),
        body=gzip.compress(b'{"a": 1}'),
    )
    comparer = Comparer(CompareSpec())
    comparer.see(GET, exchange(answer({"a": 1})), kept(zipped))
    assert comparer.result().equal == 1


@pytest.mark.parametrize(
    ("recorded", "lacks", "cut", "compared"),
    [
        (None, frozenset(), False, 0),
        (answer(1), frozenset({Lack.ANSWER_BODY}), False, 1),
        (answer(1), frozenset({Lack.ANSWER_BODY_CUT}), False, 1),
        (answer(1), frozenset(), True, 1),
    ],
)
def test_what_is_not_known_is_not_compared(
    recorded: Answer | None, lacks: frozenset[Lack], cut: bool, compared: int
) -> None:
    comparer = Comparer(CompareSpec())
    comparer.see(GET, exchange(recorded, lacks), kept(answer(2), cut=cut))
    result = comparer.result()
    assert (result.compared, result.equal, sum(result.incomparable.values())) == (compared, compared, 1)


def test_ever_new_fields_do_not_fill_the_memory() -> None:
    comparer = Comparer(CompareSpec())
    for i in range(3_000):
        comparer.see(GET, exchange(answer({f"k{i}": 1})), kept(answer({f"k{i}": 2})))
    result = comparer.result()
    places = (*result.findings, *result.unsure)
    assert len(places) == 2_001
    assert sum(d.differing for d in places) == 3_000


@given(st.integers(0, 200), st.integers(1, 200))
def test_the_interval_holds_the_share(hits: int, of: int) -> None:
    hits = min(hits, of)
    low, high = wilson(hits, of)
    assert 0 <= low <= hits / of <= high <= 1
    more_low, more_high = wilson(hits * 10, of * 10)
    assert more_high - more_low < high - low


def test_the_interval_is_wilsons() -> None:
    """Ten of a hundred: 5.52 to 17.44 per cent (the textbook's figures)."""
    assert wilson(10, 100) == (pytest.approx(0.0552, abs=1e-4), pytest.approx(0.1744, abs=1e-4))


@pytest.mark.parametrize("depth", [400, 980, 1020, 100_000])
@pytest.mark.parametrize("form", [("[", "]"), ('{"a":', "}")])
def test_answers_that_are_nested_deep_break_nothing(depth: int, form: tuple[str, str]) -> None:
    def deep(value: str) -> Answer:
        body = (form[0] * depth + value + form[1] * depth).encode()
        return Answer(status=200, headers=(("content-type", "application/json"),), body=body)

    comparer = Comparer(CompareSpec(min_samples=1))
    comparer.see("GET /", exchange(deep("1")), kept(deep("1")))
    comparer.see("GET /", exchange(deep("1")), kept(deep("2")))
    comparer.see("GET /", exchange(deep("1")), kept(answer([1])))
    result = comparer.result()
    assert (result.compared, result.equal) == (3, 1)
    assert result.findings
