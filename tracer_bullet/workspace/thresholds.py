"""What is asked of a load run: thresholds, a baseline, a capacity. docs/thresholds.md is its reference."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from tracer_bullet.workspace.demands import OF_ITERATIONS, DemandText, parse_demand
from tracer_bullet.workspace.load import Mistake, MistakesError, Spec
from tracer_bullet.workspace.quantities import Duration, Rate, Share


class ThresholdSpec(Spec):
    """One demand, as a text alone (`p(99) < 300ms`) or with where it holds."""

    expect: DemandText
    """As `p(99) < 300ms`, `error_rate < 0.1%`, `rate > 100/s`, `avg <= 0.2s`, `max < 2s`, `count > 1000`."""
    scenario: str | None = None
    step: str | None = None
    """Of `scenario`, or of the only one."""
    service: str | None = None
    """Of the spans of this service, taken from the traces."""
    abort: bool = False
    """Stop at once when it is broken, exit code 1."""
    after_s: Duration = Field(default=10.0, alias="after")
    """Of `abort`: not before so long after the warm-up."""

    @model_validator(mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        return {"expect": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Of editors: a text alone is one, too."""
        found = handler(schema)
        whole = handler.resolve_ref_schema(found)
        text = {
            key: value for key, value in whole["properties"]["expect"].items() if key not in ("title", "description")
        }
        parts = dict(whole)
        whole.clear()
        whole.update({"title": parts.pop("title"), "description": parts.pop("description"), "anyOf": [text, parts]})
        return found

    @model_validator(mode="after")
    def _one_scope(self) -> ThresholdSpec:
        mistakes = []
        if self.service is not None:
            if self.scenario is not None or self.step is not None:
                wrong = "scenario" if self.scenario is not None else "step"
                mistakes.append(Mistake(path=wrong, message="a service's spans are those of all scenarios and steps"))
            if self.abort:
                mistakes.append(
                    Mistake(path="abort", message="what services did is read from the traces when the run has ended")
                )
        if parse_demand(self.expect).metric in OF_ITERATIONS and (self.step or self.service):
            wrong = "step" if self.step else "service"
            mistakes.append(Mistake(path=wrong, message="an iteration is of a scenario, of all its steps"))
        if "after_s" in self.model_fields_set and not self.abort:
            mistakes.append(Mistake(path="after", message="belongs to `abort: true`"))
        if mistakes:
            raise MistakesError(mistakes)
        return self


class BaselineSpec(Spec):
    """An earlier run to compare with."""

    run: str = "latest"
    """A run's id, `latest` (the last that passed, of the same scenario), or a path to a run folder."""
    metrics: tuple[Literal["p50", "p90", "p95", "p99", "error_rate"], ...] = ("p50", "p95", "error_rate")
    effect: Share = 0.1
    """A change of a latency that is smaller than this share of it is none."""
    error_effect: Share = 0.01
    """The same for the share of errors, absolute."""
    confidence: Share = Field(default=0.95, ge=0.5, le=0.9999)
    """Of the intervals that decide."""

    @model_validator(mode="before")
    @classmethod
    def _map(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError(f"must be a map, as {{run: {value}}}")
        return value


class CapacitySpec(Spec):
    """What `--find-capacity` looks for: the highest rate at which `objective` holds."""

    objective: tuple[ThresholdSpec, ...] = ()
    """All must hold; the scenario's thresholds when empty."""
    start: Rate = Field(default="10/s", validate_default=True)
    max: Rate = Field(default="10000/s", validate_default=True)
    hold_s: Duration = Field(default=20.0, alias="hold", gt=0)
    """How long each rate is held."""
    precision: Share = Field(default=0.1, ge=0.01)
    """Of the rate, to which it is found."""

    @model_validator(mode="after")
    def _start_below_max(self) -> CapacitySpec:
        if self.start > self.max:
            raise MistakesError([Mistake(path="start", message=f"is above `max` ({self.max:g}/s)")])
        return self
