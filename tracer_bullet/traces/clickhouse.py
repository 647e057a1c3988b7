"""Spans from the table that OpenTelemetry's ClickHouse exporter fills, over ClickHouse's HTTP interface."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Final

import httpx

from tracer_bullet.errors import UnreachableError
from tracer_bullet.model import Span
from tracer_bullet.model.losses import Losses
from tracer_bullet.traces import ids
from tracer_bullet.traces.columns import SpanColumns
from tracer_bullet.traces.formats.registry import FORMATS
from tracer_bullet.traces.otlp import MalformedError
from tracer_bullet.traces.otlp_json import parse_json
from tracer_bullet.traces.table import batch_to_spans

_SETTINGS: Final = {"output_format_json_quote_64bit_integers": "1", "wait_end_of_query": "1"}


class ClickHouseSource:
    """A `TraceSource` over a table as `otel_traces` or `database.otel_traces`; `url` as `http://clickhouse:8123`.

    It cannot tell of changes, so `wait_for_change` waits `poll_s`.
    """

    def __init__(
        self,
        url: str,
        table: str = "otel_traces",
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
        poll_s: float = 0.5,
    ) -> None:
        self._url = url
        self._table = ".".join(f"`{part}`" for part in table.split("."))
        self._poll_s = poll_s
        self._client = httpx.AsyncClient(timeout=timeout_s, headers=dict(headers or {}))

    async def fetch(self, trace_ids: Collection[str]) -> dict[str, list[Span]]:
        """See TraceSource."""
        found: dict[str, list[Span]] = {ids.trace_hex(*ids.trace_halves(t)): [] for t in trace_ids}
        if not found:
            return found
        listed = ", ".join(f"'{trace_id}'" for trace_id in found)
        columns = SpanColumns()
        reader = FORMATS["clickhouse"].reader(Losses())
        query = f"SELECT * FROM {self._table} WHERE TraceId IN ({listed}) FORMAT JSONEachRow"  # noqa: S608  # hex ids
        for line in (await self._ask(query)).splitlines():
            reader.feed(self._parsed(line), columns)
        reader.finish(columns)
        for span in batch_to_spans(columns.to_arrow()):
            found[span.trace_id].append(span)
        return found

    async def wait_for_change(self, seen: int, timeout_s: float) -> int:
        """See TraceSource."""
        await asyncio.sleep(min(self._poll_s, timeout_s))
        return seen + 1

    async def close(self) -> None:
        """See TraceSource."""
        await self._client.aclose()

    async def _ask(self, query: str) -> bytes:
        try:
            answer = await self._client.post(self._url, params=_SETTINGS, content=query.encode())
        except httpx.HTTPError as error:
            raise self._unreachable(f"{type(error).__name__}: {error}") from error
        if answer.status_code != 200:
            why = answer.text.strip().partition("\n")[0][:300]
            raise self._unreachable(f"it answered {answer.status_code}: {why}")
        return answer.content

    def _parsed(self, line: bytes) -> object:
        try:
            return parse_json(line)
        except MalformedError as error:
            raise self._unreachable(f"its answer is no row of JSON: {error}") from error

    def _unreachable(self, why: str) -> UnreachableError:
        return UnreachableError(
            "TB402",
            "cannot fetch spans from ClickHouse",
            where=self._url,
            why=why,
            cure="check the address (its HTTP port, 8123), the table, and user and password in `traces.headers`",
        )
