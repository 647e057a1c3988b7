"""What an answer says to the sender; whatever it is, reading it never fails."""

from __future__ import annotations

import json
import zlib
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.engine.client import Shot
from tracer_bullet.engine.schedule.sessions import Session
from tracer_bullet.engine.schedule.slots import fill
from tracer_bullet.engine.schedule.takes import decoded, pause_s, says_disabled, take
from tracer_bullet.model.arrival import Slot, Take
from tracer_bullet.model.exchange import Answer

BODY = (
    '{"id": 17, "price": 1.10, "yes": true, "no": null, "a": {"b": [{"c d": "ü"}, "x"]}, "big": 12345678901234567890}'
)


def answer(body: bytes = BODY.encode(), **headers: str) -> Answer:
    lines = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Answer(status=200, headers=lines, body=body)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$.id", b"17"), ("$.price", b"1.10"), ("$.yes", b"true"), ("$.no", b"null"),
        ("$.a", '{"b":[{"c d":"ü"},"x"]}'.encode()), ("$.a.b[0]", '{"c d":"ü"}'.encode()),
        ("$.a.b[0]['c d']", "ü".encode()), ('$.a["b"][1]', b"x"), ("$.a.b[2]", None), ("$.a.b.c", None),
        ("$.id.x", None),
        ("$.big", b"12345678901234567890"), ("$.no.x", None), ("", None), ("$.a..b", None), ("$.a.b[-1]", None),
        ("id", None),
    ],
)  # fmt: skip
def test_values_out_of_json(path: str, value: bytes | None) -> None:
    assert take(answer(), (Take("v", "json", path),)) == ({} if value is None else {"v": value})


def test_the_newest_value_counts_and_a_null_replaces_no_text() -> None:
    session, takes = Session(b""), (Take("v", "json", "$.v"),)
    seen = []
    for n, body in enumerate((b'{"v": "a"}', b'{"v": null}', b'{"v": 2}', b'{"v": [1]}', b"{}")):
        shot = Shot(n, 0, 0, 0, 0, b"", b"")
        shot.answer = answer(body)
        assert session.mint(shot, takes) == (n < 4)
        slots = [Slot("body", 0, 1, "v", "value"), Slot("body", 1, 1, "v", "raw")]
        seen.append(fill(b"", b"@@", slots, session.values, session.wholes)[1])
    assert seen == [b'"a"a', b"nulla", b"22", b"[1]2", b"[1]2"]


def test_values_out_of_headers_and_cookies() -> None:
    got = Answer(
        status=201,
        headers=(
            ("Location", "http://h/orders/17?x"), ("set-cookie", "sid=first"), ("Set-Cookie", "sid=a=b%20c; Path=/"),
            ("set-cookie", "other=\xe9"), ("Set-Cookie", "broken"),
        ),
    )  # fmt: skip
    takes = (
        Take("where", "header", "location"), Take("id", "header", "location", r"/orders/(\d+)"),
        Take("none", "header", "location", r"/items/(\d+)"), Take("sid", "cookie", "sid"),
        Take("other", "cookie", "other"),
        Take("broken", "cookie", "broken"), Take("lack", "header", "etag"), Take("odd", "header", "location", r"h(z)?"),
    )  # fmt: skip
    assert take(got, takes) == {
        "where": b"http://h/orders/17?x", "id": b"17", "sid": b"a=b%20c", "other": b"\xe9",
    }  # fmt: skip


@pytest.mark.parametrize(("bits", "coding"), [(31, "gzip"), (31, "x-gzip"), (15, "deflate"), (-15, "deflate")])
def test_values_out_of_coded_bodies(bits: int, coding: str) -> None:
    packer = zlib.compressobj(wbits=bits)
    body = packer.compress(BODY.encode()) + packer.flush()
    assert take(answer(body, content_encoding=coding), (Take("v", "json", "$.id"),)) == {"v": b"17"}


def test_unknown_codings_and_bombs_give_nothing() -> None:
    packer = zlib.compressobj(wbits=31)
    bomb = packer.compress(bytes(50_000_000)) + packer.flush()
    assert decoded(answer(bomb, content_encoding="gzip")) is None
    assert decoded(answer(content_encoding="br")) is None
    assert decoded(answer(b"junk", content_encoding="gzip")) is None


def test_pauses() -> None:
    then = format_datetime(datetime.fromtimestamp(1_000_010, UTC), usegmt=True)
    assert pause_s(answer(retry_after=" 120 "), 0) == 120
    assert pause_s(answer(retry_after=then), 1_000_000) == 10
    assert pause_s(answer(retry_after=then), 2_000_000) == 0
    assert pause_s(answer(), 0) is None
    assert pause_s(answer(retry_after="soon"), 0) is None
    assert pause_s(answer(retry_after="9" * 400), 0) is not None


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)
)


@given(st.binary(), st.text(max_size=20), st.text(max_size=30), st.sampled_from(["json", "cookie", "header"]), ANYTHING)
def test_nothing_that_an_answer_says_is_an_error(body: bytes, text: str, path: str, source: str, value: Any) -> None:
    body = json.dumps(value).encode() if len(body) % 3 == 0 else body
    text = text.encode("latin-1", "replace").decode("latin-1")
    got = Answer(
        status=503,
        headers=(("content-type", "application/problem+json"), ("retry-after", text), ("set-cookie", text),
                 ("content-encoding", "gzip" if len(body) % 2 else text)),
        body=body,
    )  # fmt: skip
    take(got, (Take("v", source, path),))
    pause_s(got, 0)
    says_disabled(got)
