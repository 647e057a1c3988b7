"""The engine: arrivals in, shots out, on time. One process a core, beside the driver that plans and measures.

Posture: nothing is lost silently. Each arrival comes back exactly once, with what became of it; a request that may have
been processed is never written again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracer_bullet.engine.process import EngineError, EngineProcess
    from tracer_bullet.engine.settings import EngineSettings

__all__ = ["EngineError", "EngineProcess", "EngineSettings"]


def __getattr__(name: str) -> Any:
    # The engine's own process imports this package too, and must not carry the driver's half (numpy) with it.
    if name == "EngineSettings":
        from tracer_bullet.engine import settings  # noqa: PLC0415

        return settings.EngineSettings
    if name in __all__:
        from tracer_bullet.engine import process  # noqa: PLC0415

        return getattr(process, name)
    raise AttributeError(name)
