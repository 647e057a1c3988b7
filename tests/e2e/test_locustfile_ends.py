"""Claim: whoever ends a run by a locustfile, nobody of it is left, and its folder says what was sent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import run_cli
from tests.e2e.replays import SETTINGS, await_that, children
from tests.servers.envoy import Recorder
from tracer_bullet.context.keys import create_keys
from tracer_bullet.model import RunManifest, Verdict
from tracer_bullet.model.load import LoadReport
from tracer_bullet.workspace.runs import latest_run, read_json

# Not importorskip: importing Locust patches the standard library.
pytestmark = pytest.mark.skipif(find_spec("locust") is None, reason="Locust is not installed")
LOCUSTFILE = """
from pathlib import Path

from locust import FastHttpUser, constant, events, task

seen = []


@events.request.add_listener
def count(**kwargs):
    seen.append(1)
    if len(seen) == 20:
        Path("sent").touch()


class Visitor(FastHttpUser):
    wait_time = constant(0.05)

    @task
    def look(self):
        self.client.get("/page")
"""
STRANGER = """
import socket

import requests
from locust import HttpUser, constant, task


class Visitor(HttpUser):
    wait_time = constant(0.2)

    @task
    def look(self):
        self.client.get("/page")

    @task
    def elsewhere(self):
        requests.get("http://localhost:1/secret")

    @task
    def past_the_clients(self):
        socket.create_connection(("127.0.0.1", 1), timeout=1)
"""


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[tuple[Path, Recorder]]:
    """A workspace with a locustfile, and a server without guards or traces that answers it."""
    with Recorder() as server:
        create_keys(tmp_path / ".tracer-bullet" / "keys")
        (tmp_path / "tracer-bullet.yaml").write_text(SETTINGS % f"http://{server.address}")
        (tmp_path / "locustfile.py").write_text(LOCUSTFILE)
        yield tmp_path, server


@pytest.mark.parametrize(
    "end", ["kill-locust", *(pytest.param(end, marks=pytest.mark.slow) for end in ("interrupt", "kill-file"))]
)
def test_whoever_ends_it_the_run_folder_is_readable(answering: tuple[Path, Recorder], end: str) -> None:
    workspace, server = answering
    process = subprocess.Popen(
        [sys.executable, "-m", "tracer_bullet", "load", "-f", "locustfile.py", "--headless", "-u", "4", "--unarmed"],
        cwd=workspace,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "100"},
        start_new_session=True,
    )
    await_that((workspace / "sent").exists, "it never began")
    (locust,) = children(process)
    if end == "kill-locust":
        locust.kill()
    elif end == "interrupt":
        process.send_signal(signal.SIGINT)
    else:
        (workspace / ".tracer-bullet" / "stop").touch()
    out, err = process.communicate(timeout=120)
    _, alive = psutil.wait_procs([locust], timeout=30)
    assert not alive
    assert process.returncode == {"kill-locust": 3, "interrupt": 130, "kill-file": 4}[end], (out, err)
    folder = latest_run(workspace)
    assert folder is not None
    assert read_json(folder.manifest, RunManifest).state == ("interrupted" if end == "interrupt" else "finished")
    rules = {f.rule for f in read_json(folder.verdict, Verdict).findings}
    expected = {"kill-locust": "locust-died", "interrupt": "stopped-interrupt", "kill-file": "stopped-kill-switch"}
    assert expected[end] in rules
    assert folder.report.exists()
    sent = read_json(folder.load, LoadReport).accounting.sent
    arrived = server.take()
    # What Locust had not told when it was killed, or was cut off in the midst, is not counted.
    assert 0 < sent <= len(arrived) if end == "kill-locust" else sent >= 20
    assert all("x-tracer-bullet" in dict(seen.headers) for seen in arrived)


@pytest.mark.slow
def test_without_its_conductor_locust_sends_nothing_more(answering: tuple[Path, Recorder]) -> None:
    workspace, server = answering
    process = subprocess.Popen(
        [sys.executable, "-m", "tracer_bullet", "load", "-f", "locustfile.py", "--headless", "-u", "4", "--unarmed"],
        cwd=workspace,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    await_that((workspace / "sent").exists, "it never began")
    locusts = children(process)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(locusts, timeout=60)
    assert not alive
    assert len(server.take()) >= 20


@pytest.mark.slow
def test_an_endpoint_without_traces_gets_one_request(answering: tuple[Path, Recorder]) -> None:
    workspace, server = answering
    done = run_cli("load", "-f", "locustfile.py", "--headless", "-u", "10", "-r", "10", "-t", "60", cwd=workspace)
    assert done.returncode == 3, (done.stdout, done.stderr)
    assert len(server.take()) == 1
    folder = latest_run(workspace)
    assert folder is not None
    assert "stopped-not-armed" in {f.rule for f in read_json(folder.verdict, Verdict).findings}


@pytest.mark.slow
def test_other_hosts_are_refused_whatever_asks_for_them(answering: tuple[Path, Recorder]) -> None:
    workspace, _ = answering
    (workspace / "locustfile.py").write_text(STRANGER)
    done = run_cli("load", "-f", "locustfile.py", "--headless", "-u", "3", "-t", "3", "--unarmed", cwd=workspace)
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert "TB1052: localhost:1 is not the target" in done.stdout + done.stderr
    folder = latest_run(workspace)
    assert folder is not None
    (refused,) = (f for f in read_json(folder.verdict, Verdict).findings if f.rule == "host-refused")
    assert "localhost:1 (" in refused.message
    assert "127.0.0.1:1 (" in refused.message


@pytest.mark.parametrize("text", [None, "from locust import User\nclass Visitor(User)\n"])
def test_a_locustfile_that_cannot_be_read_is_a_mistake_and_no_verdict(
    answering: tuple[Path, Recorder], text: str | None
) -> None:
    workspace, server = answering
    path = workspace / "locustfile.py"
    path.unlink(missing_ok=True)
    if text is not None:
        path.write_text(text)
    done = run_cli("load", "-f", "locustfile.py", "--headless", "-t", "5", cwd=workspace)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "TB1059: Locust did not begin: it ended with exit code 1" in done.stderr
    assert "FAILED" not in done.stdout
    assert server.take() == []


def test_a_class_for_another_host_is_told_before_anything_is_sent(answering: tuple[Path, Recorder]) -> None:
    workspace, server = answering
    text = LOCUSTFILE.replace("    wait_time", '    host = "http://shop.example"\n    wait_time')
    (workspace / "locustfile.py").write_text(text)
    done = run_cli("load", "-f", "locustfile.py", "--headless", "-t", "5", cwd=workspace)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "TB1057: Visitor is for http://shop.example" in done.stderr
    assert server.take() == []
