"""One HTTP exchange over a given client: limits on time and size, cookies of one bullet, redirects that stay home.

Does I/O. Never raises for what the other side does: a failure is a value.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import httpx

from tracer_bullet.scenario.answer import Answer
from tracer_bullet.scenario.render import PreparedRequest

MAX_KEPT_BYTES: Final = 1024 * 1024
MAX_REDIRECTS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanged:
    """An exchange that ended: `answer`, or `error` in words and `error_type` for the span.

    `response_bytes` counts body bytes as they came over the wire, of all answers; times are the clock's.
    """

    sent_ns: int
    ended_ns: int
    answer: Answer | None
    response_bytes: int
    error: str | None = None
    error_type: str = ""


@dataclass
class _Progress:
    """What is known when an exchange breaks off."""

    status: int | None = None
    wire_bytes: int = 0
    body: bytearray = field(default_factory=bytearray)
    body_bytes: int = 0


async def exchange(
    client: httpx.AsyncClient,
    prepared: PreparedRequest,
    *,
    carriers: Mapping[str, str],
    cookies: httpx.Cookies,
    timeout_s: float,
    follow_redirects: bool,
    clock_ns: Callable[[], int],
) -> Exchanged:
    """Send a request with its carriers and read the answer to its end, within `timeout_s` in all.

    The client's own headers and cookies are not used, so that bullets sharing it share no session;
    `cookies` is read and updated. Redirects are followed within the origin alone: elsewhere they
    would take the token to strangers. Of the body at most MAX_KEPT_BYTES are kept; the rest is read
    and counted.
    """
    progress = _Progress()
    sent_ns = clock_ns()
    error, error_type, response = None, "", None
    try:
        async with asyncio.timeout(timeout_s):
            request = _request(prepared, carriers, timeout_s)
            response = await _send(client, request, cookies, progress, follow_redirects=follow_redirects)
    except (TimeoutError, httpx.TimeoutException):
        error, error_type = f"no complete answer within {timeout_s:g} s{_so_far(progress)}", "timeout"
    except (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, OSError, ValueError) as failure:
        detail = str(failure) or type(failure).__name__
        error, error_type = f"{_where(prepared.url)}: {detail}{_so_far(progress)}", type(failure).__name__
    ended_ns = clock_ns()
    answer = None
    if response is not None:
        answer = Answer(
            status=response.status_code,
            headers=tuple(response.headers.multi_items()),
            body=bytes(progress.body),
            duration_ms=(ended_ns - sent_ns) / 1e6,
            truncated=progress.body_bytes > len(progress.body),
        )
    return Exchanged(
        sent_ns=sent_ns,
        ended_ns=ended_ns,
        answer=answer,
        response_bytes=progress.wire_bytes,
        error=error,
        error_type=error_type,
    )


def wire_head(prepared: PreparedRequest) -> tuple[bytes, tuple[tuple[bytes, bytes], ...]]:
    """The request target and the header lines that `exchange` sends, in order, without carriers and cookies.

    Host comes first, as h11 writes it. Raises ValueError for an address that cannot be sent to.
    """
    try:
        request = _request(prepared, {}, 1.0)
    except httpx.InvalidURL as error:
        raise ValueError(f"{prepared.url[:200]} is no address: {error}") from None
    return request.url.raw_path, tuple(sorted(request.headers.raw, key=lambda line: line[0].lower() != b"host"))


def _request(prepared: PreparedRequest, carriers: Mapping[str, str], timeout_s: float) -> httpx.Request:
    headers = [*carriers.items(), *prepared.headers, ("accept-encoding", "gzip, deflate")]
    if any(name.lower() == "accept-encoding" for name, _ in prepared.headers):
        headers.pop()
    return httpx.Request(
        prepared.method,
        prepared.url,
        headers=[(name.encode("ascii"), value.encode("utf-8")) for name, value in headers],
        content=prepared.body or None,
        extensions={"timeout": httpx.Timeout(timeout_s).as_dict()},
    )


async def _send(
    client: httpx.AsyncClient,
    request: httpx.Request,
    cookies: httpx.Cookies,
    progress: _Progress,
    *,
    follow_redirects: bool,
) -> httpx.Response:
    for _ in range(MAX_REDIRECTS + 1):
        cookies.set_cookie_header(request)
        response = await client.send(request, stream=True, auth=None, follow_redirects=False)
        try:
            cookies.extract_cookies(response)
            progress.status = response.status_code
            await _read(response, progress)
        finally:
            await response.aclose()
        following = response.next_request if follow_redirects else None
        if following is None:
            return response
        if _origin(following.url) != _origin(request.url):
            raise httpx.TooManyRedirects(f"the redirect to {following.url} leaves the target's origin; not followed")
        following.headers.pop("cookie", None)  # the client put its own jar's there
        request = following
        progress.body.clear()
        progress.body_bytes = 0
    raise httpx.TooManyRedirects(f"more than {MAX_REDIRECTS} redirects")


async def _read(response: httpx.Response, progress: _Progress) -> None:
    before = progress.wire_bytes
    try:
        async for chunk in response.aiter_bytes():
            progress.wire_bytes = before + response.num_bytes_downloaded
            progress.body_bytes += len(chunk)
            progress.body += chunk[: MAX_KEPT_BYTES - len(progress.body)]
    finally:
        progress.wire_bytes = before + response.num_bytes_downloaded


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _where(url: str) -> str:
    return url.split("/", 3)[2] if url.count("/") >= 2 else url


def _so_far(progress: _Progress) -> str:
    if progress.status is None:
        return ""
    return f" (after status {progress.status} and {progress.wire_bytes:,} bytes)"
