"""Spans from Zipkin's query API (`GET /api/v2/trace/{traceId}`, zipkin2-api.yaml)."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import httpx

from tracer_bullet.errors import UnreachableError
from tracer_bullet.model import Span
from tracer_bullet.traces import ids
from tracer_bullet.traces.otlp import MalformedError
from tracer_bullet.traces.otlp_json import parse_json
from tracer_bullet.traces.zipkin_spans import from_zipkin

_AT_ONCE = 8


class ZipkinSource:
    """A `TraceSource` over a Zipkin server. `url` is its base, as `http://zipkin:9411`.

    Zipkin stores names in lower case, microseconds, and no resource attributes: spans come
    back with that. It cannot tell of changes, so `wait_for_change` waits `poll_s`.
    """

    def __init__(self, url: str, *, timeout_s: float = 10.0, poll_s: float = 0.5) -> None:
        self._url = url.rstrip("/")
        self._poll_s = poll_s
        self._client = httpx.AsyncClient(timeout=timeout_s)
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    async def fetch(self, trace_ids: Collection[str]) -> dict[str, list[Span]]:
        """See TraceSource. A trace that Zipkin does not know (404) has no spans yet."""
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
        url = f"{self._url}/api/v2/trace/{trace_id}"
        try:
            async with self._at_once:
                answer = await self._client.get(url)
        except httpx.HTTPError as error:
            raise _unreachable(url, f"{type(error).__name__}: {error}") from error
        if answer.status_code == 404:
            return []
        if answer.status_code != 200:
            raise _unreachable(url, f"it answered {answer.status_code}")
        try:
            return from_zipkin(trace_id, parse_json(answer.content))
        except MalformedError as error:
            raise _unreachable(url, f"its answer is no Zipkin trace: {error}") from error


def _unreachable(url: str, why: str) -> UnreachableError:
    return UnreachableError(
        "TB402", "cannot fetch spans from Zipkin", where=url, why=why, cure="check the Zipkin address and that it runs"
    )
