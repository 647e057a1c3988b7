"""Steps to requests: encoding, types of JSON, and values that must not stand where they are used."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tracer_bullet.scenario import Plan, PreparedRequest, render_request
from tracer_bullet.scenario.render import fill_matcher
from tracer_bullet.workspace.matcher import Matcher
from tracer_bullet.workspace.template import Scalar, fill, references

Planned = Callable[..., Plan]


def render(planned: Planned, request: str, base_url: str = "http://h:1", **variables: Scalar) -> PreparedRequest:
    names = ", ".join(f"{name}: x" for name in variables)
    found = planned(f"variables: {{{names}}}\nsteps:\n- name: a\n  request: {request}", base_url)
    return render_request(found.steps[0], variables)


def test_a_plain_request(planned: Planned) -> None:
    found = render(planned, "{path: /x}", "https://h/base")
    assert (found.method, found.url, found.body) == ("GET", "https://h/base/x", b"")
    assert [name for name, _ in found.headers] == ["accept", "user-agent"]


def test_headers_of_the_file_replace_the_defaults(planned: Planned) -> None:
    found = render(planned, "{path: /x, headers: {Accept: text/csv, CONTENT-TYPE: a/b, x: '1-${v}'}, json: {}}", v=True)
    assert dict(found.headers) == {
        "Accept": "text/csv",
        "CONTENT-TYPE": "a/b",
        "x": "1-true",
        "user-agent": dict(found.headers)["user-agent"],
    }


def test_whole_references_keep_their_type_and_parts_become_text(planned: Planned) -> None:
    body = '{a: "${n}", b: ["${f}", "n=${n}"], c: "${t}", d: "${b} ${f}", e: "$${n}", f: {}, "${n}": 1}'
    found = render(planned, f"{{method: POST, path: /x, json: {body}}}", n=3, f=1.5, t="ä", b=False)
    assert json.loads(found.body) == {
        "a": 3,
        "b": [1.5, "n=3"],
        "c": "ä",
        "d": "false 1.5",
        "e": "${n}",
        "f": {},
        "${n}": 1,
    }
    assert ("content-type", "application/json") in found.headers


def test_null_is_a_json_body(planned: Planned) -> None:
    assert render(planned, "{method: POST, path: /x, json: null}").body == b"null"


def test_forms_and_texts(planned: Planned) -> None:
    form = render(planned, "{method: POST, path: /x, form: {a: 'x y', b: [1, '${v}'], c: true}}", v="ü&=")
    assert parse_qsl(form.body.decode()) == [("a", "x y"), ("b", "1"), ("b", "ü&="), ("c", "true")]
    assert ("content-type", "application/x-www-form-urlencoded") in form.headers
    text = render(planned, "{method: POST, path: /x, body: 'ä ${v}'}", v=1)
    assert text.body.decode() == "ä 1"
    assert ("content-type", "text/plain; charset=utf-8") in text.headers
    assert render(planned, "{method: POST, path: /x, body: '${v}'}", v=True).body == b"true"


_values = st.text(st.characters(codec="utf-8"), max_size=10) | st.integers() | st.booleans()


@given(value=_values)
@example(value="a/b")
@example(value="a?b#c")
@example(value="%2F")
@example(value="@evil:1/")
def test_a_value_in_the_path_stays_one_segment(planned: Planned, value: Scalar) -> None:
    assume(value not in ("", ".", ".."))
    parts = urlsplit(render(planned, "{path: '/a/${v}/b'}", v=value).url)
    assert (parts.netloc, parts.query, parts.fragment) == ("h:1", "", "")
    text = str(value).lower() if isinstance(value, bool) else str(value)
    assert [unquote(s) for s in parts.path.split("/")] == ["", "a", text, "b"]


@given(value=_values, other=_values)
def test_values_in_the_query_are_read_back(planned: Planned, value: Scalar, other: Scalar) -> None:
    found = render(planned, "{path: /x, query: {a: '${v}', b: ['${w}', '${v}-']}}", v=value, w=other)
    query = urlsplit(found.url).query
    texts = [str(v).lower() if isinstance(v, bool) else str(v) for v in (value, other)]
    expected = [("a", texts[0]), ("b", texts[1]), ("b", f"{texts[0]}-")]
    assert parse_qsl(query, keep_blank_values=True) == expected


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8", exclude_characters="$")),
        lambda i: st.lists(i, max_size=3) | st.dictionaries(st.text(max_size=3), i, max_size=3),
        max_leaves=8,
    )
)
def test_what_has_no_reference_is_left_as_it_is(value: Any) -> None:
    assert fill(value, {}) == value
    assert list(references(value)) == []


def test_a_literal_path_keeps_its_percent_encoding(planned: Planned) -> None:
    assert render(planned, "{path: '/a%20b/ä;v=1,2/(x)'}").url == "http://h:1/a%20b/%C3%A4;v=1,2/(x)"


@pytest.mark.parametrize(
    ("request_text", "value", "said"),
    [
        ("{path: '/orders/${v}'}", "", "the variable 'v' in the path is empty"),
        ("{path: '/orders/${v}'}", "..", "leads elsewhere"),
        ("{path: '/orders/.${v}'}", ".", "leads elsewhere"),
        ("{path: /x, headers: {a: '${v}'}}", "a\r\nbaggage: x", "'a' would hold a control character"),
        ("{path: /x, json: '${v}'}", float("inf"), "Out of range"),
        ("{path: /x, body: '${v}'}", "\ud800", "surrogates"),
        ("{path: /x, query: {a: '${v}'}}", "\ud800", "surrogates"),
    ],
)
def test_values_that_must_not_stand_there(planned: Planned, request_text: str, value: Scalar, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        render(planned, request_text, v=value)


def test_matchers_are_filled_and_patterns_quoted() -> None:
    def filled(matcher: Any, **variables: Scalar) -> Any:
        return fill_matcher(Matcher.model_validate(matcher), variables).operators

    assert filled("${v}", v=3) == (("eq", 3),)
    assert filled({"in": ["${v}", "b"]}, v="a") == (("in", ["a", "b"]),)
    assert filled({"matches": "${v}.*"}, v="a+b") == (("matches", r"a\+b.*"),)
    assert filled({"matches": "${v}"}, v="a+b") == (("matches", r"a\+b"),)
    assert filled({"eq": "$${v}"}) == (("eq", "${v}"),)
    assert filled({"lt": 5, "gt": "${v}"}, v=2) == (("lt", 5), ("gt", 2))
    untouched = Matcher.model_validate({"eq": {"a": 1}})
    assert fill_matcher(untouched, {}) is untouched
