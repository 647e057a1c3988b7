"""Claim: the workspace's sessions, paths and samples count for what mitmproxy hands over, as they do elsewhere."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

from tracer_bullet.capture.archive import open_archive
from tracer_bullet.capture.formats.mitmproxy.writer import MitmproxyWriter
from tracer_bullet.model.exchange import Answer, Exchange, Request
from tracer_bullet.model.losses import Losses

SETTINGS = "version: 1\ntargets: {shop: {url: 'http://127.0.0.1:1'}}\ncapture: {%s}\n"


def recorded(folder: Path, capture: str) -> tuple[list[Exchange], dict[str, int]]:
    """What becomes of visits by forty visitors, with what the process says of reasons."""
    (folder / "tracer-bullet.yaml").write_text(SETTINGS % capture)
    stream = io.BytesIO()
    answer = Answer(status=200, body=b"")
    exchanges = (
        Exchange(
            id="e",
            session="",
            source="t",
            started_ns=10**18 + n,
            request=Request(method="GET", scheme="http", authority="shop", target=f"{path}?visitor={n // 2}"),
            answer=answer,
        )
        for n in range(80)
        for path in (("/health",) if n % 2 else ("/a",))
    )
    MitmproxyWriter().write(exchanges, stream, Losses())
    done = subprocess.run(
        [sys.executable, "-m", "tracer_bullet.capture.mitm", "x.tba"],
        cwd=folder,
        input=stream.getvalue(),
        capture_output=True,
        check=True,
        env={"TRACER_BULLET_CAPTURE_KEY": "k" * 32},
    )
    told = json.loads(done.stdout.splitlines()[-1])
    return list(open_archive(folder / "x.tba").exchanges()), told["reasons"]


def test_sessions_and_paths(tmp_path: Path) -> None:
    found, reasons = recorded(tmp_path, "session: ['query:visitor'], exclude_paths: ['/health*']")
    assert (len(found), reasons) == (40, {"excluded": 40})
    assert len({e.session for e in found}) == 40


def test_a_sample_of_sessions(tmp_path: Path) -> None:
    found, reasons = recorded(tmp_path, "session: ['query:visitor'], sample: 50 %")
    assert len(found) + reasons["not-sampled"] == 80
    assert 0 < len(found) < 80
    visitors = [e.request.target.partition("?")[2] for e in found]
    assert all(visitors.count(v) == 2 for v in visitors), "whole sessions"
