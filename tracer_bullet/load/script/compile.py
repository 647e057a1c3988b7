"""A scenario and where it goes → a Script. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from tracer_bullet.errors import UsageError
from tracer_bullet.load.script.script import RowError, Script
from tracer_bullet.load.script.takes import refuse_what_cannot_go, takes_of
from tracer_bullet.model.arrival import Endpoint, Origin
from tracer_bullet.model.load import StepKey
from tracer_bullet.scenario.plan import Plan, PlannedStep, plan
from tracer_bullet.workspace.load import Located
from tracer_bullet.workspace.scenario import ScenarioSpec
from tracer_bullet.workspace.template import Scalar


def compile_script(
    spec: ScenarioSpec,
    *,
    base_url: str,
    variables: Mapping[str, Scalar],
    origin: Origin,
    first_endpoint: int,
    run_id: str,
    located: Located[ScenarioSpec] | None = None,
) -> Script:
    """The scenario against the target at `base_url`, which is `origin` to the engine.

    `variables` are the scenario's own with those of `--var`. `located` says where in the file a refusal stands. Raises
    UsageError TB1010 or TB1011 for what cannot go at load.
    """
    file: Located[ScenarioSpec] = located or Located(value=spec, file="", lines={})
    planned = plan(file, base_url=base_url)
    planned = Plan(scenario=file, variables={**planned.variables, **variables}, steps=planned.steps)
    refuse_what_cannot_go(planned.steps, _where)
    keys = tuple(
        StepKey(
            scenario=spec.name,
            step=step.name,
            method=step.spec.request.method,
            path=step.spec.request.path,
            index=step.index,
            of=len(planned.steps),
        )
        for step in planned.steps
    )
    try:
        return Script(
            planned,
            origin=origin.number,
            endpoints=tuple(_endpoint(first_endpoint + i, k, planned.steps[i]) for i, k in enumerate(keys)),
            steps=keys,
            takes=takes_of(planned.steps),
            run_id=run_id,
        )
    except RowError as error:
        raise UsageError("TB1010", f"{spec.name} cannot be sent at load: {error}", where=file.file) from None


def _endpoint(number: int, key: StepKey, step: PlannedStep) -> Endpoint:
    return Endpoint(
        number=number,
        method=key.method,
        name=key.name,
        statuses=step.spec.expect.status,
        timeout_s=step.spec.request.timeout_s,
    )


def _where(step: PlannedStep, path: str) -> str:
    return step.where(path) if step.scenario.file else ""
