"""What is selected and refused, whose requests are whose, and how recorded times become one line."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.replay.shop import SECOND, START, asked, exchange, spec
from tracer_bullet.model.exchange import Answer, Lack
from tracer_bullet.replay.reading.hashing import in_share, shard_of
from tracer_bullet.replay.reading.refusals import BODY_CUT, CONNECT, MALFORMED, UPGRADE, WRITE_WITHOUT_BODY, refusal
from tracer_bullet.replay.reading.select import Selector
from tracer_bullet.replay.reading.sessions import SessionTable
from tracer_bullet.replay.timing.stamps import StampCounts, stamped
from tracer_bullet.workspace.replay import SelectSpec


class TestSelect:
    @pytest.mark.parametrize(
        ("select", "options", "reason"),
        [
            ({}, {}, ""),
            ({"since": "2025-10-09T08:53:20Z"}, {}, ""),
            ({"since": "2025-10-09T10:53:21+02:00"}, {}, "before since"),
            ({"until": "2025-10-09T08:53:20Z"}, {}, "after until"),
            ({"until": "2025-10-09T08:53:20.000001Z"}, {}, ""),
            ({"hosts": ["shop.*"]}, {}, ""),
            ({"hosts": ["shop.example"]}, {"authority": "SHOP.example:8443"}, ""),
            ({"hosts": ["shop.example:80"]}, {"authority": "shop.example:8443"}, "host not selected"),
            ({"methods": ["get"]}, {}, ""),
            ({"methods": ["GET"]}, {"method": "POST"}, "method not selected"),
            ({"paths": ["/a/*"]}, {"target": "/a/b/c?x=/z"}, ""),
            ({"paths": ["/a/*"]}, {"target": "/b?/a/b"}, "path not selected"),
            ({"exclude_paths": ["*.png", "/health"]}, {"target": "/health?x"}, "path excluded"),
            ({"exclude_paths": ["*.png"]}, {"target": "/a?b.png"}, ""),
            ({"statuses": ["2xx"]}, {}, ""),
            ({"statuses": [404, "3xx"]}, {}, "status not selected"),
            ({"statuses": ["2xx"]}, {"answer": None}, "status not selected"),
            ({"sessions": "0 %"}, {}, "session not in the share"),
        ],
    )
    def test_reasons(self, select: dict[str, Any], options: dict[str, Any], reason: str) -> None:
        assert Selector(spec(select=select).select).skips(exchange(**options)) == reason

    @given(st.sets(st.text(min_size=1), min_size=1), st.floats(0, 1), st.floats(0, 1))
    def test_a_greater_share_has_all_of_a_smaller_one(self, sessions: set[str], one: float, other: float) -> None:
        small, great = sorted((one, other))
        assert {s for s in sessions if in_share(s, small)} <= {s for s in sessions if in_share(s, great)}

    def test_a_share_is_about_that_large_and_independent_of_shards(self) -> None:
        chosen = [s for s in map(str, range(4000)) if in_share(s, 0.25)]
        assert 900 < len(chosen) < 1100
        sizes = [sum(shard_of(s, 4) == i for s in chosen) for i in range(4)]
        assert all(200 < size < 300 for size in sizes)

    def test_requests_of_nobody_are_chosen_one_by_one(self) -> None:
        selector = Selector(SelectSpec(sessions=0.5))
        assert 20 < sum(not selector.skips(exchange(n, session="")) for n in range(80)) < 60

    @given(st.sets(st.text(), max_size=50), st.integers(1, 20))
    def test_one_shard_more_takes_its_own_and_moves_no_other(self, sessions: set[str], count: int) -> None:
        for session in sessions:
            before, after = shard_of(session, count), shard_of(session, count + 1)
            assert 0 <= before < count
            assert after in (before, count)


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({}, ""),
            ({"method": "CONNECT", "target": "a:1"}, CONNECT),
            ({"headers": (("Connection", "Upgrade"), ("Upgrade", "websocket"))}, UPGRADE),
            ({"method": "POST", "body": None, "lacks": frozenset({Lack.REQUEST_BODY})}, WRITE_WITHOUT_BODY),
            ({"body": None, "lacks": frozenset({Lack.REQUEST_BODY})}, ""),
            ({"body": b"x", "lacks": frozenset({Lack.REQUEST_BODY_CUT})}, BODY_CUT),
            ({"method": "GE T"}, MALFORMED),
            ({"method": ""}, MALFORMED),
            ({"method": "OPTIONS", "target": "*"}, ""),
            ({"target": "*"}, MALFORMED),
            ({"target": "http://a/b"}, MALFORMED),
            ({"target": "/a b"}, MALFORMED),
            ({"target": "/a\r\nx: y"}, MALFORMED),
            ({"headers": (("a", "b\r\nc: d"),)}, MALFORMED),
            ({"headers": (("a\r\nb", "c"),)}, MALFORMED),
            ({"headers": (("a", "\u20ac"),)}, MALFORMED),
            ({"headers": (("", "c"),)}, MALFORMED),
            ({"headers": (("x-tracer-bullet:an-old-token", "c"),)}, MALFORMED),
            ({"headers": (("content-length ", "5"),)}, MALFORMED),
            ({"headers": (("a\x01b", "c"),)}, MALFORMED),
            ({"headers": (("a\nb", "c"),)}, MALFORMED),
            ({"headers": ((":", "c"),)}, MALFORMED),
            ({"headers": ((":path", "/"), ("x", "\xe4 ok"))}, ""),
        ],
    )
    def test_reasons(self, options: dict[str, Any], reason: str) -> None:
        assert refusal(exchange(**options)) == reason


class TestSessions:
    def test_the_last_request_of_each_is_known_in_the_end(self) -> None:
        table = SessionTable(10 * SECOND)
        rows = [("a", 0), ("b", 1), ("a", 5), ("a", 16), ("b", 9), ("c", 30)]
        rows.sort(key=lambda row: row[1])
        numbers = [table.numbers[table.take(s, at * SECOND, index)] for index, (s, at) in enumerate(rows)]
        assert numbers == [0, 1, 0, 1, 2, 3]
        lasts = table.finish()
        assert [index for index in range(10) if index in lasts] == [2, 3, 4, 5]

    @given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 30)), max_size=100))
    def test_forgetting_at_the_last_request_changes_no_number(self, steps: list[tuple[str, int]]) -> None:
        first, second = SessionTable(20), SessionTable(20)
        at, rows = 0, []
        for session, gap in steps:
            at += gap
            rows.append((session, at))
        numbers = [first.numbers[first.take(s, t, i)] for i, (s, t) in enumerate(rows)]
        lasts = first.finish()
        again = []
        for i, (s, t) in enumerate(rows):
            again.append(second.numbers[second.take(s, t, i)])
            if i in lasts:
                second.forget(s)
        assert again == numbers
        assert sum(i in lasts for i in range(len(rows))) == len(set(numbers)) == second.count

    def test_silent_sessions_give_their_place_away(self) -> None:
        table = SessionTable(SECOND)
        for n in range(40_000):
            table.take(f"s{n}", n * SECOND // 100, n)
        assert len(table.numbers) < 17_000


class TestStamps:
    VAGUE = frozenset({Lack.SUBSECOND})

    def test_whole_seconds_are_spread_evenly_and_counted(self) -> None:
        counts = StampCounts()
        exchanges = [exchange(n, at=n // 4, lacks=self.VAGUE) for n in range(10)]
        starts = [(start - START) / SECOND for start, _ in stamped(exchanges, counts)]
        assert starts == [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5]
        assert counts.spread == 10

    def test_exact_stamps_stay_where_they_are_among_spread_ones(self) -> None:
        counts = StampCounts()
        exchanges = [
            exchange(0, at=0, lacks=self.VAGUE),
            exchange(1, at=0, lacks=self.VAGUE),
            exchange(2, at=0.3),
            exchange(3, at=0.9),
            exchange(4, at=1.1),
        ]
        placed = [(e.id, (start - START) / SECOND) for start, e in stamped(exchanges, counts)]
        assert placed == [("e0", 0), ("e2", 0.3), ("e1", 0.5), ("e3", 0.9), ("e4", 1.1)]
        assert counts.spread == 2

    @given(st.lists(st.tuples(st.integers(0, 5000), st.booleans()), max_size=60))
    def test_time_never_goes_back_and_nothing_is_lost(self, rows: list[tuple[int, bool]]) -> None:
        exchanges = [
            exchange(n, at=ms // 1000 if vague else ms / 1000, lacks=self.VAGUE if vague else frozenset())
            for n, (ms, vague) in enumerate(rows)
        ]
        counts = StampCounts()
        placed = list(stamped(exchanges, counts))
        starts = [start for start, _ in placed]
        assert starts == sorted(starts)
        assert sorted(e.id for _, e in placed) == sorted(e.id for e in exchanges)
        assert counts.spread == sum(vague for _, vague in rows)
        ordered = sorted(exchanges, key=lambda e: e.started_ns)
        counts = StampCounts()
        for start, e in stamped(ordered, counts):
            assert start // SECOND == e.started_ns // SECOND
        assert counts.disordered == 0

    def test_disorder_and_ends_are_counted(self) -> None:
        counts = StampCounts()
        exchanges = [exchange(0, at=5), exchange(1, at=3, lacks=frozenset({Lack.START})), exchange(2, at=6)]
        assert [(s - START) // SECOND for s, _ in stamped(exchanges, counts)] == [5, 5, 6]
        assert (counts.disordered, counts.ends) == (1, 1)


def test_helpers_of_these_tests() -> None:
    assert exchange(answer=Answer(status=204)).answer == Answer(status=204)
    assert asked({"a": 1}) == b'{"a": 1}'
