"""Envoy's sidecar between real servers: what the tests of its two listeners share."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.servers.envoy import EnvoyServer, EnvoyUnavailableError, Recorder, Seen, envoy_binary
from tracer_bullet.context.carriers import write_baggage
from tracer_bullet.context.keys import SigningKey, create_keys
from tracer_bullet.context.token import mint
from tracer_bullet.envoy import SidecarSpec
from tracer_bullet.model import Context

Headers = Sequence[tuple[str, str]]
SERVICE = "checkout"
INBOUND, OUTBOUND = "tracer_bullet_inbound", "tracer_bullet_outbound"


@dataclass
class Keys:
    """The harness's key, one that services do not know, and the public set."""

    own: SigningKey
    stranger: SigningKey
    jwks: str

    def token(self, key: SigningKey | None = None, *, run: str = "run-1", start_s: int = 0, scope: str = "*") -> str:
        now_s = int(time.time()) + start_s
        return mint(key or self.own, issuer="t", run_id=run, scope=[scope], now_s=now_s, lifetime_s=600)


@dataclass
class Proxy:
    """Envoy, with one server behind it."""

    envoy: EnvoyServer
    upstream: Recorder
    url: str
    client: httpx.Client

    def send(self, headers: Headers = (), method: str = "POST", path: str = "/orders?x=1") -> httpx.Response:
        return self.client.request(method, self.url + path, headers=list(headers), content=b"body")

    def passed(self, headers: Headers = (), **request: Any) -> Seen:
        """Send what must get through; what arrived."""
        self.upstream.take()
        answer = self.send(headers, **request)
        assert answer.status_code == 200, answer.text
        (seen,) = self.upstream.take()
        return seen

    def refused(self, reason: str, headers: Headers, status: int = 403) -> None:
        self.upstream.take()
        answer = self.send(headers)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert answer.json()["type"] == f"urn:tracer-bullet:{reason}"
        assert (answer.json()["status"], answer.json()["service"]) == (status, SERVICE)
        assert self.upstream.take() == []


def new_keys(folders: pytest.TempPathFactory) -> Keys:
    """Skips the test where there is no Envoy to use them with."""
    try:
        envoy_binary()
    except EnvoyUnavailableError as error:
        pytest.skip(str(error))
    folder = folders.mktemp("keys")
    own = create_keys(folder)
    return Keys(own, create_keys(folders.mktemp("others")), (folder / "jwks.json").read_text())


def sidecar(**parts: Any) -> SidecarSpec:
    return SidecarSpec.model_validate({"version": 1, "service": SERVICE, "admin": "127.0.0.1:0", **parts})


def client(**settings: Any) -> httpx.Client:
    return httpx.Client(trust_env=False, timeout=120, **settings)


def everything(token: str, run: str = "run-1") -> list[tuple[str, str]]:
    baggage = write_baggage(Context(run_id=run, token=token, user_id="tester-1"))
    return [("baggage", baggage), ("tracestate", "tb=t"), ("x-tracer-bullet", token)]


def with_failing(config: str, function: str) -> str:
    """The configuration, with this function of a script failing in its first line."""
    tree = json.loads(config)
    (listener,) = tree["static_resources"]["listeners"]
    found = 0
    for row in listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]:
        code = row["typed_config"].get("default_source_code", {})
        if function in code.get("inline_string", ""):
            found += 1
            code["inline_string"] = code["inline_string"].replace(function, f'{function} error("broken")', 1)
    assert found
    return json.dumps(tree)
