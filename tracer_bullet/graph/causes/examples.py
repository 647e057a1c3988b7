"""Traces worth looking at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tracer_bullet.graph.engines import Engine
from tracer_bullet.graph.sql import slow
from tracer_bullet.model import Cause, ExampleTrace, Symptom

MOST_EXAMPLES: Final = 12
_MOST_CAUSES: Final = 6
_WRAP: Final = 1 << 64


def choose_examples(engine: Engine, causes: Sequence[Cause]) -> tuple[ExampleTrace, ...]:
    """Up to 12 traces, each once: the slowest, one a cause (six at most), then a typical one of each root operation.

    Reads what `find_causes` left in the engine.
    """
    chosen: dict[str, str] = {}
    for hi, lo, service, name, duration in engine.rows(slow.SLOWEST):
        chosen[_id(hi, lo)] = f"slowest: {service} {name}, {_ms(duration)}"
    for cause in causes[:_MOST_CAUSES]:
        for trace_id in cause.example_trace_ids[:1]:
            chosen.setdefault(trace_id, _why(cause))
    for hi, lo, service, name, duration in engine.rows(slow.TYPICAL.format(most=MOST_EXAMPLES)):
        chosen.setdefault(_id(hi, lo), f"typical: {service} {name}, {_ms(duration)}")
    return tuple(ExampleTrace(trace_id=trace_id, why=why) for trace_id, why in list(chosen.items())[:MOST_EXAMPLES])


def _why(cause: Cause) -> str:
    word = {Symptom.ERROR: "failed", Symptom.SLOW: "slow", Symptom.SWALLOWED: "swallowed error"}[cause.symptom]
    place = " ".join(part for part in (cause.service, cause.operation) if part)
    return f"{word}: {place}" + (f", {cause.error}" if cause.error else "")


def _ms(duration_ns: int) -> str:
    ms = duration_ns / 1e6
    if ms < 999.5:
        return f"{ms:.3g} ms"
    return f"{ms / 1e3:.3g} s" if ms < 999.5e3 else f"{ms / 1e3:,.0f} s"


def _id(hi: int, lo: int) -> str:
    return f"{hi % _WRAP:016x}{lo % _WRAP:016x}"
