"""Claim: what a locustfile sends has the flag to the target and nowhere else, in traces as tasks and greenlets are."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.e2e.conftest import run_cli
from tests.e2e.replays import SETTINGS
from tracer_bullet.context.carriers import read_claim
from tracer_bullet.context.keys import create_keys
from tracer_bullet.model import Verdict
from tracer_bullet.model.load import LoadReport
from tracer_bullet.workspace.runs import RunFolder, latest_run, read_json

# Not importorskip: importing Locust patches the standard library.
pytestmark = pytest.mark.skipif(find_spec("locust") is None, reason="Locust is not installed")
LOCUSTFILE = """
import socket
import urllib.request

import gevent.pool
from locust import FastHttpUser, HttpUser, User, constant, events, task
from tracer_bullet.load.locustfile import bullet


class Once(HttpUser):
    fixed_count = 1
    wait_time = constant(60)

    def on_start(self):
        self.client.post("/login", headers={"Baggage": "team=blue,tb-token=forged", "TraceParent": "00-forged"})

    @task
    def all(self):
        self.client.get("/same")                 # redirected on the target
        self.client.get("/away")                 # redirected to somebody else
        with self.client.get("/cookie", catch_response=True) as response:
            response.success()
        gevent.pool.Pool(2).map(lambda n: self.client.get(f"/parallel/{n}"), [1, 2])
        urllib.request.urlopen(self.host + "/urllib").read()


class Quick(FastHttpUser):
    fixed_count = 1
    wait_time = constant(60)

    @task
    def all(self):
        self.client.get("/same?fast", headers={"baggage": "team=green"})
        self.client.get("/away?fast")


class Raw(User):
    fixed_count = 1
    wait_time = constant(60)

    @task
    def all(self):
        with bullet("RAW", "/raw", url=self.host) as headers:
            with events.request.measure("RAW", "/raw"):
                address = (self.host.split("/")[2].split(":")[0], int(self.host.rpartition(":")[2]))
                with socket.create_connection(address) as connection:
                    lines = "".join(f"{name}: {value}\\r\\n" for name, value in headers.items())
                    connection.sendall(f"GET /raw HTTP/1.0\\r\\n{lines}\\r\\n".encode())
                    connection.recv(1000)
        events.request.fire(request_type="WS", name="/hidden", response_time=0.001, response_length=0, exception=None,
                            context={})
"""


@dataclass
class Peer:
    """A server that records what it gets, redirects, and sets a cookie."""

    away: str = ""
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(peer: Peer) -> Iterator[Peer]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            peer.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            path = self.path.partition("?")[0]
            to = {"/same": "/there", "/away": f"{peer.away}/elsewhere"}.get(path)
            self.send_response(302 if to else 200)
            if to:
                self.send_header("location", to)
            if path == "/login":
                self.send_header("set-cookie", "session=one; Path=/")
            self.send_header("content-length", "0")
            self.end_headers()

        do_GET = do_POST = _answer  # noqa: N815  # as the base class calls them

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        peer.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield peer
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Peer, RunFolder, str]]:
    """What the target and the stranger got, and the run."""
    workspace: Path = tmp_path_factory.mktemp("wire")
    with serving(Peer()) as stranger, serving(Peer(away=stranger.url)) as target:
        create_keys(workspace / ".tracer-bullet" / "keys")
        (workspace / "tracer-bullet.yaml").write_text(SETTINGS % target.url)
        (workspace / "locustfile.py").write_text(LOCUSTFILE)
        options = ("--headless", "-u", "3", "-r", "3", "-t", "4", "--unarmed")
        allowed = ("--allow-host", stranger.url.removeprefix("http://"))
        done = run_cli("load", "-f", "locustfile.py", *options, *allowed, cwd=workspace)
        folder = latest_run(workspace)
        assert folder is not None, done.stderr
        yield target, stranger, folder, done.stdout + done.stderr


def trace_of(headers: dict[str, str]) -> str:
    return headers["traceparent"].split("-")[1]


def test_every_request_to_the_target_has_all_carriers(sent: tuple[Peer, Peer, RunFolder, str]) -> None:
    target, _, folder, out = sent
    paths = sorted(path for path, _ in target.seen)
    assert paths == sorted(
        ["/login", "/same", "/there", "/away", "/cookie", "/parallel/1", "/parallel/2", "/urllib",
         "/same?fast", "/there", "/away?fast", "/raw"]
    ), out  # fmt: skip
    for path, headers in target.seen:
        claim = read_claim([headers["baggage"]], [headers["tracestate"]], [headers["x-tracer-bullet"]])
        assert claim is not None, path
        assert (claim.run_id, claim.ambiguous, len(claim.carriers)) == (folder.run_id, False, 3)
    assert len({headers["traceparent"] for _, headers in target.seen}) == len(target.seen), "each is a span of its own"


def test_the_token_never_goes_to_a_stranger(sent: tuple[Peer, Peer, RunFolder, str]) -> None:
    _, stranger, folder, _ = sent
    assert [path for path, _ in stranger.seen] == ["/elsewhere", "/elsewhere"]
    for _, headers in stranger.seen:
        assert not {"x-tracer-bullet", "baggage", "tracestate", "traceparent"} & headers.keys()
    assert "unflagged" in {f.rule for f in read_json(folder.verdict, Verdict).findings}


def test_what_the_locustfile_sends_by_itself_is_kept_or_replaced(sent: tuple[Peer, Peer, RunFolder, str]) -> None:
    by_path = dict(sent[0].seen)
    assert by_path["/login"]["baggage"].endswith("team=blue")
    assert "forged" not in str(by_path["/login"])
    assert by_path["/same?fast"]["baggage"].endswith("team=green")
    assert by_path["/cookie"]["cookie"] == "session=one"


def test_traces_are_as_tasks_and_greenlets_are(sent: tuple[Peer, Peer, RunFolder, str]) -> None:
    by_path = {path: trace_of(headers) for path, headers in sent[0].seen if path != "/there"}
    task = {by_path[path] for path in ("/same", "/away", "/cookie", "/urllib")}
    assert len(task) == 1
    others = [by_path[path] for path in ("/login", "/parallel/1", "/parallel/2", "/raw", "/same?fast")]
    assert len({*task, *others}) == 6, (
        "before the task, in greenlets that it spawns, of other users: traces of their own"
    )
    assert by_path["/same?fast"] == by_path["/away?fast"]


def test_what_is_counted_and_what_is_not_flagged_is_named(sent: tuple[Peer, Peer, RunFolder, str]) -> None:
    _, _, folder, _ = sent
    findings = {f.rule: f.message for f in read_json(folder.verdict, Verdict).findings}
    assert "WS /hidden (1)" in findings["unflagged"]
    steps = {s.endpoint: s.sent for s in read_json(folder.load, LoadReport).steps}
    assert steps["RAW /raw"] == 1
    assert steps["GET /same"] == 2
    assert steps["WS /hidden"] == 1
