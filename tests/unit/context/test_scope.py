"""Claim: the flag is a property of one request: it follows the bullet's work and nobody else's."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import structlog

from tracer_bullet.context import current, is_trace, stale_contexts, threads
from tracer_bullet.context.logs import ContextFilter, add_context
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.model import Context

CONTEXT = Context(run_id="run-1", token="t", user_id="u1", account_id="a1")


@pytest.fixture
def bridge():
    threads.install()
    yield
    threads.uninstall()


def test_a_scope_ends_after_its_linger() -> None:
    now = [0.0]
    scope = Scope(CONTEXT, None, linger_s=5, clock_s=lambda: now[0])
    with entered(scope):
        assert current() is CONTEXT
        scope.end()
        now[0] = 5.0
        assert is_trace()
        before = stale_contexts()
        now[0] = 5.1
        assert current() is None
        assert stale_contexts() == before + 1
    assert current() is None


def test_a_forked_child_is_standard() -> None:
    with entered(Scope(CONTEXT, None)):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(write, b"1" if is_trace() else b"0")
            os._exit(0)
        os.waitpid(pid, 0)
        assert os.read(read, 1) == b"0"
        assert is_trace()


def test_pool_items_carry_their_own_scope(bridge: None) -> None:
    """A worker thread that a bullet caused to start serves the next customer as a customer."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        with entered(Scope(CONTEXT, None)):
            assert pool.submit(is_trace).result()
        assert not pool.submit(is_trace).result()
        with entered(Scope(CONTEXT, None)):
            assert pool.submit(is_trace).result()


def test_run_in_executor_and_bare_threads(bridge: None) -> None:
    async def main() -> list[bool]:
        loop = asyncio.get_running_loop()
        seen: list[bool] = []
        with entered(Scope(CONTEXT, None)), ThreadPoolExecutor() as pool:
            seen.append(await loop.run_in_executor(pool, is_trace))
            seen.append(await loop.run_in_executor(None, is_trace))
            seen.append(await asyncio.to_thread(is_trace))
            seen.append(await asyncio.create_task(asyncio.to_thread(is_trace)))
            thread = threading.Thread(target=lambda: seen.append(is_trace()))
            thread.start()
            thread.join()
        seen.append(await loop.run_in_executor(None, is_trace))
        return seen

    assert asyncio.run(main()) == [True, True, True, True, True, False]


def test_without_the_bridge_the_flag_would_be_lost() -> None:
    """The control: what the bridge is for."""
    with ThreadPoolExecutor(max_workers=1) as pool, entered(Scope(CONTEXT, None)):
        assert not pool.submit(is_trace).result()


def test_uninstalling_gives_back_the_originals() -> None:
    submit, start = ThreadPoolExecutor.__dict__["submit"], threading.Thread.__dict__["start"]
    threads.install()
    threads.install()
    assert ThreadPoolExecutor.__dict__["submit"] is not submit
    threads.uninstall()
    assert ThreadPoolExecutor.__dict__["submit"] is submit
    assert threading.Thread.__dict__["start"] is start


def test_log_lines_say_who_they_are_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.addFilter(ContextFilter())
    logger = logging.getLogger("tests.scope")
    with entered(Scope(CONTEXT, None)):
        logger.warning("inside")
    logger.warning("outside")
    inside, outside = caplog.records
    assert (inside.request_type, inside.run_id, inside.user_id, inside.account_id) == ("TRACE", "run-1", "u1", "a1")  # type: ignore[attr-defined]
    assert (outside.request_type, outside.run_id, outside.user_id) == ("STANDARD", "", "")  # type: ignore[attr-defined]


def test_structlog_lines_too() -> None:
    from opentelemetry import baggage, context
    from opentelemetry.sdk.trace import TracerProvider

    with structlog.testing.capture_logs(processors=[add_context]) as lines:
        logger = structlog.get_logger()
        tracer = TracerProvider(shutdown_on_exit=False).get_tracer("t")
        with entered(Scope(CONTEXT, None)), tracer.start_as_current_span("s") as span:
            logger.info("inside", user_id="mine")
        token = context.attach(baggage.set_baggage("user_id", "customer-7"))
        logger.info("outside")
        context.detach(token)
    assert lines[0]["request_type"] == "TRACE"
    assert lines[0]["user_id"] == "mine"
    assert lines[0]["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert (lines[1]["request_type"], lines[1]["user_id"]) == ("STANDARD", "customer-7")
    assert "trace_id" not in lines[1]
