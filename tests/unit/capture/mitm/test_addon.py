"""The addon inside the real mitmdump 11, whose Python has nothing of ours: what passes is recorded, redacted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import ssl
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.servers.certificates import Authority
from tests.servers.envoy import Recorder
from tests.servers.mitmproxy import Mitmdump, mitmproxy_binary, run_mitmdump
from tests.unit.capture.proxy.target import serving
from tracer_bullet.capture.archive import open_archive
from tracer_bullet.capture.mitm import addon_file
from tracer_bullet.model.exchange import Exchange

SECRET = "s3cr3t-of-a-header"
BODY = b"plain text, which can be looked into; " * 50
TEXT = {"Content-Type": "text/plain"}
KEY = {"TRACER_BULLET_CAPTURE_KEY": "a key for tests, of 32 bytes ..."}


@contextlib.contextmanager
def _recording(folder: Path, mode: str, *options: str) -> Iterator[Mitmdump]:
    """mitmdump with the addon, and without a dump of its own."""
    addon = addon_file(folder / "cache")
    wanted = ["--set", f"tb_archive={folder / 'x.tba'}", "--set", f"tb_workspace={_workspace(folder)}"]
    wanted += ["-w", os.devnull, "--set", "ssl_insecure=true"]
    environment = {**KEY, "TMPDIR": str(folder)}
    with run_mitmdump(
        folder / "m", mode=mode, scripts=[addon], options=[*wanted, *options], environment=environment
    ) as it:
        yield it


def _workspace(folder: Path) -> Path:
    place = folder / "workspace"
    place.mkdir(exist_ok=True)
    (place / "tracer-bullet.yaml").write_text("version: 1\ntargets: {shop: {url: 'http://127.0.0.1:1'}}\n")
    return place


def _found(folder: Path) -> list[Exchange]:
    return list(open_archive(folder / "x.tba").exchanges())


def _summary(running: Mitmdump) -> str:
    (line,) = re.findall(r"tracer-bullet: (\d+ recorded.*)", running.log.read_text())
    return str(line)


def test_what_passes_is_recorded_and_no_secret_is_on_the_disk(tmp_path: Path) -> None:
    with Recorder() as target, _recording(tmp_path, f"reverse:http://{target.address}") as running:
        with httpx.Client(base_url=running.url) as client:
            headers = {"Authorization": f"Bearer {SECRET}", "X-Repeated": "one"}
            assert client.post("/a%20b?c=d", content=BODY, headers=headers | TEXT).text == "hello"
            assert client.get("/bullet", headers={"x-tracer-bullet": "token"}).text == "hello"
        assert target.take()[0].values("authorization") == [f"Bearer {SECRET}"]
    assert _summary(running) == "1 recorded, 1 left out, 0 dropped"
    (exchange,) = _found(tmp_path)
    request = exchange.request
    assert (request.method, request.target, request.http_version) == ("POST", "/a%20b?c=d", "1.1")
    assert request.body == BODY
    assert request.values("x-repeated") == ["one"]
    assert exchange.redacted == ("header:authorization",)
    assert exchange.answer is not None
    assert exchange.answer.body == b"hello"
    assert exchange.lacks == frozenset()
    assert exchange.first_byte_ns is not None
    assert exchange.ended_ns is not None
    assert exchange.started_ns <= exchange.first_byte_ns <= exchange.ended_ns
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(files) > 3
    assert [p for p in files if SECRET.encode() in p.read_bytes()] == []


@pytest.mark.slow
def test_tls_is_opened(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*Authority(tmp_path).issue("localhost"))
    with Recorder(context) as target, _recording(tmp_path, "regular") as running:
        trusted = ssl.create_default_context(cafile=str(tmp_path / "m" / "confdir" / "mitmproxy-ca-cert.pem"))
        with httpx.Client(proxy=running.url, verify=trusted) as client:
            assert client.get(f"https://localhost:{target.port}/in-tls").text == "hello"
    (exchange,) = _found(tmp_path)
    assert (exchange.request.scheme, exchange.request.target) == ("https", "/in-tls")
    assert exchange.request.authority == f"localhost:{target.port}"


def test_bodies_past_the_limit_are_cut_and_streamed_ones_are_missing(tmp_path: Path) -> None:
    limits = ("--set", "tb_body_limit=1000", "--set", "stream_large_bodies=100k")
    with Recorder() as target, _recording(tmp_path, f"reverse:http://{target.address}", *limits) as running:
        with httpx.Client(base_url=running.url) as client:
            client.post("/cut", content=BODY, headers=TEXT)
            client.post("/streamed", content=BODY * 100, headers=TEXT)
        assert [len(s.body) for s in target.take()] == [len(BODY), len(BODY) * 100]
    cut, streamed = _found(tmp_path)
    # What was cut cannot be read to its end, and redaction keeps nothing that it could not read.
    assert (cut.request.body, cut.unreplayable) == (None, "write-without-body")
    assert (streamed.request.body, streamed.unreplayable) == (None, "write-without-body")


@pytest.mark.slow
def test_web_sockets_are_marked(tmp_path: Path) -> None:
    async def talk(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = "GET /socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        head += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        writer.write(head.encode())
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async def check() -> None:
        async with serving() as target:
            with _recording(tmp_path, f"reverse:{target.url}") as running:
                await talk(running.port)

    asyncio.run(check())
    (exchange,) = _found(tmp_path)
    assert exchange.unreplayable == "upgrade"


@pytest.mark.slow
def test_a_target_that_is_away_is_recorded_without_an_answer(tmp_path: Path) -> None:
    with _recording(tmp_path, "reverse:http://127.0.0.1:1") as running, httpx.Client(base_url=running.url) as client:
        assert client.get("/away").status_code == 502
    (exchange,) = _found(tmp_path)
    assert exchange.answer is None


def test_killed_it_leaves_a_readable_archive_and_no_process(tmp_path: Path) -> None:
    with Recorder() as target, _recording(tmp_path, f"reverse:http://{target.address}") as running:
        with httpx.Client(base_url=running.url) as client:
            client.get("/kept")
        children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children")
        child = int(children.read_text().split()[0]) if children.exists() else 0
        running.process.kill()
        running.process.wait()
        _until_gone(child)
    assert [e.request.target for e in _found(tmp_path)] == ["/kept"]
    assert open_archive(tmp_path / "x.tba").info.problems == ()


def test_when_our_process_dies_the_traffic_goes_on(tmp_path: Path) -> None:
    with (
        Recorder() as target,
        _recording(tmp_path, f"reverse:http://{target.address}") as running,
        httpx.Client(base_url=running.url) as client,
    ):
        children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children")
        if not children.exists():
            pytest.skip("children in /proc: not on this machine")
        os.kill(int(children.read_text().split()[0]), signal.SIGKILL)
        for _ in range(5):
            assert client.get("/after").text == "hello"
    assert "5 dropped, and tracer-bullet ended with status -9" in _summary(running)


def test_it_says_why_it_cannot_record(tmp_path: Path) -> None:
    blocked = tmp_path / "x.tba"
    blocked.mkdir()
    with contextlib.suppress(AssertionError), _recording(tmp_path, "regular") as running:
        assert running.process.wait(60) == 1  # it may have listened for a moment
    log = (tmp_path / "m" / "mitmdump.log").read_text()
    assert re.search(r"TB9\d\d: .*x\.tba", log)
    assert "does not record" in log


def test_its_python_has_nothing_of_ours() -> None:
    """Else the tests above would prove nothing."""
    packages = mitmproxy_binary().parents[1].rglob("site-packages/*")
    assert not {p.name for p in packages} & {"tracer_bullet", "orjson", "pydantic"}


def test_the_file_knows_the_python_that_wrote_it(tmp_path: Path) -> None:
    first = addon_file(tmp_path)
    assert f"PYTHON = {sys.executable!r}\n" in first.read_text()
    stamp = first.stat().st_mtime_ns
    assert (addon_file(tmp_path), first.stat().st_mtime_ns) == (first, stamp)
    assert addon_file(tmp_path, python="/else/where") != first
    first.write_text("broken")
    assert addon_file(tmp_path).read_text() != "broken"


def _until_gone(pid: int) -> None:
    deadline = time.monotonic() + 60
    while pid and time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except OSError:
            return
        time.sleep(0.01)
