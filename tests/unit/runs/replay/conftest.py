"""A workspace with a replay of three requests, which nobody answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.replay.shop import exchange
from tracer_bullet.capture.archive import ArchiveWriter
from tracer_bullet.context.keys import create_keys
from tracer_bullet.runs.replay.job import ReplayJob, prepare_replay

SETTINGS = """\
version: 1
targets:
  shop: {url: "http://127.0.0.1:1"}
  live: {url: "https://shop.example", production: true}
traces: {source: embedded, listen: "127.0.0.1:0", settle_s: 60, quiet_s: 5}
"""
FILE = "version: 1\nname: morning\ntarget: shop\narchive: morning.tba\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    create_keys(tmp_path / ".tracer-bullet" / "keys")
    (tmp_path / "tracer-bullet.yaml").write_text(SETTINGS)
    (tmp_path / "replay").mkdir()
    with ArchiveWriter(tmp_path / "replay" / "morning.tba", created_by="tests") as writer:
        for number in range(3):
            writer.append(replace(exchange(number, at=number), id=f"e-{number}"))
    path = tmp_path / "replay" / "morning.yaml"
    path.write_text(FILE)
    return path


@pytest.fixture
def prepare(file: Path) -> Callable[..., ReplayJob]:
    """Prepares the replay with more in its file: `prepare("timing: {speed: 4x}", target="live")`."""

    def run(more: str = "", **settings: Any) -> ReplayJob:
        file.write_text(FILE + more)
        return prepare_replay(file, environ={}, **settings)

    return run
