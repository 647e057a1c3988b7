"""Claim: `tracer-bullet load` says what is wrong before it sends, ends when told to, and its exit codes are true."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from hdrh.histogram import HdrHistogram

from tests.e2e.loads import SETTINGS, SIMPLE, simple_workspace
from tests.e2e.replays import await_that, children, run_folder, start
from tests.servers.envoy import Recorder
from tracer_bullet.cli.main import run
from tracer_bullet.model import RunManifest
from tracer_bullet.model.load import LoadReport
from tracer_bullet.runs.load.job import prepare_load
from tracer_bullet.workspace.runs import RunFolder, read_json

PATIENT = "  guardrails: {lateness_p99_ms: 60000}\n"
LONG = "  rate: 50/s\n  duration: 10m\n" + PATIENT


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def report_of(workspace: Path) -> tuple[RunFolder, LoadReport]:
    folder = RunFolder(path=run_folder(workspace))
    return folder, read_json(folder.load, LoadReport)


@pytest.mark.parametrize(
    ("load", "arguments", "said"),
    [
        ("", (), "does not say how much load"),
        ("", ("--rate", "5/s"), "give --duration"),
        ("", ("--rate", "5", "--duration", "1s"), "--rate: must be a rate"),
        ("load:\n  rate: 5/s\n", (), "`duration` belongs to `rate`"),
        ("load:\n  rate: 5/s\n  users: 3\n  duration: 1s\n", (), "give one of rate, users and stages"),
        ("load:\n  rate: 5/s\n  duration: 1s\n  thresholds: [p99 < 3]\n", (), "p99 < 3"),
        ("load:\n  rate: 5/s\n  duration: 1s\n  thresholds: [{expect: p99 < 3ms, step: onyl}]\n", (), "only"),
        ("load:\n  rate: 5/s\n  duration: 1s\n", ("--find-capacity",), "needs an objective"),
        ("load:\n  rate: 5/s\n  duration: 1s\n", ("--workers", "2"), "local:2"),
        ("load:\n  rate: 5/s\n  duration: 1s\n", ("--workers", "local:2", "--master"), "give one"),
        ("load:\n  stages: [{curve: no.tba}]\n", (), "there is no archive no.tba"),
        ("", ("--rate", "5/s", "--users", "5", "--duration", "1s"), "--users: a rate and users exclude each other"),
        ("", ("--rate", "5/s", "--duration", "0s"), "--duration: must be greater than 0"),
        ("load:\n  stages: [{for: 1s, rate: 5/s}]\n", ("--duration", "1s"), "--duration: this load has stages"),
        (
            "load:\n  rate: 5/s\n  duration: 1s\n  thresholds:\n    - max < 9s\n    - {expect: max < 9s, step: onyl}\n",
            (),
            "simple.yaml:14: the threshold",
        ),
        (
            "load:\n  capacity:\n    objective: [{expect: max < 9s, step: onyl}]\n  rate: 5/s\n  duration: 1s\n",
            ("--find-capacity",),
            "simple.yaml:11: the threshold",
        ),
        (
            "load: {rate: 1/s, duration: 9s, think: 3s..1s}\n",
            (),
            "simple.yaml:9: load.think: the shorter time comes first",
        ),
        ("load: {rate: 1/s, duration: 9s, warm_up: 9s}\n", (), "`warm_up` is not shorter than the load (9 s)"),
        ("load: {rate: 1/s, duration: 9s, warm_up: 5s}\n", ("--duration", "4s"), "shorter than the load (4 s)"),
        ("load: {rate: 1/s, duration: 9s, baseline: latest}\n", (), "must be a map, as {run: latest}"),
        ("", ("--worker",), "--worker is told by its master"),
        (
            "    take: {x: '$..x'}\n  - {name: b, request: {path: '/${x}'}}\nload: {rate: 1/s, duration: 1s}\n",
            (),
            "simple.yaml:9",
        ),
        ("load: {rate: 1/s, duration: 1s, with: [{scenario: simple.yaml}]}\n", (), "two scenarios of the traffic"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], load: str, arguments: tuple[str, ...], said: str
) -> None:
    with Recorder() as server:
        file = simple_workspace(tmp_path, f"http://{server.address}", "")
        file.write_text(SIMPLE.replace("load:\n", load))
        code = run(["load", str(file), "--unarmed", *arguments])
        assert server.take() == []
    err = capsys.readouterr().err
    assert (code, said in err) == (2, True), err
    assert not list((tmp_path / ".tracer-bullet").glob("runs/*"))


def test_the_objective_is_the_thresholds_on_requests_unless_another_is_given(tmp_path: Path) -> None:
    demands = "  thresholds:\n    - {expect: med < 1s, service: payment}\n    - p(95) < 300ms\n"
    file = simple_workspace(tmp_path, "http://127.0.0.1:9", "  rate: 1/s\n  duration: 1s\n" + demands)
    job = prepare_load(file, environ={}, find_capacity=True)
    assert [t.expect for t in job.spec.capacity.objective] == ["p(95) < 300ms"]


def test_unarmed_is_refused_in_production(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = simple_workspace(tmp_path, "http://127.0.0.1:9", "  rate: 1/s\n  duration: 1s\n")
    settings = (SETTINGS % "http://127.0.0.1:9").replace("9}", "9, production: true}")
    (tmp_path / "tracer-bullet.yaml").write_text(settings)
    assert (run(["load", str(file), "--unarmed"]), "TB303" in capsys.readouterr().err) == (2, True)


def test_a_run_for_machines_and_for_other_tools(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Recorder() as server:
        file = simple_workspace(tmp_path, f"http://{server.address}", "  rate: 20/s\n  duration: 3s\n" + PATIENT)
        assert run(["load", str(file), "--unarmed", "--json"]) == 3, "no service told of a bullet, so nothing is proved"
        assert len(server.take()) == 60
    out, err = capsys.readouterr()
    assert err.startswith("WARNING: --unarmed")
    told = json.loads(out)
    assert told["load"]["accounting"]["sent"] == 60
    folder, report = report_of(tmp_path)
    rows = list(csv.DictReader((folder.path / "stats.csv").read_text().splitlines()))
    assert [(r["Type"], r["Name"], r["Request Count"]) for r in rows] == [
        ("GET", "simple / only", "60"),
        ("", "Aggregated", "60"),
    ]
    assert float(rows[0]["99%"]) == pytest.approx(report.overall.latency.p99_ms, abs=0.001)
    logged = [line for line in (folder.path / "histograms.hlog").read_text().splitlines() if line.startswith("Tag=")]
    assert [line.split(",")[0] for line in logged] == ["Tag=all", "Tag=simple_/_only"]
    read = HdrHistogram.decode(logged[0].split(",")[-1])
    assert read.total_count == 60
    assert read.get_value_at_percentile(99) / 1000 == pytest.approx(report.overall.latency.p99_ms, abs=0.001)
    history = list(csv.DictReader((folder.path / "stats_history.csv").read_text().splitlines()))
    assert sum(float(r["Requests/s"]) for r in history) == pytest.approx(60)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_readable_run(tmp_path: Path, number: signal.Signals) -> None:
    with Recorder() as server:
        file = simple_workspace(tmp_path, f"http://{server.address}", LONG)
        process = start(file, "--unarmed", command="load")
        await_that(lambda: len(server.seen) > 20, "it never began")
        engines = children(process)
        process.send_signal(number)
        code, out, err = end(process)
    assert code == 130, err
    assert "ABORTED" in out
    assert not any(e.is_running() and e.status() != psutil.STATUS_ZOMBIE for e in engines)
    folder, report = report_of(tmp_path)
    assert read_json(folder.manifest, RunManifest).state == "interrupted"
    assert report.stop is not None
    assert report.stop.reason == "interrupt"
    assert report.accounting.sent + sum(report.accounting.not_sent.values()) == report.accounting.planned
    assert folder.report.exists()


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("  limits: {requests: 30}\n", "budget"),
        ("  limits: {duration_s: 1}\n", "budget"),
        ("  thresholds: [{expect: p(50) < 0.001ms, abort: true, after: 0s}]\n", "threshold"),
        ("  stop: {iterations: 25}\n", ""),
    ],
)
def test_it_ends_before_its_time(tmp_path: Path, more: str, reason: str) -> None:
    with Recorder() as server:
        file = simple_workspace(tmp_path, f"http://{server.address}", LONG + more)
        code, out, err = end(start(file, "--unarmed", command="load"))
    _, report = report_of(tmp_path)
    assert (report.stop.reason if report.stop else "") == reason, err
    assert code == {"budget": 4, "threshold": 1, "": 3}[reason], out
    assert report.accounting.sent == 25 or reason


def test_a_kill_file_ends_it_and_refuses_the_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Recorder() as server:
        file = simple_workspace(tmp_path, f"http://{server.address}", LONG)
        process = start(file, "--unarmed", command="load")
        await_that(lambda: len(server.seen) > 20, "it never began")
        (tmp_path / ".tracer-bullet" / "stop").touch()
        code, out, _ = end(process)
        assert (code, "stopped-kill-switch" in out) == (4, True)
        server.take()
        code = run(["load", str(file), "--unarmed"])
        assert (code, "TB993" in capsys.readouterr().err, server.take()) == (4, True, [])


def test_a_closed_window_keeps_it_from_beginning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Recorder() as server:
        file = simple_workspace(tmp_path, f"http://{server.address}", "  rate: 5/s\n  duration: 1s\n" + PATIENT)
        url = f"http://{server.address}"
        frozen = ", windows: {zone: UTC, freeze: [{from: 2020-01-01, to: 2099-01-01, why: inventory}]}}"
        (tmp_path / "tracer-bullet.yaml").write_text((SETTINGS % url).replace(url + "}", url + frozen))
        code = run(["load", str(file), "--unarmed"])
        err = capsys.readouterr().err
        assert (code, "TB1065" in err, "inventory" in err, server.take()) == (4, True, True, [])
        assert run(["load", str(file), "--unarmed", "--override-window", "the owner asked"]) == 3
        assert len(server.take()) == 5
    folder, _ = report_of(tmp_path)
    assert read_json(folder.manifest, RunManifest).override_window == "the owner asked"
    assert "overridden: the owner asked" in capsys.readouterr().err


def test_an_engine_that_is_killed_leaves_a_verdict(tmp_path: Path) -> None:
    with Recorder() as server:
        file = simple_workspace(tmp_path, f"http://{server.address}", LONG)
        process = start(file, "--unarmed", command="load")
        await_that(lambda: len(server.seen) > 20, "it never began")
        (engine,) = [c for c in children(process) if "tracer_bullet.engine" in c.cmdline()]
        engine.kill()
        code, out, err = end(process)
    assert code == 3, (out, err)
    assert "sender-lost" in out
    folder, report = report_of(tmp_path)
    (sender,) = report.senders
    assert "TB952" in sender.lost
    assert report.accounting.not_sent or report.accounting.failed, "what it had is accounted for"
    assert folder.verdict.exists()
    assert folder.report.exists()


@pytest.mark.parametrize("named", [["-f", "no.py"], ["-fno.py"], ["--locustfile", "no.py"], ["--locustfile=no.py"]])
def test_a_locustfile_is_known_however_it_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, named: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # no workspace, which the run of a locustfile needs
    assert run(["load", *named, "--headless"]) == 2
    assert "TB301" in capsys.readouterr().err
