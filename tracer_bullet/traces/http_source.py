"""What all sources share that fetch traces by id from an HTTP API."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import ClassVar, Final

import httpx

from tracer_bullet.errors import UnreachableError
from tracer_bullet.model import Span
from tracer_bullet.traces import ids
from tracer_bullet.traces.otlp import MalformedError

_AT_ONCE: Final = 8


class HttpSource(ABC):
    """A `TraceSource` over a server that answers one trace a request. `url` is its base, as `http://zipkin:9411`.

    Such a server cannot tell of changes, so `wait_for_change` waits `poll_s`.
    """

    server: ClassVar[str]
    """Its name, as in messages."""

    def __init__(
        self, url: str, *, timeout_s: float = 10.0, poll_s: float = 0.5, headers: Mapping[str, str] | None = None
    ) -> None:
        self._url = url.rstrip("/")
        self._poll_s = poll_s
        self._client = httpx.AsyncClient(timeout=timeout_s, headers=dict(headers or {}))
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    @abstractmethod
    def path(self, trace_id: str) -> str:
        """Where a trace is, below the base."""

    @abstractmethod
    def read(self, trace_id: str, body: bytes) -> list[Span]:
        """The spans in an answer. Raises MalformedError when it is none of this API."""

    async def fetch(self, trace_ids: Collection[str]) -> dict[str, list[Span]]:
        """See TraceSource. A trace that the server does not know (404) has no spans yet."""
        wanted = [ids.trace_hex(*ids.trace_halves(t)) for t in trace_ids]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {trace_id: group.create_task(self._trace(trace_id)) for trace_id in wanted}
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return {trace_id: task.result() for trace_id, task in tasks.items()}

    async def wait_for_change(self, seen: int, timeout_s: float) -> int:
        """See TraceSource."""
        await asyncio.sleep(min(self._poll_s, timeout_s))
        return seen + 1

    async def close(self) -> None:
        """See TraceSource."""
        await self._client.aclose()

    async def _trace(self, trace_id: str) -> list[Span]:
        url = f"{self._url}{self.path(trace_id)}"
        try:
            async with self._at_once:
                answer = await self._client.get(url)
        except httpx.HTTPError as error:
            raise self._unreachable(url, f"{type(error).__name__}: {error}") from error
        if answer.status_code == 404:
            return []
        if answer.status_code != 200:
            raise self._unreachable(url, f"it answered {answer.status_code}")
        try:
            return self.read(trace_id, answer.content)
        except MalformedError as error:
            raise self._unreachable(url, f"its answer is no trace of {self.server}: {error}") from error

    def _unreachable(self, url: str, why: str) -> UnreachableError:
        return UnreachableError(
            "TB402",
            f"cannot fetch spans from {self.server}",
            where=url,
            why=why,
            cure=f"check the address of {self.server} and that it runs",
        )
