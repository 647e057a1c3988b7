"""Bullets over real sockets: what arrives, what comes back, and what is told when it does not."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.scenario.target import Target, serving
from tracer_bullet.model import RequestType, SpanKind, SpanStatus, Trace
from tracer_bullet.scenario import BulletResult, Plan, RandomIds, send_bullet
from tracer_bullet.scenario.exchange import MAX_KEPT_BYTES

Planned = Callable[..., Plan]


def carriers(trace_id: str, span_id: str) -> dict[str, str]:
    return {
        "traceparent": f"00-{trace_id}-{span_id}-01",
        "tracestate": "tb=t",
        "baggage": "request_type=TRACE",
        "x-tracer-bullet": "token",
    }


def steps(*rows: str) -> str:
    return "steps:\n" + "".join(f"- name: s{i}\n  {row}\n" for i, row in enumerate(rows))


async def fire(client: httpx.AsyncClient, plan: Plan, **options: Any) -> BulletResult:
    ticks = itertools.count(1_000, 1_000_000)
    settings: dict[str, Any] = {
        "bullet": 3,
        "run_id": "r1",
        "headers_for": carriers,
        "ids": RandomIds(random.Random(1)),
        "clock_ns": lambda: next(ticks),
    }
    return await send_bullet(client, plan, **(settings | options))


def against(work: Callable[[Target, httpx.AsyncClient], Awaitable[Any]]) -> Any:
    """Run `work` with a target and a client."""

    async def run() -> Any:
        async with serving() as target, httpx.AsyncClient(trust_env=False) as client:
            return await asyncio.wait_for(work(target, client), 30)

    return asyncio.run(run())


def one(planned: Planned, row: str, **options: Any) -> tuple[BulletResult, Target]:
    """A bullet of one step against the target."""

    async def work(target: Target, client: httpx.AsyncClient) -> tuple[BulletResult, Target]:
        return await fire(client, planned(steps(row), target.url), **options), target

    result: tuple[BulletResult, Target] = against(work)
    return result


def failed(result: BulletResult) -> list[tuple[str, str, str]]:
    return [(c.step, c.name, c.actual) for c in result.checks if not c.passed]


def test_steps_run_in_order_and_hand_values_on(planned: Planned) -> None:
    text = "variables: {n: 2}\n" + steps(
        'request: {method: POST, path: /order, json: {n: "${n}", tag: "${run}-${bullet}"}}\n'
        "  expect: {status: 201, json: {$.total: 7}, time_ms: {ge: 0}}\n"
        '  take: {id: $.order_id, h: "header:X-Id", code: status}',
        'request: {path: "/echo/${id}", query: {q: "${h}", c: "${code}"}}\n  expect: {json: {$.path: "/echo/${id}"}}',
    )

    async def work(target: Target, client: httpx.AsyncClient) -> tuple[BulletResult, Target]:
        return await fire(client, planned(text, target.url)), target

    result, target = against(work)
    assert failed(result) == []
    first, second = target.seen
    assert json.loads(first.body) == {"n": 2, "tag": "r1-3"}
    assert (second.method, second.path, second.query) == ("GET", "/echo/o 1", "q=h1&c=201")
    assert [c.name for c in result.checks] == ["status", "json $.total", "time", "status", "json $.path"]
    assert [c.where for c in result.checks[:3]] == ["s.yaml:8"] * 3


def test_each_step_carries_its_own_span_in_one_trace(planned: Planned) -> None:
    async def work(target: Target, client: httpx.AsyncClient) -> tuple[BulletResult, Target]:
        rows = ["request: {path: /echo, headers: {x-own: a}}", "request: {method: POST, path: /echo}"]
        return await fire(client, planned(steps(*rows), target.url)), target

    result, target = against(work)
    for seen, shot in zip(target.seen, result.shots, strict=True):
        assert seen.header("traceparent") == f"00-{result.trace_id}-{shot.span_id}-01"
        assert seen.header("tracestate") == "tb=t"
        assert seen.header("baggage") == "request_type=TRACE"
        assert seen.header("x-tracer-bullet") == "token"
        assert seen.header("user-agent").startswith("tracer-bullet/")
    assert target.seen[0].header("x-own") == "a"
    assert target.seen[0].header("cookie") is None
    assert target.seen[1].header("content-length") == "0"

    trace = Trace.of(result.trace_id, result.spans)
    (root,) = trace.roots
    assert (root.name, root.kind, root.service, root.status) == (
        *("bullet s", SpanKind.INTERNAL, "tracer-bullet"),
        SpanStatus.UNSET,
    )
    assert [s.span_id for s in trace.children(root)] == [shot.span_id for shot in result.shots]
    port = target.url.rpartition(":")[2]
    child = trace.children(root)[1]
    assert (child.name, child.kind) == ("POST /echo", SpanKind.CLIENT)
    assert child.attributes == {
        "tb.run": "r1",
        "tb.request_type": "TRACE",
        "tb.step": "s1",
        "http.request.method": "POST",
        "url.full": f"{target.url}/echo",
        "server.address": "127.0.0.1",
        "server.port": port,
        "http.response.status_code": "200",
    }
    assert root.attributes == {"tb.run": "r1", "tb.request_type": "TRACE"}


def test_spans_and_shots_share_their_times(planned: Planned) -> None:
    result, _ = one(planned, "request: {method: PUT, path: /echo, body: abc}", scheduled_ns=5)
    (shot,) = result.shots
    root, span = result.spans
    assert (shot.scheduled_ns, shot.sent_ns, shot.ended_ns) == (5, span.start_ns, span.end_ns)
    assert root.start_ns < span.start_ns < span.end_ns < root.end_ns
    assert shot.latency_ms == (shot.ended_ns - 5) / 1e6
    assert (shot.run_id, shot.bullet, shot.step, shot.status, shot.error) == ("r1", 3, "s0", 200, None)
    assert (shot.method, shot.request_bytes) == ("PUT", 3)
    assert shot.response_bytes == len(json.dumps({"method": "PUT", "path": "/echo", "query": "", "body": "abc"}))


def test_only_the_first_step_was_scheduled(planned: Planned) -> None:
    async def work(target: Target, client: httpx.AsyncClient) -> BulletResult:
        rows = ["request: {path: /echo}"] * 2
        return await fire(client, planned(steps(*rows), target.url), scheduled_ns=5)

    first, second = against(work).shots
    assert (first.scheduled_ns, second.scheduled_ns) == (5, second.sent_ns)


def test_a_control_run_carries_no_flag(planned: Planned) -> None:
    result, target = one(
        planned,
        "request: {path: /echo}",
        request_type=RequestType.STANDARD,
        headers_for=lambda trace_id, span_id: {"traceparent": f"00-{trace_id}-{span_id}-01"},
    )
    names = {name for name, _ in target.seen[0].headers}
    assert "traceparent" in names
    assert names.isdisjoint({"baggage", "tracestate", "x-tracer-bullet"})
    assert all("tb.request_type" not in s.attributes for s in result.spans)
    assert result.shots[0].request_type is RequestType.STANDARD


def test_a_failed_step_stops_the_later_ones(planned: Planned) -> None:
    async def work(target: Target, client: httpx.AsyncClient) -> tuple[BulletResult, Target]:
        rows = ["request: {path: /status/500}", "request: {path: /echo}", "request: {path: /echo}"]
        return await fire(client, planned(steps(*rows), target.url)), target

    result, target = against(work)
    assert len(target.seen) == len(result.shots) == 1
    assert failed(result) == [
        ("s0", "status", "500, with the body {}"),
        ("s1", "sent", "not sent because the step 's0' failed"),
        ("s2", "sent", "not sent because the step 's0' failed"),
    ]
    assert [c.where for c in result.checks] == ["s.yaml:5", "s.yaml:8", "s.yaml:10"]
    root, span = result.spans
    assert (root.status, root.status_message) == (SpanStatus.ERROR, "s0: status: 500, with the body {}")
    assert (span.status, span.attributes["error.type"]) == (SpanStatus.ERROR, "500")


def test_a_value_that_is_not_there_stops_the_bullet(planned: Planned) -> None:
    async def work(target: Target, client: httpx.AsyncClient) -> tuple[BulletResult, Target]:
        rows = ["request: {path: /echo}\n  take: {id: $.nope}", "request: {path: '/echo/${id}'}"]
        return await fire(client, planned(steps(*rows), target.url)), target

    result, target = against(work)
    assert [(step, name) for step, name, _ in failed(result)] == [("s0", "take id"), ("s1", "sent")]
    assert len(target.seen) == 1


def test_a_value_that_must_not_stand_in_the_path_is_not_sent(planned: Planned) -> None:
    async def work(target: Target, client: httpx.AsyncClient) -> tuple[BulletResult, Target]:
        rows = ["request: {path: /echo}\n  take: {q: $.query}", "request: {method: DELETE, path: '/echo/${q}'}"]
        return await fire(client, planned(steps(*rows), target.url)), target

    result, target = against(work)
    assert failed(result) == [("s1", "sent", "not sent because the variable 'q' in the path is empty")]
    assert len(target.seen) == 1


@pytest.mark.parametrize(
    ("row", "status"),
    [
        ("request: {path: /status/404}\n  expect: {status: 404}", SpanStatus.UNSET),
        ("request: {path: /status/503}\n  expect: {status: 5xx}", SpanStatus.UNSET),
        ("request: {path: /status/404}", SpanStatus.ERROR),
        ("request: {path: /status/204}\n  expect: {status: 200}", SpanStatus.UNSET),
    ],
)
def test_the_status_of_a_step_span(planned: Planned, row: str, status: SpanStatus) -> None:
    result, _ = one(planned, row)
    assert result.spans[1].status is status
    assert ("error.type" in result.spans[1].attributes) is (status is SpanStatus.ERROR)


def test_a_compressed_answer_is_read(planned: Planned) -> None:
    result, target = one(planned, "request: {path: /zipped}\n  expect: {json: {$.a: 1}}")
    assert failed(result) == []
    assert target.seen[0].header("accept-encoding") == "gzip, deflate"


def test_an_answer_that_is_no_json_fails_its_check(planned: Planned) -> None:
    result, _ = one(planned, "request: {path: /nowhere}\n  expect: {status: 404, json: {$.a: 1}}")
    assert failed(result) == [("s0", "json $.a", "the answer is no JSON, but nothing here")]


def test_a_huge_answer_is_read_but_not_kept(planned: Planned) -> None:
    result, _ = one(planned, "request: {path: /huge}\n  expect: {json: {$: {exists: true}}}")
    assert failed(result) == [("s0", "json $", f"the answer is longer than the {MAX_KEPT_BYTES:,} bytes that are kept")]
    assert result.shots[0].response_bytes == 3_000_003


@pytest.mark.parametrize(
    ("path", "said", "error_type"),
    [
        ("/never", "no complete answer within 0.2 s", "timeout"),
        ("/slow-body", "no complete answer within 1 s (after status 200 and 5 bytes)", "timeout"),
        ("/cut", "(after status 200 and 4 bytes)", "RemoteProtocolError"),
        ("/bad-zip", "(after status 200 and 14 bytes)", "DecodingError"),
    ],
)
def test_answers_that_do_not_come_whole(planned: Planned, path: str, said: str, error_type: str) -> None:
    timeout = {"/never": 0.2, "/slow-body": 1}.get(path, 10)
    result, _ = one(planned, f"request: {{path: {path}, timeout_s: {timeout}}}")
    ((_, name, actual),) = failed(result)
    assert name == "answer"
    assert actual.endswith(said)
    (shot,) = result.shots
    assert (shot.status, shot.error) == (None, actual)
    span = result.spans[1]
    assert (span.status, span.status_message, span.attributes["error.type"]) == (SpanStatus.ERROR, actual, error_type)
    assert "http.response.status_code" not in span.attributes


def test_the_time_out_is_for_the_whole_answer(planned: Planned) -> None:
    result, _ = one(planned, "request: {path: /trickle, timeout_s: 0.5}")
    assert failed(result)[0][2].startswith("no complete answer within 0.5 s")


def test_a_target_that_is_away(planned: Planned) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        async def work() -> BulletResult:
            async with httpx.AsyncClient(trust_env=False) as client:
                return await fire(client, planned(steps("request: {path: /x}"), f"http://{address}"))

        result = asyncio.run(work())
    ((_, name, actual),) = failed(result)
    assert name == "answer"
    assert actual.startswith(f"{address}: ")
    assert result.spans[1].attributes["error.type"] == "ConnectError"
    assert result.spans[1].attributes["server.port"] == address.rpartition(":")[2]


def test_cookies_last_for_one_bullet(planned: Planned) -> None:
    async def work(target: Target, client: httpx.AsyncClient) -> Any:
        plan = planned(steps("request: {path: /login}", "request: {path: /echo}"), target.url)
        await fire(client, plan)
        await asyncio.gather(fire(client, plan), fire(client, plan))
        return target

    target = against(work)
    assert [s.header("cookie") for s in target.seen if s.path == "/login"] == [None] * 3
    told = [s.header("cookie") for s in target.seen if s.path == "/echo"]
    assert len(set(told)) == 3
    assert all(cookie.startswith("who=") for cookie in told)


def test_a_redirect_is_an_answer_unless_it_is_to_be_followed(planned: Planned) -> None:
    result, target = one(planned, "request: {path: /home}\n  expect: {status: 302, headers: {location: /echo/there}}")
    assert failed(result) == []
    assert len(target.seen) == 1


def test_a_followed_redirect_carries_the_flag_and_the_bullets_cookies(planned: Planned) -> None:
    row = "request: {path: /home, follow_redirects: true}\n  expect: {json: {$.path: /echo/there}}"
    result, target = one(planned, row)
    assert failed(result) == []
    first, second = target.seen
    assert second.header("traceparent") == first.header("traceparent")
    assert second.header("baggage") == "request_type=TRACE"
    assert second.header("cookie") == "hop=1"
    assert len(result.shots) == 1


def test_a_followed_redirect_carries_no_other_bullets_cookies(planned: Planned) -> None:
    async def work(target: Target, client: httpx.AsyncClient) -> Target:
        await fire(client, planned(steps("request: {path: /login}"), target.url))
        await fire(client, planned(steps("request: {path: /home, follow_redirects: true}"), target.url))
        return target

    assert [s.header("cookie") for s in against(work).seen] == [None, None, "hop=1"]


def test_a_redirect_to_another_origin_gets_no_token(planned: Planned) -> None:
    async def work(target: Target, client: httpx.AsyncClient) -> tuple[BulletResult, Target, Target]:
        async with serving() as other:
            target.elsewhere = other.url
            plan = planned(steps("request: {path: /away, follow_redirects: true}"), target.url)
            return await fire(client, plan), target, other

    result, target, other = against(work)
    assert (len(target.seen), other.seen) == (1, [])
    ((_, name, actual),) = failed(result)
    assert name == "answer"
    assert "leaves the target's origin; not followed" in actual


def test_redirects_in_a_circle_end(planned: Planned) -> None:
    result, target = one(planned, "request: {path: /round, follow_redirects: true}")
    assert len(target.seen) == 6
    assert "more than 5 redirects" in failed(result)[0][2]


def test_bullets_fly_at_once_over_one_client(planned: Planned) -> None:
    async def work(target: Target, client: httpx.AsyncClient) -> tuple[list[BulletResult], Target]:
        plan = planned(
            steps('request: {path: "/echo/${bullet}"}\n  expect: {json: {$.path: "/echo/${bullet}"}}'), target.url
        )
        ids = RandomIds(random.Random(5))
        return await asyncio.gather(*(fire(client, plan, bullet=i, ids=ids) for i in range(20))), target

    results, target = against(work)
    assert all(failed(r) == [] for r in results)
    assert len({r.trace_id for r in results}) == len(target.seen) == 20
    assert [r.bullet for r in results] == list(range(20))


def test_a_cancelled_bullet_is_cancelled(planned: Planned) -> None:
    async def work(target: Target, client: httpx.AsyncClient) -> None:
        task = asyncio.create_task(fire(client, planned(steps("request: {path: /never}"), target.url)))
        await target.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    against(work)


@given(st.randoms(use_true_random=False))
def test_ids_have_the_form_of_the_w3c(rng: random.Random) -> None:
    ids = RandomIds(rng)
    trace_id, span_id = ids.trace_id(), ids.span_id()
    assert (len(trace_id), len(span_id)) == (32, 16)
    assert int(trace_id, 16) > 0
    assert int(span_id, 16) > 0
    assert trace_id + span_id == (trace_id + span_id).lower()
