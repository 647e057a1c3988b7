"""How long an operation of a simulated system takes, as a topology says it."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any

import pydantic
from pydantic import Field

from tracer_bullet.workspace.load import Mistake, MistakesError, Spec

Ms = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Lognormal(Spec):
    """A lognormal distribution; half of the values are below `median`."""

    median: float = Field(gt=0)
    """Milliseconds."""
    sigma: float = Field(gt=0, le=5)
    """Standard deviation of the logarithm."""


class Latency(Spec):
    """How long an operation takes of itself, in milliseconds: a number, `uniform`, `lognormal` or `quantiles`."""

    constant: float | None = Field(default=None, ge=0)
    uniform: tuple[Ms, Ms] | None = None
    lognormal: Lognormal | None = None
    quantiles: tuple[tuple[Share, Ms], ...] | None = Field(default=None, min_length=2)
    """As measured: [share, milliseconds] pairs from [0, shortest] to [1, longest], straight lines in between."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        plain = isinstance(value, (int, float)) and not isinstance(value, bool)
        return {"constant": value} if plain else value

    @pydantic.model_validator(mode="after")
    def _one(self) -> Latency:
        given = (self.constant, self.uniform, self.lognormal, self.quantiles)
        if sum(v is not None for v in given) != 1:
            raise ValueError(
                "give a number of milliseconds, or one of uniform: [low, high], lognormal: {...} and quantiles: [...]"
            )
        if self.uniform and self.uniform[0] > self.uniform[1]:
            raise MistakesError([Mistake(path="uniform", message="the low bound is above the high bound")])
        if self.quantiles:
            _check_quantiles(self.quantiles)
        return self


def _check_quantiles(points: tuple[tuple[float, float], ...]) -> None:
    found = []
    if points[0][0] != 0:
        found.append(Mistake(path="quantiles.0.0", message="the first share must be 0, that of the shortest"))
    if points[-1][0] != 1:
        found.append(Mistake(path=f"quantiles.{len(points) - 1}.0", message="the last share must be 1, the longest's"))
    for i, ((share, ms), (next_share, next_ms)) in enumerate(pairwise(points), 1):
        if next_share <= share:
            found.append(Mistake(path=f"quantiles.{i}.0", message="shares must go up"))
        if next_ms < ms:
            found.append(Mistake(path=f"quantiles.{i}.1", message="milliseconds must not go down"))
    if found:
        raise MistakesError(found)
