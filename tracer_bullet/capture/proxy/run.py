"""Runs a capturing proxy: Envoy, its tap, the recording, and what it tells as it goes. Does I/O."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from tracer_bullet.capture.config.envoy_pieces import tap_output
from tracer_bullet.capture.proxy.envoy.bootstrap import CONFIG_ID, STAT_PREFIX, bootstrap
from tracer_bullet.capture.proxy.envoy.documents import Documents
from tracer_bullet.capture.proxy.envoy.process import Envoy, find_envoy
from tracer_bullet.capture.proxy.events import ProxyCounts, ProxyEnded, ProxyEvent, ProxyReady, ProxyTapLost
from tracer_bullet.capture.proxy.recording import Kind, Recording, Take, Told
from tracer_bullet.capture.proxy.spec import ProxySpec
from tracer_bullet.errors import TracerBulletError, UnreachableError, UsageError

_POLL_S: Final = 0.05
_AGAIN_S: Final = 0.1
# How long, once all requests have ended, their last records may take from Envoy to us.
_LAST_S: Final = 5.0
# A document holds both bodies in base64 (4/3) and headers of up to Envoy's 8 MiB a side, each byte up to six (\\u0000).
_HEADERS_BYTES: Final = 2 * 8 * 1_048_576 * 6
_STATS: Final = f"^http%5C.{STAT_PREFIX}%5C.downstream_rq_(total%7Cactive)$"


async def run_proxy(
    spec: ProxySpec,
    take: Take,
    *,
    stop: asyncio.Event,
    clock: Callable[[], int] = time.time_ns,
    report_s: float = 1.0,
) -> AsyncGenerator[ProxyEvent, None]:
    """Proxy and record until `stop` is set: ProxyReady, ProxyCounts each `report_s`, and ProxyEnded as the last event.

    `take` gets each exchange, in a thread of its own, one after the other (`Recorder.take`): when it raises, recording
    ends and proxying goes on.  Raises UsageError TB941 to
    TB942 and UnreachableError TB943 before the first event. Closed or cancelled early, it records what it was told,
    and ends Envoy.
    """
    spec = _with_trust(spec)
    program = find_envoy()
    where = f"{spec.host}:{spec.port}"
    async with Envoy(bootstrap(spec), program=program, threads=spec.threads, listen=where) as envoy:
        scheme = "https" if spec.certificate is not None else "http"
        recording = Recording(take, scheme=scheme, queue_bytes=spec.queue_bytes, clock=clock)
        run = _Run(spec, envoy, recording, clock)
        try:
            async with contextlib.aclosing(run.events(stop, report_s)) as events:
                async for event in events:
                    yield event
        finally:
            await run.close()


class _Run:
    """The tasks around one Envoy."""

    def __init__(self, spec: ProxySpec, envoy: Envoy, recording: Recording, clock: Callable[[], int]) -> None:
        self._spec = spec
        self._envoy = envoy
        self._recording = recording
        self._clock = clock
        self._told: asyncio.Queue[ProxyEvent] = asyncio.Queue()
        self._tapped = asyncio.Event()
        self._finished = 0
        self._active = 0
        self._tasks: list[asyncio.Task[Any]] = []
        self._is_closed = False

    async def events(self, stop: asyncio.Event, report_s: float) -> AsyncGenerator[ProxyEvent, None]:
        sources = [self._lines()] if self._spec.log_only else [self._lines(), self._tap()]
        self._tasks = [asyncio.create_task(work) for work in (*sources, self._recording.work())]
        if not self._spec.log_only:
            await self._first(self._tapped.wait())
        yield await self._ready()
        while not stop.is_set() and self._envoy.is_running:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(report_s):
                    await self._first(stop.wait())
            await self._ask()
            while not self._told.empty():
                yield self._told.get_nowait()
            yield self._counts()
        died = not self._envoy.is_running
        if not died:
            await self._drain()
        error: TracerBulletError | None = self._envoy.died() if died else None
        await self.close()
        counts = replace(self._counts(), unfinished=self._active)
        yield ProxyEnded(why="died" if died else "stopped", counts=counts, error=self._recording.failed or error)

    async def close(self) -> None:
        """End the tasks; record what was told. A second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._recording.close()

    async def _first(self, awaitable: Any) -> None:
        """Wait for it, or for Envoy's end, or for the failure of a task."""
        waiting = [asyncio.ensure_future(awaitable), asyncio.create_task(self._envoy.wait())]
        try:
            done, _ = await asyncio.wait([*waiting, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        for task in done & set(self._tasks):
            if self._envoy.is_running or task.exception() is not None:
                task.result()

    async def _ready(self) -> ProxyReady:
        found = await self._envoy.admin.json("/listeners?format=json")
        (address,) = [row["local_address"]["socket_address"] for row in found["listener_statuses"]]
        return ProxyReady(host=address["address"], port=int(address["port_value"]), pid=self._envoy.pid)

    async def _tap(self) -> None:
        """Tap Envoy for as long as it runs, again when it has let go of us."""
        last_ns = self._clock()
        sink = {"format": "JSON_BODY_AS_BYTES", "streaming_admin": {}}
        request = {"config_id": CONFIG_ID, "tap_config": tap_output(sink, self._spec.body_limit)}
        while True:
            documents = Documents(2 * (self._spec.body_limit * 4 // 3) + _HEADERS_BYTES)
            try:
                async with self._envoy.admin.tap(request) as pieces:
                    if self._tapped.is_set():
                        self._told.put_nowait(ProxyTapLost(seconds=(self._clock() - last_ns) / 1e9))
                    self._tapped.set()
                    async for piece in pieces:
                        last_ns = self._clock()
                        for document in documents.feed(piece):
                            self._recording.put(Told(kind="tap", told_ns=last_ns, data=document))
            except (OSError, EOFError, UnreachableError):
                if not self._tapped.is_set():
                    raise
            self._recording.unreadable(documents.oversized + documents.is_torn)
            await asyncio.sleep(_AGAIN_S)

    async def _lines(self) -> None:
        kind: Kind = "log" if self._spec.log_only else "pair"
        reader = self._envoy.lines
        while line := await reader.readline():
            self._recording.put(Told(kind=kind, told_ns=self._clock(), data=line))
        await asyncio.Event().wait()  # Envoy has ended, which others see

    async def _ask(self) -> None:
        """How many requests Envoy has seen; as before when it does not say."""
        with contextlib.suppress(OSError, EOFError, TimeoutError, UnreachableError, ValueError):
            found = await self._envoy.admin.stats(_STATS)
            prefix = f"http.{STAT_PREFIX}.downstream_rq_"
            self._active = found[f"{prefix}active"]
            self._finished = found[f"{prefix}total"] - self._active

    def _counts(self) -> ProxyCounts:
        counts = self._recording.counts
        told = counts.kept + counts.left_out + counts.dropped + counts.unreadable
        finished = max(self._finished, told)
        return replace(counts, finished=finished, missed=finished - told)

    async def _drain(self) -> None:
        """No new connections; then until all requests have ended, and all has been told of them, or time is up."""
        with contextlib.suppress(OSError, EOFError, TimeoutError, UnreachableError):
            await self._envoy.admin.ask("/drain_listeners", method="POST")
        await self._while(self._is_busy, self._spec.drain_s)
        await self._while(self._is_owed, _LAST_S)

    async def _while(self, is_so: Callable[[], bool], seconds: float) -> None:
        """Until it is not so any more, or Envoy is gone, or time is up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ask()
                while is_so() and self._envoy.is_running:
                    await asyncio.sleep(_POLL_S)
                    await self._ask()

    def _is_busy(self) -> bool:
        return self._active > 0

    def _is_owed(self) -> bool:
        return self._counts().missed > 0 or not self._recording.is_idle


def _with_trust(spec: ProxySpec) -> ProxySpec:
    """With the machine's own certificate authorities, when TLS is to be verified and the user names none."""
    if spec.target.scheme != "https" or not spec.verify or spec.ca_file is not None:
        return spec
    known = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
    for name in (ssl.get_default_verify_paths().cafile, *known):
        if name and Path(name).is_file():
            return replace(spec, ca_file=Path(name))
    raise UsageError(
        "TB940", "this machine's certificate authorities are not found", cure="name a file of them: --ca-file"
    )
