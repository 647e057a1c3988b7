"""Claim: a replay sends bullets only, keeps their tokens to itself, and sends nothing that is not watched."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.unit.replay.shop import exchange
from tracer_bullet.capture.archive import ArchiveWriter
from tracer_bullet.errors import UsageError
from tracer_bullet.model import RunStarted, Span
from tracer_bullet.model.replay import ReplayReport, StopEvent
from tracer_bullet.runs.replay.job import ReplayJob
from tracer_bullet.runs.replay.recipe import Outside, replay
from tracer_bullet.workspace.runs import RunFolder, read_json

Prepare = Callable[..., ReplayJob]
# A slow machine stops no replay.
SIMPLE = "compare: {enabled: false}\nguardrails: {lateness_p99_ms: 60000}\n"


class Server(ThreadingHTTPServer):
    """Says 204 to everything, and remembers the header lines."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lines: list[list[tuple[str, str]]] = []

    @property
    def seen(self) -> int:
        return len(self.lines)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.lines.append([(name.lower(), value) for name, value in self.headers.items()])
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's)
        """Nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
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


class NoSource(BrokenSource):
    """Has no traces."""

    async def fetch(self, trace_ids: Collection[str]) -> dict[str, list[Span]]:
        return {}


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
    job = prepare(SIMPLE + "timing: {loop: 500}\n", target=server.url, unarmed=True)
    report = run(job, r"of \d+ traces")
    assert 1 <= server.seen < 300, "one a second"
    accounting = report.accounting
    assert accounting.sent == server.seen
    assert accounting.planned == 1500 == accounting.sent + sum(accounting.not_sent.values())
    assert accounting.not_sent["not reached"] > 1000


def test_when_a_reason_cannot_be_asked(prepare: Prepare, server: Server) -> None:
    def reason() -> StopEvent | None:
        raise RuntimeError("no master")

    job = prepare(SIMPLE, target=server.url, unarmed=True)
    run(job, "no master", Outside(reasons=[reason]))
    assert server.seen == 0


@pytest.mark.parametrize("host", ["https://shop.example", "https://shop.example:443/v2"])
def test_rewriting_to_production_is_production(prepare: Prepare, host: str) -> None:
    more = f"rewrite: {{hosts: {{'pay.*': '{host}'}}}}\n"
    assert prepare(more).target.production
    with pytest.raises(UsageError, match=f"{host} is marked production"):
        prepare(more, unarmed=True)
    assert not prepare("rewrite: {hosts: {'pay.*': 'https://other.example'}}\n", unarmed=True).target.production


def test_each_request_is_one_bullet_of_this_run_and_its_token_is_nowhere_on_disk(
    file: Path, prepare: Prepare, server: Server
) -> None:
    """Whatever an archive holds of earlier runs; it should hold none, but may be made by anybody."""
    old = (
        ("Baggage", "tb.run=old,request_type=TRACE"), ("BAGGAGE", "x=y"), ("Tracestate", "tb=t"), ("x", "kept"),
        ("X-Tracer-Bullet", "an-old-token"), ("traceparent", f"00-{'a' * 32}-{'b' * 16}-01"), ("Host", "evil.example"),
        ("Content-Length", "7"), ("X-B3-TraceId", "a" * 32),
    )  # fmt: skip
    (file.parent / "morning.tba").unlink()
    with ArchiveWriter(file.parent / "morning.tba", created_by="tests") as writer:
        for number in range(4):
            writer.append(exchange(number, at=number / 100, headers=old, target="/a?token=s3cr3t"))
    job = prepare(SIMPLE, target=server.url, unarmed=True)
    job = replace(job, traces=job.traces.model_copy(update={"settle_s": 0.5}))
    folders: list[Path] = []

    async def main() -> None:
        async for event in replay(job, NoSource()):  # type: ignore[arg-type]
            if isinstance(event, RunStarted):
                folders.append(event.folder)  # noqa: PERF401  (there is one)

    asyncio.run(main())
    assert server.seen == 4
    carriers = ("baggage", "tracestate", "x-tracer-bullet", "traceparent", "host")
    tokens = set()
    for lines in server.lines:
        assert sorted(name for name, _ in lines) == sorted((*carriers, "x"))
        said = dict(lines)
        tokens.add(said["x-tracer-bullet"])
        assert folders[0].name in said["baggage"]
        assert said["host"] == server.url.removeprefix("http://")
        assert "a" * 32 not in said["traceparent"]
    (token,) = tokens
    written = [path for path in job.workspace.rglob("*") if path.is_file() and path.suffix != ".tba"]
    assert any(path.is_relative_to(folders[0]) for path in written)
    for path in written:
        data = path.read_bytes()
        if path.suffix == ".parquet":
            data += repr(pq.read_table(path).to_pylist()).encode()
        assert token.encode() not in data, path
        assert token.rpartition(".")[2].encode() not in data, path
        assert b"s3cr3t" not in data, path
