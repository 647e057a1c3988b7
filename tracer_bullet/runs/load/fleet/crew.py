"""Workers on this machine, started by the fleet and ended with it."""

from __future__ import annotations

import asyncio
import os

from tracer_bullet.runs.load.fleet.process import Program


class Crew:
    """Processes of `tracer_bullet.runs.load.worker`. Each holds an end of one pipe: when ours closes, however we end,
    they do too."""

    def __init__(self, size: int, host: str, port: int) -> None:
        theirs, self._ours = os.pipe()
        try:
            here = ["tracer_bullet.runs.load.worker", host, str(port), "--lifeline", str(theirs), "--name"]
            names = [f"local {n + 1}" for n in range(size)]
            self.programs = [Program([*here, name], [theirs]) for name in names]
        finally:
            os.close(theirs)
        self._running = dict(zip(names, self.programs, strict=True))

    def ended(self) -> list[tuple[str, str]]:
        """Names of those that are over, and how they ended; each once."""
        over = [(name, program.last_words()) for name, program in self._running.items() if program.ended]
        for name, _ in over:
            del self._running[name]
        return over

    async def close(self) -> None:
        """End them, and wait for them."""
        os.close(self._ours)
        await asyncio.gather(*(program.reap() for program in self.programs))
