"""Claim: the flag is read from whatever survives of the carriers, and never invented."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.context.carriers import (
    MAX_BYTES,
    MAX_MEMBERS,
    asgi_may_claim,
    encode_member,
    parse_baggage,
    read_claim,
    strip_baggage,
    write_baggage,
    write_tracestate,
)
from tracer_bullet.model import Context

keys = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-", min_size=1, max_size=20)
BULLET = Context(run_id="run-1", token="aaa.bbb.ccc", user_id="ü+ 1,;=%", account_id="a=b", request_id="r")


@given(st.lists(st.tuples(keys, st.text(max_size=40)), max_size=20))
def test_members_round_trip(pairs: list[tuple[str, str]]) -> None:
    header = ",".join(encode_member(k, v).raw for k, v in pairs)
    # Lone surrogates have no UTF-8 form; everything else comes back as it was.
    assert header.isascii()
    assert [(m.key, m.value) for m in parse_baggage([header])] == [(k, v) for k, v in pairs]


@given(st.lists(st.text(max_size=200), max_size=5), st.lists(st.text(max_size=50)), st.lists(st.text(max_size=50)))
def test_reading_never_raises(baggage: list[str], tracestate: list[str], header: list[str]) -> None:
    read_claim(baggage, tracestate, header)


@given(st.lists(st.tuples(keys, st.text(max_size=3000)), max_size=100))
def test_flag_survives_other_peoples_baggage(pairs: list[tuple[str, str]]) -> None:
    others = [encode_member("x" + k, v) for k, v in pairs]
    header = write_baggage(BULLET, others)
    assert len(header) <= MAX_BYTES
    assert header.count(",") < MAX_MEMBERS
    assert header.startswith("request_type=TRACE,tb-run=run-1,tb-token=aaa.bbb.ccc,user_id=")
    claim = read_claim([header], [], [])
    assert claim is not None
    assert (claim.token, claim.run_id, claim.ambiguous) == (BULLET.token, "run-1", False)
    assert (claim.user_id, claim.account_id, claim.request_id) == ("ü+ 1,;=%", "a=b", "r")


def test_flag_is_found_behind_more_baggage_than_the_limits_allow() -> None:
    big = ",".join(f"k{i}={'v' * 100}" for i in range(300))
    claim = read_claim([big + "," + write_baggage(BULLET)], [], [])
    assert claim is not None
    assert claim.token == BULLET.token


def test_every_baggage_line_is_read() -> None:
    claim = read_claim(["other=1", write_baggage(BULLET)], [], [])
    assert claim is not None
    assert claim.carriers == ("baggage",)


@pytest.mark.parametrize(
    ("baggage", "header"),
    [
        (["request_type=TRACE,tb-token=a.b.c", "tb-token=x.y.z"], []),
        (["request_type=TRACE,request_type=STANDARD,tb-token=a.b.c"], []),
        (["request_type=LIVE,tb-token=a.b.c"], []),
        (["request_type=TRACE,tb-token=a.b.c"], ["x.y.z"]),
        (["request_type=TRACE,tb-token=a.b.c,tb-run=1,tb-run=2"], []),
        ([], ["a.b.c", "x.y.z"]),
    ],
)
def test_contradictions_are_ambiguous(baggage: list[str], header: list[str]) -> None:
    claim = read_claim(baggage, [], header)
    assert claim is not None
    assert claim.ambiguous


def test_the_same_member_twice_is_no_contradiction() -> None:
    claim = read_claim([write_baggage(BULLET), write_baggage(BULLET)], ["tb=t"], [BULLET.token])
    assert claim is not None
    assert not claim.ambiguous
    assert claim.carriers == ("baggage", "tracestate", "header")


@given(
    member=st.sampled_from(["request_type=TRACE", "tb-run=1", "tb-token=a.b.c"]),
    before=st.sampled_from(["", "user_id=7,", "a=1;p=2 , ", "=,;;,"]),
    spaces=st.sampled_from(["", " ", " \t"]),
    after=st.sampled_from(["", ";ttl=5", ",account_id=a"]),
    line=st.integers(0, 2),
)
def test_the_quick_look_misses_no_member(member: str, before: str, spaces: str, after: str, line: int) -> None:
    baggage = ["user_id=7", "", "x=y"]
    baggage[line] = before + spaces + member.replace("=", f"{spaces}={spaces}") + spaces + after
    assert read_claim(baggage, [], []) is not None
    assert asgi_may_claim([(b"Baggage", text.encode()) for text in baggage])


@pytest.mark.parametrize("state", ["tb=t", "congo=1, tb=t", "congo=1,\ttb=t ,x=y"])
def test_the_quick_look_misses_no_tracestate(state: str) -> None:
    assert read_claim(["user_id=7"], ["a=b", state], []) is not None
    assert asgi_may_claim([(b"baggage", b"user_id=7"), (b"TraceState", state.encode())])


def test_the_quick_look_misses_no_token() -> None:
    assert read_claim([], [], [""]) is not None
    assert asgi_may_claim([(b"host", b"x"), (b"X-Tracer-Bullet", b"")])


def test_the_quick_look_is_over_for_customers() -> None:
    headers = [(b"baggage", b"user_id=7"), (b"tracestate", b"congo=1"), (b"x-request-id", b"tb=t"), (b"host", b"tb")]
    assert not asgi_may_claim(headers)


@pytest.mark.parametrize("state", ["tb=to", "xtb=t", "tb=", "t=tb"])
def test_what_only_looks_like_the_flag_claims_nothing(state: str) -> None:
    assert read_claim(["not-tb-run-at-all=1"], [state], []) is None


@pytest.mark.parametrize(
    "baggage", [[], ["request_type=batch"], ["Request_Type=TRACE"], ["user_id=7"], ["=,;;,=TRACE"]]
)
def test_other_peoples_baggage_claims_nothing(baggage: list[str]) -> None:
    assert read_claim(baggage, ["congo=t61rcWkgMzE,xtb=t"], []) is None


def test_properties_are_kept_for_others_and_not_read_as_values() -> None:
    members = parse_baggage(["a=1;p=2 , request_type = TRACE ;x=y"])
    assert [(m.key, m.value) for m in members] == [("a", "1"), ("request_type", "TRACE")]
    assert write_baggage(BULLET, members).endswith(",a=1;p=2")


def test_stripping_takes_ours_and_leaves_theirs() -> None:
    header = write_baggage(BULLET, [encode_member("theirs", "1")])
    assert strip_baggage(parse_baggage([header])) == "theirs=1"
    assert strip_baggage(parse_baggage(["user_id=7,theirs=1"])) == "user_id=7,theirs=1"


@given(st.lists(st.from_regex(r"[a-z]{1,5}=[a-z0-9]{1,8}", fullmatch=True), max_size=40, unique=True))
def test_tracestate_flag_goes_first_and_comes_off_again(others: list[str]) -> None:
    others = [o for o in others if not o.startswith("tb=")]
    flagged = write_tracestate([",".join(others)], flag=True)
    assert flagged.split(",") == ["tb=t", *others][:32]
    claim = read_claim([], [flagged], [])
    assert claim is not None
    assert claim.token is None
    assert write_tracestate([flagged], flag=False).split(",") == (others[:31] or [""])
