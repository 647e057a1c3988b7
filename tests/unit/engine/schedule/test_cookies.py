"""A session's cookies as a browser keeps them: RFC 6265, and http.cookiejar (which `fire` has) as a second opinion."""

from __future__ import annotations

import http.cookiejar
import urllib.request
from email.message import Message
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.engine.schedule.cookies import Jar

NOW = 1_800_000_000.0


def head(path: str = "/a/b?q=/z", host: str = "Shop.Test:8000", more: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}".encode("latin-1")


def sent(jar: Jar, path: str = "/a/b?q=1", now_s: float = NOW, more: str = "") -> str | None:
    """The cookie line that goes with a request to this path."""
    before = head(path, more=more)
    after = jar.add_to(before, now_s).decode("latin-1")
    lines = [line for line in after.split("\r\n")[1:] if line.lower().startswith("cookie:")]
    assert len(lines) <= 1
    rest = [line for line in after.split("\r\n") if line not in lines]
    assert rest == [line for line in before.decode().split("\r\n") if not line.lower().startswith("cookie:")]
    return lines[0].partition(":")[2].strip() if lines else None


def jar_of(*lines: str, https: bool = False, host: str = "shop.test", path: str = "/a/b") -> Jar:
    jar = Jar(https=https)
    for line in lines:
        jar.store(line, head(path, host), NOW)
    return jar


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        (["sid=1"], "sid=1"),
        (["sid=1", "sid=2"], "sid=2"),
        (["a=1", "b=2", "a=3"], "a=3; b=2"),  # the time at which it was made stays
        ([" sid = x=y ; Path=/"], "sid=x=y"),
        (['q="a b"'], 'q="a b"'),
        (["b=1; Path=/", "a=2; Path=/a"], "a=2; b=1"),  # the longer path first
        (["e="], "e="),
        (["sid=1; Path=/a/", "c=2; Path=/a/b", "d=3; Path=/a/bc"], "c=2; sid=1"),
        (["sid=1; Path=nonsense"], "sid=1"),
        (["sid=1; Path=/; path=/x"], None),  # the last one counts
        (["sid=1; Domain=shop.test", "a=2; Domain=.TEST; Path=/"], "sid=1; a=2"),
        (["sid=1; Domain=other.test", "a=2; Domain=op.test", "b=3; domain=x.shop.test"], None),
        (["sid=1; Secure"], None),
        (["sid=1; Max-Age=10"], "sid=1"),
        (["sid=1; Max-Age=0"], None),
        (["sid=1; Max-Age=-5; Expires=Wed, 09 Jun 2100 10:18:14 GMT"], None),
        (["sid=1; Max-Age=99999999999999999999"], "sid=1"),
        (["sid=1; Max-Age=soon; Expires=Wed, 09 Jun 2021 10:18:14 GMT"], None),
        (["sid=1; Expires=Wed, 09-Jun-2100 10:18:14 GMT"], "sid=1"),
        (["sid=1; Expires=Sun Nov  6 08:49:37 1994"], None),
        (["sid=1; Expires=some day"], "sid=1"),
        (["sid=1", "sid=; Max-Age=0"], None),
        (["sid=1; HttpOnly; SameSite=Lax; Partitioned"], "sid=1"),
        (["nothing", "=novalue", "", ";"], None),
        (["a=\x00b", "b=\x7f"], None),
        (["big=" + "x" * 5000], None),
        (["u=\xfc"], "u=\xfc"),
    ],
)
def test_what_is_set_is_sent(lines: list[str], wanted: str | None) -> None:
    assert sent(jar_of(*lines)) == wanted


def test_where_it_was_set_is_where_it_goes_back() -> None:
    jar = jar_of("a=1", path="/shop/items")
    assert [sent(jar, p) for p in ("/shop", "/shop/", "/shop/x?y", "/shopping", "/")] == [
        "a=1",
        "a=1",
        "a=1",
        None,
        None,
    ]
    jar = jar_of("a=1", path="/top?x=/y/z")
    assert [sent(jar, p) for p in ("/", "/else")] == ["a=1", "a=1"]


