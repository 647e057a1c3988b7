"""Claim: requests of a task share a trace; arming ends it when others wait; what is audited is held by the receiver."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.load.locustfile.protocol import KEPT_SHARE
from tracer_bullet.load.locustfile.traces import Exchange, Sampler, TaskRun, Trace, Traces, task_run
from tracer_bullet.traces.ids import in_share, trace_halves

S = 1_000_000_000


class Desk:
    """Traces of one process under a clock that the test moves."""

    def __init__(self, *, mode: str = "task", rate: float = 1000.0) -> None:
        self.now_ns = 1
        self.told: list[dict[str, Any]] = []
        sampler = Sampler(rate, lambda: self.now_ns / S)
        self.traces = Traces(sampler, random.Random(1), self.told.append, mode=mode, now_ns=lambda: self.now_ns)

    def request(self, endpoint: str, *, arms: bool = False) -> Trace:
        trace = self.traces.begin_request(endpoint, arms=arms)
        trace.exchanges.append(
            Exchange(span_id=self.traces.span_id(), method="GET", url="/", endpoint=endpoint, sent_ns=self.now_ns)
        )
        trace.exchanges[-1].ended_ns = self.now_ns
        self.traces.end_request(trace)
        return trace


@pytest.fixture
def run() -> Any:
    token = task_run.set(TaskRun("Shopper.buy", is_task=True))
    yield task_run.get()
    task_run.reset(token)


def test_requests_of_a_task_share_a_trace(run: TaskRun) -> None:
    desk = Desk()
    assert desk.request("GET /a") is desk.request("GET /b")
    assert desk.told == []
    desk.traces.end_run(run)
    (message,) = desk.told
    assert [shot[3] for shot in message["shots"]] == ["GET /a", "GET /b"]
    assert message["name"] == "Shopper.buy"


def test_each_request_has_its_own_where_asked_and_outside_of_tasks(run: TaskRun) -> None:
    desk = Desk(mode="request")
    assert desk.request("GET /a") is not desk.request("GET /a")
    token = task_run.set(None)
    assert Desk().request("GET /a").closed
    task_run.reset(token)
    assert run.trace is None


def test_a_task_that_waits_for_what_its_own_trace_arms_ends_that_trace(run: TaskRun) -> None:
    desk = Desk()
    first = desk.request("GET /a", arms=True)
    desk.traces.end_waited_for("GET /b")
    assert not first.closed
    desk.traces.end_waited_for("GET /a")
    assert first.closed
    assert desk.told[0]["arms"] == ["GET /a"]
    assert desk.request("GET /a") is not first


def test_an_idle_trace_that_arms_is_ended_for_those_who_wait(run: TaskRun) -> None:
    desk = Desk(rate=0)
    trace = desk.request("GET /a", arms=True)
    busy = desk.traces.begin_request("GET /b", arms=False)
    assert busy is trace
    desk.now_ns += 5 * S
    desk.traces.end_idle()
    assert not trace.closed, "a request of it is under way"
    desk.traces.end_request(busy)
    desk.traces.end_idle()
    assert not trace.closed
    desk.now_ns += 2 * S
    desk.traces.end_idle()
    assert trace.closed
    assert len(desk.told) == 1


def test_a_trace_that_is_not_held_is_not_the_one_to_arm(run: TaskRun) -> None:
    desk = Desk(rate=0)
    desk.now_ns += 60 * S
    early = desk.request("GET /a")
    assert not early.kept
    arming = desk.request("GET /b", arms=True)
    assert arming is not early
    assert (early.closed, arming.kept, arming.audited) == (True, True, True)


def test_a_task_without_an_end_is_cut_into_traces(run: TaskRun) -> None:
    desk = Desk()
    traces = {desk.request("GET /a").trace_id for _ in range(450)}
    assert len(traces) == 3


@given(st.floats(0, 50), st.lists(st.floats(0, 3), max_size=80))
def test_no_more_are_audited_than_the_rate_allows(rate: float, gaps: list[float]) -> None:
    now = 0.0
    sampler = Sampler(rate, lambda: now)
    taken = 0
    for gap in gaps:
        now += gap
        taken += sampler.take()
    assert taken <= rate * now + max(rate, 1.0) + 1e-6
    assert rate > 0 or taken == 0


@given(st.integers(0, 40))
def test_audited_traces_are_of_the_receivers_share(late_s: int) -> None:
    desk = Desk(rate=2.0)
    desk.now_ns += late_s * S
    seen = [desk.request(f"GET /{n}") for n in range(20)]
    for trace in seen:
        assert in_share(trace_halves(trace.trace_id)[1], KEPT_SHARE) is trace.kept
        assert trace.kept or not trace.audited
