"""Shares of the iterations: whoever owns what, and however it moves, each iteration has one owner."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracer_bullet.load.share import Share


@st.composite
def parted(draw: st.DrawFn, shards: int, senders: int) -> list[frozenset[int]]:
    """All residues, each with one of the senders."""
    owners = draw(st.lists(st.integers(0, senders - 1), min_size=shards, max_size=shards))
    return [frozenset(r for r, owner in enumerate(owners) if owner == s) for s in range(senders)]


@given(st.data(), st.integers(1, 7), st.integers(1, 3))
@settings(deadline=None, max_examples=100)
def test_moves_neither_lose_nor_repeat_an_iteration(data: st.DataObject, shards: int, senders: int) -> None:
    gaps = data.draw(st.lists(st.integers(0, 3), max_size=80))
    due = np.cumsum(np.array([0, *gaps], dtype=np.int64))
    owned = data.draw(parted(shards, senders))
    shares = [Share(shards, some) for some in owned]
    places = [0] * senders
    sent: list[tuple[int, int]] = []
    history = [(-1, owned)]
    for _ in range(data.draw(st.integers(0, 12))):
        if data.draw(st.booleans()):  # somebody plans on, by its own leaps
            who = data.draw(st.integers(0, senders - 1))
            end = data.draw(st.integers(places[who], len(due)))
            sent += _claim(shares[who], who, due, places[who], end)
            places[who] = end
        else:  # a share moves, later than what anybody has planned
            planned = max(0, *(share.planned_to_ns for share in shares))
            since = data.draw(st.integers(planned, planned + 20))
            owned = data.draw(parted(shards, senders))
            assert [share.own(some, since) for share, some in zip(shares, owned, strict=True)] == [since] * senders
            history = [entry for entry in history if entry[0] < since] + [(since, owned)]
    for who, share in enumerate(shares):
        sent += _claim(share, who, due, places[who], len(due))
    assert sorted(number for number, _ in sent) == list(range(len(due)))
    for number, who in sent:  # and it is who owned it when it was due
        then = [parts for since, parts in history if since <= due[number]][-1]
        assert number % shards in then[who]


def _claim(share: Share, who: int, due: np.ndarray, begin: int, end: int) -> list[tuple[int, int]]:
    return [(begin + index, who) for index in share.claim(begin, due[begin:end]).tolist()]


def test_what_is_planned_already_stays_and_the_answer_says_so() -> None:
    share = Share(2, [0])
    due = np.arange(10, dtype=np.int64) * 10
    assert share.claim(0, due[:6]).tolist() == [0, 2, 4]
    assert share.own([1], 20) == 51  # 5 was looked at, due at 50
    assert share.planned_to_ns == 51
    assert (6 + share.claim(6, due[6:])).tolist() == [7, 9]


def test_a_later_word_replaces_one_that_was_for_later() -> None:
    share = Share(2, [0, 1])
    before = share.version
    share.own([], 100)
    share.own([0], 50)
    assert share.version != before
    assert share.residues == {0}
    assert share.claim(0, np.array([10, 40, 50, 60, 100, 120])).tolist() == [0, 1, 2, 4]


def test_spans_of_a_residue() -> None:
    share = Share(3, [0, 1])
    share.own([1], 10)
    share.own([1, 2], 20)
    share.own([0], 30)
    assert [(max(a, 0), min(b, 99)) for a, b in share.owned_spans(0)] == [(0, 10), (30, 99)]
    assert [(max(a, 0), min(b, 99)) for a, b in share.owned_spans(1)] == [(0, 30)]
    assert [(max(a, 0), min(b, 99)) for a, b in share.owned_spans(2)] == [(20, 30)]


def test_who_owns_nothing_begins_now_and_is_told_when_it_is_too_late() -> None:
    share = Share(4, [])
    assert share.begin(1000) == 1000
    assert share.own([2], 400) == 1000
    late = Share(4, [])
    late.own([2], 400)
    assert late.begin(1000) == 400
    assert Share(4, [1]).begin(1000) == 0


@pytest.mark.parametrize(("shards", "residues"), [(0, []), (2, [2]), (2, [-1])])
def test_residues_that_are_none(shards: int, residues: list[int]) -> None:
    with pytest.raises(ValueError):
        Share(shards, residues)
