"""The tables that all of the analysis reads, made once: span, pair, entry, call, linked, answered, nested,
edge, usage, own_time."""

from __future__ import annotations

from tracer_bullet.graph.engines import Engine
from tracer_bullet.graph.sql import edges, facts, figures
from tracer_bullet.model import System


def prepare(engine: Engine, system: System) -> None:
    """Make the tables. What each holds stands beside its query in graph/sql/."""
    engine.define("fact", facts.FACTS)
    engine.define("span", facts.SPANS)
    engine.drop("fact")
    engine.define("pair", facts.PAIRS)
    engine.define("entry", facts.ENTRIES)
    engine.define("call", edges.CALLS)
    engine.define("linked", edges.LINKS)
    engine.define("answered", edges.ANSWERED)
    engine.define("nested", edges.NESTED)
    outside = [
        (host, port)
        for host, port in engine.rows(edges.ADDRESSES)
        if system.is_third_party(host, int(port) if port.isdecimal() else None)
    ]
    engine.fill("third_party", (("host", "VARCHAR"), ("port", "VARCHAR")), outside)
    engine.define("hop", edges.HOPS)
    engine.define("edge", edges.EDGES)
    engine.define("usage", edges.USES)
    engine.drop("hop")
    engine.define("own_time", figures.OWN_TIMES)
