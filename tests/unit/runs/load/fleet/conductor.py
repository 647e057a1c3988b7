"""A conductor in a process of its own, so that tests can kill it: `URL SECONDS`. Says the ids of its processes, and
ends with 3 when its fleet was lost."""

from __future__ import annotations

import asyncio
import json
import sys

from tests.unit.runs.load.fleet.scene import Told, listen, make_job
from tracer_bullet.runs.load.fleet import Fleet, FleetOptions


async def conduct(url: str, seconds: float) -> int:
    async with Fleet(FleetOptions(local=1)) as fleet:
        assert fleet._crew is not None
        sys.stdout.write(json.dumps([fleet._master.pid, *(p.pid for p in fleet._crew.programs)]) + "\n")
        sys.stdout.flush()
        await listen(fleet, make_job(url, seconds=seconds), Told())
        return 3 if any(r.lost for r in fleet.results) else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(conduct(sys.argv[1], float(sys.argv[2]))))
