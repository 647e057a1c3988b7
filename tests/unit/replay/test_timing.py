"""Curves, schedules and order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.replay.shop import SECOND, START, exchange
from tracer_bullet.model.exchange import Lack
from tracer_bullet.replay.timing.curve import Curve, CurveBuilder
from tracer_bullet.replay.timing.order import Orders, ended_of
from tracer_bullet.replay.timing.schedule import amplified, clone_offsets, loop_period_ns, speed_to_peak


class TestCurve:
    @given(st.lists(st.integers(0, 200_000), min_size=1, max_size=300))
    def test_every_request_is_counted_and_buckets_are_bounded(self, seconds: list[int]) -> None:
        builder = CurveBuilder()
        for at in sorted(seconds):
            builder.add(at * SECOND)
        curve = builder.curve()
        assert sum(curve.counts) == len(seconds)
        assert len(curve.counts) <= 65_536
        for number, count in enumerate(curve.counts):
            here = sum(number * curve.width_s <= s < (number + 1) * curve.width_s for s in seconds) if count else 0
            assert here == count

    @given(st.lists(st.integers(0, 50), min_size=1, max_size=40), st.integers(1, 12))
    def test_the_busiest_window_of_whole_buckets(self, counts: list[int], window: int) -> None:
        busiest = Curve(counts=tuple(counts)).busiest(window)
        padded = counts + [0] * window
        assert busiest * window == pytest.approx(max(sum(padded[i : i + window]) for i in range(len(counts))))

    def test_a_window_may_cut_buckets(self) -> None:
        assert Curve(counts=(10, 0, 20)).busiest(0.5) == pytest.approx(20)
        assert Curve(counts=(10, 10), width_s=2).busiest(1) == pytest.approx(5)
        assert Curve().busiest(1) == 0

    @given(st.lists(st.integers(0, 50), min_size=5, max_size=60), st.floats(0.5, 40))
    def test_the_speed_to_a_peak_reaches_it(self, counts: list[int], peak: float) -> None:
        curve = Curve(counts=tuple(counts))
        speed = speed_to_peak(curve, peak, 2.0)
        if sum(counts) >= peak * 2:
            assert curve.busiest(2.0 * speed) * speed == pytest.approx(peak, rel=1e-3)
        assert speed > 0


class TestAmplified:
    @given(
        st.lists(st.integers(0, 1000), max_size=40),
        st.lists(st.integers(0, 500), max_size=6),
    )
    def test_it_is_the_sorted_product(self, times: list[int], more: list[int]) -> None:
        times.sort()
        offsets = [0, *sorted(more)]
        found = list(amplified(enumerate_times(times), offsets))
        assert sorted(found) == sorted(
            (t + o, clone, n) for n, t in enumerate(times) for clone, o in enumerate(offsets)
        )
        assert [due for due, _, _ in found] == sorted(due for due, _, _ in found)
        for clone in range(len(offsets)):
            assert [n for _, c, n in found if c == clone] == list(range(len(times)))

    def test_only_the_spread_is_remembered(self) -> None:
        read = 0

        def long() -> object:
            nonlocal read
            for n in range(5000):
                read += 1
                yield n * 10, n

        source = amplified(long(), [0, 50, 100])  # type: ignore[arg-type]
        for n in range(3000):
            due, _, _ = next(source)
            assert read * 10 <= due + 120, n


def enumerate_times(times: list[int]) -> list[tuple[int, int]]:
    return [(t, n) for n, t in enumerate(times)]


def test_clones_start_evenly_within_the_spread() -> None:
    assert clone_offsets(4, 2.0) == [0, SECOND // 2, SECOND, SECOND * 3 // 2]
    assert clone_offsets(1, 9.0) == [0]


def test_a_round_ends_with_the_mean_gap() -> None:
    assert loop_period_ns(90, 10) == 100
    assert loop_period_ns(0, 1) == SECOND


class TestOrder:
    @staticmethod
    def waits(order: Orders, rows: list[tuple[int, int | None]], *, held: bool = False) -> list[int]:
        found = []
        order.reset(3)
        order.planned(3, 99, 0, 1, held=True)
        order.reset(3)
        for number, (start, end) in enumerate(rows):
            found.append(order.after(3, start))
            order.planned(3, number, start, end, held=held)
        return found

    def test_causal_waits_for_the_request_that_had_ended_latest(self) -> None:
        rows: list[tuple[int, int | None]] = [(0, 100), (10, 30), (40, 50), (60, 500), (120, 130), (600, 601)]
        # While 0 is open, 1 waits for none, 2 for 1, 3 for 2; 4 began after 0 had ended, 5 after all, and 3 ended last.
        assert self.waits(Orders("causal"), rows) == [-1, -1, 1, 2, 0, 3]

    def test_where_ends_are_unknown_each_waits_for_the_one_before(self) -> None:
        assert self.waits(Orders("causal"), [(0, None), (1, None), (1, None), (2, None)]) == [-1, 0, 1, 2]
        assert self.waits(Orders("sent"), [(0, None), (1, None), (1, None)]) == [-1, 0, 1]

    def test_sent_waits_only_behind_what_may_be_held(self) -> None:
        assert self.waits(Orders("sent"), [(0, 1), (2, 3), (4, 5)]) == [-1, -1, -1]
        assert self.waits(Orders("sent"), [(0, 1), (2, 3), (4, 5)], held=True) == [-1, 0, 1]

    def test_none_waits_for_none(self) -> None:
        assert self.waits(Orders("none"), [(0, None), (5, 6), (7, 8)]) == [-1, -1, -1]

    @given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 300)), max_size=40))
    def test_causal_is_what_it_says(self, rows: list[tuple[int, int]]) -> None:
        rows.sort()
        spans: list[tuple[int, int | None]] = [(start, start + took) for start, took in rows]
        for number, wait in enumerate(self.waits(Orders("causal"), spans)):
            ended = [
                (end, n) for n, (_, end) in enumerate(spans[:number]) if end is not None and end <= spans[number][0]
            ]
            assert wait == (max(ended)[1] if ended else -1)

    def test_vague_times_have_no_known_end(self) -> None:
        assert ended_of(exchange(took=1.0)) == START + SECOND
        assert ended_of(exchange(took=None)) is None
        for lack in (Lack.START, Lack.SUBSECOND, Lack.DURATION):
            assert ended_of(exchange(took=1.0, lacks=frozenset({lack}))) is None
        assert ended_of(exchange(took=1.0, lacks=frozenset({Lack.SESSION}))) is not None
