"""`tracer-bullet capture config`."""

from __future__ import annotations

import click

from tracer_bullet.capture.config import envoy_log, envoy_mirror, envoy_tap, nginx_log
from tracer_bullet.cli.render import say


@click.group("config")
def command() -> None:
    """Print configuration for an Envoy or nginx that runs already (docs/capture.md)."""


@command.command("envoy")
@click.option("--log", "log_path", metavar="PATH", help="An access log that holds all that `capture import` reads.")
@click.option("--tap", "tap_prefix", metavar="PREFIX", help="Tapped requests, with bodies, as files that begin so.")
@click.option("--mirror", "mirror_to", metavar="CLUSTER", help="A copy of requests for another cluster.")
@click.option("--body-limit", default=1_048_576, show_default=True, help="Bytes kept of each body, with --tap.")
@click.option("--percent", default=100.0, show_default=True, help="Of requests, with --mirror.")
def envoy(log_path: str | None, tap_prefix: str | None, mirror_to: str | None, body_limit: int, percent: float) -> None:
    """A snippet of Envoy's configuration; without an option, its access log to stdout."""
    if tap_prefix is not None:
        say(envoy_tap(tap_prefix, body_limit))
    if mirror_to is not None:
        say(envoy_mirror(mirror_to, percent))
    if log_path is not None or (tap_prefix is None and mirror_to is None):
        say(envoy_log(log_path or "/dev/stdout"))


@command.command("nginx")
@click.option("--log", "log_path", default="/var/log/nginx/tracer-bullet.log", show_default=True, metavar="PATH")
def nginx(log_path: str) -> None:
    """A snippet of nginx's configuration: a log that holds all that `capture import` reads."""
    say(nginx_log(log_path))
