"""Claim: nothing is sent that is not watched: when what looks for reasons to stop breaks, sending ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tracer_bullet.errors import UsageError
from tracer_bullet.model import RunStarted, Span
from tracer_bullet.model.replay import ReplayReport, StopEvent
from tracer_bullet.runs.replay.job import ReplayJob
from tracer_bullet.runs.replay.recipe import Outside, replay
from tracer_bullet.workspace.runs import RunFolder, read_json

Prepare = Callable[..., ReplayJob]


class Server(ThreadingHTTPServer):
    """Says 204 to everything, and counts."""

    seen = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.seen += 1
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's)
        """Nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class BrokenSource:
    """Fails in a way that nobody foresaw."""

    async def fetch(self, trace_ids: Collection[str]) -> dict[str, list[Span]]:
        raise RuntimeError(f"of {len(trace_ids)} traces")

    async def wait_for_change(self, seen: int, timeout_s: float) -> int:
        await asyncio.sleep(timeout_s)
        return seen

    async def close(self) -> None:
        """Nothing."""


def run(job: ReplayJob, error: str, outside: Outside | None = None) -> ReplayReport:
    events: list[object] = []

    async def main() -> None:
        async for event in replay(job, BrokenSource(), outside=outside):  # type: ignore[arg-type]
            events.append(event)  # noqa: PERF401  (what came before it failed)

    with pytest.raises(RuntimeError, match=error):
        asyncio.run(main())
    started = next(event for event in events if isinstance(event, RunStarted))
    return read_json(RunFolder(path=started.folder).replay, ReplayReport)


def test_when_traces_are_no_longer_looked_at(prepare: Prepare, server: Server) -> None:
    job = prepare("compare: {enabled: false}\ntiming: {loop: 500}\n", target=server.url, unarmed=True)
    report = run(job, "of 1 traces")
    assert 1 <= server.seen < 5
    accounting = report.accounting
    assert accounting.sent == server.seen
    assert accounting.planned == 1500 == accounting.sent + sum(accounting.not_sent.values())
    assert accounting.not_sent["not reached"] > 1000


def test_when_a_reason_cannot_be_asked(prepare: Prepare, server: Server) -> None:
    def reason() -> StopEvent | None:
        raise RuntimeError("no master")

    job = prepare("compare: {enabled: false}\n", target=server.url, unarmed=True)
    run(job, "no master", Outside(reasons=[reason]))
    assert server.seen == 0


@pytest.mark.parametrize("host", ["https://shop.example", "https://shop.example:443/v2"])
def test_rewriting_to_production_is_production(prepare: Prepare, host: str) -> None:
    more = f"rewrite: {{hosts: {{'pay.*': '{host}'}}}}\n"
    assert prepare(more).target.production
    with pytest.raises(UsageError, match=f"{host} is marked production"):
        prepare(more, unarmed=True)
    assert not prepare("rewrite: {hosts: {'pay.*': 'https://other.example'}}\n", unarmed=True).target.production
