"""Claim: a worker that still waits for its master ends when it is told to, at once."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tracer_bullet.errors import ExitCode
from tracer_bullet.runs.load.worker import work


@contextmanager
def nobody() -> Iterator[int]:
    """A port at which nobody listens, nor can begin to."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(number: signal.Signals, capsys: pytest.CaptureFixture[str]) -> None:
    async def story(port: int) -> ExitCode:
        before = signal.getsignal(number)
        waiting = asyncio.create_task(work("127.0.0.1", port))
        await asyncio.sleep(0)  # up to its first await
        assert signal.getsignal(number) != before, "it does not listen yet, and this would end the tests"
        os.kill(os.getpid(), number)
        return await asyncio.wait_for(waiting, 60)

    with nobody() as port:
        assert asyncio.run(story(port)) is ExitCode.INTERRUPTED
    assert "told to end" in capsys.readouterr().err


def test_it_ends_with_who_started_it(capsys: pytest.CaptureFixture[str]) -> None:
    reader, writer = os.pipe()

    async def story(port: int) -> ExitCode:
        waiting = asyncio.create_task(work("127.0.0.1", port, lifeline=reader))
        await asyncio.sleep(0)
        os.close(writer)
        return await asyncio.wait_for(waiting, 60)

    with nobody() as port:
        assert asyncio.run(story(port)) is ExitCode.INTERRUPTED
    os.close(reader)
    assert "who started this worker is gone" in capsys.readouterr().err
