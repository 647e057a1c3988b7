"""What is asked of a load run: thresholds, a baseline, a capacity. docs/load.md is its reference."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from tracer_bullet.workspace.load import Spec
from tracer_bullet.workspace.quantities import Duration, Rate, Share


class ThresholdSpec(Spec):
    """One demand, as a text alone (`p(99) < 300ms`) or with where it holds."""

    expect: str
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


class BaselineSpec(Spec):
    """An earlier run to compare with."""

    run: str = "latest"
    """A run's id, `latest` (the last that passed, of the same scenario), or a path to a run folder."""
    metrics: tuple[Literal["p50", "p90", "p95", "p99", "error_rate"], ...] = ("p50", "p95", "error_rate")
    effect: Share = 0.1
    """A change of a latency that is smaller than this share of it is none."""
    error_effect: Share = 0.01
    """The same for the share of errors, absolute."""
    confidence: Share = 0.95


class CapacitySpec(Spec):
    """What `--find-capacity` looks for: the highest rate at which `objective` holds."""

    objective: tuple[ThresholdSpec, ...] = ()
    """All must hold; the scenario's thresholds when empty."""
    start: Rate = Field(default="10/s", validate_default=True)
    max: Rate = Field(default="10000/s", validate_default=True)
    hold_s: Duration = Field(default=20.0, alias="hold", gt=0)
    """How long each rate is held."""
    precision: Share = 0.1
    """Of the rate, to which it is found."""
