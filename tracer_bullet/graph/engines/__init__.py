"""Where the SQL runs: one file an engine, one Protocol, and one contract suite that all of them pass."""

from tracer_bullet.graph.engines.base import Engine, EngineOptions, Row
from tracer_bullet.graph.engines.duck import DuckEngine
from tracer_bullet.graph.engines.opening import open_engine

__all__ = ["DuckEngine", "Engine", "EngineOptions", "Row", "open_engine"]
