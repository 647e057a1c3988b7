"""The smallest data that still makes a scenario fail, looked for after the load."""

from __future__ import annotations

from collections.abc import Sequence

from tracer_bullet.model.context import Context
from tracer_bullet.model.load import FailureGroup
from tracer_bullet.model.replay import StopEvent
from tracer_bullet.runs.load.job import LoadJob


async def shrink_failures(
    job: LoadJob, context: Context, groups: Sequence[FailureGroup], *, stop: StopEvent | None
) -> list[FailureGroup]:
    """Each group with the smallest row that fails so."""
    return list(groups)
