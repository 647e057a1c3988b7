"""The `load:` section of a scenario: the scenario as traffic. docs/load.md is its reference."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, WithJsonSchema, model_validator

from tracer_bullet.errors import UsageError
from tracer_bullet.workspace.data import DataSpec
from tracer_bullet.workspace.load import Spec
from tracer_bullet.workspace.mistakes import explain
from tracer_bullet.workspace.quantities import Duration, Rate, Share
from tracer_bullet.workspace.safety import LoadGuardrailsSpec
from tracer_bullet.workspace.sending import LimitsSpec, ProofSpec, TlsSpec
from tracer_bullet.workspace.thresholds import BaselineSpec, CapacitySpec, ThresholdSpec


def _pause(value: Any) -> Any:
    """`2s`, or `1s..3s`."""
    if isinstance(value, str) and ".." in value:
        return tuple(part.strip() for part in value.split("..", 1))
    return (value, value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else value


def _in_order(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError("the shorter time comes first, as 1s..3s")
    return value


Pause = Annotated[
    tuple[Duration, Duration],
    BeforeValidator(_pause),
    AfterValidator(_in_order),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}]}),
]
"""Seconds, shortest and longest, evenly spread between: `2s`, `1s..3s`."""

_ARRIVALS = ("rate", "ramp_to", "steps", "spike", "sine", "curve")
_USERS = ("users", "users_to")


class StageSpec(Spec):
    """A part of the profile. Exactly one of `rate`, `ramp_to`, `steps`, `spike`, `sine`, `curve`, `users`, `users_to`;
    rates are iterations begun in a second (open model), users run iterations one after the other (closed model)."""

    for_s: Duration | None = Field(default=None, alias="for", gt=0)
    """How long; a `curve` is as long as its recording unless it is given."""
    rate: Rate | None = None
    """Constant."""
    ramp_to: Rate | None = None
    """In a straight line from where the stage before ended (the first: from nothing)."""
    steps: tuple[Rate, ...] = ()
    """One after the other, each as long."""
    spike: Rate | None = None
    """Up to it in a straight line for half of the time, and down again to where the stage before ended."""
    sine: Rate | None = None
    """A wave around this rate; begins there, rising."""
    swing: Rate | None = None
    """Of `sine`: how far above and below; not more than the rate itself."""
    period_s: Duration | None = Field(default=None, alias="period", gt=0)
    """Of `sine`."""
    curve: Path | None = None
    """An archive whose requests give the shape; relative to this file."""
    peak: Rate | None = None
    """Of `curve`: the rate of its busiest ten seconds; as recorded unless it is given."""
    users: int | None = Field(default=None, ge=0)
    """So many users."""
    users_to: int | None = Field(default=None, ge=0)
    """In a straight line from as many as the stage before ended with."""

    @property
    def kind(self) -> str:
        """Which of the shapes it is."""
        return next(n for n in (*_ARRIVALS, *_USERS) if getattr(self, n) not in (None, ()))

    @property
    def is_open(self) -> bool:
        """Whether it gives a rate, not users."""
        return self.kind in _ARRIVALS

    @model_validator(mode="after")
    def _one_shape(self) -> StageSpec:
        given = [n for n in (*_ARRIVALS, *_USERS) if getattr(self, n) not in (None, ())]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join((*_ARRIVALS, *_USERS))}")
        if self.for_s is None and given != ["curve"]:
            raise ValueError("say how long, as `for: 2m`")
        wave = self.swing is not None and self.period_s is not None
        if (self.sine is not None) != wave or (self.sine is None and (self.swing or self.period_s)):
            raise ValueError("`sine`, `swing` and `period` belong together")
        if self.sine is not None and self.swing is not None and self.swing > self.sine:
            raise ValueError("`swing` is more than `sine`: no rate is below nothing")
        if self.peak is not None and self.curve is None:
            raise ValueError("`peak` belongs to `curve`")
        return self


class StopSpec(Spec):
    """Ends before the profile does, whichever comes first."""

    iterations: int | None = Field(default=None, ge=1)
    """So many iterations have been begun."""
    percentile: float | None = Field(default=None, gt=0, lt=100)
    """Of the latency of all requests: stop when its 95 % confidence interval is `within` of it."""
    within: Share = 0.05
    """Half the interval's width over the percentile."""


class OtherSpec(Spec):
    """Another scenario in the same traffic."""

    scenario: Path
    """Relative to this file. Of its own `load`, only `data` and pauses count."""
    weight: float = Field(default=1.0, gt=0)
    """Of all iterations, the share weight ÷ sum of weights."""


