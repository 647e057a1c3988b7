"""An event loop in a thread, as a service's is, for tests that are written without one."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, Self

from tests.servers.loops import end_loop


class Loop:
    """An event loop in a thread, as a service's is."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run to its end, under a copy of the caller's context, which run_coroutine_threadsafe does not carry."""
        context, done = contextvars.copy_context(), Future[Any]()

        async def main() -> None:
            try:
                done.set_result(await work)
            except BaseException as error:  # noqa: BLE001  # it is the caller's
                done.set_exception(error)

        tasks: list[asyncio.Task[None]] = []  # the loop itself keeps no strong reference
        self._loop.call_soon_threadsafe(lambda: tasks.append(self._loop.create_task(main(), context=context)))
        return done.result(120)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        end_loop(self._loop, self._thread)
