"""A workspace with one small scenario, a target that answers it, and trace sources that misbehave."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tracer_bullet.cli.init import write_workspace
from tracer_bullet.context.keys import create_keys
from tracer_bullet.errors import UnreachableError
from tracer_bullet.model import Span
from tracer_bullet.runs.job import FireJob, prepare_fire

SCENARIO = """\
version: 1
name: tiny
target: shop
steps:
  - name: only
    request: {method: GET, path: /}
    expect: {status: 200, json: {"$.id": "expected"}}
"""


@dataclass
class Answering:
    """A target: how often it was asked, and what it answers."""

    url: str = ""
    body: bytes = b'{"id": "expected"}'
    asked: int = 0


@dataclass
class Source:
    """A `TraceSource` that is scripted: each entry of `away` (fetches from 1) raises."""

    away: Collection[int] = ()
    found: dict[str, list[Span]] = field(default_factory=dict)
    fetches: int = 0
    changes: int = 0

    async def fetch(self, trace_ids: Collection[str]) -> Mapping[str, Sequence[Span]]:
        self.fetches += 1
        if self.fetches in self.away:
            raise UnreachableError("TB402", "away")
        return {trace_id: self.found.get(trace_id, []) for trace_id in trace_ids}

    async def wait_for_change(self, seen: int, timeout_s: float) -> int:
        self.changes += 1
        return self.changes

    async def close(self) -> None:
        return None


@pytest.fixture
def target() -> Iterator[Answering]:
    answering = Answering()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answering.asked += 1
            self.send_response(200)
            self.send_header("content-length", str(len(answering.body)))
            self.end_headers()
            self.wfile.write(answering.body)

        def log_message(self, *_: object) -> None:
            return None

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        answering.url = f"http://127.0.0.1:{server.server_port}"
        yield answering
        server.shutdown()
        thread.join()


@pytest.fixture
def workspace(tmp_path: Path, target: Answering) -> Path:
    write_workspace(tmp_path, overwrite=False)
    create_keys(tmp_path / ".tracer-bullet" / "keys")
    (tmp_path / "scenarios" / "tiny.yaml").write_text(SCENARIO)
    write_settings(tmp_path, target.url)
    return tmp_path


def write_settings(workspace: Path, url: str, more: str = "") -> None:
    text = f"version: 1\ntargets:\n  shop: {{url: '{url}'}}\n{more}"
    if "traces:" not in more:
        text += "traces: {source: embedded, listen: '127.0.0.1:0', settle_s: 0, quiet_s: 0}\n"
    (workspace / "tracer-bullet.yaml").write_text(text)


def tiny_job(workspace: Path, **settings: object) -> FireJob:
    scenario = workspace / "scenarios" / "tiny.yaml"
    return prepare_fire(scenario, environ=os.environ, **settings)  # type: ignore[arg-type]
