"""ClickHouse's HTTP interface: one session, statements one after the other, answers as Arrow.

https://clickhouse.com/docs/interfaces/http: `session_id`, `session_timeout`, `X-ClickHouse-User`,
`X-ClickHouse-Exception-Code`.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import httpx
import pyarrow as pa

from tracer_bullet.errors import TracerBulletError, UnreachableError, UsageError
from tracer_bullet.graph.engines.base import EngineOptions
from tracer_bullet.graph.engines.clickhouse import SETTINGS, ClickHouseEngine

SESSION_TIMEOUT_S: Final = 600
_CONNECT_TIMEOUT_S: Final = 10.0
_QUERY_TIMEOUT_S: Final = 3600.0
_PARAMETERS: Final = ("table", "secure", "since", "until")
# UNKNOWN_TABLE, UNKNOWN_DATABASE, READONLY, UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD, ACCESS_DENIED,
# AUTHENTICATION_FAILED
_REFUSED: Final = frozenset((60, 81, 164, 192, 193, 194, 497, 516))


def open_clickhouse(on: str, options: EngineOptions) -> ClickHouseEngine:
    """The engine at `clickhouse://user:password@host:port/database?table=…&secure=true&since=…&until=…`.

    Raises UsageError (TB502, TB505) for a wrong address, user or table, UnreachableError (TB504) when nobody answers.
    """
    url = urlsplit(on)
    said = _parameters(url)
    database = unquote(url.path.strip("/")) or "default"
    table = said.get("table", "otel_traces")
    where = f"{url.hostname}/{database}.{table}"
    client = HttpClient(
        _base(url, secure=said.get("secure", "") in ("1", "true", "yes")),
        database=database,
        user=unquote(url.username or "default"),
        password=unquote(url.password or ""),
        options=options,
    )
    bounds = {f"{name}_ns": _moment(name, said[name]) if name in said else None for name in ("since", "until")}
    return ClickHouseEngine(client, f"{_quoted(database)}.{_quoted(table)}", where=where, **bounds)


class HttpClient:
    """See `clickhouse.Client`. `base` is the server's address, as `http://host:8123`."""

    def __init__(self, base: str, *, database: str, user: str, password: str, options: EngineOptions) -> None:
        self._where = base.partition("://")[2]
        self._http = httpx.Client(
            base_url=base,
            headers={"X-ClickHouse-User": user, "X-ClickHouse-Key": password},
            params={
                **SETTINGS,
                **_bounds(options),
                "database": database,
                "session_id": f"tracer-bullet-{uuid.uuid4()}",
                "session_timeout": str(SESSION_TIMEOUT_S),
                # The status says whether a query succeeded only when it is sent after the query's end.
                "wait_end_of_query": "1",
            },
            timeout=httpx.Timeout(_QUERY_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S),
            trust_env=False,
        )

    def run(self, sql: str) -> None:
        """See Client."""
        self._send(sql)

    def arrow(self, sql: str) -> pa.Table:
        """See Client."""
        body = self._send(f"{sql} FORMAT ArrowStream")
        try:
            with pa.ipc.open_stream(body) as stream:
                return stream.read_all()
        except pa.ArrowInvalid as error:
            raise UnreachableError(
                "TB504",
                "what answers is no ClickHouse",
                where=self._where,
                why=str(error).partition("\n")[0],
                cure="give the port of ClickHouse's HTTP interface (8123, or 8443 with ?secure=true)",
            ) from error

    def close(self) -> None:
        """See Client."""
        self._http.close()

    def _send(self, sql: str) -> bytes:
        try:
            answer = self._http.post("/", content=sql.encode())
        except httpx.HTTPError as error:
            raise UnreachableError(
                "TB504",
                "ClickHouse does not answer",
                where=self._where,
                why=str(error) or type(error).__name__,
                cure="start it, or correct the address; --on takes its HTTP port (8123)",
            ) from error
        if answer.status_code != httpx.codes.OK:
            raise _failure(answer, self._where)
        return answer.content


def _failure(answer: httpx.Response, where: str) -> TracerBulletError:
    code = answer.headers.get("X-ClickHouse-Exception-Code", "")
    why = answer.text.strip().partition("\n")[0][:500] or f"status {answer.status_code}"
    if code.isdecimal() and int(code) in _REFUSED:
        cure = "correct user, password, database or ?table=; the user needs SELECT and CREATE TEMPORARY TABLE"
        return UsageError("TB505", "ClickHouse refuses", where=where, why=why, cure=cure)
    if not code:
        cure = "give the port of ClickHouse's HTTP interface (8123, or 8443 with ?secure=true)"
        return UnreachableError("TB504", "what answers is no ClickHouse", where=where, why=why, cure=cure)
    cure = "bound the spans with since= and until=, or raise the limit that the reason names"
    return UnreachableError("TB506", "ClickHouse gave a query up", where=where, why=why, cure=cure)


def _bounds(options: EngineOptions) -> Mapping[str, str]:
    bounds = {}
    if options.threads is not None:
        bounds["max_threads"] = str(options.threads)
    if options.memory_limit_mb is not None:
        whole = options.memory_limit_mb << 20
        bounds["max_memory_usage"] = str(whole)
        bounds["max_bytes_before_external_group_by"] = bounds["max_bytes_before_external_sort"] = str(whole // 2)
    return bounds


def _parameters(url: SplitResult) -> dict[str, str]:
    said = dict(parse_qsl(url.query))
    unknown = sorted(set(said) - set(_PARAMETERS))
    if unknown:
        raise UsageError(
            "TB502",
            f"unknown parameter {unknown[0]!r} in the address of ClickHouse",
            cure=f"valid are {', '.join(_PARAMETERS)}",
        )
    return said


def _base(url: SplitResult, *, secure: bool) -> str:
    try:
        port = url.port
    except ValueError as error:
        raise UsageError(
            "TB502",
            "the address of ClickHouse has no valid port",
            why=str(error),
            cure="write it as clickhouse://user:password@host:8123/database",
        ) from error
    host = url.hostname or "localhost"
    host = f"[{host}]" if ":" in host else host
    return f"{'https' if secure else 'http'}://{host}:{port or (8443 if secure else 8123)}"


def _moment(name: str, text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            "TB502", f"{name}={text} is no time", why=str(error), cure="write it as 2026-03-01T12:00:00Z"
        ) from error
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    since_epoch = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since_epoch.days * 86_400 + since_epoch.seconds) * 10**9 + since_epoch.microseconds * 1_000


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"
