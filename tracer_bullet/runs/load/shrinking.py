"""The smallest data that still makes a scenario fail, looked for after the load, one bullet after the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count

from tracer_bullet.load.shrink import shrink
from tracer_bullet.model.context import Context
from tracer_bullet.model.load import FailureGroup
from tracer_bullet.model.replay import StopEvent
from tracer_bullet.runs.load.arming import bullet_client, fire_row
from tracer_bullet.runs.load.conclude import REACHED
from tracer_bullet.runs.load.job import LoadJob, Traffic
from tracer_bullet.scenario import BulletResult
from tracer_bullet.workspace.template import Scalar

# Of the most frequent kinds, each with so many bullets and so much time at most.
_KINDS = 3
_TRIES = 60
_WITHIN_S = 20.0
# Ends after which the target may still be asked.
_HARMLESS_ENDS = frozenset({REACHED, "threshold"})


async def shrink_failures(
    job: LoadJob,
    context: Context,
    groups: Sequence[FailureGroup],
    *,
    stop: StopEvent | None,
    halt: Callable[[], StopEvent | None],
    audit: Callable[[BulletResult], Awaitable[None]],
) -> list[FailureGroup]:
    """The groups, the most frequent of them with the smallest row that fails at the same step.

    Nothing is sent after a run that a guardrail or a person ended (`stop`), nor once there is a reason to `halt`, and
    nothing for steps whose data does not vary. Each bullet is given to the `audit`.
    """
    groups = list(groups)
    if stop is not None and stop.reason not in _HARMLESS_ENDS:
        return groups
    chosen = [n for n, group in enumerate(groups) if group.row][:_KINDS]
    numbers = count(2_000_000)
    async with bullet_client(job) as client:
        for n in chosen:
            group = groups[n]
            name, _, step = group.step.partition(" / ")
            traffic = next(t for t in job.traffic if t.scenario.value.name == name)

            async def fails(row: Mapping[str, Scalar], traffic: Traffic = traffic, step: str = step) -> bool:
                if halt() is not None:
                    return False
                result = await fire_row(client, traffic, row, context, next(numbers))
                await audit(result)
                first = next((check for check in result.checks if not check.passed), None)
                return first is not None and first.step == step

            smallest = await shrink(
                fails, group.row, traffic.scenario, seed=job.spec.seed, tries=_TRIES, within_s=_WITHIN_S
            )
            groups[n] = replace(group, smallest=smallest)
    return groups
