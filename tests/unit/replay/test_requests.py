"""A recorded request becomes the one that is sent: what is left out, rewritten, and filled in."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.replay.shop import JSON, SECOND, START, TARGET, asked, exchange, spec
from tracer_bullet.model.arrival import Arrival
from tracer_bullet.model.exchange import Exchange, Headers, Lack
from tracer_bullet.replay.planner import Planner
from tracer_bullet.replay.requests.json_spans import json_spans
from tracer_bullet.replay.requests.leaves import leaves
from tracer_bullet.replay.requests.rewrite import fresh_key
from tracer_bullet.replay.requests.times import moved
from tracer_bullet.replay.survey import survey

FORM = ("content-type", "application/x-www-form-urlencoded")


def sent(recorded: Exchange, **parts: Any) -> Arrival:
    """The one arrival of a recording of one exchange."""
    replay = spec(**parts)
    planner = Planner(replay, survey([recorded], replay), TARGET, run_id="r", begins_ns=START + 3600 * SECOND)
    (arrival,) = [a for a, _ in planner.plan([recorded])]
    return arrival


def lines(arrival: Arrival) -> list[str]:
    """The head's lines behind the request line and host."""
    head = arrival.head.decode("latin-1")
    assert head.endswith("\r\n")
    assert head.split("\r\n")[1] == "host: 127.0.0.1:8080"
    return head.split("\r\n")[2:-1]


class TestHeaders:
    @pytest.mark.parametrize(
        "name",
        [
            *("Host", "Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade"),
            *("Content-Length", "Expect", "Date", "Signature", "Signature-Input", "Content-Digest", "X-Amz-Date"),
            *("traceparent", "TraceState", "baggage", "X-Tracer-Bullet", "b3", "X-B3-TraceId", "uber-trace-id"),
            *("x-datadog-trace-id", "X-Amzn-Trace-Id", ":authority", ":path", "x-envoy-attempt-count"),
        ],
    )
    def test_what_is_not_sent_as_recorded(self, name: str) -> None:
        assert lines(sent(exchange(headers=((name, "x"),)))) == []

    def test_the_rest_is_sent_as_it_was(self) -> None:
        headers: Headers = (
            ("Accept-Encoding", "gzip, br"),
            ("X-Twice", "1"),
            ("x-twice", "2"),
            ("X-Forwarded-Proto", "https"),
            ("x-empty", ""),
            ("x-latin", "\xe4"),
        )
        assert lines(sent(exchange(headers=headers))) == [f"{name}: {value}" for name, value in headers]

    def test_what_the_connection_header_names_is_between_two_hops(self) -> None:
        headers = (("X-Hop", "1"), ("Connection", "close, x-hop"), ("x-kept", "2"))
        assert lines(sent(exchange(headers=headers))) == ["x-kept: 2"]

    def test_cookies_that_http2_spread_over_lines_are_one_again(self) -> None:
        headers = (("cookie", "a=1"), ("x", "y"), ("Cookie", "b=2; c=3"), ("cookie", "d=4"))
        assert lines(sent(exchange(headers=headers))) == ["cookie: a=1; b=2; c=3; d=4", "x: y"]

    def test_set_and_removed(self) -> None:
        rewrite = {"set_headers": {"X-Stage": "run ${run} session ${session}"}, "remove_headers": ["x-secret-*"]}
        headers = (("x-stage", "old"), ("X-Secret-A", "1"), ("a", "b"))
        assert lines(sent(exchange(headers=headers), rewrite=rewrite)) == ["a: b", "X-Stage: run r session 0"]

    @pytest.mark.parametrize(
        ("method", "body", "length"),
        [
            ("GET", b"", []),
            ("POST", b"", ["content-length: 0"]),
            ("PUT", b"abc", ["content-length: 3"]),
            ("DELETE", b"", []),
            ("GET", b"x", ["content-length: 1"]),
            ("GET", None, []),
        ],
    )
    def test_the_length_is_made_anew(self, method: str, body: bytes | None, length: list[str]) -> None:
        headers = (("Content-Length", "99"),)
        arrival = sent(exchange(method=method, body=body, headers=headers))
        assert (lines(arrival), arrival.body) == (length, body or b"")


