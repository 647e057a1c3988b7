"""Claim: a plan says what would be sent, what would not and why, and what to look at first."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.replay.shop import exchange, visits
from tracer_bullet.capture.archive import ArchiveWriter
from tracer_bullet.cli.replay_plan import plan_json, plan_text
from tracer_bullet.context.keys import create_keys
from tracer_bullet.model.exchange import Exchange, Lack
from tracer_bullet.replay.found import Survey
from tracer_bullet.runs.replay.job import ReplayJob, prepare_replay
from tracer_bullet.runs.replay.surveyed import look_at

SETTINGS = "version: 1\ntargets: {shop: {url: 'http://127.0.0.1:1'}}\n"
FILE = "version: 1\nname: morning\ntarget: shop\narchive: morning.tba\n"


def planned(folder: Path, exchanges: list[Exchange], more: str = "") -> tuple[ReplayJob, Survey, float]:
    create_keys(folder / ".tracer-bullet" / "keys")
    (folder / "tracer-bullet.yaml").write_text(SETTINGS)
    with ArchiveWriter(folder / "morning.tba", created_by="tests") as writer:
        for number, one in enumerate(exchanges):
            writer.append(replace(one, id=f"e-{number}"))
    (folder / "morning.yaml").write_text(FILE + more)
    job = prepare_replay(folder / "morning.yaml", environ={})
    return job, *look_at(job)


@pytest.fixture
def recorded() -> list[Exchange]:
    """Three users' visits, and a write whose body nobody recorded."""
    bare = exchange(
        99, at=3, session="x", method="PUT", target="/stock/1", body=None, lacks=frozenset({Lack.REQUEST_BODY})
    )
    return [*visits(3), bare]


def test_for_people(tmp_path: Path, recorded: list[Exchange]) -> None:
    text = plan_text(*planned(tmp_path, recorded, "timing: {clones: 4, loop: 2}\n"))
    assert text.startswith("morning: morning.tba at http://127.0.0.1:1\nrecorded from 2025-10-09T08:53:20.000Z to ")
    assert "\n16 exchanges, 15 to send in 3 sessions\n" in text
    assert "\n120 requests in " in text
    assert " (4 of each session, 2 times), " in text
    assert "\nrefused: write-without-body 1\n" in text
    assert "\n         3  POST /login\n" in text
    assert "PUT /stock/{}, 1 refused" in text
    assert "POST /login $.token → " in text
    assert text.endswith("\n")
    assert "look at this first:\n  - " in text


def test_for_machines(tmp_path: Path, recorded: list[Exchange]) -> None:
    job, found, planned_s = planned(tmp_path, recorded, "timing: {speed: 2x, clones: 3}\n")
    told = json.loads(plan_json(job, found, planned_s))
    assert (told["exchanges"], told["requests"], told["sessions"]) == (16, 45, 3)
    assert told["refused"] == {"write-without-body": 1}
    assert told["duration_s"] == pytest.approx(0.23, abs=0.01)
    assert {e["endpoint"]: e["requests"] for e in told["endpoints"]}["POST /orders"] == 3
    assert {c["minted"] for c in told["correlations"]} >= {"POST /login $.token"}
    assert told["arming_requests"] >= 5
    assert told["review"] == list(found.review)


def test_many_endpoints_are_cut_for_people_alone(tmp_path: Path) -> None:
    many = [
        exchange(n, at=n / 100, target=f"/area{'abcdefghij'[n % 10]}/sub{'abcdefghij'[n // 10]}/x") for n in range(50)
    ]
    job, found, planned_s = planned(tmp_path, many)
    listed = len(found.endpoints)
    text = plan_text(job, found, planned_s)
    assert f"… and {listed - 30} more (--json lists all)" in text
    assert len(json.loads(plan_json(job, found, planned_s))["endpoints"]) == listed == 50
