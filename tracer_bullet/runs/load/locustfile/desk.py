"""Where Locust's processes report: a server on loopback that answers what they ask, and gathers what they tell."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from tracer_bullet.load.locustfile.protocol import Terms, decode, encode
from tracer_bullet.runs.load.locustfile.arming import Answer, Arming
from tracer_bullet.runs.load.locustfile.bullets import bullet_of
from tracer_bullet.runs.load.locustfile.figures import LocustFigures
from tracer_bullet.runs.replay.proof import Proof

# A line of rows: a quarter of a second of one process.
_LONGEST_LINE: Final = 64 * 1024 * 1024
_chance = random.SystemRandom()


@dataclass(eq=False)
class _Peer:
    """A process of Locust's that said hello."""

    writer: asyncio.StreamWriter
    who: str
    names: list[str] = field(default_factory=list)
    code: int = -9  # it ended without a word


class Desk:
    """Serves while it is open. `stopped`: why nothing more is sent, and the exit code that Locust's processes end with.

    What a process tells that cannot be understood ends its line, and `broken` says so: it is not counted twice, nor
    guessed at.
    """

    def __init__(self, terms: Terms, secret: str, proof: Proof, figures: LocustFigures) -> None:
        self._terms = terms
        self.secret = secret
        self._proof = proof
        self._figures = figures
        self._peers: set[_Peer] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._number = 0
        self._stop: dict[str, Any] | None = None
        self.arming = Arming()
        self.unflagged: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.strangers: Counter[str] = Counter()
        self.broken: list[str] = []
        self.greeted = 0
        self.tests = 0
        self.rate = terms.rate
        self.left: Callable[[int], None] = lambda _: None  # told when Locust's main process is gone

    async def open(self) -> str:
        """Listen; the address, as `127.0.0.1:port`."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_LONGEST_LINE)
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    async def close(self) -> None:
        """Let go of everybody."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def peers(self) -> int:
        """How many processes are connected."""
        return len(self._peers)

    def stop(self, code: int, why: str) -> None:
        """Have all end, also those that come later."""
        if self._stop is None:
            self._stop = {"t": "stop", "code": code, "why": why}
            self._tell_all(self._stop)

    def renew(self, token: str, baggage: str) -> None:
        """From now on use another token."""
        self._terms = Terms.of({**self._terms.message(), "token": token, "baggage": baggage})
        self._tell_all({"t": "token", "token": token, "baggage": baggage})

    def limit(self, rate: float) -> None:
        """How many traces are audited a second, all processes together."""
        self.rate = rate
        senders = max(1, sum(p.who != "master" for p in self._peers))
        self._tell_all({"t": "rate", "rate": rate / senders})

    def judged(self, trace_ids: Iterable[str]) -> None:
        """These traces are clean."""
        for trace_id in trace_ids:
            endpoints = self.arming.of_trace(trace_id)
            self._answer(self.arming.judged(trace_id, time.monotonic()))
            for endpoint in endpoints:
                if self.arming.is_armed(endpoint):
                    self._tell_all({"t": "armed", "endpoint": endpoint})

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        self._tasks.add(task)
        peer: _Peer | None = None
        try:
            peer = await self._greet(reader, writer)
            while peer is not None and (line := await reader.readline()):
                self._hear(peer, decode(line))
        except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
            self.broken.append(f"{type(error).__name__}: {error}"[:200])
        except (ConnectionError, asyncio.CancelledError):
            pass  # it was killed, or the run is over: what it had not told is not known
        finally:
            if peer is not None:
                self._peers.discard(peer)
                self._answer(self.arming.gone(peer, time.monotonic()))
                if peer.who in ("master", "local"):
                    self.left(peer.code)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()
            self._tasks.discard(task)

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Peer | None:
        hello = decode(await reader.readline() or b"{}")
        if hello["t"] != "hello" or not hmac.compare_digest(str(hello.get("secret")), self.secret):
            return None  # another program of this machine
        peer = _Peer(writer, str(hello.get("who", "")))
        self._peers.add(peer)
        self.greeted += 1
        self._tell(peer, self._terms.message())
        self.limit(self.rate)
        if self._stop is not None:
            self._tell(peer, self._stop)
        return peer

    def _hear(self, peer: _Peer, message: dict[str, Any]) -> None:
        hear: Callable[[_Peer, dict[str, Any]], None] | None = getattr(self, f"_hear_{message['t']}", None)
        if hear is not None:
            hear(peer, message)

    def _hear_ask(self, peer: _Peer, message: dict[str, Any]) -> None:
        if self._stop is None:
            self._answer(self.arming.ask(str(message["endpoint"]), peer, int(message["n"]), time.monotonic()))

    def _hear_trace(self, peer: _Peer, message: dict[str, Any]) -> None:
        del peer
        bullet = bullet_of(
            message, number=self._number, run_id=self._terms.run_id, root_id=f"{_chance.randrange(1, 2**64):016x}"
        )
        arms = list(dict.fromkeys(map(str, message["arms"])))
        if bullet is not None:
            self._number += 1
            self._proof.add(bullet)
        for endpoint in arms:
            statuses = [s.status or 0 for s in bullet.shots if s.step == endpoint] if bullet is not None else []
            if bullet is None or not statuses:
                self._answer(self.arming.missed(endpoint, time.monotonic()))
            else:
                self.arming.sent(endpoint, bullet.trace_id, statuses=statuses)

    def _hear_rows(self, peer: _Peer, message: dict[str, Any]) -> None:
        peer.names += map(str, message["new"])
        self._figures.add(peer.names, message["rows"])

    def _hear_unflagged(self, peer: _Peer, message: dict[str, Any]) -> None:
        del peer
        self.unflagged.update({str(k): int(v) for k, v in message["counts"].items()})

    def _hear_refused(self, peer: _Peer, message: dict[str, Any]) -> None:
        del peer
        self.refused.update({str(k): int(v) for k, v in message["counts"].items()})

    def _hear_strangers(self, peer: _Peer, message: dict[str, Any]) -> None:
        del peer
        self.strangers.update({str(k): int(v) for k, v in message["counts"].items()})

    def _hear_test(self, peer: _Peer, message: dict[str, Any]) -> None:
        self.tests += message["what"] == "started" and peer.who != "worker"

    @staticmethod
    def _hear_bye(peer: _Peer, message: dict[str, Any]) -> None:
        peer.code = int(message.get("code") or 0)

    def _answer(self, answers: Iterable[Answer]) -> None:
        for owner, number, how in answers:
            if isinstance(owner, _Peer):
                self._tell(owner, {"t": "go", "n": number, "how": how})

    def _tell_all(self, message: dict[str, Any]) -> None:
        for peer in self._peers:
            self._tell(peer, message)

    def _tell(self, peer: _Peer, message: dict[str, Any]) -> None:
        if not peer.writer.is_closing():
            peer.writer.write(encode(message))