NAMES = st.text("abcxyz-", min_size=1, max_size=8).map(lambda n: f"x-{n}x")
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=20)
TARGETS = st.text("abc/?=&%20.;:@é", max_size=20).map(lambda t: f"/{t.replace('é', '%C3%A9')}")


@given(
    st.sampled_from(["GET", "POST", "PATCH"]),
    TARGETS,
    st.lists(st.tuples(NAMES, VALUES), max_size=5),
    st.binary(max_size=50),
)
def test_rewriting_nothing_changes_nothing(
    method: str, target: str, headers: list[tuple[str, str]], body: bytes
) -> None:
    recorded = exchange(method=method, target=target, headers=tuple(headers), body=body)
    arrival = sent(recorded, rewrite={"idempotency": []})
    head = arrival.head.decode("latin-1")
    assert head.startswith(f"{method} {target} HTTP/1.1\r\n")
    length = [f"content-length: {len(body)}"] if body or method != "GET" else []
    assert lines(arrival) == [*[f"{n}: {v}" for n, v in headers], *length]
    assert arrival.body == body


class TestPaths:
    def test_groups_and_order(self) -> None:
        paths = [{"match": "^/v1/(.*)", "to": r"/v2/\1"}, {"match": "([?&])debug=1", "to": r"\1debug=0"}]
        arrival = sent(exchange(target="/v1/a?x=1&debug=1"), rewrite={"paths": paths})
        assert arrival.head.startswith(b"GET /v2/a?x=1&debug=0 HTTP/1.1\r\n")

    def test_a_path_that_is_none_any_more_is_refused(self) -> None:
        replay = spec(rewrite={"paths": [{"match": "^/", "to": "http://evil/ "}]})
        planner = Planner(replay, survey([exchange()], replay), TARGET)
        assert list(planner.plan([exchange()])) == []
        assert planner.refused == {"malformed": 1}


class TestJson:
    BODY = asked({"user": {"name": "ann", "n": 1}, "items": [{"id": 1}, {"id": 2}], "note": "ü"})

    @pytest.mark.parametrize(
        ("rule", "wanted"),
        [
            ({"path": "$.user.name", "set": "bob"}, {"user": {"name": "bob", "n": 1}}),
            ({"path": "$.items[*].id", "set": 7}, {"items": [{"id": 7}, {"id": 7}]}),
            ({"path": "$.items[-1]", "remove": True}, {"items": [{"id": 1}]}),
            ({"path": "$.items[*]", "remove": True}, {"items": []}),
            ({"path": "$..id", "remove": True}, {"items": [{}, {}]}),
            ({"path": "$.user", "set": {"run": "${run}", "whole": "${session}"}}, {"user": {"run": "r", "whole": "0"}}),
            ({"path": "$['note']", "set": None}, {"note": None}),
            ({"path": "$.missing", "set": 1}, {}),
            ({"path": "$.note", "set": 1, "paths": ["/other*"]}, {}),
        ],
    )
    def test_fields(self, rule: dict[str, Any], wanted: dict[str, Any]) -> None:
        recorded = exchange(method="POST", target="/a?b", headers=(JSON,), body=self.BODY)
        arrival = sent(recorded, rewrite={"json": [rule]})
        assert json.loads(arrival.body) == json.loads(self.BODY) | wanted
        assert lines(arrival)[-1] == f"content-length: {len(arrival.body)}"
        if not wanted:
            assert arrival.body == self.BODY

    @pytest.mark.parametrize("body", [b"", b"{", b"[1", b"nothing", b"\xff{", b"{" * 100_000])
    def test_what_is_no_json_is_left(self, body: bytes) -> None:
        rewrite = {"json": [{"path": "$..a", "set": 1}, {"path": "$.b", "remove": True}]}
        assert sent(exchange(method="POST", body=body, headers=(JSON,)), rewrite=rewrite).body == body


