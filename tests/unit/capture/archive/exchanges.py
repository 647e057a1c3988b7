"""Exchanges for tests: any at all, and small ones that can be told apart."""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st

from tracer_bullet.model.exchange import Answer, Exchange, Headers, Lack, Request

_NS = st.integers(-(2**63), 2**63 - 1)
_HEADERS: st.SearchStrategy[Headers] = st.lists(st.tuples(st.text(max_size=8), st.text(max_size=12)), max_size=4).map(
    tuple
)
_BODY = st.one_of(st.none(), st.binary(max_size=60), st.text(max_size=30).map(str.encode))
_TEXT = st.text(max_size=12)

REQUESTS = st.builds(
    Request,
    method=_TEXT,
    scheme=_TEXT,
    authority=_TEXT,
    target=_TEXT,
    http_version=_TEXT,
    headers=_HEADERS,
    body=_BODY,
    trailers=_HEADERS,
)
ANSWERS = st.builds(Answer, status=st.integers(0, 999), headers=_HEADERS, body=_BODY, trailers=_HEADERS)
EXCHANGES = st.builds(
    Exchange,
    id=_TEXT,
    session=_TEXT,
    source=_TEXT,
    started_ns=_NS,
    request=REQUESTS,
    answer=st.one_of(st.none(), ANSWERS),
    first_byte_ns=st.one_of(st.none(), _NS),
    ended_ns=st.one_of(st.none(), _NS),
    lacks=st.frozensets(st.sampled_from(Lack)),
    redacted=st.lists(_TEXT, max_size=3).map(tuple),
)


def small(number: int, started_ns: int | None = None, *, host: str = "shop:8080", size: int = 20) -> Exchange:
    """A request and its answer, with `number` in many places and an answer of `size` bytes that compresses badly."""
    start = 1_700_000_000_000_000_000 + number * 1_000_000 if started_ns is None else started_ns
    body = (b"%d:" % number + Random(number).randbytes(size))[:size]
    return Exchange(
        id=f"x-{number}",
        session=f"s-{number % 7}",
        source="test",
        started_ns=start,
        first_byte_ns=start + 2_000_000,
        ended_ns=start + 3_000_000,
        request=Request(method="GET", scheme="http", authority=host, target=f"/orders/{number}", headers=(("a", "b"),)),
        answer=Answer(status=200, headers=(("content-type", "text/plain"),), body=body),
    )
