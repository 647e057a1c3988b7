"""Claim: a closed window keeps a replay from its target, by whatever name or address, unless somebody says why not."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click.testing
import pytest

from tests.unit.replay.shop import exchange
from tracer_bullet.capture.archive import ArchiveWriter
from tracer_bullet.context.keys import create_keys
from tracer_bullet.errors import ExitCode, StoppedError
from tracer_bullet.model import PhaseStarted, RunEvent, RunManifest
from tracer_bullet.model.replay import ReplayReport
from tracer_bullet.runs.replay.job import ReplayJob, prepare_replay
from tracer_bullet.runs.replay.recipe import replay
from tracer_bullet.workspace.runs import RunFolder, read_json

CLOSED = "{zone: UTC, closed: [{why: always}]}"
FREEZE = "{zone: UTC, freeze: [{from: '1999-01-01', to: '2999-01-01', why: the end of time}]}"


class Server(ThreadingHTTPServer):
    """Says 204, and counts."""

    asked = 0


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked += 1
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return None


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def prepare(tmp_path: Path, server: Server) -> Callable[..., ReplayJob]:
    """A replay of three requests to the target `shop`, whose windows are given."""
    create_keys(tmp_path / ".tracer-bullet" / "keys")
    (tmp_path / "replay").mkdir()
    with ArchiveWriter(tmp_path / "replay" / "morning.tba", created_by="tests") as writer:
        for number in range(3):
            writer.append(exchange(number, at=number / 100))

    def run(windows: str, *, more: str = "", loop: int = 1, **settings: Any) -> ReplayJob:
        (tmp_path / "tracer-bullet.yaml").write_text(
            "version: 1\n"
            f"targets:\n  shop: {{url: 'http://127.0.0.1:{server.server_port}', windows: {windows}}}\n"
            f"  other: {{url: 'http://127.0.0.1:1'}}\n{more}"
            "traces: {source: embedded, listen: '127.0.0.1:0', settle_s: 0, quiet_s: 0}\n"
        )
        (tmp_path / "replay" / "morning.yaml").write_text(
            "version: 1\nname: morning\ntarget: shop\narchive: morning.tba\n"
            f"compare: {{enabled: false}}\ntiming: {{loop: {loop}}}\n"
        )
        return prepare_replay(tmp_path / "replay" / "morning.yaml", environ={}, unarmed=True, **settings)

    return run


def events_of(job: ReplayJob) -> list[RunEvent]:
    async def main() -> list[RunEvent]:
        return [event async for event in replay(job)]

    return asyncio.run(main())


@pytest.mark.parametrize(("windows", "why"), [(CLOSED, "closed every day"), (FREEZE, "the end of time")])
def test_a_closed_window_keeps_a_replay_from_it(
    prepare: Callable[..., ReplayJob], server: Server, windows: str, why: str
) -> None:
    with pytest.raises(StoppedError, match=f"TB1065(.|\n)*{why}(.|\n)*--override-window") as caught:
        events_of(prepare(windows))
    assert caught.value.exit_code is ExitCode.ABORTED
    assert caught.value.where.endswith("tracer-bullet.yaml:3")
    assert server.asked == 0


def test_another_name_is_no_way_round(prepare: Callable[..., ReplayJob], server: Server) -> None:
    port = server.server_port
    for target in ("other", "http://127.0.0.1:1"):
        prepare(CLOSED, target="other").windows.check(datetime.now(UTC))
        if target == "other":
            continue
        with pytest.raises(StoppedError, match="shop may not be loaded"):
            prepare(CLOSED, target=target).windows.check(datetime.now(UTC))
    with pytest.raises(StoppedError, match="shop may not be loaded"):
        prepare(CLOSED, more=f"  alias: {{url: 'http://127.0.0.1:{port}/v2'}}\n", target="alias").windows.check(
            datetime.now(UTC)
        )


def test_windows_of_other_commands_do_not_bind(prepare: Callable[..., ReplayJob], server: Server) -> None:
    events = events_of(prepare("{zone: UTC, closed: [{commands: [load, chaos]}]}"))
    assert server.asked == 3
    assert not any(isinstance(event, PhaseStarted) and event.phase == "windows" for event in events)


def test_who_overrides_says_why_and_the_manifest_keeps_it(prepare: Callable[..., ReplayJob], server: Server) -> None:
    events = events_of(prepare(CLOSED, override_window="  agreed with the shop team "))
    assert server.asked == 3
    told = [event.detail for event in events if isinstance(event, PhaseStarted) and event.phase == "windows"]
    assert told == ["windows of shop are overridden: agreed with the shop team"]
    folder = RunFolder(path=next(event.folder for event in events if hasattr(event, "folder")))
    assert read_json(folder.manifest, RunManifest).override_window == "agreed with the shop team"
    with pytest.raises(StoppedError):
        events_of(prepare(CLOSED, override_window="   "))


def closing_soon() -> str:
    """Windows that close in nine or ten minutes."""
    at = datetime.now(UTC) + timedelta(minutes=10)
    return f"{{zone: UTC, freeze: [{{from: '{at:%Y-%m-%dT%H:%M}', to: '2999-01-01', why: trade}}]}}"


def test_a_run_that_would_cross_into_a_closed_window_is_told_before(prepare: Callable[..., ReplayJob]) -> None:
    job = prepare(closing_soon())
    now = datetime.now(UTC)
    job.windows.check(now)
    assert job.windows.foretell(now, 1.0) == ""
    assert "shop closes at" in job.windows.foretell(now, 3600.0)
    assert "before the end: frozen from" in job.windows.foretell(now, 3600.0)


def test_it_stops_when_the_window_closes(prepare: Callable[..., ReplayJob]) -> None:
    job = prepare(closing_soon())
    now = datetime.now(UTC)
    began_s = time.monotonic() - 5
    look = job.windows.reason(lambda: began_s, clock=lambda: now)
    assert look() is None
    now += timedelta(minutes=11)
    stop = look()
    assert stop is not None
    assert stop.reason == "guardrail"
    assert stop.after_s >= 5
    assert "shop may no longer be loaded: frozen" in stop.detail
    overridden = prepare(closing_soon(), override_window="why").windows.reason(lambda: began_s, clock=lambda: now)
    assert overridden() is None


def test_a_replay_under_way_is_stopped(
    prepare: Callable[..., ReplayJob], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock is moved on once something has been sent: the target closes."""
    real = datetime.now

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return real(tz) + timedelta(minutes=11 if server.asked > 30 else 0)

    monkeypatch.setattr("tracer_bullet.runs.windows.datetime", Clock)
    job = prepare(closing_soon(), loop=5000)
    events = events_of(job)
    folder = RunFolder(path=next(event.folder for event in events if hasattr(event, "folder")))
    report = read_json(folder.replay, ReplayReport)
    assert report.stop is not None
    assert "shop may no longer be loaded" in report.stop.detail
    assert 30 < report.accounting.sent < 15_000


def test_the_command(prepare: Callable[..., ReplayJob], server: Server, tmp_path: Path) -> None:
    prepare(CLOSED)
    file = str(tmp_path / "replay" / "morning.yaml")
    assert server.asked == 0
    result = click.testing.CliRunner().invoke(_command(), [file, "--unarmed", "--override-window", "for the test"])
    assert "WARNING: windows of shop are overridden: for the test" in result.stderr
    assert server.asked == 3


def _command() -> Any:
    from tracer_bullet.cli.replay import command

    return command