class LoadSpec(Spec):
    """A scenario as traffic. Either `rate` or `users` with `duration`, or `stages`."""

    rate: Rate | None = None
    """Iterations begun in a second."""
    users: int | None = Field(default=None, ge=1)
    """So many users, each running iterations one after the other."""
    duration_s: Duration | None = Field(default=None, alias="duration", gt=0)
    stages: tuple[StageSpec, ...] = ()
    arrivals: Literal["even", "poisson"] = "even"
    """How iterations are spread at a given rate: evenly, or by chance as independent users would come."""
    seed: int = 1
    """For what is left to chance: arrivals, weights, pauses, data."""
    think: Pause = (0.0, 0.0)
    """Between an answer and the next step of an iteration."""
    between: Pause = (0.0, 0.0)
    """Between two iterations of a user."""
    weight: float = Field(default=1.0, gt=0)
    """Of this scenario, beside those of `with`."""
    others: tuple[OtherSpec, ...] = Field(default=(), alias="with")
    data: tuple[DataSpec, ...] = ()
    """Where values of variables come from, one row an iteration."""
    warm_up_s: Duration = Field(default=0.0, alias="warm_up")
    """At the beginning; sent, and not counted in figures, thresholds and baseline."""
    stop: StopSpec = StopSpec()
    checks: Share = 1.0
    """The share of iterations whose answers are checked against `expect` beyond the status, which always is."""
    trace_share: Share = 1.0
    """The share of iterations whose trace is sampled (head sampling: traceparent's flag). Guards act on all."""
    thresholds: tuple[ThresholdSpec, ...] = ()
    baseline: BaselineSpec | None = None
    capacity: CapacitySpec = CapacitySpec()
    """What `--find-capacity` looks for."""
    guardrails: LoadGuardrailsSpec = LoadGuardrailsSpec()
    limits: LimitsSpec = LimitsSpec()
    stale_s: Duration = Field(default=5.0, alias="stale", gt=0)
    """What is this late when its turn comes is not sent: after a freeze the target must not be hit by a burst."""
    tls: TlsSpec = TlsSpec()
    proof: ProofSpec = ProofSpec()

    @property
    def profile(self) -> tuple[StageSpec, ...]:
        """The stages, the short forms written out."""
        if self.stages:
            return self.stages
        given: dict[str, Any] = {"rate": f"{self.rate}/s"} if self.rate is not None else {"users": self.users}
        return (StageSpec.model_validate({"for": self.duration_s, **given}),)

    @property
    def is_open(self) -> bool:
        """Whether iterations begin by a schedule (open model), not when a user is free."""
        return self.profile[0].is_open

    @model_validator(mode="after")
    def _one_profile(self) -> LoadSpec:
        short = [n for n in ("rate", "users") if getattr(self, n) is not None]
        if len(short) + bool(self.stages) != 1:
            raise ValueError("give one of rate, users and stages")
        if bool(short) != (self.duration_s is not None):
            raise ValueError("`duration` belongs to `rate` or `users`; stages have a `for` each")
        if len({stage.is_open for stage in self.profile}) > 1:
            raise ValueError("stages are either all rates or all users")
        whole_s = sum(stage.for_s or math.inf for stage in self.profile)  # a curve takes as long as it was recorded
        if self.warm_up_s >= whole_s:
            raise ValueError(f"`warm_up` is not shorter than the load ({whole_s:g} s): nothing would be counted")
        return self


def change_load(load: LoadSpec | None, changes: Mapping[str, object], *, where: str) -> LoadSpec:
    """The load with other values of `rate`, `users`, `duration`; the first two take the place of whatever profile there
    is. `where` the file says it. Raises UsageError TB1090 for what does not fit, or is not all that is needed."""
    if {"rate", "users"} <= changes.keys():
        raise UsageError(
            "TB1090", "a rate and users exclude each other", where="--users", cure="give --rate or --users, not both"
        )
    if changes.keys() == {"duration"} and load is not None and load.stages:
        raise UsageError(
            "TB1090",
            "this load has stages, which say how long each of them takes",
            where="--duration",
            cure="change their `for` in the scenario, or give --rate or --users too",
        )
    told: dict[str, Any] = {} if load is None else load.model_dump(by_alias=True, exclude_unset=True, mode="json")
    if changes.keys() & {"rate", "users"}:
        for name in ("rate", "users", "stages"):
            told.pop(name, None)
    told.update(changes)
    if changes and "stages" not in told and "duration" not in told:
        raise UsageError("TB1090", "it is not said how long", where=where, cure="give --duration 1m")
    try:
        return LoadSpec.model_validate(told)
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][0]) if first["loc"] else ""
        where = f"--{option}" if option in changes else where
        raise UsageError("TB1090", next(explain(error, LoadSpec, told)).message, where=where) from None
