"""Hypothesis strategies for exchanges that HTTP/1.1 can carry."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from tracer_bullet.capture.formats.gor.records import SEPARATOR
from tracer_bullet.model.exchange import Answer, Exchange, Headers, Lack, Request

_visible = st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#")
names = st.from_regex(r"[Xx]-[A-Za-z0-9!._~-]{1,8}", fullmatch=True)
# As a header's value comes out of a parser: no space at its ends.
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_categories=["Cc"]), max_size=12).map(
    lambda text: text.strip(" \t\r\n")
)
headers = st.lists(st.tuples(names, values), max_size=3).map(tuple)
targets = st.text(_visible, max_size=20).map(lambda text: "/" + text.lstrip("/"))
authorities = st.sampled_from(["shop.example", "shop.example:8080", "127.0.0.1", "[::1]:8443", "xn--bcher-kva.example"])
bodies = st.one_of(
    st.just(b""),
    st.binary(max_size=60),
    st.text(max_size=30).map(lambda text: text.encode("utf-8", "replace")),
    st.lists(
        st.sampled_from([b"a", SEPARATOR, b"1 0123 7\n", b"1 0123 7 0\nGET / HTTP/1.1\r\n\r\n", b"\r\n"]), max_size=4
    ).map(b"".join),
)
moments = st.integers(0, 2**62)
lengths = st.integers(0, 2**50)  # 13 days; HAR has floats


@st.composite
def framed(draw: st.DrawFn, body: bytes) -> tuple[Headers, Headers]:
    """Headers that say how long the body is, and trailers."""
    more: Headers = draw(headers)
    if draw(st.booleans()):
        return (*more, ("Transfer-Encoding", "chunked")), draw(headers)
    return (*more, ("Content-Length", str(len(body)))), ()


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    """One exchange, with or without an answer; nothing in it contradicts itself."""
    method = draw(st.sampled_from(["GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "X-OWN"]))
    authority = draw(authorities)
    body = draw(bodies)
    lines, trailers = draw(framed(body))
    request = Request(
        method=method,
        scheme="http",
        authority=authority,
        target=draw(targets),
        http_version=draw(st.sampled_from(["1.1", "1.0"])),
        headers=(("Host", authority), *lines),
        body=body,
        trailers=trailers,
    )
    start = draw(moments)
    byte, end = start + draw(lengths), start + draw(lengths)
    byte, end = min(byte, end), max(byte, end)
    answer = None
    if draw(st.booleans()):
        status = draw(st.sampled_from([200, 201, 204, 304, 404, 500, 599]))
        content = b"" if method == "HEAD" or status in (204, 304) else draw(bodies)
        said, behind = draw(framed(content))
        if method == "HEAD" or status in (204, 304):
            said, behind = draw(headers), ()
        answer = Answer(status=status, headers=said, body=content, trailers=behind)
    session = draw(st.from_regex(r"[0-9a-f]{16}", fullmatch=True))
    lacks = frozenset({Lack.ANSWER, Lack.DURATION}) if answer is None else frozenset()
    return Exchange(
        id="",
        session=session,
        source="",
        started_ns=start,
        first_byte_ns=byte if answer else None,
        ended_ns=end if answer else None,
        request=request,
        answer=answer,
        lacks=lacks,
    )


recordings = st.lists(exchanges(), max_size=5).map(
    lambda found: [replace(one, id=f"id-{n}") for n, one in enumerate(found)]
)
