"""Claim: whoever stops a replay, it stops at once, tells what was not sent, and leaves nobody behind."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from tests.e2e.conftest import run_cli
from tests.e2e.replays import FILE, answerer, await_that, children, run_folder, start
from tracer_bullet.model import RunManifest
from tracer_bullet.model.replay import ReplayReport
from tracer_bullet.workspace.runs import RunFolder, read_json

LONG = {"count": 3_000, "gap_ms": 20}  # a minute


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_all_is_sent_once_and_told(tmp_path: Path) -> None:
    with answerer(tmp_path) as (file, server):
        code, out, err = end(start(file, "--unarmed", "--speed", "4x"))
        arrived = sorted(int(s.path.partition("n=")[2]) for s in server.take())
    assert "without proof" in err
    assert code == 3, (out, err)  # nobody answers for the traces
    pairs = [n for n in range(200) if arrived.count(n) != 1]
    assert sorted({*arrived}) == list(range(200))
    assert all(arrived.count(n) == 3 for n in pairs), "those that were sent twice to learn what differs"
    report = read_json(RunFolder(path=run_folder(tmp_path)).replay, ReplayReport)
    assert (report.accounting.planned, report.accounting.sent, report.accounting.answered) == (200, 200, 200)
    assert report.comparison is not None
    assert report.comparison.equal == 200
    assert report.fidelity is not None
    assert (report.fidelity.lost, report.fidelity.repeated, report.fidelity.in_order) == (0, 0, 1.0)
    shots = pq.read_table(run_folder(tmp_path) / "shots")
    assert shots.num_rows == 200
    assert set(shots["status"].to_pylist()) == {200}


def test_a_loop_and_clones_multiply_it(tmp_path: Path) -> None:
    with answerer(tmp_path, FILE + "compare: {enabled: false}\n", count=50) as (file, server):
        code, out, err = end(start(file, "--unarmed", "--loop", "3", "--clones", "2", "--rate", "400/s"))
        arrived = [int(s.path.partition("n=")[2]) for s in server.take()]
    assert code == 3, (out, err)
    assert sorted(arrived) == sorted(list(range(50)) * 6)


def test_the_kill_file_stops_it(tmp_path: Path) -> None:
    with answerer(tmp_path, **LONG) as (file, server):
        process = start(file, "--unarmed")
        await_that(lambda: len(server.seen) > 50, "it never began")
        (tmp_path / ".tracer-bullet" / "stop").touch()
        stopped_s = time.monotonic()
        await_that(lambda: not children(process), "the engine goes on")
        sent_after_s = time.monotonic() - stopped_s
        code, out, err = end(process)
        arrived = len(server.take())
    assert code == 4, (out, err)
    assert "stopped-kill-switch" in out
    assert arrived < 3_000
    assert sent_after_s < 30
    report = read_json(RunFolder(path=run_folder(tmp_path)).replay, ReplayReport)
    assert report.stop is not None
    assert report.stop.reason == "kill-switch"
    accounting = report.accounting
    assert accounting.sent + sum(accounting.not_sent.values()) == accounting.planned
    # The engine was a few seconds ahead in planning, never more; all of the recording is accounted for.
    assert accounting.planned == 3_000
    assert accounting.not_sent["stopped"] < 1_000 < accounting.not_sent["not reached"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_readable_run(tmp_path: Path, number: signal.Signals) -> None:
    with answerer(tmp_path, **LONG) as (file, server):
        process = start(file, "--unarmed")
        await_that(lambda: len(server.seen) > 50, "it never began")
        engines = children(process)
        assert engines
        process.send_signal(number)
        code, out, err = end(process)
        assert code == 130, err
        assert "ABORTED" in out
        assert not any(e.is_running() and e.status() != psutil.STATUS_ZOMBIE for e in engines)
    folder = RunFolder(path=run_folder(tmp_path))
    assert str(folder.path.name) in out
    assert read_json(folder.manifest, RunManifest).state == "interrupted"
    assert folder.report.exists()
    report = read_json(folder.replay, ReplayReport)
    assert report.stop is not None
    assert report.stop.reason == "interrupt"
    assert report.accounting.sent > 0
    assert pq.read_table(folder.shot_parts).num_rows >= report.accounting.sent


def test_a_second_signal_quits_at_once(tmp_path: Path) -> None:
    with answerer(tmp_path, **LONG) as (file, server):
        process = start(file, "--unarmed")
        await_that(lambda: len(server.seen) > 50, "it never began")
        engines = children(process)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        for line in process.stderr:
            if "stopping" in line:
                break
        process.send_signal(signal.SIGINT)
        code, _, err = end(process)
        _, alive = psutil.wait_procs(engines, timeout=60)
    assert (code, alive) == (130, [])
    folder = RunFolder(path=run_folder(tmp_path))
    assert read_json(folder.manifest, RunManifest).state == "interrupted"
    assert folder.path.name in err


def test_a_kill_file_that_is_there_refuses(tmp_path: Path) -> None:
    with answerer(tmp_path) as (file, server):
        (tmp_path / ".tracer-bullet" / "stop").touch()
        code, _, err = end(start(file, "--unarmed"))
        assert (code, server.take()) == (4, [])
    assert "TB993" in err
    assert not (tmp_path / ".tracer-bullet" / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_at_a_random_moment_nobody_is_left(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    with answerer(tmp_path, **LONG) as (file, server):
        process = start(file, "--unarmed")
        await_that(lambda: server.seen, "it never began")
        wanted = len(server.seen) + chance.randrange(200)
        await_that(lambda: len(server.seen) >= wanted, "it stopped")
        engines = children(process)
        os.kill(process.pid, signal.SIGKILL)
        end(process)
        _, alive = psutil.wait_procs(engines, timeout=60)
        assert not alive, "an engine outlived its driver"
    folder = RunFolder(path=run_folder(tmp_path))
    assert read_json(folder.manifest, RunManifest).state == "running"
    for part in folder.shot_parts.glob("*.parquet"):
        pq.read_table(part)
    assert not list(folder.path.glob("*.tmp"))


def test_a_killed_engine_is_told_and_all_is_accounted_for(tmp_path: Path) -> None:
    with answerer(tmp_path, **LONG) as (file, server):
        process = start(file, "--unarmed")
        await_that(lambda: len(server.seen) > 50, "it never began")
        (engine,) = children(process)
        engine.kill()
        code, _, err = end(process)
    assert code == 3, err
    assert "TB952" in err
    folder = RunFolder(path=run_folder(tmp_path))
    assert read_json(folder.manifest, RunManifest).state == "interrupted"
    report = read_json(folder.replay, ReplayReport)
    assert report.accounting.sent > 0


def test_errors_stop_it(tmp_path: Path) -> None:
    with answerer(tmp_path, FILE, **LONG) as (file, server):
        process = start(file, "--unarmed")
        await_that(lambda: len(server.seen) > 50, "it never began")
        server.status = 500
        code, out, err = end(process)
    assert code == 1, (out, err)  # answers that differ from the recording weigh more than having been stopped
    report = read_json(RunFolder(path=run_folder(tmp_path)).replay, ReplayReport)
    assert report.stop is not None
    assert report.stop.reason == "guardrail"


def test_a_recording_without_times_needs_a_rate(tmp_path: Path) -> None:
    with answerer(tmp_path, FILE.replace("simple.tba", "list.tba"), count=1) as (file, server):
        (tmp_path / "list.txt").write_text("".join(f"curl 'http://answerer/?n={n}'\n" for n in range(10)))
        made = run_cli("capture", "import", "-o", "replay/list.tba", "list.txt", cwd=tmp_path)
        assert made.returncode == 0, made.stderr
        code, _, err = end(start(file, "--unarmed"))
        assert code == 2
        assert "TB992" in err
        code, _, err = end(start(file, "--unarmed", "--rate", "50/s"))
        assert code == 3, err
        assert {s.path for s in server.take()} == {f"/?n={n}" for n in range(10)}


def test_a_plan_sends_nothing(tmp_path: Path) -> None:
    with answerer(tmp_path) as (file, server):
        code, out, err = end(start(file, "--plan"))
        assert code == 0, err
        assert "200 exchanges, 200 to send in 10 sessions" in out
        code, out, err = end(start(file, "--plan", "--json", "--clones", "3"))
        assert json.loads(out)["requests"] == 600
        assert not server.take()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("--speed", "0"), "--speed: must be a factor above nothing"), (("--rate", "many"), "--rate: must be a rate")],
)
def test_slips_on_the_command_line_are_told(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    with answerer(tmp_path) as (file, _):
        code, _, err = end(start(file, *arguments))
    assert code == 2
    assert said in err
