"""Claim: after a reason to stop nothing is sent any more, in no phase, and budgets are those of the whole run."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.loads import SIMPLE, simple_workspace
from tests.servers.envoy import Recorder
from tracer_bullet.model import Outcome, PhaseStarted, RunEnded, RunEvent
from tracer_bullet.model.load import LoadReport
from tracer_bullet.model.replay import StopEvent
from tracer_bullet.runs.load.job import prepare_load
from tracer_bullet.runs.load.recipe import Outside, load
from tracer_bullet.workspace.runs import RunFolder, read_json
from tracer_bullet.workspace.traffic import StopSpec

PATIENT = "  guardrails: {lateness_p99_ms: 60000, errors: 1}\n"
AUDITED = "  proof: {traces_per_s: 1000}\n"
OUTSIDE = StopEvent(reason="interrupt", detail="somebody asked", after_s=0.0)
# Each answer is not what is expected, and the data varies: such failures are looked into after the load.
FAILING = SIMPLE.replace("\nload:\n", "\n    expect: {status: 201}\nload:\n")


def run(
    file: Path, *, outside: Outside | None = None, heard: Callable[[RunEvent], object] = lambda _: None, **settings: Any
) -> tuple[Outcome, LoadReport]:
    job = prepare_load(file, environ=os.environ, **settings)

    async def main() -> RunEnded:
        ended: RunEvent | None = None
        async for event in load(job, outside=outside):
            heard(event)
            ended = event
        assert isinstance(ended, RunEnded)
        return ended

    ended = asyncio.run(main())
    return ended.verdict.outcome, read_json(RunFolder(path=ended.folder).load, LoadReport)


@contextmanager
def silent_server() -> Iterator[tuple[str, list[bytes]]]:
    """Its address, and what came: it takes requests, and never answers."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        ended = False

        def read(connection: socket.socket) -> None:
            with connection:
                while data := connection.recv(65_536):
                    seen.append(data)

        def accept() -> None:
            while True:
                connection, _ = listener.accept()
                if ended:
                    connection.close()
                    return
                threading.Thread(target=read, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
        finally:
            ended = True
            socket.create_connection(listener.getsockname()).close()
            thread.join()


def failing(tmp_path: Path, server: Recorder) -> Path:
    (tmp_path / "rows.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(50)))
    load_ = "  rate: 20/s\n  duration: 1s\n  data: [{file: ../rows.csv}]\n" + PATIENT + AUDITED
    file = simple_workspace(tmp_path, f"http://{server.address}", "")
    file.write_text(FAILING.replace("${bullet}", "${n}") + load_)
    return file


def test_failures_are_looked_into_only_while_nothing_says_stop(tmp_path: Path) -> None:
    kill_file = tmp_path / ".tracer-bullet" / "stop"

    def stop_it(event: RunEvent) -> None:
        if isinstance(event, PhaseStarted) and event.phase == "judge":
            kill_file.touch()

    with Recorder() as server:
        file = failing(tmp_path, server)
        outcome, report = run(file, unarmed=True)
        assert (outcome, report.accounting.failed, len(server.take()) > 20) == (Outcome.FAILED, 20, True)
        assert report.audited == 20
        outcome, report = run(file, unarmed=True, heard=stop_it)
        assert (outcome, report.accounting.failed, len(server.take())) == (Outcome.FAILED, 20, 20)


def test_what_looks_into_failures_is_audited_too(tmp_path: Path) -> None:
    with Recorder() as server:
        file = failing(tmp_path, server)
        job = prepare_load(file, environ=os.environ, unarmed=True)

        async def main() -> RunEnded:
            events = [event async for event in load(job)]
            assert isinstance(events[-1], RunEnded)
            return events[-1]

        ended = asyncio.run(main())
        assert len(ended.verdict.bullets) == len(server.take()) > 20


def test_arming_stops_too(tmp_path: Path) -> None:
    asked: list[int] = []

    def reason() -> StopEvent | None:
        asked.append(1)
        return OUTSIDE if len(asked) > 1 else None

    with Recorder() as server:
        file = simple_workspace(tmp_path, f"http://{server.address}", "  rate: 5/s\n  duration: 1s\n" + PATIENT)
        outcome, report = run(file, outside=Outside(reasons=(reason,)))
        assert (server.take(), outcome, report.stop) == ([], Outcome.ABORTED, OUTSIDE)


def test_a_budget_counts_what_a_target_has_not_answered(tmp_path: Path) -> None:
    with silent_server() as (url, seen):
        load_ = "  rate: 50/s\n  duration: 20s\n  limits: {requests: 30}\n" + PATIENT
        _, report = run(simple_workspace(tmp_path, url, load_), unarmed=True)
        assert report.stop is not None
        assert (report.stop.reason, report.stop.after_s < 15) == ("budget", True)
        assert 30 <= len(seen) < 500


def test_a_search_for_capacity_has_one_budget_of_time_and_its_own_end(tmp_path: Path) -> None:
    more = "  limits: {duration_s: 3}\n  stop: {percentile: 50, within: 1}\n"
    search = "  capacity: {objective: [error_rate < 50%], start: 5/s, max: 500/s, hold: 1s}\n"
    with Recorder() as server:
        file = simple_workspace(
            tmp_path, f"http://{server.address}", "  rate: 5/s\n  duration: 1s\n" + search + more + PATIENT
        )
        assert prepare_load(file, environ=os.environ, find_capacity=True).spec.stop == StopSpec()
        outcome, report = run(file, unarmed=True, find_capacity=True)
    assert report.stop is not None
    assert (outcome, report.stop.detail) == (Outcome.ABORTED, "limits.duration_s is reached")
