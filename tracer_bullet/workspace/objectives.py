"""Objectives as people write them: `p99 < 300 ms over 5 min`. The grammar and the specs of YAML. Pure.

objective    = latency | availability
latency      = share ("<" | "<=" | "≤") duration ["over" duration]
share        = "p" number | number "%" ["of" "calls"]
availability = "availability" [">" | ">=" | "≥"] number "%" ["over" duration] ["counting" "4xx"]
duration     = number unit          unit: us ms s min h d w, and their usual longer forms
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from tracer_bullet.model import Indicator, Objective
from tracer_bullet.workspace.load import Document, Mistake, MistakesError, Spec
from tracer_bullet.workspace.mistakes import suggest
from tracer_bullet.workspace.words import Words

_LATENCY_WINDOW_S: Final = 300.0
_AVAILABILITY_WINDOW_S: Final = 30 * 86_400.0
_MAX_WINDOW_S: Final = 366 * 86_400.0
_EXAMPLES: Final = ("p99 < 300 ms over 5 min", "availability 99.9 % over 30 d")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveTerms:
    """What an objective's text says; `client_errors`: 4xx answers count as failures."""

    indicator: Indicator
    target: float
    window_s: float
    threshold_ms: float | None = None
    client_errors: bool = False


def parse_objective(text: str) -> ObjectiveTerms:
    """The terms of an objective's text. Raises ValueError that says what is wrong, where, and what was meant."""
    words = Words(text)
    if words.accept("availability"):
        return _availability(words)
    target = _share(words)
    words.need("<", "<=", "≤")
    threshold_s = words.duration()
    window_s = words.duration() if words.accept("over") else _LATENCY_WINDOW_S
    words.end("over")
    return ObjectiveTerms(
        indicator=Indicator.LATENCY, target=target, threshold_ms=threshold_s * 1e3, window_s=_window(words, window_s)
    )


def parse_period(text: str) -> float:
    """Seconds of a period as `30 d`. Raises ValueError."""
    words = Words(text)
    period = words.duration()
    words.end()
    return _window(words, period)


def _availability(words: Words) -> ObjectiveTerms:
    words.accept(">", ">=", "≥")
    target = words.percent()
    window_s, client_errors = _AVAILABILITY_WINDOW_S, False
    if words.accept("over"):
        window_s = words.duration()
    if words.accept("counting"):
        words.need("4xx")
        client_errors = True
    words.end("over", "counting")
    return ObjectiveTerms(
        indicator=Indicator.AVAILABILITY, target=target, window_s=_window(words, window_s), client_errors=client_errors
    )


def _share(words: Words) -> float:
    found = words.peek()
    if re.fullmatch(r"p[0-9.]+", found):
        words.take()
        return words.percentile(found[1:])
    if re.fullmatch(r"[0-9.]+", found):
        share = words.percent()
        if words.accept("of"):
            words.need("calls")
        return share
    close = suggest(found, ("availability", "p99", "p95")) if found else ""
    told = f"{found!r} begins no objective" if found else "the objective is empty"
    raise ValueError(f"{told}; {close or 'write one as ' + ' or '.join(repr(e) for e in _EXAMPLES)}")


def _window(words: Words, seconds: float) -> float:
    if not 1 <= seconds <= _MAX_WINDOW_S:
        raise ValueError(f"{words.text!r}: a window is between 1 s and 366 d long")
    return seconds


def _objective_text(value: str) -> str:
    parse_objective(value)
    return value


def _period_text(value: str) -> str:
    parse_period(value)
    return value


ObjectiveText = Annotated[
    str,
    AfterValidator(_objective_text),
    WithJsonSchema({"type": "string", "minLength": 1, "examples": list(_EXAMPLES)}),
]
PeriodText = Annotated[
    str, AfterValidator(_period_text), WithJsonSchema({"type": "string", "minLength": 1, "examples": ["30 d"]})
]


class ObjectiveSpec(Spec):
    """One objective."""

    service: str = Field(min_length=1)
    """`service.name` of the service whose calls are counted: its server and consumer spans."""
    objective: ObjectiveText
    """What is asked for: `p99 < 300 ms over 5 min`, `availability 99.9 % over 30 d`."""
    operation: str = ""
    """One operation (span name) of the service; empty: all of them."""
    name: str = ""
    """What reports call it; default: service, operation and objective."""
    owner: str = ""
    """Who is told when it is missed."""
    budget: PeriodText = "30 d"
    """The period over which the error budget is counted."""

    @model_validator(mode="after")
    def _budget_holds_a_window(self) -> ObjectiveSpec:
        window_s = parse_objective(self.objective).window_s
        if "budget" in self.model_fields_set and parse_period(self.budget) < window_s:
            raise MistakesError([Mistake(path="budget", message="the budget's period is shorter than the window")])
        return self

    def at(self, where: str) -> Objective:
        """The objective, said at `where` (`file:line`)."""
        terms = parse_objective(self.objective)
        return Objective(
            name=self.name or " ".join(part for part in (self.service, self.operation, self.objective) if part),
            service=self.service,
            indicator=terms.indicator,
            target=terms.target,
            threshold_ms=terms.threshold_ms,
            operation=self.operation,
            window_s=terms.window_s,
            budget_s=max(parse_period(self.budget), terms.window_s),
            owner=self.owner,
            where=where,
            client_errors=terms.client_errors,
        )


class ObjectivesDocument(Document):
    """A file of objectives: `slos/*.yaml`."""

    slos: tuple[ObjectiveSpec, ...] = Field(min_length=1)
    """The objectives."""


def twice(objectives: tuple[Objective, ...]) -> Iterator[tuple[Objective, Objective]]:
    """Pairs of objectives that have one name: (the first, a later one)."""
    first: dict[str, Objective] = {}
    for objective in objectives:
        if objective.name in first:
            yield first[objective.name], objective
        first.setdefault(objective.name, objective)
