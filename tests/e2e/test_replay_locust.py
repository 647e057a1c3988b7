"""Claim: a recording is divided among the workers of an unmodified Locust master, and every request is sent once."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.replays import FILE, answerer, start
from tests.servers.locust_master import LocustMaster
from tracer_bullet.model.replay import ReplayReport
from tracer_bullet.workspace.runs import RunFolder, read_json


def test_two_workers_send_a_recording_once(tmp_path: Path) -> None:
    file_text = FILE + "compare: {noise_pairs: 0}\ntiming: {speed: 2x}\n"
    (tmp_path / "work").mkdir()
    (tmp_path / "locust").mkdir()
    with answerer(tmp_path / "work", file_text, count=300) as (file, server):
        options = ("--expect-workers", "2", "-u", "2", "-r", "2")
        with LocustMaster(tmp_path / "locust", *options, headless=True) as master:
            where = f"127.0.0.1:{master.port}"
            workers = [start(file, "--unarmed", "--locust-master", where, "--shards", "2") for _ in range(2)]
            said = [worker.communicate(timeout=240) for worker in workers]
            assert [w.returncode for w in workers] == [3, 3], said  # nobody answers for the traces
            master.process.wait(60)
        arrived = sorted(int(s.path.partition("n=")[2]) for s in server.take())
    assert arrived == list(range(300))
    runs = sorted((tmp_path / "work" / ".tracer-bullet" / "runs").iterdir())
    reports = [read_json(RunFolder(path=run).replay, ReplayReport) for run in runs]
    assert sum(r.accounting.sent for r in reports) == 300
    assert all(r.accounting.sent > 0 for r in reports)
    stats = json.loads((tmp_path / "locust" / "stats.json").read_text())
    assert sum(entry["num_requests"] for entry in stats) == 300
    exact = json.loads((tmp_path / "locust" / "exact.json").read_text())
    assert "300" in json.dumps(exact)
