"""From what Envoy tells to what is recorded: a bounded queue, and one thread that reads, pairs and hands over.

The event loop only queues, so that it always takes what Envoy has to tell; redaction and compression take their time in
the thread. What the queue has no room for is dropped and counted.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import orjson

from tracer_bullet.capture.formats.base import Format, ReadOptions
from tracer_bullet.capture.formats.logs.envoy import EnvoyJson
from tracer_bullet.capture.formats.tap.reader import TapJson
from tracer_bullet.capture.proxy.envoy.bootstrap import ALONE_FIELDS
from tracer_bullet.capture.proxy.events import ProxyCounts
from tracer_bullet.capture.proxy.pairing import Pairing, Tapped, read_line
from tracer_bullet.errors import TracerBulletError, UnreachableError
from tracer_bullet.model.exchange import Exchange
from tracer_bullet.model.losses import Losses

Take = Callable[[Exchange], bool]
Kind = Literal["tap", "pair", "log"]

_BATCH: Final = 256
_TICK_S: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What Envoy told, and when (Unix nanoseconds). `tap`: a document of the tap; `pair`: a line about one; `log`: a
    line that is all there is."""

    kind: Kind
    told_ns: int
    data: bytes


class Recording:
    """Takes what Envoy tells, gives `take` exchanges. `counts` may be read at any time; `failed` says why it ended."""

    def __init__(self, take: Take, *, scheme: str, queue_bytes: int, clock: Callable[[], int]) -> None:
        self._take = take
        self._readers: dict[Kind, tuple[Format, ReadOptions]] = {
            "tap": (TapJson(), ReadOptions(scheme=scheme)),
            "log": (EnvoyJson(), ReadOptions(scheme=scheme, log_format=json.dumps(ALONE_FIELDS))),
        }
        self._scheme = scheme
        self._room = queue_bytes
        self._clock = clock
        self._queue: deque[Told] = deque()
        self._queued = asyncio.Event()
        self._pairing = Pairing()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="capture-proxy")
        self.losses = Losses()
        self.counts = ProxyCounts()
        self.failed: TracerBulletError | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be recorded."""
        return not self._queue and not self._pairing.waiting

    def put(self, told: Told) -> None:
        """Queue it; never waits. Called in the event loop."""
        if self.failed is not None or len(told.data) > self._room:
            self._count(dropped=told.kind != "pair")
            return
        self._room -= len(told.data)
        self._queue.append(told)
        self._queued.set()

    def unreadable(self, count: int) -> None:
        """Count documents that could not even be cut out."""
        self._count(unreadable=count)

    async def work(self) -> None:
        """Record what comes, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(_TICK_S):
                    await self._queued.wait()
            except TimeoutError:
                pass
            await self._step(final=False)

    async def close(self) -> None:
        """Record all that has been told, and end the thread."""
        try:
            while self._queue:
                await self._step(final=False)
            await self._step(final=True)
        finally:
            self._thread.shutdown(wait=False)

    async def _step(self, *, final: bool) -> None:
        batch = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
        if not self._queue:
            self._queued.clear()
        # As far as the queue has come: what is behind may be the very line that an exchange waits for.
        now_ns = batch[-1].told_ns if self._queue else self._clock()
        work = asyncio.get_running_loop().run_in_executor(self._thread, self._record, batch, now_ns, final)
        # Cancelling must not leave the thread at work on what nobody waits for.
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])
            raise
        finally:
            self._room += sum(len(told.data) for told in batch)

    def _record(self, batch: list[Told], now_ns: int, final: bool) -> None:
        for told in batch:
            self._hand_over(self._read(told))
        self._hand_over(self._pairing.expired(now_ns))
        if final:
            self._hand_over(self._pairing.rest())

    def _read(self, told: Told) -> Iterable[Exchange]:
        if told.kind == "pair":
            line = read_line(_parsed(told.data))
            return () if line is None else self._pairing.line(line)
        reader, options = self._readers[told.kind]
        found = list(reader.read(io.BytesIO(told.data), self.losses, options))
        if not found:
            self._count(unreadable=1)
        if told.kind == "log":
            return found
        connection = _connection(_parsed(told.data))
        tapped = (Tapped(connection=connection, exchange=self._cleaned(e), told_ns=told.told_ns) for e in found)
        return (paired for one in tapped for paired in self._pairing.tapped(one))

    def _cleaned(self, exchange: Exchange) -> Exchange:
        """Without the header that Envoy adds itself; one that says something else is the client's."""
        request = exchange.request
        headers = tuple(h for h in request.headers if h != ("x-forwarded-proto", self._scheme))
        return replace(exchange, source="envoy", request=replace(request, headers=headers))

    def _hand_over(self, exchanges: Iterable[Exchange]) -> None:
        for exchange in exchanges:
            if self.failed is not None:
                self._count(dropped=1)
                continue
            try:
                kept = self._take(exchange)
            except TracerBulletError as error:
                self._fail(error)
            except Exception as error:  # noqa: BLE001 - whatever it is, what passes must go on passing
                self._fail(UnreachableError("TB945", "the recording has ended", why=f"{type(error).__name__}: {error}"))
            else:
                self._count(kept=int(kept), left_out=int(not kept))

    def _fail(self, error: TracerBulletError) -> None:
        self.failed = error
        self._count(dropped=1)

    def _count(self, *, kept: int = 0, left_out: int = 0, dropped: int = 0, unreadable: int = 0) -> None:
        had = self.counts
        self.counts = replace(
            had,
            kept=had.kept + kept,
            left_out=had.left_out + left_out,
            dropped=had.dropped + dropped,
            unreadable=had.unreadable + unreadable,
        )


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _connection(document: dict[str, Any]) -> str:
    """The client's end of the connection, as the log writes it; empty when it is not there."""
    place: Any = document
    for key in ("http_buffered_trace", "downstream_connection", "remote_address", "socket_address"):
        place = place.get(key) if isinstance(place, dict) else None
    if not isinstance(place, dict):
        return ""
    host = str(place.get("address", ""))
    return f"[{host}]:{place.get('port_value', '')}" if ":" in host else f"{host}:{place.get('port_value', '')}"
