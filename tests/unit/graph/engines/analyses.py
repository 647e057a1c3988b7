"""What is analysed, by name: each takes an engine over any spans and reads all that it finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracer_bullet.graph.analyse import analyse, read_traces
from tracer_bullet.graph.assemble import assemble
from tracer_bullet.graph.engines import Engine
from tracer_bullet.graph.prepare import prepare
from tracer_bullet.graph.profiles import build_profile
from tracer_bullet.graph.skew import measure_skew
from tracer_bullet.graph.slo.derive import derive_objectives
from tracer_bullet.graph.slo.judge import judge_objectives
from tracer_bullet.model import System
from tracer_bullet.model.slo import Indicator, Objective

SYSTEM = System(third_parties=("*.pay.example", "mail.example:25"))


def _graph(engine: Engine) -> Any:
    prepare(engine, SYSTEM)
    return assemble(engine)


def _all(engine: Engine) -> Any:
    for step in analyse(engine, SYSTEM):
        assert step
    ids = engine.rows("SELECT trace_hi, trace_lo FROM span GROUP BY trace_hi, trace_lo ORDER BY trace_hi, trace_lo")
    read_traces(engine, [f"{high % 2**64:016x}{low % 2**64:016x}" for high, low in ids[:3]])


def _profiles(engine: Engine) -> Any:
    prepare(engine, SYSTEM)
    return [build_profile(engine, name) for name in ("jaeger", "tempo", "zipkin")]


def _objectives(engine: Engine) -> Any:
    prepare(engine, SYSTEM)
    measure_skew(engine)
    service, operation = engine.rows(
        "SELECT min(service), min(name) FROM span WHERE kind = 2 AND service IN ('web', 'service-0')"
    )[0]
    fast = Objective(
        name="fast", service=service, indicator=Indicator.LATENCY, operation=operation, target=0.9, threshold_ms=95.0
    )
    up = Objective(name="up", service=service, indicator=Indicator.AVAILABILITY, target=0.99)
    return judge_objectives(engine, (fast, up)), derive_objectives(engine, fast)


ANALYSES: dict[str, Callable[[Engine], Any]] = {
    "graph": _graph,
    "all": _all,
    "profiles": _profiles,
    "objectives": _objectives,
}
