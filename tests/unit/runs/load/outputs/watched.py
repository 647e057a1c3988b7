"""A run that looks as if it were under way, and who asks for it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from tests.unit.engine.shot_batches import START, batch, shot
from tracer_bullet.model.load import GuardrailReading, LoadLive, StepKey
from tracer_bullet.runs.load.figures import LoadFigures
from tracer_bullet.runs.load.live import LiveRun
from tracer_bullet.runs.load.outputs import Watch, WatchOptions, watch

MS = 1_000_000
STEPS = (
    StepKey(scenario="buy", step="look", method="GET", path="/a", index=0, of=2),
    StepKey(scenario="buy", step="pay", method="POST", path="/b", index=1, of=2),
)


def row(session: int, endpoint: int, *, at_ms: int = 0, **more: Any) -> dict[str, int]:
    made = shot(number=2 * session + endpoint, endpoint=endpoint, due=START + at_ms * MS, **more)
    return {**made, "session": session}


def live_run(scenario: str = "buy", steps: tuple[StepKey, ...] = STEPS) -> LiveRun:
    """Six iterations: four whole, one whose second step was reset, one whose first one was never sent."""
    figures = LoadFigures(steps)
    figures.shots(0, batch([row(n, 0, service=4 * MS) for n in range(5)]))
    figures.shots(0, batch([row(n, 1, at_ms=10, service=30 * MS) for n in range(4)]))
    figures.shots(0, batch([row(4, 1, at_ms=10, error="reset")]))
    figures.shots(1, batch([row(5, 0, error="stale", sent=False)]))
    return LiveRun(
        run_id="run-1", scenario=scenario, target="http://shop:80", folder=Path("runs/run-1"), steps=steps,
        figures=figures,
    )  # fmt: skip


def live(t_s: float = 1.0, **more: Any) -> LoadLive:
    settings: dict[str, Any] = {
        "span_s": 60.0, "planned_rate": 50.0, "rate": 48.5, "errors": 0, "error_rate": 0.0, "p50_ms": 4.0,
        "p95_ms": 30.0, "p99_ms": 31.0, "lateness_p99_ms": 0.2, "sent": 10, "failed": 1, "iterations": 4, "users": 3,
        "senders": 2, "left": {"time": "59 s"},
        "guardrails": (GuardrailReading(name="shop health", last="200", worst="200", limit="3 in a row", looks=4),),
    }  # fmt: skip
    return LoadLive(t_s=t_s, **(settings | more))


@contextmanager
def page(**options: Any) -> Iterator[tuple[Watch, list[str]]]:
    """A live page on a free port, and what it warned of."""
    warnings: list[str] = []
    with watch(WatchOptions(live_port=0, **options), warnings.append) as watching:
        yield watching, warnings


def get(url: str, *, host: str = "", method: str = "GET") -> tuple[int, dict[str, str], str]:
    """Status, headers in lower case, body."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.request(method, parts.path, headers={"Host": host or parts.netloc})
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode()
    finally:
        connection.close()


class Events:
    """A reader of Server-Sent Events; a context manager."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        self._connection.request("GET", "/events")
        self._answer = self._connection.getresponse()
        self.content_type = self._answer.getheader("content-type")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._answer.close()
        self._connection.close()

    def next(self) -> tuple[str, Any]:
        """The kind of the next event, and its data; ("", None) at the stream's end."""
        kind = "message"
        while line := self._answer.readline().decode():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ").strip()
            if line.startswith("data: "):
                assert self._answer.readline() == b"\n"
                return kind, json.loads(line.removeprefix("data: "))
        return "", None
