"""Who watches `tracer-bullet load` from outside, as its options say."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click

from tracer_bullet.cli.render import rewrite_line
from tracer_bullet.runs.load.outputs import Watch, WatchOptions, watch


@contextlib.contextmanager
def watched(given: Mapping[str, Any]) -> Iterator[Watch]:
    """A live page, metrics, both or none, until the block ends. Raises UsageError (TB1070, TB1071)."""
    options = WatchOptions(live_port=given["live_port"], live_host=given["live_host"], otlp_url=given["otlp_metrics"])
    with watch(options, _warn) as watching:
        if watching.url:
            click.echo(f"live page: {watching.url}  metrics: {watching.url}metrics", err=True)
        yield watching


def _warn(text: str) -> None:
    if sys.stderr.isatty():  # there is a line of progress
        rewrite_line(f"WARNING: {text}\n")
    else:
        click.echo(f"WARNING: {text}", err=True)
