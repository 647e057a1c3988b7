"""Claim: a share of traces is kept whole, the same traces wherever they are counted, and the rest costs no memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers.otlp import PROTOBUF, to_protobuf
from tests.unit.traces.test_receiver import a_span, post
from tracer_bullet.traces import Limits, Receiver
from tracer_bullet.traces.ids import in_share, rows_in_share, signed, trace_halves

HALVES = st.integers(0, 2**64 - 1)


@given(st.lists(HALVES, max_size=50), st.floats(0, 1))
def test_rows_and_ids_are_judged_alike(halves: list[int], share: float) -> None:
    expected = [in_share(h, share) for h in halves]
    assert rows_in_share(np.array(halves, np.uint64), share).tolist() == expected
    assert [in_share(signed(h), share) for h in halves] == expected


@given(HALVES)
def test_all_and_none(half: int) -> None:
    assert in_share(half, 1.0)
    assert not in_share(half, 0.0)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_receiver_holds_only_the_share(share: float) -> None:
    ids = [f"{n:016x}{n * 2**64 // 40:016x}" for n in range(1, 40)]
    kept = {i for i in ids if in_share(trace_halves(i)[1], share)}
    assert len(kept) == {0.0: 0, 0.3: 11, 1.0: 39}[share]
    with Receiver(limits=Limits(max_spans=70)) as receiver:
        assert post(receiver, to_protobuf([a_span("b" * 32)]), PROTOBUF).status_code == 200
        receiver.keep_share(share)
        for _ in range(3 if share < 1 else 1):  # more than fit, were all of them held
            assert post(receiver, to_protobuf([a_span(i) for i in ids]), PROTOBUF).status_code == 200
        found = receiver.spans(ids)
        assert {i for i, spans in found.items() if spans} == kept
        assert receiver.spans(["b" * 32])["b" * 32], "what was held before stays"
