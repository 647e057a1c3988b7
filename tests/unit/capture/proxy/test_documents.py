"""However the bytes are cut, the documents are the same."""

from __future__ import annotations

import contextlib
import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.capture.proxy.envoy.documents import Dechunker, Documents, Malformed

VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
DOCUMENTS = st.lists(st.dictionaries(st.text(max_size=4), VALUES, min_size=1, max_size=3), max_size=5)


def _pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(places)]


@given(DOCUMENTS, st.lists(st.integers(0, 10_000), max_size=8))
def test_documents_are_whole_however_they_come(values: list[object], cuts: list[int]) -> None:
    data = b"".join(json.dumps(value, indent=1).encode() + b"\n" for value in values)
    documents = Documents(1 << 20)
    found = [json.loads(d) for piece in _pieces(data, cuts) for d in documents.feed(piece)]
    assert found == values
    assert (documents.oversized, documents.is_torn) == (0, False)


@given(st.binary(max_size=300), st.lists(st.integers(1, 60), max_size=8), st.lists(st.integers(0, 10_000), max_size=8))
def test_chunks_give_back_what_was_put_in(content: bytes, sizes: list[int], cuts: list[int]) -> None:
    coded, rest = b"", content
    for size in sizes:
        part, rest = rest[:size], rest[size:]
        coded += b"%x\r\n%b\r\n" % (len(part), part) if part else b""
    coded += (b"%X;extension\r\n%b\r\n" % (len(rest), rest) if rest else b"") + b"0\r\n\r\n"
    dechunker = Dechunker()
    assert b"".join(dechunker.feed(piece) for piece in _pieces(coded, cuts)) == content
    assert dechunker.ended


@given(st.binary(max_size=200))
def test_any_bytes_are_chunks_or_malformed(data: bytes) -> None:
    dechunker = Dechunker()
    with contextlib.suppress(Malformed):
        assert len(dechunker.feed(data)) <= len(data)


def test_a_chunk_without_a_size_is_malformed() -> None:
    for data in (b"\r\n", b"x\r\n", b"0" * 5000):
        with pytest.raises(Malformed):
            Dechunker().feed(data)


def test_a_document_past_the_limit_is_given_up_and_the_next_one_is_found() -> None:
    documents = Documents(100)
    large = json.dumps({"a": "x" * 500}, indent=1).encode() + b"\n"
    small = json.dumps({"b": 1}, indent=1).encode() + b"\n"
    found = []
    for at in range(0, len(large), 50):
        found += documents.feed(large[at : at + 50])
    found += documents.feed(small)
    assert [json.loads(d) for d in found] == [{"b": 1}]
    assert (documents.oversized, documents.is_torn) == (1, False)


def test_a_document_that_has_begun_is_torn() -> None:
    documents = Documents(100)
    assert documents.feed(b"{\n") == []
    assert documents.is_torn
