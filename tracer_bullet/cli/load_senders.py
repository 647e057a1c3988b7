"""Who sends for `tracer-bullet load`: this process, processes of this machine, or those of other hosts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

import click

from tracer_bullet.runs.load.local import Alone
from tracer_bullet.runs.load.sending import OpenSenders

_LOCAL = "local:"


def open_senders(given: Mapping[str, Any], *, lateness_ms: float) -> OpenSenders:
    """What the options of the command say. Raises click's UsageError for what does not fit together, and UsageError
    TB1050 when there is no Locust for a master."""
    workers, master = given["workers"], given["master"]
    if workers is not None and master:
        raise click.UsageError("--workers starts processes here, --master waits for those of other hosts: give one")
    if workers is None and not master:
        if given["web_port"] is not None:
            raise click.UsageError("--web-port is of Locust's page, which is there with --workers or --master")
        return Alone
    # Only here: without a fleet nothing of Locust is needed.
    from tracer_bullet.load.locustfile import check_locust  # noqa: PLC0415
    from tracer_bullet.runs.load.fleet import Fleet, FleetOptions  # noqa: PLC0415

    count = _count(workers) if workers is not None else 0
    check_locust("a fleet's master is a real Locust")
    if count:
        options = FleetOptions(local=count, web_port=given["web_port"], lateness_ms=lateness_ms)
    else:
        options = FleetOptions(
            expected=given["expect_workers"],
            host=given["master_bind_host"],
            port=given["master_bind_port"],
            web_port=given["web_port"],
            lateness_ms=lateness_ms,
        )
    return partial(Fleet, options)


def work_for_master(host: str, port: int) -> int:
    """Send for a master until it is done."""
    from tracer_bullet.runs.load.worker import work  # noqa: PLC0415

    return asyncio.run(work(host, port))


def _count(text: str) -> int:
    number = text.removeprefix(_LOCAL)
    if not text.startswith(_LOCAL) or not number.isdigit() or not int(number):
        raise click.BadParameter(f"{text!r} is not local:N, as local:2", param_hint="--workers")
    return int(number)
