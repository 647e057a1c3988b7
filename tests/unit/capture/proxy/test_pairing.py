"""Two tellings of a request become one, and never one of two requests."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.capture.proxy.pairing import WAIT_NS, Line, Pairing, Tapped, read_line
from tracer_bullet.model.exchange import Answer, Exchange, Headers, Lack, Request

S = 1_000_000_000


def _tapped(n: int, connection: str = "c", path: str = "") -> Tapped:
    request = Request(method="GET", scheme="http", authority="a", target=path or f"/{n}")
    exchange = Exchange(
        id="", session=connection, source="envoy", started_ns=n * S + 50, first_byte_ns=n * S + 60, request=request,
        answer=Answer(status=200), lacks=frozenset({Lack.DURATION}),
    )  # fmt: skip
    return Tapped(connection=connection, exchange=exchange, told_ns=n * S + 100)


def _line(n: int, connection: str = "c", path: str = "", flags: str = "") -> Line:
    return Line(
        connection=connection, method="GET", target=path or f"/{n}", started_ns=n * S, ended_ns=n * S + 90,
        version="2", flags=flags,
    )  # fmt: skip


@given(st.lists(st.integers(0, 3), max_size=12), st.data())
def test_each_is_paired_with_its_own_line_in_any_interleaving(connections: list[int], data: st.DataObject) -> None:
    """Each connection's two streams are in order; how they are mixed is chance. Paths repeat on purpose."""
    streams: list[list[Any]] = []
    for connection in range(4):
        own = [(n, str(c)) for n, c in enumerate(connections) if c == connection]
        streams += [[_tapped(n, c, "/same") for n, c in own], [_line(n, c, "/same") for n, c in own]]
    pairing = Pairing()
    found: list[Exchange] = []
    while any(streams):
        stream = data.draw(st.sampled_from([s for s in streams if s]))
        one = stream.pop(0)
        found += pairing.tapped(one) if isinstance(one, Tapped) else pairing.line(one)
    assert pairing.waiting == 0
    assert sorted(e.started_ns for e in found) == [n * S for n in range(len(connections))]
    assert all(e.ended_ns == e.started_ns + 90 and e.request.http_version == "2" for e in found)
    assert all(e.lacks == frozenset() for e in found)


def test_lines_of_what_was_not_tapped_are_passed_over() -> None:
    pairing = Pairing()
    for n, path in ((1, "/same"), (2, "/other"), (3, "/same")):
        assert list(pairing.line(_line(n, path=path))) == []
    assert [e.ended_ns for e in pairing.tapped(_tapped(3, path="/same"))] == [3 * S + 90]


def test_one_that_nothing_is_logged_about_goes_on_alone() -> None:
    pairing = Pairing()
    assert list(pairing.tapped(_tapped(1))) == []
    assert list(pairing.tapped(_tapped(9))) == []
    assert list(pairing.expired(S + WAIT_NS)) == []
    (found,) = pairing.expired(S + 100 + WAIT_NS)
    assert (found.ended_ns, found.lacks) == (None, {Lack.DURATION})
    assert pairing.waiting == 1
    assert [e.started_ns for e in pairing.rest()] == [9 * S + 50]
    assert pairing.waiting == 0


def test_lines_that_nothing_comes_for_are_forgotten() -> None:
    pairing = Pairing()
    list(pairing.line(_line(1)))
    list(pairing.expired(S + 100 * WAIT_NS))
    assert list(pairing.tapped(_tapped(1))) == []


def test_bodies_that_are_shorter_than_said_are_cut() -> None:
    def marks(
        request: Headers, answer: Headers, *, flags: str = "", status: int = 200, method: str = "GET"
    ) -> set[Lack]:
        base = _tapped(1).exchange
        exchange = Exchange(
            id="", session="c", source="envoy", started_ns=base.started_ns,
            request=Request(method=method, scheme="http", authority="a", target="/1", headers=request, body=b"four"),
            answer=Answer(status=status, headers=answer, body=b"four") if status else None,
        )  # fmt: skip
        pairing = Pairing()
        line = Line(
            connection="c", method=method, target="/1", started_ns=S, ended_ns=S + 90, version="1.1", flags=flags
        )
        list(pairing.line(line))
        (found,) = pairing.tapped(Tapped(connection="c", exchange=exchange, told_ns=0))
        return set(found.lacks)

    four, five, chunked = (("content-length", "4"),), (("Content-Length", "5"),), (("transfer-encoding", "chunked"),)
    assert marks(four, four) == set()
    assert marks(five, four) == {Lack.REQUEST_BODY_CUT}
    assert marks(four, five) == {Lack.ANSWER_BODY_CUT}
    assert marks((), five, method="HEAD") == set()
    assert marks((), five, status=304) == set()
    assert marks((), chunked, flags="UC") == {Lack.ANSWER_BODY_CUT}
    assert marks((), four, flags="DC") == set()
    assert marks(chunked, (), status=0) == {Lack.REQUEST_BODY_CUT}
    assert marks(chunked, ()) == set()


def test_lines_in_json_are_read_exactly_or_not_at_all() -> None:
    whole: dict[str, Any] = {
        "connection": "1.2.3.4:5", "method": "GET", "path": "/", "start_time": "1795288550.729971123",
        "duration_ns": 2_000_000, "protocol": "HTTP/2", "response_flags": "-",
    }  # fmt: skip
    line = read_line(whole)
    assert line is not None
    assert (line.started_ns, line.ended_ns) == (1795288550729971123, 1795288550731971123)
    assert (line.version, line.flags) == ("2", "")
    for name in whole:
        assert read_line({k: v for k, v in whole.items() if k != name}) is None
    assert read_line(whole | {"start_time": "soon"}) is None
    assert read_line(whole | {"duration_ns": None}) is not None


@given(
    st.dictionaries(
        st.sampled_from(["connection", "method", "path", "start_time", "duration_ns", "protocol"]), st.text()
    )
)
def test_no_line_raises(fields: dict[str, Any]) -> None:
    assert read_line(fields) is None
