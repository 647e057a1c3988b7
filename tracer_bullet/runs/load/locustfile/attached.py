"""The conductor of a plain `locust`: started by the plug-in, told by JSON what it is for, ends with Locust.

`python -m tracer_bullet.runs.load.locustfile.attached '{"arguments": […], "options": […]}'` prints one line on stdout,
`{"link": …, "secret": …}` or `{"error": …, "code": …}`, and the result on stderr when Locust has ended. Its exit
code is the run's.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tracer_bullet.errors import ExitCode, TracerBulletError
from tracer_bullet.model import RunEnded, Severity
from tracer_bullet.runs.load.locustfile.job import prepare_locustfile
from tracer_bullet.runs.load.locustfile.options import parse
from tracer_bullet.runs.load.locustfile.processes import Parent
from tracer_bullet.runs.load.locustfile.recipe import fly


def _say(**message: Any) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def _run(given: dict[str, Any]) -> RunEnded:
    options = parse([*given["arguments"], *given["options"]])
    job = prepare_locustfile(options, environ=os.environ, start=Path.cwd())
    parent = Parent(lambda link, secret: _say(link=link, secret=secret))
    ended: RunEnded | None = None
    async for event in fly(job, locust=parent):
        if isinstance(event, RunEnded):
            ended = event
    assert ended is not None  # noqa: S101  # recipes end with it
    return ended


def main() -> int:
    """Conduct one Locust; the exit code."""
    # Ctrl-C is for Locust, which ends, and then so does this.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        ended = asyncio.run(_run(json.loads(sys.argv[1])))
    except TracerBulletError as error:
        _say(error=str(error), code=int(error.exit_code))
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    except Exception:
        _say(error="TB900: a bug in tracer-bullet; see the lines above", code=int(ExitCode.BUG))
        raise
    verdict = ended.verdict
    lines = [f"tracer-bullet: {verdict.outcome.value.upper()}; {len(verdict.bullets)} traces audited; {ended.folder}"]
    lines += [
        f"  {f.severity.value}: {f.rule}: {f.message}" for f in verdict.findings if f.severity is not Severity.WARNING
    ]
    sys.stderr.write("\n".join(lines) + "\n")
    return int(verdict.outcome.exit_code)


if __name__ == "__main__":
    sys.exit(main())
