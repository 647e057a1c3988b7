"""One request to the endpoint under test, and what is known of it afterwards."""

from __future__ import annotations

import itertools
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from tracer_bullet.conformance.callback import Callback, Headers
from tracer_bullet.context.carriers import (
    BAGGAGE,
    HEADER,
    TRACESTATE,
    Member,
    parse_baggage,
    write_baggage,
    write_tracestate,
)
from tracer_bullet.context.keys import SigningKey
from tracer_bullet.context.token import mint
from tracer_bullet.errors import UnreachableError
from tracer_bullet.model import Context

PATH: Final = "/tracer-bullet/conformance"
LIFETIME_S: Final = 600
RUN: Final = "conformance-1"
Sent = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer, with the calls that the service made to the kit meanwhile. `body` is {} when it is no JSON object."""

    status: int
    content_type: str
    body: dict[str, Any]
    calls: list[Headers]
    trace_id: str

    @property
    def request_type(self) -> str:
        """`TRACE`, `STANDARD`, or whatever the service says."""
        return str(self.body.get("request_type", ""))

    def forwarded(self, name: str) -> list[str]:
        """A header's values on the service's call; empty when there was none."""
        return [value for call in self.calls[:1] for key, value in call if key == name]

    def members(self) -> dict[str, str]:
        """Forwarded baggage: key → decoded value."""
        return {m.key: m.value for m in parse_baggage(self.forwarded(BAGGAGE))}


@dataclass
class Probe:
    """The endpoint under test. `scope` is that of valid tokens; `timeout_s` is for each request."""

    url: str
    key: SigningKey
    callback: Callback
    scope: tuple[str, ...]
    timeout_s: float = 30.0
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self._client = httpx.Client(timeout=self.timeout_s, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def send(self, headers: Sent = ()) -> Reply:
        """Ask for a call and a write, with these headers beside the trace's."""
        name, trace_id = f"call-{next(self._numbers)}", secrets.token_hex(16)
        trace = [("traceparent", f"00-{trace_id}-{secrets.token_hex(8)}-01")]
        body = {"forward_to": f"{self.callback.url}/{name}", "write": True}
        answer = self._request("POST", headers=[*trace, *headers], json=body)
        return Reply(
            status=answer.status_code,
            content_type=answer.headers.get("content-type", "").partition(";")[0].strip().lower(),
            body=_object(answer),
            calls=self.callback.calls(name),
            trace_id=trace_id,
        )

    def written(self) -> int:
        """How many writes have lasted. Raises UnreachableError TB811 when the service does not say."""
        answer = self._request("GET")
        count = _object(answer).get("written")
        if answer.status_code != 200 or type(count) is not int:
            raise UnreachableError(
                "TB811",
                "the service has no conformance endpoint",
                where=f"GET {self.url}{PATH}",
                why=f"it answered {answer.status_code} {answer.text[:100]!r}, not {{'written': <number>}}",
                cure="docs/conformance.md has the endpoint",
            )
        return count

    def token(
        self, key: SigningKey | None = None, *, start_s: int = 0, scope: Sequence[str] = (), run: str = RUN
    ) -> str:
        """A token, valid unless told otherwise; `start_s`: seconds from now at which it begins."""
        return mint(
            key or self.key,
            issuer="tracer-bullet conformance",
            run_id=run,
            scope=scope or self.scope,
            now_s=int(time.time()) + start_s,
            lifetime_s=LIFETIME_S,
        )

    def _request(self, method: str, **arguments: Any) -> httpx.Response:
        try:
            return self._client.request(method, f"{self.url}{PATH}", **arguments)
        except httpx.TransportError as error:
            raise UnreachableError(
                "TB810",
                "the service does not answer",
                where=f"{method} {self.url}{PATH}",
                why=f"{type(error).__name__}: {error}",
                cure="start it, or give its address",
            ) from None


def carriers(token: str, others: Sequence[Member] = (), *, run: str = RUN) -> dict[str, str]:
    """All three carriers of a bullet; `others`: members of other people in the same baggage."""
    return {
        BAGGAGE: write_baggage(Context(run_id=run, token=token), others),
        TRACESTATE: write_tracestate(["vendor=1"], flag=True),
        HEADER: token,
    }


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = json.loads(answer.content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
