"""The capturing process and its Envoy: what stops, dies or hangs takes nothing with it that it must not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.servers.envoy import EnvoyUnavailableError, envoy_binary
from tests.unit.capture.proxy.running import WAIT_S
from tests.unit.capture.proxy.target import serving
from tracer_bullet.capture.archive import open_archive

ROOT = Path(__file__).parents[4]
SECRETS = [b"s3cr3t-of-a-header", b"s3cr3t-of-a-cookie", b"s3cr3t-of-a-body", b"4111111111111111"]


@dataclass
class Child:
    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def port(self) -> int:
        return int(self.said(r"ProxyReady\(.*port=(\d+)"))

    @property
    def envoy(self) -> int:
        return int(self.said(r"ProxyReady\(.*pid=(\d+)"))

    def said(self, pattern: str) -> str:
        return next((m.group(1) for m in (re.match(pattern, line) for line in reversed(self.lines)) if m), "")

    async def read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            async with self.changed:
                self.lines.append(line.decode())
                self.changed.notify_all()

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S), self.changed:
            await self.changed.wait_for(is_so)


@contextlib.asynccontextmanager
async def capturing(url: str, archive: Path, *, stall_s: float = 10) -> AsyncIterator[Child]:
    """A process that captures, in a session of its own with its temporary folder beside the archive."""
    try:
        envoy_binary()
    except EnvoyUnavailableError as error:
        pytest.skip(f"envoy: {error}")
    environment = {**os.environ, "TMPDIR": str(archive.parent), "STALL_S": str(stall_s)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.unit.capture.proxy.child", url, str(archive),
        cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    child = Child(process)
    reading = asyncio.create_task(child.read())
    try:
        await child.until(lambda: bool(child.lines))
        yield child
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        await process.wait()
        await reading


async def _ends(pid: int) -> None:
    """Until there is no such process; a zombie is none."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
            if _state(pid) == "Z":
                return
            await asyncio.sleep(0.01)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def _files_with(folder: Path, text: bytes) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file() and text in p.read_bytes()]


async def _send_secrets(client: httpx.AsyncClient, count: int) -> None:
    headers = {"Authorization": "Bearer s3cr3t-of-a-header", "Cookie": "sid=s3cr3t-of-a-cookie"}
    body = {"password": "s3cr3t-of-a-body", "card": "4111111111111111", "kept": "plain-text"}
    for n in range(count):
        answer = await client.post(f"/{n}", json=body, headers=headers)
        assert "s3cr3t-of-a-body" in answer.text


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_killed_it_leaves_no_envoy_and_no_secret_and_an_archive(tmp_path: Path) -> None:
    async def check() -> None:
        archive = tmp_path / "x.tba"
        async with (
            serving() as target,
            capturing(target.url, archive) as child,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{child.port}") as client,
        ):
            await _send_secrets(client, 20)
            await child.until(lambda: bool(child.said(r"ProxyCounts\(finished=20, kept=(20)")))
            await asyncio.sleep(1)  # what the archive may lose
            await _send_secrets(client, 1)
            child.process.kill()
            await child.process.wait()
            await _ends(child.envoy)
            with pytest.raises(httpx.TransportError):
                await client.get("/gone")
        found = list(open_archive(archive).exchanges())
        assert len(found) in (20, 21)
        assert [e.request.target for e in found][:20] == [f"/{n}" for n in range(20)]
        assert all(e.answer is not None and b"plain-text" in (e.answer.body or b"") for e in found)
        texts = " ".join(str(e) for e in found)
        for secret in SECRETS:
            assert secret.decode() not in texts
            assert _files_with(tmp_path, secret) == []

    asyncio.run(check())


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_USER_TIMEOUT is Linux's")
def test_one_that_hangs_costs_records_and_no_request(tmp_path: Path) -> None:
    """Stopped, it takes nothing; Envoy lets go of it, keeps its memory, and is tapped again when it wakes."""

    async def check() -> None:
        archive = tmp_path / "x.tba"
        async with serving() as target, capturing(target.url, archive, stall_s=0.3) as child:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{child.port}", timeout=WAIT_S) as client:
                await client.post("/first", content=b"x")
                child.process.send_signal(signal.SIGSTOP)
                answers = [await client.post(f"/{n}", content=b"x" * 500_000) for n in range(40)]
                assert {(a.status_code, len(a.content)) for a in answers} == {(200, 500_000)}
                grown_kib = await _let_go(client, child.envoy)
                child.process.send_signal(signal.SIGCONT)
                await child.until(lambda: bool(child.said(r"(ProxyTapLost)")))
                await client.post("/last", content=b"x")
                child.process.send_signal(signal.SIGINT)
                await child.process.wait()
            await child.until(lambda: bool(child.said(r"(ProxyEnded)")))
        assert grown_kib < 40_000  # eighty such requests, kept, are 104 MB
        counts = {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", child.said(r"(ProxyEnded.*)"))}
        assert counts["missed"] > 0
        assert counts["finished"] == counts["kept"] + counts["missed"] + counts["unreadable"]
        targets = [e.request.target for e in open_archive(archive).exchanges()]
        assert targets[0] == "/first"
        assert targets[-1] == "/last"

    asyncio.run(check())


async def _let_go(client: httpx.AsyncClient, pid: int) -> int:
    """Send until Envoy's memory stops growing; by how many KiB it grew in the eighty requests after that."""
    async with asyncio.timeout(WAIT_S):
        while await _growth(client, pid, 10) > 2_000:
            pass
    return await _growth(client, pid, 80)


async def _growth(client: httpx.AsyncClient, pid: int, count: int) -> int:
    before = _memory_kib(pid)
    for _ in range(count):
        await client.post("/more", content=b"x" * 500_000)
    return _memory_kib(pid) - before


def _memory_kib(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found.group(1))
