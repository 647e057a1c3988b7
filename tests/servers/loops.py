"""Ending an event loop that ran in a thread, so that nothing is left over when it is closed."""

from __future__ import annotations

import asyncio
import threading

_TIMEOUT_S = 60.0


async def cancel_the_rest() -> None:
    """Cancel the other tasks and wait for their ends: one that dies with its loop warns in some later test."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


def end_loop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    """Cancel what is left, stop the loop, join its thread, close it."""
    try:
        asyncio.run_coroutine_threadsafe(cancel_the_rest(), loop).result(_TIMEOUT_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
