"""Request targets that are not all ASCII."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.unit.replay.shop import TARGET, exchange, fill, recorded_at, said, spec
from tracer_bullet.model.arrival import Arrival
from tracer_bullet.model.exchange import Exchange
from tracer_bullet.replay.planner import Planner
from tracer_bullet.replay.survey import survey
from tracer_bullet.workspace.replay import Replay


def planned(exchanges: list[Exchange], replay: Replay) -> tuple[list[Arrival], Planner]:
    planner = Planner(replay, survey(exchanges, replay), TARGET)
    return [arrival for arrival, _ in planner.plan(exchanges)], planner


@pytest.mark.parametrize("path", ["/caf\xe9/", "/\xe4\xf6\xfc/?q=\xdf&id=", "/plain/"])
def test_slots_stand_right_behind_bytes_that_are_no_ascii(path: str) -> None:
    order = "ord-8f3e1c9d7b5a"
    exchanges = [
        exchange(0, at=0, method="POST", target="/orders", answer=said({"id": order})),
        exchange(1, at=1, target=f"{path}{order}"),
    ]
    (_, second), _ = planned(exchanges, spec())
    assert [recorded_at(second, slot) for slot in range(len(second.slots))] == [order]
    head, _ = fill(second, {second.slots[0].variable: "NEW"})
    line = head.split(b"\r\n")[0].decode("ascii")
    assert line == f"GET {quote(path, safe='/?&=', encoding='latin-1')}NEW HTTP/1.1"


def test_a_rewritten_target_that_is_no_bytes_is_refused() -> None:
    arrivals, planner = planned([exchange()], spec(rewrite={"paths": [{"match": "^/", "to": "/\u20ac"}]}))
    assert arrivals == []
    assert planner.refused == {"malformed": 1}
