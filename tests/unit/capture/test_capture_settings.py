"""Claim: what the settings say of sessions, paths and samples counts, however traffic is captured."""

from __future__ import annotations

import pytest

from tracer_bullet.capture.redaction import Pseudonyms, Redactor, Rules
from tracer_bullet.capture.sessions import SessionRules
from tracer_bullet.capture.settings import selection_of, session_rules, sessions_of
from tracer_bullet.model.exchange import Exchange, Headers, Lack, Request
from tracer_bullet.workspace.capture import CaptureSpec

REDACTOR = Redactor(Rules(), Pseudonyms(b"k" * 32))


def spec(**parts: object) -> CaptureSpec:
    return CaptureSpec.model_validate(parts)


def exchange(target: str = "/", headers: Headers = (), session: str = "") -> Exchange:
    request = Request(method="GET", scheme="http", authority="shop", target=target, headers=headers)
    return Exchange(
        id="e", session=session, source="tests", started_ns=1, request=request, lacks=frozenset({Lack.SESSION})
    )


def test_without_settings_all_the_usual_places_count() -> None:
    assert session_rules(spec()) == SessionRules()


@pytest.mark.parametrize(
    ("session", "rules"),
    [
        (["client"], SessionRules(cookies=(), authorization=False)),
        (["cookie:sid", "cookie:lang"], SessionRules(cookies=("sid", "lang"), authorization=False)),
        (["header:X-User"], SessionRules(headers=("x-user",), cookies=(), authorization=False)),
        (["header:Authorization", "client"], SessionRules(cookies=())),
        (["jwt:tenant", "jwt:user"], SessionRules(cookies=(), claims=("tenant", "user"))),
        (["query:visitor"], SessionRules(cookies=(), queries=("visitor",), authorization=False)),
    ],
)
def test_named_places_alone_count(session: list[str], rules: SessionRules) -> None:
    assert session_rules(spec(session=session)) == rules


def test_a_query_parameter_tells_sessions_apart() -> None:
    sessions = sessions_of(spec(session=["query:visitor"]), REDACTOR)
    cookie = (("cookie", "sid=one-and-the-same"),)
    first, again, other = (sessions.place(exchange(f"/p?visitor={v}", cookie)).session for v in ("v-1", "v-1", "v-2"))
    assert first == again != other
    assert "v-1" not in first


def test_paths_that_are_not_recorded() -> None:
    selection = selection_of(spec(exclude_paths=["/health*", "*.css"]), REDACTOR)
    assert [selection.why_not(exchange(t)) for t in ("/healthz?x=1", "/a/b.css", "/orders")] == ["excluded"] * 2 + [""]


def test_a_sample_takes_whole_sessions_always_the_same() -> None:
    selection, again = (selection_of(spec(sample="30 %"), REDACTOR) for _ in range(2))
    made = [exchange(session=f"s-{n}") for n in range(400)]
    taken = [selection.is_sampled(e) for e in made]
    assert 60 < sum(taken) < 180
    assert taken == [again.is_sampled(exchange("/other", session=e.session)) for e in made]
    assert all(selection_of(spec(), REDACTOR).is_sampled(e) for e in made)
