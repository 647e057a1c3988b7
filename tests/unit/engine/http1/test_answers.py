"""Reading an answer out of its bytes."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.engine.http1.answers import (
    AnswerError,
    ends_with_connection,
    final_head,
    read_answer,
    stays_open,
)

NAME = st.text("abcXYZ0-", min_size=1, max_size=8).filter(lambda n: n.lower() not in ("connection", "upgrade"))
VALUE = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"), max_size=10)
HEADERS = st.lists(st.tuples(NAME.map(lambda n: "x-" + n), VALUE), max_size=6)


@given(st.integers(200, 599).filter(lambda s: s not in (204, 304)), HEADERS, st.binary(max_size=300), st.integers(0, 3),
       st.lists(st.integers(1, 50), max_size=5), st.integers(0, 400), HEADERS)  # fmt: skip
def test_what_was_written_is_read(
    status: int, headers: list[tuple[str, str]], body: bytes, hints: int, chunks: list[int], keep: int,
    trailers: list[tuple[str, str]],
) -> None:  # fmt: skip
    lines = "".join(f"{k}: {v}\r\n" for k, v in headers).encode("latin-1")
    raw = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" * hints
    if chunks:
        parts, rest = [], body
        for size in chunks:
            if rest[:size]:
                parts.append(b"%x\r\n%b\r\n" % (len(rest[:size]), rest[:size]))
            rest = rest[size:]
        body = body[: len(body) - len(rest)]
        end = "".join(f"{k}: {v}\r\n" for k, v in trailers).encode("latin-1")
        raw += b"HTTP/1.1 %d X\r\n%btransfer-encoding: chunked\r\n\r\n" % (status, lines)
        raw += b"".join(parts) + b"0\r\n" + end + b"\r\n"
    else:
        raw += b"HTTP/1.1 %d X\r\n%bcontent-length: %d\r\n\r\n%b" % (status, lines, len(body), body)
    answer, cut = read_answer(raw + b"HTTP/1.1 500 Not asked\r\n\r\n", keep)
    assert (answer.status, answer.body, cut) == (status, body[:keep], len(body) > keep)
    assert answer.headers[:-1] == tuple(headers)
    assert answer.trailers == (tuple(trailers) if chunks else ())


@given(st.binary(max_size=200), st.booleans())
def test_bytes_that_are_no_answer_are_told_and_nothing_else(raw: bytes, is_head: bool) -> None:
    for text in (raw, b"HTTP/1.1 200 OK\r\n" + raw, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + raw):
        with contextlib.suppress(AnswerError):
            read_answer(text, 100, is_head=is_head)


@pytest.mark.parametrize(
    ("head", "stays", "to_end"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n", True, False),
        (b"HTTP/1.1 200 OK\r\n\r\n", True, True),
        (b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive, Close\r\n\r\n", False, True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", False, False),
        (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", True, False),
        (b"HTTP/1.1 200 OK\r\nx-content-length: 1\r\n\r\n", True, True),
    ],
)
def test_framing(head: bytes, stays: bool, to_end: bool) -> None:
    assert (stays_open(head), ends_with_connection(head)) == (stays, to_end)


def test_the_final_head_is_found_past_interim_ones() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert final_head(interim) == (-1, -1)
    assert final_head(interim + b"HTTP/1.1 200 OK\r\n\r\nbody") == (len(interim), len(interim) + 19)
    with pytest.raises(AnswerError):
        final_head(b"nonsense\r\n\r\n")