class TestTimes:
    DAY = 86_400 * SECOND

    @pytest.mark.parametrize(
        ("text", "wanted"),
        [
            ("2026-02-28T23:30:00Z", "2026-03-01T01:00:00Z"),
            ("2026-02-28T23:30:00.120+02:00", "2026-03-01T01:00:00.120+02:00"),
            ("2026-02-28 23:30", "2026-03-01 01:00"),
            ("1772321400", "1772326800"),
            ("1772321400.5", "1772326800.5"),
            ("1772321400123", "1772326800123"),
            ("1772321400123456", "1772326800123456"),
            ("1772321400123456789", "1772326800123456789"),
            ("Sat, 28 Feb 2026 23:30:00 GMT", "Sun, 01 Mar 2026 01:00:00 GMT"),
            ("1234", None),
            ("soon", None),
            ("2026-13-40T00:00:00Z", None),
            ("9999-12-31T23:59:59Z", None),
        ],
    )
    def test_in_its_own_form(self, text: str, wanted: str | None) -> None:
        assert moved(text, START, 5400 * SECOND) == wanted

    def test_days_move_by_days(self) -> None:
        assert moved("2025-10-09", START, 3 * self.DAY) == "2025-10-12"
        assert moved("2025-10-09", START, 60 * SECOND) == "2025-10-09"

    @given(st.integers(-(10**17), 10**17))
    def test_there_and_back(self, delta: int) -> None:
        delta -= delta % 1000
        for text in ("2026-06-01T12:00:00.000000Z", "1772321400123456", "1772321400123456789"):
            there = moved(text, START, delta)
            assert there is not None
            assert moved(there, START, -delta) == text

    @given(st.text(max_size=40), st.integers(-(10**18), 10**18))
    def test_it_never_raises(self, text: str, delta: int) -> None:
        moved(text, START, delta)

    def test_at_all_places(self) -> None:
        recorded = exchange(
            method="POST",
            target="/a?from=2026-02-28T23%3A30%3A00Z&to=x",
            headers=(JSON, ("If-Modified-Since", "Sat, 28 Feb 2026 23:30:00 GMT")),
            body=asked({"at": 1772321400, "other": 1772321400}),
        )
        times = ["query:from", "header:if-modified-since", "json:$.at"]
        arrival = sent(recorded, rewrite={"times": times})
        assert arrival.head.startswith(b"POST /a?from=2026-03-01T00%3A30%3A00Z&to=x HTTP/1.1\r\n")
        assert "If-Modified-Since: Sun, 01 Mar 2026 00:30:00 GMT" in lines(arrival)
        assert json.loads(arrival.body) == {"at": 1772325000, "other": 1772321400}


