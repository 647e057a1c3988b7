"""How the tasks and threads of a bullet wait for a lane that another one uses.

Threads wait on an event, tasks on a future of their loop, SQLAlchemy's greenlets through
theirs; code that would block an event loop does not wait at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any, Protocol

from tracer_bullet.guards.sql.lane import Style

BUSY_S = 1.0
"""How long somebody who has used no lane yet waits for one."""
BORROWED_S = 30.0
"""How long somebody waits for the lane that holds what it wrote, while another one uses it."""
OPENING_S = 30.0
"""How long somebody waits for a lane that is being opened, before it opens one beside it."""


class Waiter(Protocol):
    """One who waits."""

    def wait(self, timeout_s: float) -> Any:
        """Until woken or timed out; gives an awaitable where the style is ASYNC."""

    def wake(self) -> None:
        """Called from any thread."""


class _ThreadWaiter:
    def __init__(self) -> None:
        self._event = threading.Event()

    def wait(self, timeout_s: float) -> Any:
        self._event.wait(timeout_s)

    def wake(self) -> None:
        self._event.set()


class _TaskWaiter:
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._woken = self._loop.create_future()

    async def wait(self, timeout_s: float) -> Any:
        await asyncio.wait([self._woken], timeout=timeout_s)

    def wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # its loop is closed
            self._loop.call_soon_threadsafe(self._set)

    def _set(self) -> None:
        if not self._woken.done():
            self._woken.set_result(None)


class _GreenletWaiter(_TaskWaiter):
    def wait(self, timeout_s: float) -> Any:
        from sqlalchemy.util import await_only  # noqa: PLC0415  # only its greenlets come here

        return await_only(super().wait(timeout_s))


def new_waiter(style: Style) -> Waiter:
    """A waiter for the running task or thread."""
    if style is Style.SYNC:
        return _ThreadWaiter()
    return _TaskWaiter() if style is Style.ASYNC else _GreenletWaiter()


def can_wait(style: Style) -> bool:
    """Whether waiting would block nobody else."""
    return style is not Style.SYNC or running_loop() is None


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop of this thread, if it runs one."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
