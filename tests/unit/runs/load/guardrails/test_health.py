"""Claim: a probe is what a load balancer would send, and believes the target only when it says that it is well."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.runs.load.guardrails.targets import Target
from tracer_bullet.errors import UsageError
from tracer_bullet.runs.load.guardrails.guardrail import HttpAnswer
from tracer_bullet.runs.load.guardrails.health import health_guardrail, judge_health
from tracer_bullet.runs.load.guardrails.patience import Look, Sight
from tracer_bullet.workspace.safety import HealthSpec

HEALTH_JSON = "application/health+json"
ACTUATOR = "application/vnd.spring-boot.actuator.v3+json"


def spec(**more: Any) -> HealthSpec:
    return HealthSpec.model_validate({"path": "/health", **more})


def answer(status: int = 200, body: bytes = b"", media_type: str = "text/plain", took_s: float = 0.01) -> HttpAnswer:
    return HttpAnswer(status=status, media_type=media_type, body=body, took_s=took_s)


@pytest.mark.parametrize(
    ("given_spec", "given_answer", "well", "text"),
    [
        ({}, answer(), True, "200 in 10 ms"),
        ({}, answer(204), True, "204 in 10 ms"),
        ({}, answer(302), False, "it answered 302"),
        ({}, answer(503), False, "it answered 503"),
        ({"status": [200, "3xx"]}, answer(302), True, "302 in 10 ms"),
        ({"status": 200}, answer(201), False, "it answered 201"),
        ({"latency": "50ms"}, answer(took_s=0.05), True, "200 in 50 ms"),
        ({"latency": "50ms"}, answer(took_s=0.051), False, "200 in 51 ms (allowed: 50 ms)"),
        ({"json": {"$.status": "up"}}, answer(body=b'{"status": "up"}'), True, "200 in 10 ms"),
        ({"json": {"$.status": "up"}}, answer(body=b'{"status": "down"}'), False, '$.status is "down", not "up"'),
        ({"json": {"$.status": "up"}}, answer(body=b"{}"), False, '$.status is missing, not "up"'),
        ({"json": {"$.status": "up"}}, answer(body=b"up"), False, "its answer is no JSON"),
        ({"json": {"$..lag": {"lt": 5}}}, answer(body=b'[{"lag": 1}, {"lag": 9}]'), False, "$..lag is 9, not < 5"),
        ({}, answer(body=b'{"status": "Pass"}', media_type=HEALTH_JSON), True, "200 in 10 ms"),
        ({}, answer(body=b'{"status": "warn"}', media_type=HEALTH_JSON), True, "200 in 10 ms"),
        ({}, answer(body=b'{"status": "fail", "output": "disk"}', media_type=HEALTH_JSON), False,
         'it says status "fail": "disk"'),
        ({}, answer(body=b"[]", media_type=HEALTH_JSON), False, "its application/health+json says no status"),
        ({}, answer(body=b'{"status": "OUT_OF_SERVICE"}', media_type=ACTUATOR), False,
         'it says status "OUT_OF_SERVICE"'),
        ({}, answer(body=b'{"status": "fail"}', media_type="application/json"), True, "200 in 10 ms"),
    ],
)  # fmt: skip
def test_what_an_answer_says(given_spec: dict[str, Any], given_answer: HttpAnswer, well: bool, text: str) -> None:
    look = judge_health(spec(**given_spec), given_answer)
    assert (look.sight is Sight.WELL, look.text) == (well, text)


@given(st.integers(100, 599), st.binary(max_size=40), st.sampled_from([HEALTH_JSON, ACTUATOR, "text/html", ""]))
def test_whatever_comes_is_judged(status: int, body: bytes, media_type: str) -> None:
    look = judge_health(spec(json={"$.a[0]": {"gt": 1}}), answer(status, body, media_type))
    assert look.sight in (Sight.WELL, Sight.BAD)


def probe(target_url: str, times: int = 1, environ: dict[str, str] | None = None, **more: Any) -> list[Look]:
    async def main() -> list[Look]:
        async with httpx.AsyncClient(limits=httpx.Limits(max_keepalive_connections=0), trust_env=False) as client:
            rail = health_guardrail(spec(**more), target_url, client, environ or {})
            return [await rail.look() for _ in range(times)]

    return asyncio.run(main())


def test_a_probe_is_plain_and_comes_on_a_connection_of_its_own(target: Target) -> None:
    looks = probe(target.url, 3, path="/health?deep=1")
    assert [look.sight for look in looks] == [Sight.WELL] * 3
    assert {path for path, _, _ in target.says.asked} == {"/health?deep=1"}
    assert len({port for _, _, port in target.says.asked}) == 3
    for _, headers, _ in target.says.asked:
        assert not headers.keys() & {"traceparent", "tracestate", "baggage", "x-tracer-bullet"}
        assert headers["user-agent"].startswith("tracer-bullet-health/")


def test_redirects_are_not_followed(target: Target) -> None:
    target.says.status = 302
    (look,) = probe(target.url)
    assert look.text == "it answered 302"
    assert len(target.says.asked) == 1


def test_secrets_come_from_the_environment(target: Target) -> None:
    probe(target.url, environ={"HEALTH_TOKEN": "Bearer s3cr3t"}, headers_from={"Authorization": "HEALTH_TOKEN"})
    assert target.says.asked[0][1]["authorization"] == "Bearer s3cr3t"
    with pytest.raises(UsageError, match="TB1062"):
        probe(target.url, headers_from={"Authorization": "HEALTH_TOKEN"})


def test_who_does_not_answer_in_time_is_sick(target: Target) -> None:
    target.says.held.set()
    (look,) = probe(target.url, timeout="100ms")
    assert (look.sight, look.text) == (Sight.BAD, "no answer within 100 ms")


def test_nobody_there_is_sick(target: Target) -> None:
    (look,) = probe("http://127.0.0.1:1")
    assert look.sight is Sight.BAD
    assert look.text


def test_an_endless_answer_is_cut(target: Target) -> None:
    target.says.body = b"x" * (5 << 20)
    (look,) = probe(target.url, timeout="30s")
    assert look.text == "the answer is longer than 4194304 bytes"
