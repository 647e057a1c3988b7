"""Nothing in a log raises, or takes long, or is lost without being counted."""

from __future__ import annotations

import gzip
import io
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.capture.formats.logs import configs
from tests.unit.capture.formats.logs.reading import GOLDEN, one, read
from tracer_bullet.capture.formats.base import Format
from tracer_bullet.capture.formats.detect import open_recording
from tracer_bullet.capture.formats.logs.lines import columns as c
from tracer_bullet.capture.formats.registry import FORMATS
from tracer_bullet.model.exchange import Lack

_COMBINED = '203.0.113.7 - - [21/Nov/2026:19:45:03 +0100] "{}" {} 5 "-" "curl/8"'
_READERS: dict[str, tuple[Format, dict[str, str]]] = {
    "nginx": (FORMATS["nginx"], {}),
    "nginx custom": (FORMATS["nginx"], {"log_format": configs.NGINX["custom"]}),
    "nginx json": (FORMATS["nginx"], {"log_format": configs.NGINX["json"]}),
    "apache": (FORMATS["apache"], {}),
    "apache custom": (FORMATS["apache"], {"log_format": configs.APACHE["custom"]}),
    "combined": (FORMATS["access-log"], {"log_time": "end"}),
    "envoy": (FORMATS["envoy"], {}),
    "envoy custom": (FORMATS["envoy"], {"log_format": configs.ENVOY["custom"]}),
    "envoy json": (FORMATS["envoy"], {"log_format": configs.ENVOY["json"]}),
    **{key: (FORMATS[key], {}) for key in ("envoy-json", "json-log", "alb", "elb", "cloudfront")},
}
_LINES = [line for path in sorted(GOLDEN.glob("*/*.log")) for line in path.read_bytes().splitlines(keepends=True)]
_LINES += [path.read_bytes() for path in sorted((GOLDEN / "aws").iterdir())]


def _accounts_for_all(format: Format, content: bytes, options: dict[str, str]) -> None:  # noqa: A002
    found, losses = read(format, content, **options)
    bare = [line.removesuffix(b"\r").lstrip(b"\0").removeprefix(b"\xef\xbb\xbf") for line in content.split(b"\n")]
    lines = sum(1 for line in bare if line)
    comments = sum(1 for line in bare if line.startswith(b"#"))
    assert lines - comments <= len(found) + sum(losses.lost.values()) <= lines
    for exchange in found:
        assert exchange.started_ns >= 0
        assert exchange.request.target.isascii()
        assert not set("\r\n\0") & set("".join(f"{n}{v}" for n, v in exchange.request.headers))


@pytest.mark.parametrize("name", _READERS)
@given(content=st.binary(max_size=300))
def test_any_bytes(name: str, content: bytes) -> None:
    for format in FORMATS.values():  # noqa: A001
        assert format.recognises(content) in (True, False)
    reader, options = _READERS[name]
    _accounts_for_all(reader, content, options)


@pytest.mark.parametrize("name", _READERS)
@given(
    lines=st.lists(st.sampled_from(_LINES), min_size=1, max_size=4),
    changes=st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=4), st.integers(0, 20)), max_size=6),
)
def test_damaged_lines(name: str, lines: list[bytes], changes: list[tuple[int, bytes, int]]) -> None:
    content = bytearray(b"".join(lines))
    for at, put, cut in changes:
        content[at : at + cut] = put
    reader, options = _READERS[name]
    _accounts_for_all(reader, bytes(content), options)


