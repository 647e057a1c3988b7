"""`tracer-bullet capture proxy`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Literal

import click

from tracer_bullet.capture.proxy import ProxyCounts, ProxyEnded, ProxyReady, ProxySpec, ProxyTapLost, run_proxy
from tracer_bullet.capture.proxy.spec import DEFAULT_BODY_LIMIT, parse_listen, parse_target
from tracer_bullet.capture.recorder import Recorder
from tracer_bullet.cli.capture.text import counted
from tracer_bullet.cli.render import rewrite_line, say
from tracer_bullet.runs.capture import capture_rules, open_recorder


@click.command("proxy")
@click.option("--listen", default=":8000", show_default=True, metavar="HOST:PORT", help="Where clients connect.")
@click.option("--to", "target", required=True, metavar="URL", help="The server behind the proxy.")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The archive.")
@click.option("--body-limit", default=DEFAULT_BODY_LIMIT, show_default=True, help="Bytes kept of each body.")
@click.option("--log-only", is_flag=True, help="Method, path, status, times and few headers: no bodies.")
@click.option("--rewrite-host", is_flag=True, help="The server sees its own name in Host.")
@click.option("--upstream", default="same", type=click.Choice(["same", "1.1", "2"]), help="HTTP towards the server.")
@click.option("--ca", type=click.Path(path_type=Path, exists=True), help="PEM of whom to trust for the server's TLS.")
@click.option("--insecure", is_flag=True, help="Do not verify the server's certificate.")
@click.option("--cert", type=click.Path(path_type=Path, exists=True), help="PEM: speak TLS to clients.")
@click.option("--key", type=click.Path(path_type=Path, exists=True), help="PEM of its private key.")
def command(
    listen: str, target: str, out: Path, body_limit: int, upstream: Literal["same", "1.1", "2"],
    ca: Path | None, cert: Path | None, key: Path | None, *, log_only: bool, rewrite_host: bool, insecure: bool,
) -> int:  # fmt: skip
    """Run Envoy as a reverse proxy, and record what passes, redacted, until Ctrl-C.

    Bullets and replays pass and are not recorded. What cannot be recorded passes all the same, and is counted.
    """
    host, port = parse_listen(listen)
    spec = ProxySpec(
        host=host, port=port, target=parse_target(target), body_limit=body_limit, log_only=log_only,
        rewrite_host=rewrite_host, upstream=upstream, ca_file=ca, verify=not insecure, certificate=cert,
        private_key=key,
    )  # fmt: skip
    rules = capture_rules(Path.cwd(), os.environ)
    with open_recorder(out, rules, created_by="tracer-bullet capture proxy") as recorder:
        ended = asyncio.run(_run(spec, recorder))
        left_out = recorder.counts.left_out
    say(f"{out}: {_told(ended.counts)}{f'; left out: {counted(left_out)}' if left_out else ''}\n")
    if ended.error is not None:
        raise ended.error
    return 0 if ended.why == "stopped" else 1


async def _run(spec: ProxySpec, recorder: Recorder) -> ProxyEnded:
    stop, shows = asyncio.Event(), sys.stderr.isatty()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with aclosing(run_proxy(spec, recorder.take, stop=stop)) as events:
        async for event in events:
            if isinstance(event, ProxyReady):
                click.echo(f"recording what passes {event.host}:{event.port}; end with Ctrl-C", err=True)
            elif isinstance(event, ProxyCounts) and shows:
                rewrite_line(_told(event))
            elif isinstance(event, ProxyTapLost):
                click.echo(f"WARNING: nothing was recorded for {event.seconds:.1f} s", err=True)
            elif isinstance(event, ProxyEnded):
                return event
    raise AssertionError  # it ends with ProxyEnded


def _told(counts: ProxyCounts) -> str:
    lost = {"dropped": counts.dropped, "unreadable": counts.unreadable, "missed": counts.missed}
    rest = ", ".join(f"{count} {name}" for name, count in lost.items() if count)
    return f"{counts.kept} of {counts.finished} requests recorded{f', {rest}' if rest else ''}"
