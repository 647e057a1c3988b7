"""Workers on this machine, started by the fleet and ended with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tracer_bullet.runs.load.fleet.process import Program


class Crew:
    """Processes of `tracer_bullet.runs.load.worker`. Each holds an end of one pipe: when ours closes, however we end,
    they do too."""

    def __init__(self, size: int, host: str, port: int) -> None:
        theirs, self._ours = os.pipe()
        try:
            self.programs = [
                Program(
                    ["tracer_bullet.runs.load.worker", host, str(port), "--lifeline", str(theirs), "--name", f"local {n + 1}"],
                    [theirs],
                )
                for n in range(size)
            ]
        finally:
            os.close(theirs)

    async def close(self) -> None:
        """End them, and wait for them."""
        os.close(self._ours)
        await asyncio.gather(*(program.reap() for program in self.programs))


@asynccontextmanager
async def crew(size: int, host: str, port: int) -> AsyncIterator[Crew]:
    """So many workers for as long as the context lasts."""
    members = Crew(size, host, port)
    try:
        yield members
    finally:
        with contextlib.suppress(OSError):
            await members.close()
