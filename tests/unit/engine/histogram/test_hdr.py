"""Our histogram is HdrHistogram's, slot by slot and byte by byte, whatever comes in and however it is merged."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from tracer_bullet.engine.histogram import BucketTable, Histogram
from tracer_bullet.engine.histogram.buckets import HIGHEST, HIGHEST_US, LOWEST, MEDIAN, SLOTS, slots_of_ns
from tracer_bullet.model.replay import Quantiles

# Spread over all magnitudes, which uniform numbers are not.
TIMES_US = st.integers(0, 32).flatmap(lambda bits: st.integers(0, min((1 << bits) - 1, HIGHEST_US)))
LISTS = st.lists(TIMES_US, max_size=60)


def reference(values_us: list[int]) -> HdrHistogram:
    hdr = HdrHistogram(1, HIGHEST_US, 3)
    for value in values_us:
        assert hdr.record_value(value)
    return hdr


def ours(values_us: list[int]) -> Histogram:
    histogram = Histogram()
    histogram.record_ns(np.array(values_us, np.int64) * 1000)
    return histogram


def test_the_layout_is_hdrhistograms() -> None:
    hdr = HdrHistogram(1, HIGHEST_US, 3)
    assert hdr.counts_len == SLOTS
    for slot in range(0, SLOTS, 7):
        value = hdr.get_value_from_index(slot)
        assert value == LOWEST[slot]
        assert hdr.get_highest_equivalent_value(value) == HIGHEST[slot]
        assert hdr._hdr_median_equiv_value(value) == MEDIAN[slot]


@settings(max_examples=30)
@given(LISTS)
def test_counts_quantiles_and_encoding_equal_recording_one_by_one(values_us: list[int]) -> None:
    hdr, histogram = reference(values_us), ours(values_us)
    assert histogram.counts.tolist() == list(hdr.counts)
    percentiles = [0.1, 50.0, 90.0, 95.0, 99.0, 99.9, 100.0]
    if values_us:
        assert histogram.values_us(percentiles) == [hdr.get_value_at_percentile(p) for p in percentiles]
        assert histogram.quantiles().mean_ms == pytest.approx(hdr.get_mean_value() / 1000)
    assert histogram.encode() == hdr.encode().decode()


@given(LISTS)
def test_hdrhistogram_decodes_what_we_encode_and_we_decode_it(values_us: list[int]) -> None:
    text = ours(values_us).encode()
    assert list(HdrHistogram.decode(text).counts) == ours(values_us).counts.tolist()
    assert (Histogram.decode(text).counts == ours(values_us).counts).all()


@given(LISTS, LISTS)
def test_merged_is_what_one_would_have_counted(left: list[int], right: list[int]) -> None:
    merged = Histogram.decode(ours(left).encode())
    merged.merge(Histogram.decode(ours(right).encode()))
    assert merged.quantiles() == ours(left + right).quantiles()


@given(st.lists(TIMES_US, min_size=1, max_size=60), st.sampled_from([50.0, 90.0, 99.0, 100.0]))
def test_a_quantile_is_within_a_thousandth_of_the_true_one(values_us: list[int], percentile: float) -> None:
    (value,) = ours(values_us).values_us([percentile])
    rank = max(int(percentile * len(values_us) / 100 + 0.5), 1)
    true = sorted(values_us)[rank - 1]
    assert true <= value <= true * 1.001 + 1


def test_out_of_range_is_clamped() -> None:
    low, zero, just, over = slots_of_ns(np.array([-5_000_000, 999, 1_000, 10**18], np.int64))
    assert (low, zero, just) == (0, 0, 1)
    assert LOWEST[over] <= HIGHEST_US <= HIGHEST[over]


def test_nothing_counted_is_all_zero() -> None:
    assert Histogram().quantiles() == Quantiles()
    assert Histogram.decode(Histogram().encode()).count == 0


@given(st.one_of(st.text(max_size=80), st.binary(max_size=200).map(lambda raw: base64.b64encode(raw).decode())))
def test_anything_else_is_refused_with_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Histogram.decode(text)


def payload_of(values_us: list[int]) -> bytearray:
    return bytearray(zlib.decompress(base64.b64decode(ours(values_us).encode())[8:]))


def text_of(payload: bytes | bytearray) -> str:
    packed = zlib.compress(bytes(payload))
    return base64.b64encode(bytes.fromhex("1c849314") + len(packed).to_bytes(4, "big") + packed).decode()


@pytest.mark.parametrize("counts", ["ffffffff3f", "ffffff0f02", "80"])
def test_counts_that_are_none_are_refused(counts: str) -> None:
    """More slots without a count than a library's int holds, more than there are, and a number that is cut."""
    damaged = payload_of([5])[:40] + bytes.fromhex(counts)
    damaged[4:8] = (len(damaged) - 40).to_bytes(4, "big")
    with pytest.raises(ValueError, match=r"no HdrHistogram|varint"):
        Histogram.decode(text_of(damaged))


@settings(max_examples=200)
@given(LISTS, st.data())
def test_a_damaged_payload_never_does_more_than_raise_a_value_error(values_us: list[int], data: st.DataObject) -> None:
    payload = payload_of(values_us)
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = Histogram.decode(text_of(payload))
    except ValueError:
        return
    assert decoded.counts.size == SLOTS
    assert (decoded.counts >= 0).all()


def test_a_small_text_that_unpacks_to_gigabytes_is_refused_unread() -> None:
    with pytest.raises(ValueError, match="too long"):
        Histogram.decode(text_of(bytes(50_000_000)))


@pytest.mark.parametrize("shape", [(1, 3_600_000, 3), (1, HIGHEST_US, 2), (1000, HIGHEST_US, 3)])
def test_other_ranges_and_precisions_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"1 µs|3 digits"):
        Histogram.decode(HdrHistogram(*shape).encode().decode())


PAIRS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=40)


@given(st.lists(PAIRS, max_size=6), st.lists(PAIRS, max_size=6))
def test_a_table_counts_as_a_dense_one(left: list[list[tuple[int, int]]], right: list[list[tuple[int, int]]]) -> None:
    dense = np.zeros((6, 10), np.int64)
    tables = BucketTable(10), BucketTable(10)
    for table, parts in zip(tables, (left, right), strict=True):
        for part in parts:
            rows, slots = (np.array([pair[i] for pair in part], np.int64) for i in (0, 1))
            table.add(rows, slots)
            np.add.at(dense, (rows, slots), 1)
    tables[0].merge(tables[1])
    table = tables[0]
    assert table.rows().tolist() == np.flatnonzero(dense.any(axis=1)).tolist()
    assert [table.row(r).tolist() for r in range(6)] == dense.tolist()
    assert table.total().tolist() == dense.sum(axis=0).tolist()
    table.halve()
    assert [table.row(r).tolist() for r in range(3)] == (dense[::2] + dense[1::2]).tolist()
    table.forget(1)
    assert table.rows().tolist() == [r for r in (1, 2) if dense[2 * r : 2 * r + 2].any()]


def test_a_table_settles_by_itself_and_loses_nothing() -> None:
    table = BucketTable(100)
    for _ in range(1000):
        table.add(7, np.arange(100))
    assert len(table._parts) < 1000
    assert table.row(7).tolist() == [1000] * 100
