"""Recognition by content, wrappings, folders, and what is said of everything else."""

from __future__ import annotations

import gzip
import io
import random
import shutil
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.capture.formats.samples import GOLDEN, SAMPLES
from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.detect import format_named, open_recording
from tracer_bullet.capture.formats.registry import FORMATS
from tracer_bullet.capture.formats.shared import streams
from tracer_bullet.errors import UsageError
from tracer_bullet.model.exchange import Exchange
from tracer_bullet.model.losses import Losses

(GOR, _) = SAMPLES["goreplay"]
HAR = SAMPLES["har"][0]


def read(source: Path | io.BytesIO, losses: Losses | None = None) -> list[Exchange]:
    found, stream = open_recording(source)
    with stream:
        return list(found.read(stream, losses if losses is not None else Losses(), ReadOptions()))


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16"])
def test_byte_order_marks(mark: str) -> None:
    assert read(io.BytesIO(HAR.decode().encode(mark))) == read(io.BytesIO(HAR))


def test_leading_white_space_and_a_name_that_lies(tmp_path: Path) -> None:
    (tmp_path / "x.gor").write_bytes(b"\n  " + HAR)
    assert read(tmp_path / "x.gor") == read(io.BytesIO(HAR))


def test_several_members_of_gzip_and_frames_of_zstd() -> None:
    half = GOR.index(b"\n1 ") + 1
    for pack in (gzip.compress, zstandard.compress):
        assert read(io.BytesIO(pack(GOR[:half]) + pack(GOR[half:]))) == read(io.BytesIO(GOR))


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_torn_archive_gives_what_is_there_and_says_so(pack: object) -> None:
    noise = random.Random(1)
    records = [
        b"1 %d 1 0\nPOST / HTTP/1.1\r\nHost: a\r\n\r\n%s" % (n, noise.randbytes(3_000).hex().encode())
        for n in range(200)
    ]
    content = pack("\n🐵🙈🙉\n".encode().join(records))  # type: ignore[operator]
    losses = Losses()
    found = read(io.BytesIO(content[: len(content) // 2]), losses)
    assert found
    assert losses.lost[streams.DAMAGED] == 1
    losses = Losses()
    broken = bytearray(content)
    broken[len(broken) // 2] ^= 0xFF
    read(io.BytesIO(bytes(broken)), losses)
    assert streams.DAMAGED in losses.lost or losses.lost or pack is zstandard.compress


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"\x1f\x8b\x08\0", b"\x28\xb5\x2f\xfd", b"\xff\xfe", b"\xef\xbb\xbf"]),
)
def test_any_bytes_are_opened_or_refused(content: bytes, magic: bytes) -> None:
    try:
        read(io.BytesIO(magic + content))
    except UsageError as error:
        code = error.code
    else:
        code = ""
    assert code in ("", "TB910", "TB911")


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b"", "TB911", "empty"),
        (b" \n\n", "TB911", "empty"),
        (gzip.compress(b"", mtime=0), "TB911", "empty"),
        (b"\xd4\xc3\xb2\xa1rest", "TB910", "--input-raw-engine pcap_file"),
        (b"from locust import HttpUser\nclass A(HttpUser): pass\n", "TB910", "a Locust script"),
        (b"import http from 'k6/http';\n", "TB910", "a k6 script"),
        (b"PK\x03\x04", "TB910", "a ZIP archive"),
        (b'{"any": "json"}', "TB910", "it is JSON"),
        (b"\0\1\2\3", "TB910", "export it as HAR"),
    ],
)
def test_what_is_no_recording(content: bytes, code: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        open_recording(io.BytesIO(content))
    assert raised.value.code == code
    assert said in str(raised.value)
    if code == "TB910":
        assert all(one.name in str(raised.value) for one in FORMATS.values())


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        open_recording(tmp_path / "none.har")
    assert raised.value.code == "TB912"


def test_a_format_by_its_key() -> None:
    assert format_named("har") is FORMATS["har"]
    with pytest.raises(UsageError) as raised:
        format_named("goreply")
    assert raised.value.code == "TB913"
    assert "did you mean 'goreplay'?" in raised.value.cure


def test_a_folder_is_one_recording(tmp_path: Path) -> None:
    half = GOR.index(b"\n1 ") + 1
    (tmp_path / "x_9.gor").write_bytes(GOR[:half].removesuffix("\n🐵🙈🙉\n".encode()))
    (tmp_path / "x_10.gor").write_bytes(gzip.compress(GOR[half:]))
    (tmp_path / ".hidden").write_bytes(b"x")
    (tmp_path / "notes.txt").write_bytes(b"about it")
    losses = Losses()
    assert read(tmp_path, losses) == read(io.BytesIO(GOR))
    assert losses.lost[streams.DAMAGED] == 1
    assert "notes.txt" in losses.examples[streams.DAMAGED][0]


@pytest.mark.parametrize("key", ["har", "mitmproxy", "envoy-tap", "envoy-tap-protobuf", "k6", "curl"])
def test_folders_of_every_kind(key: str, tmp_path: Path) -> None:
    sample = SAMPLES[key][0]
    for number in range(3):
        (tmp_path / f"part-{number}").write_bytes(
            sample.rstrip(b"\n") if key not in ("mitmproxy", "envoy-tap-protobuf") else sample
        )
    assert len(read(tmp_path)) == 3 * len(read(io.BytesIO(sample)))


def test_taps_with_and_without_lengths_in_one_folder(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "envoy-tap" / "buffered-pb", tmp_path, dirs_exist_ok=True)
    for path in (GOLDEN / "envoy-tap" / "buffered-delimited").iterdir():
        shutil.copy(path, tmp_path)
    assert len(read(tmp_path)) == 18


def test_empty_folders_and_folders_of_other_things(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        open_recording(tmp_path)
    assert raised.value.code == "TB911"
    (tmp_path / "x").write_bytes(b"x")
    with pytest.raises(UsageError) as raised:
        open_recording(tmp_path)
    assert raised.value.code == "TB910"


def test_closing_closes_what_was_opened_and_nothing_else(tmp_path: Path) -> None:
    given_ = io.BytesIO(GOR)
    _, stream = open_recording(given_)
    stream.close()
    assert not given_.closed


def test_a_stream_that_cannot_seek() -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            super().__init__()
            self.rest = GOR

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            part, self.rest = self.rest[:7], self.rest[7:]
            buffer[: len(part)] = part
            return len(part)

    found, stream = open_recording(Pipe())  # type: ignore[arg-type]
    with stream:
        assert list(found.read(stream, Losses(), ReadOptions())) == read(io.BytesIO(GOR))