class TestIdempotency:
    def test_the_form_is_kept(self) -> None:
        key = fresh_key("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "r", 1)
        assert key[14] == "4"
        assert len(key) == 36
        assert fresh_key("123456789", "r", 1).isdigit()
        assert len(fresh_key("deadbeefdeadbeef", "r", 1)) == 16
        assert len(fresh_key("any thing", "r", 1)) == 32

    def test_equal_in_a_session_only(self) -> None:
        keys = {fresh_key("k", run, session) for run in "ab" for session in (0, 1)}
        assert len(keys) == 4
        assert fresh_key("k", "a", 0) == fresh_key("k", "a", 0)

    def test_at_other_places(self) -> None:
        recorded = exchange(
            method="POST", headers=(JSON, ("X-Request-Id", "abc")), body=asked({"key": "123456", "x": 1})
        )
        arrival = sent(recorded, rewrite={"idempotency": ["json:$.key"]})
        assert "X-Request-Id: abc" in lines(arrival)
        body = json.loads(arrival.body)
        assert body["x"] == 1
        assert body["key"] != "123456"
        assert len(body["key"]) == 6


class TestIdentityPlaces:
    ACCOUNT: ClassVar = {"login": 'a"nn; ü&=', "id": "77"}

    @pytest.mark.parametrize(
        ("at", "options", "line_or_body"),
        [
            ("header:x-user", {"headers": (("X-User", "old"),)}, 'X-User: a"nn; \xc3\xbc&='),
            (
                "cookie:user",
                {"headers": (("Cookie", "a=1; user=old; b=2"),)},
                'Cookie: a=1; user=a"nn%3B%20%C3%BC&=; b=2',
            ),
            ("query:user", {"target": "/a?x=1&user=old"}, "GET /a?x=1&user=a%22nn%3B%20%C3%BC%26%3D HTTP/1.1"),
            (
                "form:user",
                {"method": "POST", "headers": (FORM,), "body": b"user=old&b=2"},
                b"user=a%22nn%3B+%C3%BC%26%3D&b=2",
            ),
            (
                "json:$.user",
                {"method": "POST", "headers": (JSON,), "body": b'{"user": "old"}'},
                '{"user":"a\\"nn; ü&="}'.encode(),
            ),
        ],
    )
    def test_encoded_rightly(self, at: str, options: dict[str, Any], line_or_body: str | bytes) -> None:
        identities = {"accounts": [self.ACCOUNT], "places": [{"at": at, "value": "${login}"}]}
        arrival = sent(exchange(**options), identities=identities)
        if isinstance(line_or_body, bytes):
            assert arrival.body == line_or_body
        else:
            assert line_or_body in arrival.head.decode("latin-1").split("\r\n")

    def test_a_number_stays_a_number(self) -> None:
        identities = {"accounts": [self.ACCOUNT], "places": [{"at": "json:$.id", "value": "${id}"}]}
        assert (
            sent(exchange(method="POST", headers=(JSON,), body=b'{"id": 5}'), identities=identities).body
            == b'{"id":77}'
        )

    def test_nothing_is_added_where_the_recording_had_nothing(self) -> None:
        places = [{"at": at, "value": "x"} for at in ("header:a", "cookie:b", "query:c", "form:d", "json:$.e")]
        arrival = sent(exchange(method="POST", headers=(JSON,), body=b'{"f": 1}'), identities={"places": places})
        assert arrival.head.startswith(b"POST / HTTP/1.1")
        assert lines(arrival) == ["content-type: application/json", "content-length: 8"]

    def test_but_where_its_headers_are_not_known(self) -> None:
        recorded = replace(exchange(), lacks=frozenset({Lack.REQUEST_HEADERS}))
        places = [{"at": "header:a", "value": "x"}, {"at": "cookie:b", "value": "y"}, {"at": "cookie:c", "value": "z"}]
        assert lines(sent(recorded, identities={"places": places})) == ["a: x", "cookie: b=y; c=z"]

    def test_only_where_the_path_fits(self) -> None:
        places = [{"at": "query:u", "value": "x", "paths": ["/admin/*"]}]
        assert b"/a?u=1 " in sent(exchange(target="/a?u=1"), identities={"places": places}).head
        assert b"/admin/a?u=x " in sent(exchange(target="/admin/a?u=1"), identities={"places": places}).head


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def _scalars(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [s for inner in value.values() for s in _scalars(inner)]
    if isinstance(value, list):
        return [s for inner in value for s in _scalars(inner)]
    return [value]


@given(JSONS, st.booleans())
def test_spans_are_all_scalars_in_order_at_their_bytes(document: Any, ascii_only: bool) -> None:
    data = json.dumps(document, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    spans = list(json_spans(data))
    assert [json.loads(s.text) if not s.is_string else s.text for s in spans] == _scalars(document)
    for span in spans:
        token = data[span.start - span.is_string : span.start + span.length + span.is_string]
        assert json.loads(token) == (span.text if span.is_string else json.loads(span.text))


def test_paths_of_spans() -> None:
    data = b'{"a": {"b c": [1, {"d": "x"}]}, "e": [[true]], "f": {}, "g": []}'
    assert [(s.path, s.text) for s in json_spans(data)] == [
        ("$.a['b c'][*]", "1"), ("$.a['b c'][*].d", "x"), ("$.e[*][*]", "true")
    ]  # fmt: skip


@given(st.text(max_size=30), st.lists(st.tuples(NAMES, VALUES), max_size=4), st.binary(max_size=80))
def test_leaves_of_anything_lie_inside_of_it(target: str, headers: list[tuple[str, str]], body: bytes) -> None:
    for kind in ("application/json", FORM[1]):
        lines_ = [*headers, ("content-type", kind), ("cookie", target)]
        for leaf in leaves(f"/{target}", lines_, body):
            whole = {-1: f"/{target}", -2: body}.get(leaf.element) or lines_[leaf.element][1]
            assert 0 <= leaf.start <= leaf.start + leaf.length <= len(whole)
