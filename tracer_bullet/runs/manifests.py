"""Manifests of runs that send nothing: who made them, when, of what."""

from __future__ import annotations

import getpass
import platform
import random
import time

from tracer_bullet import __version__
from tracer_bullet.model import RequestType, RunManifest
from tracer_bullet.workspace.runs import new_run_id

_chance = random.SystemRandom()


def quiet_manifest(kind: str, what: str) -> RunManifest:
    """The manifest of a run of `kind` (`import`, `analyse`) that begins now; `what` it is of, in a few words."""
    started_ns = time.time_ns()
    return RunManifest(
        run_id=new_run_id(started_ns, _chance),
        kind=kind,
        scenario=what,
        scenario_file="",
        target="",
        target_url="",
        production=False,
        request_type=RequestType.STANDARD,
        bullets=0,
        concurrency=0,
        started_ns=started_ns,
        fired_by=user_name(),
        versions={"tracer-bullet": __version__, "python": platform.python_version()},
    )


def user_name() -> str:
    """Who runs this; empty for a user without a name, as containers have."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
