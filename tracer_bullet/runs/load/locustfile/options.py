"""What of a command line is ours, and what is Locust's. Ours are taken out; the rest goes to Locust as it is."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from tracer_bullet.errors import UsageError

# What Locust answers without sending anything.
_ASK = (("-h", "--help"), ("-V", "--version"), ("-l", "--list"), ("--show-task-ratio",), ("--show-task-ratio-json",))


@dataclass(frozen=True, slots=True, kw_only=True)
class LocustfileOptions:
    """A command line.

    `arguments`: for Locust, `--host` and `-f` among them; `host`, `users`, `run_time_s`: what they say, as far as we
    must know it. `worker`: of a master elsewhere; `asks`: something that Locust prints, as `--list`.
    """

    locustfile: str
    arguments: tuple[str, ...]
    target: str | None = None
    host: str | None = None
    users: int = 0
    run_time_s: float | None = None
    worker: bool = False
    asks: bool = False
    bullets: Path | None = None
    allow_hosts: tuple[str, ...] = ()
    flag_hosts: tuple[str, ...] = ()
    trace: str | None = None
    unarmed: bool = False
    as_json: bool = False
    override_window: str = ""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError("TB1058", message, cure="see docs/locustfiles.md; other options are Locust's")


def is_locustfile(arguments: Sequence[str]) -> bool:
    """Whether the arguments of `load` are for a locustfile: one is named."""
    return any(
        a in ("-f", "--locustfile") or a.startswith(("--locustfile=", "-f")) for a in arguments if a != "--force"
    )


def parse(arguments: Sequence[str]) -> LocustfileOptions:
    """Take our options out of a command line. Raises UsageError TB1058."""
    ours = _Parser(add_help=False, allow_abbrev=False, prog="tracer-bullet load -f")
    ours.add_argument("--target")
    ours.add_argument("--bullets", type=Path)
    ours.add_argument("--allow-host", action="append", default=[], dest="allow_hosts")
    ours.add_argument("--flag-host", action="append", default=[], dest="flag_hosts")
    ours.add_argument("--trace", choices=("task", "user", "request"))
    ours.add_argument("--unarmed", action="store_true")
    ours.add_argument("--override-window", default="")
    ours.add_argument("--json", action="store_true", dest="as_json")
    given, rest = ours.parse_known_args(list(arguments))
    found: dict[str, Any] = vars(given)
    theirs = _Parser(add_help=False, allow_abbrev=False)
    theirs.add_argument("-f", "--locustfile", default="locustfile.py")
    theirs.add_argument("-H", "--host")
    theirs.add_argument("-u", "--users", type=int, default=0)
    theirs.add_argument("-t", "--run-time")
    theirs.add_argument("--worker", action="store_true")
    for flags in _ASK:
        theirs.add_argument(*flags, action="store_true", dest="asks")
    seen, _ = theirs.parse_known_args(rest)
    found = {k: tuple(v) if isinstance(v, list) else v for k, v in found.items()}
    return LocustfileOptions(
        **found,
        arguments=tuple(rest),
        locustfile=seen.locustfile,
        host=seen.host,
        users=seen.users,
        run_time_s=None if seen.run_time is None else _seconds(seen.run_time),
        worker=seen.worker,
        asks=seen.asks,
    )


def _seconds(text: str) -> float | None:
    """As Locust reads it: `300`, `20m`, `1h30m`; None for what Locust will refuse."""
    if text.isdigit():
        return float(text)
    units, total, number = {"h": 3600, "m": 60, "s": 1}, 0.0, ""
    for character in text:
        if character.isdigit():
            number += character
        elif character in units and number:
            total, number = total + int(number) * units[character], ""
        else:
            return None
    return total if not number and total else None