def test_a_cookie_ends() -> None:
    jar = jar_of("a=1; Max-Age=10; Path=/", f"b=2; Path=/; Expires={formatdate(NOW + 5, usegmt=True)}", "c=3; Path=/")
    assert [sent(jar, now_s=NOW + s) for s in (0, 6, 11)] == ["a=1; b=2; c=3", "a=1; c=3", "c=3"]


def test_secure_ones_go_by_tls_and_hosts_may_be_addresses() -> None:
    assert sent(jar_of("sid=1; Secure", https=True)) == "sid=1"
    assert sent(jar_of("sid=1; Domain=127.0.0.1", host="127.0.0.1:80")) == "sid=1"
    assert sent(jar_of("sid=1; Domain=0.0.1", host="127.0.0.1")) is None
    assert sent(jar_of("sid=1; Domain=[::1]", host="[::1]:80")) == "sid=1"


def test_what_the_request_says_itself_stays() -> None:
    jar = jar_of("a=1; Path=/", "b=2; Path=/")
    assert sent(jar, more="cookie: b=own; c=3\r\nx: y\r\n") == "b=own; c=3; a=1"
    assert sent(jar, more="Cookie:\r\n") == "a=1; b=2"
    assert sent(Jar(https=False), more="Cookie: z=1\r\n") == "z=1"


def test_it_holds_only_so_many() -> None:
    jar = jar_of(*(f"c{n}={n}" for n in range(500)))
    assert len(jar) == 180
    assert (sent(jar) or "").startswith("c320=320; ")


PATHS = st.lists(st.sampled_from(["a", "b", "ab"]), max_size=3).map(lambda parts: "/" + "/".join(parts))
AGES = st.sampled_from(["", "; Max-Age=0", "; Max-Age=50", "; Max-Age=200"])
SET = st.tuples(
    st.sampled_from("xyz"), st.integers(0, 9), st.none() | PATHS, AGES, st.sampled_from(["", "; Secure"]), PATHS
)


class _Answer:
    def __init__(self, line: str) -> None:
        self._message = Message()
        self._message["Set-Cookie"] = line

    def info(self) -> Message:
        return self._message


@given(st.lists(SET, max_size=8), PATHS, st.booleans(), st.sampled_from([0, 100]))
def test_the_standard_librarys_jar_would_send_the_same(
    sets: list[tuple[str, int, str | None, str, str, str]], path: str, https: bool, later_s: int
) -> None:
    scheme, ours = "https" if https else "http", Jar(https=https)
    theirs: Any = http.cookiejar.CookieJar()
    theirs._now = int(NOW)  # it has no other way to be told the time
    for name, value, where, age, secure, at in sets:
        line = f"{name}={value}" + (f"; Path={where}" if where else "") + age + secure
        request = urllib.request.Request(f"{scheme}://shop.example.test{at}")
        for cookie in theirs._cookies_from_attrs_set(http.cookiejar.parse_ns_headers([line]), request):
            theirs.set_cookie(cookie)
        if age == "; Max-Age=0":
            theirs.clear_expired_cookies()
        ours.store(line, head(at, "shop.example.test"), NOW)
    pairs = {
        (c.name, c.value)
        for c in theirs
        if (not c.expires or c.expires > NOW + later_s) and (https or not c.secure) and _covers(path, c.path)
    }
    line = sent(ours, path, NOW + later_s) or ""
    assert {tuple(pair.split("=")) for pair in line.split("; ") if pair} == pairs


def _covers(path: str, of: str) -> bool:
    return path == of or (path.startswith(of) and (of.endswith("/") or path[len(of) :].startswith("/")))


@given(st.text(max_size=60), st.binary(max_size=60))
def test_nothing_that_is_set_is_an_error_or_breaks_the_head(line: str, odd: bytes) -> None:
    line = line.encode("latin-1", "replace").decode("latin-1").replace("\r", "").replace("\n", "")
    jar = Jar(https=True)
    jar.store(line, odd, NOW)
    jar.store(line, head(), NOW)
    made = jar.add_to(head("/a/b"), NOW)
    assert made.count(b"\r\n") - head("/a/b").count(b"\r\n") in (0, 1)
    assert made.count(b"\n") == made.count(b"\r\n")
