"""Replay files: what is written is what is meant, and every mistake is told where it stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.errors import WorkspaceError
from tracer_bullet.workspace.json_path import Step, find_places, parse_json_path
from tracer_bullet.workspace.load import parse_located
from tracer_bullet.workspace.replay import Replay

HEAD = "version: 1\nname: n\ntarget: shop\narchive: a.tba\n"


def problems(text: str) -> list[tuple[int, str]]:
    with pytest.raises(WorkspaceError) as caught:
        parse_located((HEAD + text).encode(), Replay, file="r.yaml")
    return [(p.line, p.message) for p in caught.value.problems]


def test_the_smallest_file() -> None:
    replay = parse_located(HEAD.encode(), Replay, file="r.yaml").value
    assert (replay.timing.order, replay.compare.sample, replay.archive) == ("causal", 1.0, Path("a.tba"))


def test_a_full_file() -> None:
    text = """
select:
  {since: 2026-11-21T08:00:00Z, until: 2026-11-21T09:00:00+00:00, hosts: [shop.*], statuses: [2xx, 404], sessions: 10 %}
rewrite:
  hosts: {"img.*": "http://127.0.0.1:9"}
  set_headers: {x-user: "${login}", x-run: "${run}"}
  paths: [{match: ^/v1/(.*), to: /v2/\\1}]
  json: [{path: $.a, set: "${n}"}, {path: "$..b", remove: true}, {path: $.c, set: null}]
  times: ["json:$.from", "query:since"]
identities:
  accounts: [{login: "u${n}"}]
  places: [{at: "header:authorization", value: "Basic ${login}"}]
correlate:
  rules: [{name: t, minted_by: POST /login, take: "json:$.t", used_at: [path, "cookie:t"]}]
timing: {shape: {peak: 90/min}, loop: 2}
"""
    replay = parse_located((HEAD + text).encode(), Replay, file="r.yaml").value
    assert replay.rewrite.json_fields[2].set is None
    assert replay.timing.shape is not None
    assert replay.timing.shape.peak == 1.5


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("select: {since: 2026-11-21T08:00:00}", 5, "must say its zone"),
        ("select:\n  since: 2026-11-21T08:00:00Z\n  until: 2026-11-21T08:00:00Z", 7, "must be after `since`"),
        ("rewrite:\n  paths:\n  - match: '('\n    to: x", 7, "no valid regular expression"),
        ("rewrite:\n  paths:\n  - match: a\n    to: \\2", 8, "does not fit `match`"),
        ("rewrite:\n  json:\n  - path: a.b\n    set: 1", 7, "must begin with $"),
        ("rewrite:\n  json:\n  - path: $.a[?(@.b)]\n    set: 1", 7, "names, [n], [*] and .. are known"),
        ("rewrite:\n  json:\n  - path: $.a", 7, "give one of `set` and `remove: true`"),
        ("rewrite:\n  json:\n  - {path: $.a, set: 1, remove: true}", 7, "give one of `set` and `remove: true`"),
        ("rewrite:\n  json:\n  - path: $.a\n    set: ${nobody}", 8, "no account has a field 'nobody'"),
        ("rewrite:\n  set_headers:\n    traceparent: x", 7, "the harness sets the header"),
        ("rewrite:\n  set_headers:\n    a b: x", 7, "no valid header name"),
        ("rewrite:\n  times:\n  - body:x", 7, "must be one of header:…"),
        ("rewrite:\n  times:\n  - json:x", 7, "must begin with $"),
        ("rewrite:\n  idempotency:\n  - 'header:a b'", 7, "no name of a header"),
        ("identities:\n  places:\n  - at: path\n    value: x", 7, "must be one of header:…"),
        ("identities:\n  places:\n  - at: header:Baggage\n    value: x", 7, "sets the header 'Baggage' itself"),
        ("identities:\n  places:\n  - at: header:x-tracer-bullet\n    value: x", 7, "itself"),
        ("identities:\n  places:\n  - at: header:host\n    value: x", 7, "(a host: `rewrite.set_headers`)"),
        ("identities:\n  places:\n  - at: query:x\n    value: ${user}", 8, "no account has a field 'user'"),
        ("identities:\n  accounts:\n  - a: ${b}", 7, "no account has a field 'b'"),
        ("identities:\n  accounts:\n  - {a: x, b: y}\n  - a: z", 8, "has no 'b'"),
        ('identities:\n  accounts:\n  - a: "x\\ny"', 7, "control characters"),
        ("correlate:\n  rules:\n  - {name: a, minted_by: /login, take: 'json:$.a'}", 7, "must be a method and a path"),
        ("correlate:\n  rules:\n  - {name: a, minted_by: GET /a, take: 'query:a'}", 7, "must be one of json:…"),
        ("correlate:\n  rules:\n  - {name: a, minted_by: GET /a, take: 'json:$.a', used_at: [body]}", 7, "or path"),
        ("timing: {speed: 2x, rate: 1/s}", 5, "at most one of"),
        ("timing: {speed: 0}", 5, "factor above nothing"),
    ],
)
def test_mistakes_stand_where_they_are_made(text: str, line: int, part: str) -> None:
    found = problems(text)
    assert [n for n, message in found if part in message] == [line], found


def test_fields_of_a_file_are_not_known_here() -> None:
    text = HEAD + 'identities: {file: users.csv, places: [{at: "query:u", value: "${login}"}]}'
    assert parse_located(text.encode(), Replay, file="r.yaml").value.identities.file == Path("users.csv")


class TestJsonPaths:
    DOCUMENT: ClassVar[Any] = {"a": {"b": [1, {"c": 2}], "x y": 3}, "c": {"c": 4}, "l": [[5]]}

    @pytest.mark.parametrize(
        ("path", "values"),
        [
            ("$", []),
            ("$.a.b[0]", [1]),
            ("$.a.b[-1].c", [2]),
            ("$['a']['x y']", [3]),
            ('$["a"].b[*]', [1, {"c": 2}]),
            ("$.*.c", [4]),
            ("$..c", [{"c": 4}, 2, 4]),
            ("$.l[*][*]", [5]),
            ("$.l[7]", []),
            ("$.a.b.c", []),
            ("$.a[0]", []),
        ],
    )
    def test_what_they_find(self, path: str, values: list[Any]) -> None:
        assert [c[k] for c, k in find_places(self.DOCUMENT, parse_json_path(path))] == values

    def test_quotes(self) -> None:
        assert parse_json_path(r"$['it\'s']") == (Step("it's"),)

    @pytest.mark.parametrize("text", ["", "a", "$a", "$.", "$[", "$[1:2]", "$.a b", "$.a?(@)", "$['a]"])
    def test_what_is_none(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"\$|known"):
            parse_json_path(text)

    @given(
        st.text("$.[]*'\"ab0-", max_size=12),
        st.recursive(st.integers(), lambda s: st.lists(s) | st.dictionaries(st.text("ab0"), s)),
    )
    def test_reading_and_following_never_fail_otherwise(self, text: str, document: Any) -> None:
        try:
            steps = parse_json_path(text)
        except ValueError:
            return
        for container, key in find_places(document, steps):
            json.dumps(container[key])
