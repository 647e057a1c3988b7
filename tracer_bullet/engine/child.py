"""The engine's own process: frames in, shots out. Runs on uvloop, with nothing else in the process.

It ends when the driver does: the end of the socket is the end of the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import socket
import traceback
from collections import deque
from typing import Any, Final

import uvloop

from tracer_bullet.engine import wire
from tracer_bullet.engine.client import Client, Shot, now_ns
from tracer_bullet.engine.clients import make_client
from tracer_bullet.engine.pace import open_pacer, unix_offset_ns
from tracer_bullet.engine.schedule.expectations import statuses_of
from tracer_bullet.engine.schedule.scheduler import Scheduler
from tracer_bullet.engine.schedule.sessions import Plot
from tracer_bullet.engine.settings import EngineSettings
from tracer_bullet.model.arrival import Origin
from tracer_bullet.model.shots import EngineNote

_TICK_S: Final = 0.02
_FLUSH: Final = 256
_SWEEP_TICKS: Final = 2
_NOTE_TICKS: Final = 25
_STOP_S: Final = 0.5  # how long answers are still awaited after a stop
_KEPT_BACKLOG: Final = 33_554_432
_GARBAGE: Final = 100_000
_IDLE_NS: Final = 20_000_000
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


class Child(asyncio.BufferedProtocol):
    """The engine's end of the two sockets. `settings` come by the first frame."""

    def __init__(self, out: asyncio.Transport, ended: asyncio.Event) -> None:
        self._out = out
        self._ended = ended
        self._frames = wire.Frames()
        self._todo: deque[list[Any]] = deque()
        self._buffer = bytearray(262_144)
        self._clients: dict[int, Client] = {}
        self._origins: list[Origin] = []
        self._finished: list[Shot] = []
        self._limits: dict[int, int] = {}
        self._base_ns = self._stop_ns = self._ticks = self._cleanings = 0
        self._running = self._source_ended = False
        self.unix_ns = unix_offset_ns()

    # The driver's socket

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002  (the protocol's signature)
        """Where to read to."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Frames came. One is handled at a time, between which requests go out."""
        self._frames.feed(memoryview(self._buffer)[:nbytes])
        was_busy = bool(self._todo)
        self._todo.extend(self._frames)
        if not was_busy and self._todo:
            self._next_frame()

    def eof_received(self) -> None:
        """The driver is gone."""
        self._ended.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (the protocol's signature)
        """The driver is gone."""
        self._ended.set()

    def _next_frame(self) -> None:
        if not self._todo:
            return
        kind, *members = self._todo[0]
        try:
            self._handle(kind, members)
        except Exception:  # noqa: BLE001  (whatever it is, the driver must hear of it)
            self.fail(traceback.format_exc())
            return
        self._todo.popleft()
        if self._todo:
            asyncio.get_running_loop().call_soon(self._next_frame)

    def _handle(self, kind: str, members: list[Any]) -> None:
        if kind == wire.ARRIVALS:
            self._take_in(members)
        elif kind == wire.SETTINGS:
            self._set_up(EngineSettings(**members[0]))
        elif kind == wire.ORIGIN:
            origin = wire.read_origin(members)
            if origin.number not in self._clients:
                self._origins.append(origin)
                self._clients[origin.number] = self._client(origin)
                if origin.scheme == "https":
                    self._scheduler.secure.add(origin.number)
        elif kind == wire.ENDPOINT:
            self._expect(*wire.read_endpoint(members))
        elif kind == wire.START:
            self._start(members[0])
        elif kind == wire.SOURCE_ENDED:
            self._source_ended = True
            self._check_done()
        elif kind == wire.STOP:
            self._stop()

    def _set_up(self, settings: EngineSettings) -> None:
        settings = EngineSettings(**{**_fields(settings), "flag_lines": tuple(settings.flag_lines)})
        if settings.cpu is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {settings.cpu})
        self._settings = settings
        loop = asyncio.get_running_loop()
        self._scheduler = Scheduler(settings, self._clients, self._finish, self.unix_ns)
        self._pacer = open_pacer(loop, self._scheduler.wake)
        self._scheduler.run_by(self._pacer)
        loop.call_later(_TICK_S, self._tick)
        pacing = f"{self._pacer.name}, real time" if settings.realtime and _go_first() else self._pacer.name
        self._out.write(wire.pack(wire.READY, pacing, self.unix_ns))

    def _client(self, origin: Origin) -> Client:
        return make_client(origin, self._settings, self._scheduler.done, self._limits)

    def _expect(self, number: int, statuses: tuple[str, ...], timeout_s: float) -> None:
        if statuses:
            self._scheduler.expected[number] = statuses_of(statuses)
        if timeout_s:
            self._limits[number] = int(timeout_s * 1e9)

    def _start(self, start_ns: int) -> None:
        if self._stop_ns:
            for origin in self._origins:  # those of a run that was stopped send nothing more
                self._clients[origin.number].drop()
                self._clients[origin.number] = self._client(origin)
        self._base_ns = start_ns - self.unix_ns
        self._running, self._source_ended, self._stop_ns = True, False, 0
        self._scheduler.forget()

    def _take_in(self, members: list[Any]) -> None:
        rows, few = wire.read_arrivals(members)
        base, scheduler, shots = self._base_ns, self._scheduler, []
        known = scheduler.known
        for index, (number, due, session, origin, endpoint, last, head, body) in enumerate(rows):
            shot = known[number] = Shot(number, base + due, session, origin, endpoint, head, body)
            if index not in few:
                shot.trace = scheduler.trace_for(session, last=bool(last))
                shots.append(shot)
            elif self._plan(shot, few[index], last=bool(last)):
                shots.append(shot)
        scheduler.add(shots)
        if self._stop_ns:
            scheduler.stop()

    def _plan(self, shot: Shot, row: tuple[Any, ...], *, last: bool) -> bool:
        after, keep, slots, takes, pause_ns, needs, cookies = row
        scheduler = self._scheduler
        session = scheduler.session(shot.session, last=last)
        shot.trace = scheduler.trace_of(session)
        if (needs or pause_ns >= 0) and after not in scheduler.known:
            self._flush()  # it may have ended just now
        plot = Plot(
            session=session, slots=slots, takes=takes, keep=keep, pause_ns=pause_ns, needs=needs, cookies=cookies
        )
        return scheduler.plan(shot, plot, after)

    # Results

    def _finish(self, shot: Shot) -> None:
        self._finished.append(shot)
        if len(self._finished) >= _FLUSH:
            self._flush()
        if self._source_ended:
            self._check_done()

    def _flush(self) -> None:
        shots, self._finished = self._finished, []
        if not shots:
            return
        kept = [s for s in shots if s.answer is not None and isinstance(s.plot, Plot) and s.plot.keep]
        if kept:
            if self._out.get_write_buffer_size() > _KEPT_BACKLOG:
                kept = []  # the driver does not read: figures matter more
            self._out.write(wire.pack_kept(kept))
        columns = wire.columns_of(shots)
        self._scheduler.ends.add(columns[wire.NUMBER], columns[wire.ENDED], columns[wire.ERROR])
        self._out.write(wire.pack_shots(columns))

    def _check_done(self) -> None:
        if self._running and self._source_ended and not self._scheduler.known:
            self._running = False
            asyncio.get_running_loop().call_soon(self._conclude)

    def _conclude(self) -> None:
        self._flush()
        self._out.write(wire.pack_note(self._note()))
        self._out.write(wire.pack(wire.DONE))

    def _note(self) -> EngineNote:
        scheduler, clients = self._scheduler, self._clients.values()
        return EngineNote(
            sent=scheduler.sent,
            waiting=sum(c.waiting for c in clients),
            connections=sum(c.connections for c in clients),
            backed_off=scheduler.backed_off,
            starved=scheduler.starved,
            resent=sum(c.resent for c in clients),
            disabled=scheduler.disabled,
        )

    # Now and then

    def _tick(self) -> None:
        asyncio.get_running_loop().call_later(_TICK_S, self._tick)
        try:
            self._ticks += 1
            self._flush()
            if self._ticks % _SWEEP_TICKS == 0:
                now = now_ns()
                for client in self._clients.values():
                    client.sweep(now)
            if self._running and self._ticks % _NOTE_TICKS == 0:
                self._out.write(wire.pack_note(self._note()))
            if self._stop_ns and self._scheduler.known and now_ns() > self._stop_ns:
                self._abandon()
            self._clean()
        except Exception:  # noqa: BLE001  (whatever it is, the driver must hear of it)
            self.fail(traceback.format_exc())

    def _clean(self) -> None:
        """Collect cycles when nothing is due for a while, or when there are very many new objects."""
        count = gc.get_count()[0]
        if count < 2000:
            return
        due = self._scheduler.next_ns
        idle = not due or due - now_ns() > _IDLE_NS
        if idle or count > _GARBAGE:
            self._cleanings += 1
            # What outlives the youngest generation would otherwise stay for ever; the base is frozen, so all is little.
            gc.collect(2 if idle and self._cleanings % 64 == 0 else 1 if self._cleanings % 16 == 0 else 0)

    def _stop(self) -> None:
        if not self._running:
            return
        self._stop_ns = now_ns() + int(_STOP_S * 1e9)
        self._scheduler.stop()
        for client in self._clients.values():
            self._scheduler.abandon(client.halt())
        self._check_done()

    def _abandon(self) -> None:
        for client in self._clients.values():
            self._scheduler.abandon(client.drop())

    def fail(self, text: str) -> None:
        """Tell the driver what broke, and end."""
        with contextlib.suppress(Exception):
            self._out.write(wire.pack(wire.FAILED, text))
        self._ended.set()

    async def close(self) -> None:
        """Close what is open."""
        if hasattr(self, "_pacer"):
            self._pacer.close()
        for client in self._clients.values():
            client.drop()
            await client.close()


def _fields(settings: EngineSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in EngineSettings.__dataclass_fields__}


async def _serve(commands: socket.socket, results: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    out, _ = await loop.create_connection(asyncio.Protocol, sock=results)
    _, child = await loop.create_connection(lambda: Child(out, ended), sock=commands)
    loop.set_exception_handler(lambda _, context: child.fail(_describe(context)))
    await ended.wait()
    await child.close()


def _describe(context: dict[str, Any]) -> str:
    error = context.get("exception")
    lines = traceback.format_exception(error) if isinstance(error, BaseException) else []
    return f"{context.get('message', '')}\n{''.join(lines)}"


def _go_first() -> bool:
    """Run before all ordinary processes of the core (sched(7)); False when this machine does not let us."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except (OSError, AttributeError):
        return False
    return True


def _keep_memory() -> None:
    """TLS allocates buffers of 256 KiB a read, which glibc would map and unmap each time (mallopt(3))."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, 67_108_864)
        library.mallopt(_M_TRIM_THRESHOLD, 134_217_728)


def main(commands_fd: int, results_fd: int) -> None:
    """Serve the driver until it goes. An interrupt is the driver's to deal with."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _keep_memory()
    gc.collect()
    gc.freeze()
    gc.disable()
    commands, results = socket.socket(fileno=commands_fd), socket.socket(fileno=results_fd)
    uvloop.run(_serve(commands, results))
