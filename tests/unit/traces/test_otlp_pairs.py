"""Attributes read by hand from the wire are what protobuf's parser reads, whatever the bytes."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1 import common_pb2

from tracer_bullet.traces.otlp_protobuf import _any_pair, _Pairs, _plain_pair

keys = st.text(max_size=140)
values = st.one_of(
    st.builds(lambda v: common_pb2.AnyValue(string_value=v), st.text(max_size=140)),
    st.builds(lambda v: common_pb2.AnyValue(int_value=v), st.integers(-(2**63), 2**63 - 1) | st.integers(0, 2**22)),
    st.builds(lambda v: common_pb2.AnyValue(bool_value=v), st.booleans()),
    st.builds(lambda v: common_pb2.AnyValue(double_value=v), st.floats()),
    st.builds(lambda v: common_pb2.AnyValue(bytes_value=v), st.binary(max_size=9)),
    st.just(common_pb2.AnyValue()),
)
pairs = st.builds(lambda key, value: common_pb2.KeyValue(key=key, value=value).SerializeToString(), keys, values)


@given(pairs)
def test_what_is_read_by_hand_is_what_the_parser_reads(raw: bytes) -> None:
    assert _plain_pair(raw) in (None, _any_pair(raw))


@given(pairs, st.integers(0, 300), st.integers(0, 255))
def test_also_when_bytes_are_changed(raw: bytes, place: int, byte: int) -> None:
    changed = bytearray(raw or b"\0")
    changed[place % len(changed)] = byte
    found = _plain_pair(bytes(changed))
    try:
        assert found in (None, _any_pair(bytes(changed)))
    except DecodeError:
        assert found is None


@given(st.text(max_size=60), st.text(max_size=60) | st.integers(0, 2**20))
def test_short_ones_are_read_by_hand(key: str, value: str | int) -> None:
    kind = "string_value" if isinstance(value, str) else "int_value"
    raw = common_pb2.KeyValue(key=key, value=common_pb2.AnyValue(**{kind: value})).SerializeToString()
    small = bool(key) and len(key.encode()) < 0x80 and len(str(value).encode()) < 0x7C
    assert _plain_pair(raw) == ((key, str(value)) if small else None)


def test_a_number_that_is_cut_off_is_left_to_the_parser() -> None:
    whole = common_pb2.KeyValue(key="k", value=common_pb2.AnyValue(int_value=2**20)).SerializeToString()
    assert _plain_pair(whole) == ("k", str(2**20))
    for cut in (1, 2):  # the lengths say less, and the last byte says that more follows
        at = whole.index(b"\x18")
        raw = bytearray(whole[:-cut])
        raw[at - 1] -= cut
        assert _plain_pair(bytes(raw)) is None


def test_a_key_of_ever_new_values_does_not_push_out_what_recurs() -> None:
    pairs = _Pairs()
    common = common_pb2.KeyValue(key="method", value=common_pb2.AnyValue(string_value="GET")).SerializeToString()
    first = pairs[common]
    for number in range(5 * _Pairs.MOST):
        value = common_pb2.AnyValue(string_value=str(number))
        assert pairs[common_pb2.KeyValue(key="id", value=value).SerializeToString()] == ("id", str(number))
    assert pairs[common] is first
    assert len(pairs) <= _Pairs.MOST