@pytest.mark.parametrize("name", _READERS)
def test_no_line_takes_time_that_grows_faster_than_it(name: str) -> None:
    """The worst that lines can be made of: what patterns end with, over and over."""
    reader, options = _READERS[name]
    for piece in (
        '" ',
        '" "',
        " ",
        "\\",
        '\\"',
        '"',
        "[",
        "- ",
        "1 ",
        '{"a":',
        "GET / HTTP/1.1 ",
        "|",
        "\t",
        "://",
        "%",
    ):
        content = (piece * (400_000 // len(piece)) + "\n").encode()
        for head in (b"", _LINES[0][:60], _LINES[-1][:60], b'[2026-11-21T19:45:03.183Z] "GET /'):
            began = time.process_time()
            read(reader, head + content, **options)
            # Quadratic time would take minutes; a slow machine does not.
            assert time.process_time() - began < 10


def test_line_ends_of_every_kind_and_a_last_line_without() -> None:
    line = _COMBINED.format("GET /a HTTP/1.1", 200)
    found, losses = read(FORMATS["nginx"], f"{line}\r\n{line}\n\n{line}")
    assert len(found) == 3
    assert not losses.lost
    assert not losses.repaired


def test_a_torn_last_line_is_told_from_a_line_in_another_format() -> None:
    line = _COMBINED.format("GET /a HTTP/1.1", 200)
    _, losses = read(FORMATS["nginx"], f"nonsense\n{line}\n{line[:60]}")
    assert losses.lost == {c.NO_FORM: 1, c.TORN: 1}
    assert losses.examples[c.NO_FORM] == ["nonsense"]


def test_lines_over_the_limit_are_passed_over() -> None:
    line = _COMBINED.format("GET /a HTTP/1.1", 200)
    long = _COMBINED.format(f"GET /{'a' * (1 << 20)} HTTP/1.1", 200)
    found, losses = read(FORMATS["nginx"], f"{line}\n{long}\n{line}\n{long * 3}\n{line}\n{long}")
    assert len(found) == 3
    assert losses.lost == {c.TOO_LONG: 3}
    nearly = one(FORMATS["nginx"], _COMBINED.format(f"GET /{'a' * 1_000_000} HTTP/1.1", 200))
    assert len(nearly.request.target) == 1_000_001


def test_nul_bytes_of_rotation_by_copying() -> None:
    line = _COMBINED.format("GET /a HTTP/1.1", 200)
    for hole in (5000, 3 << 20):
        found, losses = read(FORMATS["nginx"], f"{line}\n" + "\0" * hole + f"{line}\n")
        assert len(found) == 2
        assert losses.repaired == {c.NUL: 1}
        assert not losses.lost


def test_a_rotated_compressed_log(tmp_path: Path) -> None:
    path = tmp_path / "access.log.2.gz"
    path.write_bytes(gzip.compress((GOLDEN / "envoy" / "istio.log").read_bytes()))
    format, stream = open_recording(path)  # noqa: A001
    with stream:
        found, losses = read(format, stream.read())
    assert len(found) == 9
    assert losses.lost == {c.NO_REQUEST: 3}


class _Pipe(io.RawIOBase):
    """Gives one byte a read."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        return self._content.readinto(memoryview(buffer)[:1])


def test_pipes_that_give_little_at_a_time() -> None:
    from tracer_bullet.capture.formats.base import ReadOptions
    from tracer_bullet.model.losses import Losses

    content = (GOLDEN / "nginx" / "combined.log").read_bytes()
    piped = list(FORMATS["nginx"].read(_Pipe(content), Losses(), ReadOptions()))  # type: ignore[arg-type]
    assert piped == read(FORMATS["nginx"], content)[0]


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("", 400), ("-", 408), ("GET  HTTP/1.1", 400), (r"\x16\x03\x01", 400), ("GET /a b HTTP/1.1", 400),
        ("GET /", 400), ("GET", 400), ("get\\x00 / HTTP/1.1", 400), ("GET index.html HTTP/1.1", 400),
        ("GET / HTTP/1.1 x", 400), ("SSH-2.0-Go", 400), ("GET // FTP/1.0", 400), ("* * HTTP/1.1", 400), ("POST /", 200),
    ],
)  # fmt: skip
def test_what_is_no_request(line: str, status: int) -> None:
    found, losses = read(FORMATS["nginx"], _COMBINED.format(line, status))
    assert not found
    assert sum(losses.lost.values()) == 1


@pytest.mark.parametrize(
    ("line", "method", "target", "authority", "version"),
    [
        ("GET /a b?c d HTTP/1.0", "GET", "/a%20b?c%20d", "", "1.0"),
        ("GET /", "GET", "/", "", "1.0"),
        (r"GET /\xC3\xA9\x22 HTTP/2.0", "GET", '/%C3%A9"', "", "2"),
        ("GET https://shop.example:443/a?b#c HTTP/3", "GET", "/a?b", "shop.example", "3"),
        ("GET http://user:word@shop.example:8080 HTTP/1.1", "GET", "/", "shop.example:8080", "1.1"),
        ("OPTIONS * HTTP/1.1", "OPTIONS", "*", "", "1.1"),
        ("M-SEARCH /x HTTP/1.1", "M-SEARCH", "/x", "", "1.1"),
        ("GET //double/../x HTTP/1.1", "GET", "//double/../x", "", "1.1"),
    ],
)  # fmt: skip
def test_odd_request_lines(line: str, method: str, target: str, authority: str, version: str) -> None:
    found = one(FORMATS["nginx"], _COMBINED.format(line, 200))
    request = found.request
    assert (request.method, request.target, request.authority, request.http_version) == (
        method,
        target,
        authority,
        version,
    )
    assert (Lack.AUTHORITY in found.lacks) == (not authority)


def test_tunnels_and_upgrades_are_never_replayed() -> None:
    assert one(FORMATS["nginx"], _COMBINED.format("CONNECT shop.example:443 HTTP/1.1", 200)).unreplayable == "connect"
    upgraded, losses = read(FORMATS["nginx"], _COMBINED.format("GET /socket HTTP/1.1", 101))
    assert upgraded[0].unreplayable == "upgrade"
    assert losses.repaired == {c.UPGRADED: 1}


@pytest.mark.parametrize(
    ("status", "answered"), [("499", False), ("444", False), ("000", False), ("404", True), ("204", True)]
)
def test_what_nobody_answered_has_no_answer(status: str, answered: bool) -> None:
    found = one(FORMATS["nginx"], _COMBINED.format("GET /a HTTP/1.1", status))
    assert (found.answer is not None) is answered
    assert Lack.ANSWER not in found.lacks
    if status == "204":
        assert found.answer is not None
        assert found.answer.body == b""
        assert Lack.ANSWER_BODY not in found.lacks


def test_a_status_that_is_not_known_is_marked() -> None:
    found = one(FORMATS["apache"], _COMBINED.format("GET /a HTTP/1.1", "-"))
    assert found.answer is None
    assert Lack.ANSWER in found.lacks


@pytest.mark.parametrize(
    ("client", "forwarded", "session"),
    [
        ("203.0.113.7", "-", "client:203.0.113.7"), ("2001:db8::7", "-", "client:2001:db8::7"),
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "client:203.0.113.9"), ("10.0.0.1", "unknown", "client:10.0.0.1"),
        ("10.0.0.1", "[2001:db8::9]:4711", "client:2001:db8::9"), ("unix:", "-", ""),
        ("10.0.0.1:99", "-", "client:10.0.0.1"),
    ],
)  # fmt: skip
def test_whose_request_it_is(client: str, forwarded: str, session: str) -> None:
    line = _COMBINED.format("GET /a HTTP/1.1", 200).replace("203.0.113.7", client)
    found = one(FORMATS["nginx"], f'{line} "{forwarded}"')
    assert found.session == session
    assert Lack.SESSION in found.lacks
    assert found.request.values("x-forwarded-for") == ([] if forwarded == "-" else [forwarded])


def test_line_ends_inside_a_header_cannot_make_another_one() -> None:
    line = _COMBINED.format("GET /a HTTP/1.1", 200).replace("curl/8", r"curl\x0D\x0AX-Admin: 1\x00\x09z")
    found, losses = read(FORMATS["nginx"], line)
    assert found[0].request.headers == (("user-agent", "curlX-Admin: 1\tz"),)
    assert losses.repaired == {c.UNCLEAN: 1}
