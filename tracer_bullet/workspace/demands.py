"""Demands on a load run as people write them: `p(99) < 300ms`. The grammar of thresholds. Pure.

demand  = latency | rate | share | number
latency = ("p(" percent ")" | "p" percent | "avg" | "med" | "min" | "max") limit duration
rate    = ("rate" | "iteration_rate" | "iterations" "/" "s") compare number "/" ("s" | "min" | "h")
share   = "error_rate" compare number ["%"]
number  = ("count" | "errors" | "iterations") compare number
limit   = "<" | "<=" | "≤" | ">" | ">=" | "≥"          compare: these and "=="
duration = number unit                                  unit: us ms s min, and their usual longer forms

The words are k6's (https://grafana.com/docs/k6/latest/using-k6/thresholds/) where k6 has one for the thing; a time says
its unit, where k6 takes milliseconds for granted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, WithJsonSchema

from tracer_bullet.workspace.mistakes import suggest
from tracer_bullet.workspace.words import Words

Metric = Literal[
    "percentile", "avg", "min", "max", "error_rate", "rate", "iteration_rate", "count", "errors", "iterations"
]
Comparison = Literal["<", "<=", ">", ">=", "=="]

LATENCIES: Final = frozenset({"percentile", "avg", "min", "max"})
OF_ITERATIONS: Final = frozenset({"iterations", "iteration_rate"})
EXAMPLES: Final = ("p(99) < 300ms", "error_rate < 0.1%", "rate > 100/s", "avg <= 0.2s", "max < 2s", "count > 1000")
_NAMES: Final[dict[str, Metric]] = {
    "avg": "avg", "mean": "avg", "min": "min", "max": "max", "error_rate": "error_rate", "rate": "rate",
    "iteration_rate": "iteration_rate", "count": "count", "errors": "errors", "iterations": "iterations",
}  # fmt: skip
_MEDIANS: Final = ("med", "median")
_KNOWN: Final = ("p(99)", "p99", "med", *_NAMES)
# What k6 and others call it, where the word alone does not tell.
_ELSEWHERE: Final = {
    "http_req_duration": "p(99)",
    "http_req_failed": "error_rate",
    "checks": "error_rate",
    "http_reqs": "rate",
    "dropped_iterations": "iterations",
    "rps": "rate",
    "p": "p(99)",
}
_SIGNS: Final[dict[str, Comparison]] = {
    "<": "<", "<=": "<=", "≤": "<=", ">": ">", ">=": ">=", "≥": ">=", "==": "==", "===": "==",
}  # fmt: skip
_PER_S: Final = {
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "min": 60.0,
    "minute": 60.0,
    "m": 60.0,
    "h": 3_600.0,
    "hour": 3_600.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a demand's text says. `percentile` (0 to 100, both excluded) belongs to the metric of that name.

    `limit` is in ms for latencies, 0 to 1 for `error_rate`, a second for rates, else a number.
    """

    text: str
    metric: Metric
    comparison: Comparison
    limit: float
    percentile: float | None = None

    @property
    def unit(self) -> str:
        """Of `limit`: `ms`, `share`, `/s`, or nothing."""
        if self.metric in LATENCIES:
            return "ms"
        return {"error_rate": "share", "rate": "/s", "iteration_rate": "/s"}.get(self.metric, "")

    @property
    def upper(self) -> bool:
        """Whether it is a limit from above."""
        return self.comparison in ("<", "<=", "==")

    def holds(self, value: float) -> bool:
        """Whether a value is what is demanded."""
        match self.comparison:
            case "<":
                return value < self.limit
            case "<=":
                return value <= self.limit
            case ">":
                return value > self.limit
            case ">=":
                return value >= self.limit
        return value == self.limit


def parse_demand(text: str) -> Demand:
    """What a demand's text says. Raises ValueError that says what is wrong, where, and what was meant."""
    words = Words(text)
    metric, percentile = _metric(words)
    comparison = _comparison(words, exact=metric not in LATENCIES and not metric.endswith("rate"))
    limit = _limit(words, metric)
    if words.peek():
        raise words.unexpected("the end (each demand is an entry of its own)")
    _can_be(text, metric, comparison, limit)
    return Demand(text=text, metric=metric, comparison=comparison, limit=limit, percentile=percentile)


def _metric(words: Words) -> tuple[Metric, float | None]:
    found = words.peek()
    if re.fullmatch(r"p[0-9.]+", found):
        words.take()
        return "percentile", _percent(words, found[1:])
    if found.lower() in _MEDIANS:
        words.take()
        return "percentile", 50.0
    if found.lower() == "p":
        words.take()
        words.need("(")
        digits = words.peek()
        words.number("a percentile as `99` or `99.9`")
        words.need(")")
        return "percentile", _percent(words, digits)
    if found.lower() in _NAMES:
        words.take()
        metric = _NAMES[found.lower()]
        if metric == "iterations" and words.accept("/"):
            words.need("s")
            metric = "iteration_rate"
        return metric, None
    raise ValueError(_begins_none(found))


def _begins_none(found: str) -> str:
    if not found:
        return f"the demand is empty; write one as {EXAMPLES[0]!r} or {EXAMPLES[1]!r}"
    meant = _ELSEWHERE.get(found.lower())
    close = f"did you mean {meant!r}?" if meant else suggest(found, _KNOWN)
    if found.lower() == "checks":
        close += " An answer that is not what its step expects is an error"
    said = f"{found!r} begins no demand" + (f"; {close}" if close else "")
    return f"{said}{'' if said.endswith('?') else '.'} Known are {', '.join(_KNOWN)}"


def _percent(words: Words, digits: str) -> float:
    return round(words.percentile(digits) * 100, 10)


def _comparison(words: Words, *, exact: bool) -> Comparison:
    found = words.peek()
    if found not in _SIGNS:
        raise words.unexpected("`<`, `<=`, `>` or `>=`", tuple(_SIGNS))
    if _SIGNS[found] == "==" and not exact:
        raise words.unexpected("`<`, `<=`, `>` or `>=`, since nothing measured is ever exactly equal,")
    words.take()
    return _SIGNS[found]


def _limit(words: Words, metric: Metric) -> float:
    if metric in LATENCIES:
        return round(words.duration() * 1e3, 9)
    if metric == "error_rate":
        share = words.number("a share as `0.1%` or `0.001`")
        return round(share / 100, 12) if words.accept("%") else share
    number = words.number("a rate as `100/s`" if metric.endswith("rate") else "a number")
    if not metric.endswith("rate"):
        return number
    words.need("/")
    unit = words.peek().lower()
    if unit not in _PER_S:
        raise words.unexpected("s, min or h", tuple(_PER_S))
    words.take()
    return number / _PER_S[unit]


def _can_be(text: str, metric: Metric, comparison: Comparison, limit: float) -> None:
    """Refuse what no run can meet, and what every run does."""
    if metric == "error_rate" and limit > 1:
        raise ValueError(f"{text!r}: a share is at most 1, or 100%; did you mean '{limit:g}%'?")
    if comparison == "<" and limit == 0:
        raise ValueError(f"{text!r}: nothing is below 0; did you mean '<= 0'?")
    if metric == "error_rate" and ((comparison == ">" and limit == 1) or (comparison == "<=" and limit == 1)):
        raise ValueError(f"{text!r}: {'no' if comparison == '>' else 'every'} share is that")


def _text(value: str) -> str:
    parse_demand(value)
    return value


DemandText = Annotated[
    str,
    AfterValidator(_text),
    WithJsonSchema({"type": "string", "minLength": 1, "examples": list(EXAMPLES)}),
]
