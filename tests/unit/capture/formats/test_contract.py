"""What holds for every format of the registry, whoever wrote it."""

from __future__ import annotations

import gzip
import io
import itertools
import random
import re
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.capture.formats.samples import SAID, SAMPLES, SEEN_AS
from tracer_bullet.capture.formats.base import HEAD_BYTES, ReadOptions
from tracer_bullet.capture.formats.detect import open_recording
from tracer_bullet.capture.formats.registry import FORMATS
from tracer_bullet.capture.formats.shared import streams
from tracer_bullet.model.exchange import Exchange, Lack
from tracer_bullet.model.losses import Losses

ALL = [pytest.param(key, sample, id=f"{key}-{n}") for key, found in SAMPLES.items() for n, sample in enumerate(found)]
OPTIONS = ReadOptions(authority="shop.example")


def options_of(key: str) -> ReadOptions:
    return replace(OPTIONS, **SAID.get(key, {}))


def read(key: str, content: bytes, losses: Losses | None = None) -> list[Exchange]:
    return list(FORMATS[key].read(io.BytesIO(content), losses if losses is not None else Losses(), options_of(key)))


def test_each_format_has_a_sample() -> None:
    assert set(SAMPLES) == set(FORMATS)


@pytest.mark.parametrize(("key", "sample"), ALL)
def test_each_recognises_its_own_samples_and_no_other(key: str, sample: bytes) -> None:
    assert [name for name, one in FORMATS.items() if one.recognises(sample[:HEAD_BYTES])] == [SEEN_AS.get(key, key)]


@pytest.mark.parametrize("key", FORMATS)
def test_none_recognises_nothing_or_noise(key: str) -> None:
    noise = random.Random(1).randbytes(4_000)
    for head in (b"", b" \n", b"{}", b"[]", b"0", noise, b"\0" * 100, b"hello world\n", b"\xff\xfe"):
        assert not FORMATS[key].recognises(head), head[:20]


@pytest.mark.parametrize(("key", "sample"), ALL)
def test_it_is_found_whatever_it_is_wrapped_in(key: str, sample: bytes) -> None:
    for wrapped in (
        sample,
        gzip.compress(sample),
        zstandard.compress(sample),
        gzip.compress(zstandard.compress(sample)),
    ):
        found, stream = open_recording(io.BytesIO(wrapped))
        with stream:
            assert found is FORMATS[SEEN_AS.get(key, key)]
            assert stream.read() == sample


@pytest.mark.parametrize(("key", "sample"), ALL)
def test_exchanges_are_sound(key: str, sample: bytes) -> None:
    found = read(key, sample)
    assert found
    for one in found:
        check(one)


def check(one: Exchange) -> None:
    """What the model promises; a mark stands for everything that is missing."""
    request, answer, lacks = one.request, one.answer, one.lacks
    assert 0 <= one.started_ns < 2**63
    assert one.source
    assert request.scheme in ("http", "https")
    assert request.target.startswith("/") or request.target == "*"
    assert request.target.isascii()
    assert not set(request.target) & set(" \r\n\0")
    assert not set(request.authority) & set(" \r\n\0/")
    assert request.authority or Lack.AUTHORITY in lacks
    assert request.http_version in ("1.0", "1.1", "2", "3")
    for name, value in (*request.headers, *(answer.headers if answer else ())):
        assert name
        assert not name.startswith(":")
        assert not set(name + value) & set("\r\n\0")
        value.encode("latin-1")
    assert (request.body is None) == (Lack.REQUEST_BODY in lacks)
    if answer is None:
        assert one.first_byte_ns is None
    else:
        assert 100 <= answer.status < 1000
        assert (answer.body is None) == (Lack.ANSWER_BODY in lacks)
        assert Lack.ANSWER not in lacks
    assert (one.ended_ns is None) == (Lack.DURATION in lacks)


