"""Whoever watches a load run from outside: a live page, Prometheus, an OTLP collector.

Output's posture: what fails here is told once, and never slows or ends the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from tracer_bullet.model.load import LoadLive
from tracer_bullet.runs.load.live import LiveRun
from tracer_bullet.runs.load.outputs.otlp import Exporter
from tracer_bullet.runs.load.outputs.prometheus import CONTENT_TYPE, metrics_text
from tracer_bullet.runs.load.outputs.readings import Reading, read
from tracer_bullet.runs.load.outputs.server import Answer, LiveServer, listen

_EXPORT_S: Final = 5.0
_LOOK_S: Final = 1.0
# Reading may take a twentieth of the run's own time at most.
_SHARE: Final = 0.05
# How long a scrape waits for figures that are newer than it.
_SCRAPE_S: Final = 1.5
_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    """What to give out. `live_port` None: no page; 0: any free port. `otlp_url`: a collector's base address."""

    live_port: int | None = None
    live_host: str = "127.0.0.1"
    otlp_url: str | None = None


class Watch:
    """Takes in how a run is doing (`begun` and `tell` are for `Outside`), and gives it out. `url` is the page's."""

    def __init__(self, options: WatchOptions, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._broken = False
        self._run: LiveRun | None = None
        self._live: LoadLive | None = None
        self._reading: Reading | None = None
        self._readings = 0
        self._scrapes = 0
        self._next_read_s = self._next_export_s = 0.0
        self._server: LiveServer | None = None
        self.url = ""
        self._exporter = None if options.otlp_url is None else Exporter(options.otlp_url, warn)
        if options.live_port is not None:
            self._server, self.url = self._open_page(options.live_host, options.live_port)
        if self._server is not None:
            self._server.start()
        if self._exporter is not None:
            self._exporter.start()

    def begun(self, run: LiveRun) -> None:
        """The run is there; nothing was sent yet."""
        self._run = run

    def tell(self, live: LoadLive) -> None:
        """How it is doing: kept, and given to who is interested. Never raises."""
        if self._broken or self._run is None:
            return
        with self._kept_going():
            self._tell(self._run, live)

    def close(self) -> None:
        """Export the last figures, and end everything."""
        if self._exporter is not None and self._run is not None and not self._broken:
            with self._kept_going():
                self._exporter.give(self._run, self._live, read(self._run))
        if self._server is not None:
            self._server.stop()
        if self._exporter is not None:
            self._exporter.stop()

    @contextlib.contextmanager
    def _kept_going(self) -> Iterator[None]:
        """The run goes on, whatever cannot be shown."""
        try:
            yield
        except Exception as error:  # noqa: BLE001
            self._broken = True
            self._warn(f"the live page and metrics stop here: {error!r}")

    def _tell(self, run: LiveRun, live: LoadLive) -> None:
        self._live, table = live, b""
        now_s = time.monotonic()
        exporting = self._exporter is not None and now_s >= self._next_export_s
        looked_at = self._server is not None and (self._server.watched or self._scrapes > 0)
        if exporting or (looked_at and now_s >= self._next_read_s):
            self._scrapes = 0
            self._reading = read(run)
            self._readings += 1
            table = json.dumps(_steps(self._reading)).encode()
            cost_s = (time.monotonic() - now_s) / _SHARE
            self._next_read_s = now_s + max(_LOOK_S, cost_s)
            if exporting and self._exporter is not None:
                self._next_export_s = now_s + max(_EXPORT_S, cost_s)
                self._exporter.give(run, live, self._reading)
        if self._server is not None:
            self._server.publish(json.dumps(self._told()).encode(), table)

    def _open_page(self, host: str, port: int) -> tuple[LiveServer, str]:
        from tracer_bullet.report.live import render_live  # noqa: PLC0415  # jinja, for those who ask for a page

        page, security = render_live()
        listener = listen(host, port)
        shown = Answer(content_type="text/html; charset=utf-8", body=page.encode(), security=security)

        async def show() -> Answer:
            return shown

        async def tell() -> Answer:
            told = self._told() | {"steps": [] if self._reading is None else _steps(self._reading)}
            return Answer(content_type="application/json", body=json.dumps(told).encode())

        name = f"[{host}]" if ":" in host else host
        url = f"http://{name}:{listener.getsockname()[1]}/"
        return LiveServer(listener, {"/": show, "/live.json": tell, "/metrics": self._metrics}), url

    async def _metrics(self) -> Answer:
        """In the server's thread: what is read there was finished before it was put there."""
        before = self._readings
        self._scrapes += 1
        until = time.monotonic() + _SCRAPE_S
        # What is waited for happens in another thread, which should have nothing to do but its own work.
        while self._live is not None and self._readings == before and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_S)
        text = metrics_text(self._run, self._live, self._reading)
        return Answer(content_type=CONTENT_TYPE, body=text.encode())

    def _told(self) -> dict[str, Any]:
        run, live = self._run, self._live
        about = {"id": run.run_id, "scenario": run.scenario, "target": run.target} if run is not None else None
        return {"run": about, "live": None if live is None else asdict(live)}


def _steps(reading: Reading) -> list[dict[str, Any]]:
    return [
        {
            "name": one.step.name,
            "sent": sum(one.outcomes.values()),
            "failed": {error: n for error, n in one.outcomes.items() if error},
            "p50_ms": one.latency.p50_ms,
            "p99_ms": one.latency.p99_ms,
        }
        for one in reading.steps
    ]


@contextlib.contextmanager
def watch(options: WatchOptions, warn: Callable[[str], None]) -> Iterator[Watch]:
    """Give out how a run is doing until the block ends. Raises UsageError TB1070 when the page's port is taken."""
    watching = Watch(options, warn)
    try:
        yield watching
    finally:
        watching.close()
