"""Claim: the command line says what went wrong, where, why and what to do, with the documented exit codes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.conftest import run_cli


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def test_demo_from_nothing(tmp_path: Path) -> None:
    done = run_cli("demo", "--bullets", "3", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASSED" in done.stdout.upper()
    assert "the payment provider outside the system got 0 charges" in done.stdout
    assert done.stderr == "", "no progress where stderr is no terminal"
    assert "\x1b" not in done.stdout
    workspace = tmp_path / "demo"
    for command in (
        ["report"],
        ["report", "--json"],
        ["graph"],
        ["graph", "--format", "dot"],
        ["graph", "--format", "json"],
    ):
        again = run_cli(*command, cwd=workspace)
        assert again.returncode == 0, again.stderr
        assert "checkout" in again.stdout
    (junit,) = workspace.rglob("junit.xml")
    assert ET.parse(junit).getroot().get("failures") == "0"


@pytest.mark.parametrize(
    ("careless", "code", "says"),
    [
        (
            "inventory=no_guard",
            1,
            ["unguarded-write", "INSERT reservations", "inventory → sqlite inventory.db", "cure"],
        ),
        ("payment=drops_database_spans", 3, ["seal-short", "payment"]),
    ],
)
def test_careless_demo_exit_codes_and_findings(tmp_path: Path, careless: str, code: int, says: list[str]) -> None:
    done = run_cli("demo", "--bullets", "1", "--careless", careless, cwd=tmp_path)
    assert done.returncode == code, done.stdout + done.stderr
    flat = " ".join(done.stdout.split())
    assert all(text in flat for text in says), done.stdout


@contextmanager
def shop_process(workspace: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`tracer-bullet sim` on free ports, in a process of its own; the workspace's settings are told of them."""
    settings = workspace / "tracer-bullet.yaml"
    keys = str(workspace / ".tracer-bullet" / "keys" / "jwks.json")
    process = subprocess.Popen(
        [sys.executable, "-m", "tracer_bullet", "sim", "--keys", keys, "--ports", "free", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        for line in process.stdout:
            name, _, url = line.partition(" ")
            if name == "gateway":
                settings.write_text(settings.read_text().replace("http://127.0.0.1:8080", url.strip()))
            elif name == "payment-api":
                settings.write_text(settings.read_text().replace("127.0.0.1:8099", url.strip().removeprefix("http://")))
            elif name == "ready:":
                break
        else:
            raise AssertionError(process.stderr.read() if process.stderr else "")
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def with_ports(workspace: Path, traces: int) -> None:
    path = workspace / "tracer-bullet.yaml"
    path.write_text(path.read_text().replace("127.0.0.1:4318", f"127.0.0.1:{traces}"))


def test_sim_and_fire_and_doctor_as_separate_programs(workspace: Path) -> None:
    port = free_port()
    with_ports(workspace, port)
    scenario = str(workspace / "scenarios" / "checkout.yaml")
    with shop_process(workspace, "--otlp", f"http://127.0.0.1:{port}/v1/traces"):
        doctor = run_cli("doctor", scenario)
        assert doctor.returncode == 0, doctor.stdout + doctor.stderr
        assert "checkout → payment" in doctor.stdout
        assert "sqlalchemy=rollback" in doctor.stdout
        assert "httpx=stub" in doctor.stdout
        assert "net=report" in doctor.stdout
        assert "healthy" in doctor.stdout

        fired = run_cli("fire", scenario, "--bullets", "4", "--concurrency", "2", "--json")
        assert fired.returncode == 0, fired.stdout + fired.stderr
        result = json.loads(fired.stdout)
        assert (result["outcome"], result["exit_code"], result["bullets"]["passed"]) == ("passed", 0, 4)

        wrong = run_cli("fire", scenario, "--var", "quantity=0", "--var", "quantty=1")
        assert wrong.returncode == 2
        assert "TB105" in wrong.stderr
        assert "quantity" in wrong.stderr


def test_interrupted_runs_leave_a_readable_folder(workspace: Path) -> None:
    port = free_port()
    with_ports(workspace, port)
    settings = workspace / "tracer-bullet.yaml"
    settings.write_text(settings.read_text().replace("settle_s: 10", "settle_s: 600"))
    with shop_process(
        workspace, "--careless", "payment=drops_database_spans", "--otlp", f"http://127.0.0.1:{port}/v1/traces"
    ):
        process = subprocess.Popen(
            [sys.executable, "-m", "tracer_bullet", "fire", str(workspace / "scenarios" / "checkout.yaml")],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        runs = workspace / ".tracer-bullet" / "runs"
        while not list(runs.glob("*/run.json")):  # bounded by the test's own time-out
            assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in err
    (manifest,) = runs.glob("*/run.json")
    assert json.loads(manifest.read_text())["state"] == "interrupted"
    assert (manifest.parent / "shots.parquet").exists()


def test_mistakes_in_files_are_told_all_at_once(workspace: Path) -> None:
    path = workspace / "scenarios" / "checkout.yaml"
    text = path.read_text().replace("status: 200", "statis: 200").replace("method: POST", "method: PSOT", 1)
    path.write_text(text)
    done = run_cli("fire", str(path))
    assert done.returncode == 2
    assert "2 problems" in done.stderr
    line = next(i for i, row in enumerate(text.splitlines(), 1) if "statis" in row)
    assert f"checkout.yaml:{line}:" in done.stderr
    assert "did you mean 'status'" in done.stderr.lower()
    assert "POST" in done.stderr


def test_a_dead_target_and_a_taken_port(workspace: Path) -> None:
    scenario = str(workspace / "scenarios" / "checkout.yaml")
    dead = run_cli("fire", scenario, "--target", f"http://127.0.0.1:{free_port()}")
    assert dead.returncode == 3
    assert "TB304" in dead.stderr
    assert "cure:" in dead.stderr
    assert not (workspace / ".tracer-bullet" / "runs").exists()
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as target:
        with_ports(workspace, taken.getsockname()[1])
        busy = run_cli("fire", scenario, "--target", f"http://127.0.0.1:{target.getsockname()[1]}")
    assert busy.returncode == 3
    assert "TB401" in busy.stderr


def test_production_is_not_fired_at_without_the_flag_or_unarmed(workspace: Path) -> None:
    settings = workspace / "tracer-bullet.yaml"
    settings.write_text(settings.read_text().replace("services: [gateway", "production: true\n    services: [gateway"))
    for option in ("--control", "--unarmed"):
        done = run_cli("fire", str(workspace / "scenarios" / "checkout.yaml"), option)
        assert done.returncode == 2
        assert "TB303" in done.stderr


def test_keys(tmp_path: Path) -> None:
    made = run_cli("keys", "new", "--folder", str(tmp_path / "keys"))
    assert made.returncode == 0
    assert (tmp_path / "keys" / "private.pem").stat().st_mode & 0o777 == 0o600
    run_cli("keys", "new", "--folder", str(tmp_path / "keys"))
    listed = run_cli("keys", "list", "--folder", str(tmp_path / "keys"))
    assert len(listed.stdout.split()) == 2


def test_init_keeps_what_is_there(tmp_path: Path) -> None:
    assert run_cli("init", str(tmp_path)).returncode == 0
    settings = tmp_path / "tracer-bullet.yaml"
    settings.write_text("# mine\n")
    assert "kept" in run_cli("init", str(tmp_path)).stdout
    assert settings.read_text() == "# mine\n"
    assert run_cli("init", str(tmp_path), "--force").returncode == 0
    assert "targets:" in settings.read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["fire", "no-such.yaml"], 2, "no-such.yaml"),
        (["fire"], 2, "SCENARIO"),
        (["fiire"], 2, "fiire"),
        (["report"], 2, "TB103"),
        (["report", "latest", "--nope"], 2, "--nope"),
        (["--version"], 0, "0.1.0"),
        (["--help"], 0, "Exit codes"),
        (["fire", "--help"], 0, "--control"),
    ],
)
def test_usage(tmp_path: Path, arguments: list[str], code: int, says: str) -> None:
    done = run_cli(*arguments, cwd=tmp_path)
    assert done.returncode == code
    assert says in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m tracer_bullet --help | head -n 0"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False, env=os.environ
    )
    assert "Traceback" not in done.stderr