@pytest.mark.parametrize("size", [3, 100, 1_001])
@pytest.mark.parametrize(("key", "sample"), ALL)
def test_it_does_not_matter_how_the_bytes_come(
    key: str, sample: bytes, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_losses, losses = Losses(), Losses()
    whole = read(key, sample, whole_losses)
    monkeypatch.setattr(streams, "CHUNK", size)
    assert read(key, sample, losses) == whole
    assert losses == whole_losses


@pytest.mark.parametrize(("key", "sample"), ALL)
def test_ids_are_there_once_or_not_at_all(key: str, sample: bytes) -> None:
    ids = [one.id for one in read(key, sample) if one.id]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("key", FORMATS)
def test_empty_input_gives_nothing(key: str) -> None:
    assert read(key, b"") == []
    assert read(key, b"\n\n") == []


@pytest.mark.parametrize("key", FORMATS)
@given(content=st.binary(max_size=300))
@settings(max_examples=60)
def test_any_bytes_are_read_without_raising(key: str, content: bytes) -> None:
    FORMATS[key].recognises(content)
    for one in read(key, content):
        check(one)


@pytest.mark.parametrize("key", FORMATS)
@given(data=st.data())
@settings(max_examples=60)
def test_damage_never_raises(key: str, data: st.DataObject) -> None:
    """Torn, with flipped bits, pieces cut out, put in or doubled."""
    content = bytearray(data.draw(st.sampled_from(SAMPLES[key])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(0, len(content) - 1)))
        match data.draw(st.integers(0, 4)):
            case 0:
                del content[at:]
            case 1 if content:
                content[at] ^= 1 << data.draw(st.integers(0, 7))
            case 2:
                del content[at : at + data.draw(st.integers(1, 200))]
            case 3:
                content[at:at] = data.draw(st.binary(max_size=20))
            case _:
                content[at:at] = content[at : at + data.draw(st.integers(1, 2_000))]
    FORMATS[key].recognises(bytes(content[:HEAD_BYTES]))
    for one in read(key, bytes(content)):
        check(one)


_VALUE = re.compile(rb'"[^"\n]{0,80}"|(?<=[:\[, ])-?\d[\d.]*|true|false|null')
_OTHER = [
    b"null",
    b"1",
    b"-1",
    b"1e400",
    b"9" * 25,
    b"true",
    b'""',
    b"[]",
    b"{}",
    b"[[]]",
    b'{"a": 1}',
    b'"\\ud800"',
    b'"\\n"',
]


@pytest.mark.parametrize("key", [key for key, found in SAMPLES.items() if found[0].lstrip()[:1] == b"{"])
@given(data=st.data())
@settings(max_examples=80)
def test_values_of_other_types_never_raise(key: str, data: st.DataObject) -> None:
    sample = data.draw(st.sampled_from(SAMPLES[key]))
    places = [found.span() for found in _VALUE.finditer(sample)]
    chosen = data.draw(st.lists(st.sampled_from(places), min_size=1, max_size=6, unique=True))
    for begin, end in sorted(chosen, reverse=True):
        sample = sample[:begin] + data.draw(st.sampled_from(_OTHER)) + sample[end:]
    for one in read(key, sample):
        check(one)


@pytest.mark.parametrize(("key", "sample"), ALL)
def test_what_stands_before_the_damage_is_kept(key: str, sample: bytes) -> None:
    """A recording that was cut off gives what is whole in it, and says what is not."""
    if key in WHOLE:
        pytest.skip("it is read as a whole")
    whole = read(key, sample)
    losses = Losses()
    cut = read(key, sample[:-3], losses)
    kept, there = Counter(e.request.target for e in cut), Counter(e.request.target for e in whole)
    assert kept <= there
    assert kept.total() >= there.total() - 1
    assert kept == there or losses.lost


# Documents that people keep, not recordings that grow: they are parsed in one piece.
WHOLE = {"postman", "insomnia"}


class Endless(io.RawIOBase):
    """Content again and again, up to a size, never all at once."""

    def __init__(self, head: bytes, again: bytes, tail: bytes, size: int) -> None:
        super().__init__()
        self._parts = self._content(head, again, tail, size)
        self._held = b""
        self.size = 0

    @staticmethod
    def _content(head: bytes, again: bytes, tail: bytes, size: int) -> Iterator[bytes]:
        yield head
        for _ in range(size // len(again)):
            yield again
        yield tail

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._held:
            chunk = next(self._parts, None)
            if chunk is None:
                return 0
            self._held = chunk
        size = min(len(buffer), len(self._held))
        buffer[:size] = self._held[:size]
        self._held = self._held[size:]
        self.size += size
        return size


def repeated(key: str, sample: bytes) -> tuple[bytes, bytes, bytes]:
    if key == "har":
        begin, end = sample.index(b"[", sample.index(b'"entries"')) + 1, sample.rindex(b"]")
        return sample[:begin], sample[begin:end] + b",", sample[begin:]
    return b"", sample if sample.endswith(b"\n") or key in BINARY else sample + b"\n", b""


BINARY = {"mitmproxy", "envoy-tap-protobuf"}
_SIZE = 3 << 19
_MOST = 3 << 18


# Their records have ids, and one that comes again is none: test_otlp.py bounds what they hold.
ONCE = {"otlp-json", "otlp-protobuf"}


@pytest.mark.parametrize("key", [key for key in FORMATS if key not in WHOLE | ONCE])
def test_memory_does_not_grow_with_the_recording(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "CHUNK", 1 << 14)  # what is held besides is what is looked for
    sample = SAMPLES[key][-1 if key != "har" else 1]
    stream: BinaryIO = io.BufferedReader(Endless(*repeated(key, sample), _SIZE))
    losses = Losses()
    exchanges = FORMATS[key].read(stream, losses, options_of(key))
    count = sum(1 for _ in itertools.islice(exchanges, 20))
    tracemalloc.start()
    try:
        count += sum(1 for _ in exchanges)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count >= 100, losses
    assert peak < _MOST
