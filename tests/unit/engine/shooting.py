"""Runs arrivals through a real engine process, and collects what comes back."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tracer_bullet.engine import EngineProcess, EngineSettings
from tracer_bullet.model.arrival import Arrival, Endpoint, Origin
from tracer_bullet.model.exchange import Answer
from tracer_bullet.model.shots import SHOT_ERRORS, EngineNote, KeptAnswer, ShotBatch

COLUMNS = tuple(ShotBatch.__dataclass_fields__)


def request(target: str, method: str = "GET", body: bytes = b"", *, headers: str = "", length: bool = True) -> bytes:
    """A head as the planner makes it."""
    lines = f"{method} {target} HTTP/1.1\r\nhost: 127.0.0.1\r\n{headers}"
    if length and (body or method in ("POST", "PUT", "PATCH")):
        lines += f"content-length: {len(body)}\r\n"
    return lines.encode("latin-1")


def arrival(number: int, target: str = "/plain", method: str = "GET", body: bytes = b"", **more: Any) -> Arrival:
    """An arrival due 2 ms after the one before it."""
    given = {"due_ns": number * 2_000_000, "session": number, "origin": 0, "endpoint": 0, **more}
    head = given.pop("head", None) or request(target, method, body, headers=given.pop("headers", ""))
    return Arrival(number=number, head=head, body=body, **given)


@dataclass
class Outcome:
    """`rows`: number → columns of its shot as a dict, `error` as its word. `times`: how often each number came back."""

    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    kept: dict[int, Answer] = field(default_factory=dict)
    cut: set[int] = field(default_factory=set)
    notes: list[EngineNote] = field(default_factory=list)
    times: dict[int, int] = field(default_factory=dict)

    def take(self, result: ShotBatch | list[KeptAnswer] | EngineNote) -> None:
        if isinstance(result, ShotBatch):
            for values in zip(*(getattr(result, name) for name in COLUMNS), strict=True):
                row = dict(zip(COLUMNS, values, strict=True))
                row["error"] = SHOT_ERRORS[row["error"]]
                self.rows[row["number"]] = row
                self.times[row["number"]] = self.times.get(row["number"], 0) + 1
        elif isinstance(result, EngineNote):
            self.notes.append(result)
        else:
            for kept in result:
                assert kept.number not in self.kept
                self.kept[kept.number] = kept.answer
                if kept.cut:
                    self.cut.add(kept.number)

    def error(self, number: int) -> str:
        return str(self.rows[number]["error"])

    def status(self, number: int) -> int:
        return int(self.rows[number]["status"])

    def whole(self, arrivals: Sequence[Arrival]) -> None:
        """Every arrival came back exactly once, and its times are in order."""
        assert self.times == {a.number: 1 for a in arrivals}
        for row in self.rows.values():
            assert row["due_ns"] <= row["ready_ns"]
            assert row["ready_ns"] <= row["ended_ns"] or row["error"] in ("stopped", "lost")
            if row["sent_ns"]:
                assert row["ready_ns"] <= row["sent_ns"] <= row["ended_ns"]
            if row["first_ns"]:
                assert row["sent_ns"] <= row["first_ns"] <= row["ended_ns"]


def batches(arrivals: Sequence[Arrival], size: int = 7) -> Iterable[list[Arrival]]:
    return (list(arrivals[at : at + size]) for at in range(0, len(arrivals), size))


def origin(port: int, scheme: str = "http", host: str = "127.0.0.1", number: int = 0) -> Origin:
    return Origin(number=number, scheme=scheme, host=host, port=port)


async def shoot(
    arrivals: Sequence[Arrival],
    where: int | Origin,
    *,
    wait_s: float = 0.05,
    size: int = 7,
    endpoints: Sequence[Endpoint] = (),
    **settings: Any,
) -> Outcome:
    """Fire the arrivals by one engine; check that all came back."""
    outcome = Outcome()
    async with EngineProcess(EngineSettings(**settings)) as engine:
        engine.define(origin(where) if isinstance(where, int) else where)
        for endpoint in endpoints:
            engine.define(endpoint)
        async for result in engine.run(batches(arrivals, size), time.time_ns() + int(wait_s * 1e9)):
            outcome.take(result)
    outcome.whole(arrivals)
    return outcome
