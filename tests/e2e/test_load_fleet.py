"""Claim: a fleet at the guarded shop proves the run as one process does; and a worker that is killed makes it
inconclusive (exit code 3), with what was lost in the run folder."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.loads import BROWSE, PATIENT, run_load, write_scenario
from tracer_bullet.model import Outcome
from tracer_bullet.runs.load.fleet import Fleet, FleetOptions
from tracer_bullet.runs.load.run import Outside

LOAD = """
load:
  rate: 6/s
  duration: 6s
"""


class Deadly(Fleet):
    """Kills its first worker as soon as something came back of it."""

    async def run(self, job: Any) -> Any:
        async for event in super().run(job):
            if self._crew is not None and any(member.rows for member in self._roll.members if member.name == "local 1"):
                first = self._crew.programs[0]
                if not first.ended:
                    os.kill(first.pid, signal.SIGKILL)
            yield event


@pytest.mark.slow
def test_a_fleet_at_the_shop(firing_range: Callable[..., Any], workspace: Path) -> None:
    file = write_scenario(workspace, "browse", BROWSE + LOAD + PATIENT)
    options = FleetOptions(local=2, lateness_ms=5000)
    with firing_range() as r:
        verdict, _, report = run_load(file, r, outside=Outside(senders=partial(Fleet, options)))
        assert verdict.outcome is Outcome.PASSED, verdict.findings
        assert [(s.sent, s.lost, s.unaccounted) for s in report.senders] == [(36, "", 0)] * 2
        assert report.accounting.whole == 36
        assert report.audited > 0

        verdict, _, report = run_load(file, r, outside=Outside(senders=partial(Deadly, options)))
        assert verdict.outcome is Outcome.INCONCLUSIVE, verdict.findings
        lost = {s.name: s for s in report.senders if s.lost}
        assert set(lost) == {"local 1"}
        assert lost["local 1"].unaccounted > 0
        assert report.accounting.planned + lost["local 1"].unaccounted == 72
