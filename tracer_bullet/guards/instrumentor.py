"""Entry point of `opentelemetry-instrument`: guards from environment variables alone.

Posture: it must never keep a service from starting. When the guards cannot be armed, the
inbound guard is there all the same and refuses every bullet.
"""

from __future__ import annotations

import logging
from typing import Any

from tracer_bullet.errors import TracerBulletError
from tracer_bullet.guards import frameworks
from tracer_bullet.guards.registry import Armed, arm

_log = logging.getLogger(__name__)


class TracerBulletInstrumentor:
    """Has the methods that OpenTelemetry's loader calls; it needs no instrumentation package."""

    def __init__(self) -> None:
        self._armed: Armed | None = None

    def instrument(self, **_settings: Any) -> None:
        """Guard the frameworks, then arm from the environment."""
        frameworks.install()
        try:
            self._armed = arm()
        except TracerBulletError as error:
            _log.error("this service refuses tracer bullets: %s", error)
        except Exception:  # noqa: BLE001  # raising would end the other instrumentations too
            _log.exception("this service refuses tracer bullets")

    def uninstrument(self, **_settings: Any) -> None:
        """Take it all off again."""
        frameworks.uninstall()
        if self._armed is not None:
            self._armed.disarm()
