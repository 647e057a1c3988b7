"""A capturing process of its own, to be stopped or killed: `python -m tests.unit.capture.proxy.child URL ARCHIVE`.

Prints its events. Redacts and writes as `capture proxy` does. STALL_S is taken from the environment.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from tracer_bullet.capture.archive import ArchiveWriter
from tracer_bullet.capture.proxy import ProxySpec, parse_target, run_proxy
from tracer_bullet.capture.recorder import Recorder
from tracer_bullet.capture.redaction.pseudonyms import Pseudonyms
from tracer_bullet.capture.redaction.redactor import Redactor
from tracer_bullet.capture.redaction.rules import Rules
from tracer_bullet.capture.sessions import Sessions


async def main(url: str, archive: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    stall_s = float(os.environ.get("STALL_S", "10"))
    spec = ProxySpec(host="127.0.0.1", port=0, target=parse_target(url), stall_s=stall_s)
    redactor = Redactor(Rules(), Pseudonyms(b"a key for tests, of 32 bytes ..."))
    with (
        ArchiveWriter(archive, created_by="tests") as writer,
        Recorder(writer, redactor, sessions=Sessions(redactor.pseudonyms.plain)) as recorder,
    ):
        async for event in run_proxy(spec, recorder.take, stop=stop, report_s=0.1):
            print(event, flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
