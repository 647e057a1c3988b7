"""What all guardrails share: a look at the target every so often, and how its HTTP answers are had."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import httpx

from tracer_bullet.errors import UsageError
from tracer_bullet.runs.load.guardrails.patience import Look, Patience

# Nobody's health fills more than this.
_MAX_BYTES: Final = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Guardrail:
    """Something that is looked at every `every_s` while load is on. `look` gives up by itself after `timeout_s`."""

    name: str
    limit: str
    every_s: float
    timeout_s: float
    patience: Patience
    look: Callable[[], Awaitable[Look]]


class NoAnswerError(Exception):
    """That there is no whole answer, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """A whole answer; `took_s` from the beginning of the connecting to the end of the body."""

    status: int
    media_type: str
    body: bytes
    took_s: float


async def ask(
    client: httpx.AsyncClient,
    url: str,
    *,
    timeout_s: float,
    headers: Mapping[str, str],
    params: Mapping[str, str] | None = None,
) -> HttpAnswer:
    """GET, the whole of it within `timeout_s`; no redirect is followed. Raises NoAnswerError."""
    began_s = time.monotonic()
    try:
        async with (
            asyncio.timeout(timeout_s),
            client.stream("GET", url, headers=dict(headers), params=params, follow_redirects=False) as answer,
        ):
            body = bytearray()
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > _MAX_BYTES:
                    raise NoAnswerError(f"the answer is longer than {_MAX_BYTES} bytes")
    except TimeoutError:
        raise NoAnswerError(f"no answer within {seconds(timeout_s)}") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise NoAnswerError(str(error) or type(error).__name__) from None
    media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    return HttpAnswer(
        status=answer.status_code, media_type=media_type, body=bytes(body), took_s=time.monotonic() - began_s
    )


def headers_from(names: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Header → value, out of the environment. Raises UsageError TB1062 for a variable that is not there."""
    missing = sorted(variable for variable in names.values() if variable not in environ)
    if missing:
        raise UsageError(
            "TB1062",
            f"a guardrail needs the environment variable {missing[0]}",
            where="load.guardrails",
            cure="set it, or take it out of headers_from",
        )
    return {header: environ[variable] for header, variable in names.items()}


def seconds(duration_s: float) -> str:
    """A duration as people write it."""
    return f"{duration_s:g} s" if duration_s >= 1 else f"{duration_s * 1000:g} ms"
