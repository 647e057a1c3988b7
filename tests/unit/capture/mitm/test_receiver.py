"""The other end of the addon's pipe."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.capture.formats.mitmproxy.writer import MitmproxyWriter
from tracer_bullet.capture.mitm import receive
from tracer_bullet.model.exchange import Answer, Exchange, Lack, Request
from tracer_bullet.model.losses import Losses


def _exchange(body: bytes, answer: bytes, *, path: str = "/a") -> Exchange:
    request = Request(method="POST", scheme="http", authority="a", target=path, body=body)
    answered = Answer(status=200, body=answer)
    return Exchange(id="1", session="s", source="x", started_ns=10**18, request=request, answer=answered)


def _dump(*exchanges: Exchange) -> bytes:
    stream = io.BytesIO()
    MitmproxyWriter().write(iter(exchanges), stream, Losses())
    return stream.getvalue()


@given(st.binary(max_size=40), st.binary(max_size=40), st.integers(0, 40))
def test_bodies_are_cut_to_the_limit_and_only_then_marked(body: bytes, answer: bytes, limit: int) -> None:
    kept: list[Exchange] = []
    receive(io.BytesIO(_dump(_exchange(body, answer))), lambda e: kept.append(e) or True, body_limit=limit)
    (found,) = kept
    assert found.request.body == body[:limit]
    assert found.answer is not None
    assert found.answer.body == answer[:limit]
    assert (Lack.REQUEST_BODY_CUT in found.lacks) == (len(body) > limit)
    assert (Lack.ANSWER_BODY_CUT in found.lacks) == (len(answer) > limit)


def test_what_is_left_out_and_what_is_torn_is_counted() -> None:
    whole = _dump(_exchange(b"", b"", path="/kept"), _exchange(b"", b"", path="/left"))
    stream = io.BytesIO(whole + _dump(_exchange(b"torn", b""))[:-10])
    received = receive(stream, lambda e: e.request.target == "/kept", body_limit=10)
    assert (received.kept, received.left_out) == (1, 1)
    assert received.losses.lost.total() > 0


@given(st.binary(max_size=200))
def test_any_bytes_are_survived(data: bytes) -> None:
    received = receive(io.BytesIO(data), lambda e: True, body_limit=10)
    assert received.left_out == 0
