"""Claim: gRPC calls of a locustfile carry the flag, by the interceptor, and are counted as bullets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.e2e.conftest import run_cli
from tests.e2e.replays import SETTINGS
from tests.servers.envoy import Recorder
from tracer_bullet.context.carriers import read_claim
from tracer_bullet.context.keys import create_keys
from tracer_bullet.model import Verdict
from tracer_bullet.model.load import LoadReport
from tracer_bullet.workspace.runs import latest_run, read_json

# Not importorskip: importing Locust patches the standard library.
pytestmark = pytest.mark.skipif(find_spec("locust") is None, reason="Locust is not installed")
LOCUSTFILE = """
import grpc
import grpc.experimental.gevent
from locust import User, constant, events, task
from tracer_bullet.load.locustfile import BulletInterceptor

grpc.experimental.gevent.init_gevent()
ADDRESS = "%s"


class Caller(User):
    fixed_count = 1
    wait_time = constant(60)

    @task
    def call(self):
        channel = grpc.intercept_channel(grpc.insecure_channel(ADDRESS), BulletInterceptor(ADDRESS))
        with events.request.measure("grpc", "Shop/Buy"):
            channel.unary_unary("/Shop/Buy")(b"x", metadata=(("team", "blue"),))
        with events.request.measure("grpc", "Shop/Fail"):
            channel.unary_unary("/Shop/Fail")(b"x")
"""


class _Services(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str]]] = []

    def service(self, details: Any) -> Any:
        def answer(request: bytes, context: Any) -> bytes:
            self.seen.append((details.method, dict(details.invocation_metadata)))
            if details.method.endswith("Fail"):
                context.abort(grpc.StatusCode.NOT_FOUND, "no")
            return request

        return grpc.unary_unary_rpc_method_handler(answer)


def test_calls_are_bullets(tmp_path: Path) -> None:
    services = _Services()
    server = grpc.server(ThreadPoolExecutor(2), handlers=(services,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with Recorder() as target:
            create_keys(tmp_path / ".tracer-bullet" / "keys")
            (tmp_path / "tracer-bullet.yaml").write_text(SETTINGS % f"http://{target.address}")
            (tmp_path / "locustfile.py").write_text(LOCUSTFILE % f"127.0.0.1:{port}")
            options = ("--headless", "-u", "1", "-t", "3", "--unarmed", "--flag-host", f"127.0.0.1:{port}")
            done = run_cli("load", "-f", "locustfile.py", *options, cwd=tmp_path)
    finally:
        server.stop(None).wait()
    folder = latest_run(tmp_path)
    assert folder is not None, done.stderr
    assert [method for method, _ in services.seen] == ["/Shop/Buy", "/Shop/Fail"], done.stdout + done.stderr
    for _, metadata in services.seen:
        claim = read_claim([metadata["baggage"]], [metadata["tracestate"]], [metadata["x-tracer-bullet"]])
        assert claim is not None
        assert (claim.run_id, claim.ambiguous) == (folder.run_id, False)
    assert services.seen[0][1]["team"] == "blue"
    assert "unflagged" not in {f.rule for f in read_json(folder.verdict, Verdict).findings}
    steps = {s.endpoint: (s.sent, s.failed) for s in read_json(folder.load, LoadReport).steps}
    assert steps == {"POST /Shop/Buy": (1, 0), "POST /Shop/Fail": (1, 1)}
