"""A scenario made ready to fire: its steps in order, where they go, and the variables they start with. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tracer_bullet.errors import UsageError
from tracer_bullet.workspace.load import Located
from tracer_bullet.workspace.mistakes import suggest
from tracer_bullet.workspace.scenario import ScenarioSpec, StepSpec
from tracer_bullet.workspace.template import Scalar
from tracer_bullet.workspace.tree import scalar_of


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """One step: what to send below `base_url`, and where the file says so."""

    index: int
    spec: StepSpec
    base_url: str
    scenario: Located[ScenarioSpec]

    @property
    def name(self) -> str:
        """The step's name, unique in the scenario."""
        return self.spec.name

    def where(self, path: str) -> str:
        """`file:line` of a dotted path below the step, as `expect.status`."""
        return self.scenario.where(f"steps.{self.index}.{path}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What each bullet of a run does. `variables` are those known before the first step."""

    scenario: Located[ScenarioSpec]
    variables: Mapping[str, Scalar]
    steps: tuple[PlannedStep, ...]

    @property
    def name(self) -> str:
        """The scenario's name."""
        return self.scenario.value.name


def plan(scenario: Located[ScenarioSpec], *, base_url: str, overrides: Mapping[str, str] | None = None) -> Plan:
    """The plan of a scenario against the target at `base_url`.

    `overrides` (from `--var`) replace the scenario's variables; a text becomes a number or a boolean
    where the scenario's own value is one. Raises UsageError TB105 for an unknown variable or a text
    that does not fit.
    """
    variables = dict(scenario.value.variables)
    for name, text in (overrides or {}).items():
        if name not in variables:
            known = ", ".join(variables) or "none"
            cure = suggest(name, variables) or f"variables of this scenario: {known}"
            raise UsageError("TB105", f"{scenario.value.name} has no variable {name!r}", where=scenario.file, cure=cure)
        variables[name] = like_default(variables[name], name, text, scenario.where(f"variables.{name}"))
    steps = tuple(
        PlannedStep(index=i, spec=spec, base_url=base_url.rstrip("/"), scenario=scenario)
        for i, spec in enumerate(scenario.value.steps)
    )
    return Plan(scenario=scenario, variables=variables, steps=steps)


def like_default(default: Scalar, name: str, text: str, where: str) -> Scalar:
    """A text as the value of a variable: a number or a boolean where the scenario's own value is one.

    Raises UsageError TB105, at `where`, for a text that does not fit.
    """
    if isinstance(default, str):
        return text
    value = scalar_of(text)
    wanted = bool if isinstance(default, bool) else (int, float)
    if not isinstance(value, wanted) or isinstance(value, bool) is not isinstance(default, bool):
        kind = "true or false" if isinstance(default, bool) else "a number"
        raise UsageError("TB105", f"the variable {name!r} must be {kind}, not {text!r}", where=where)
    return value
