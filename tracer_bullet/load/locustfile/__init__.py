"""Locustfiles of other people, every request a bullet: what runs inside Locust's own processes.

`python -m tracer_bullet.load.locustfile` is Locust's command line with the plug-in; `from tracer_bullet.load.locustfile
import TracerUser` brings it into a plain `locust`. It talks to a conductor (`runs/load/locustfile`) that proves and
judges. Only the modules below import Locust and gevent, and only when asked for: importing Locust patches the standard
library. Posture: safety fails closed. What cannot carry the flag is not sent, but for what `--allow-host` names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracer_bullet.errors import UsageError

if TYPE_CHECKING:
    from tracer_bullet.load.locustfile.clients import bullet
    from tracer_bullet.load.locustfile.grpc import BulletInterceptor
    from tracer_bullet.load.locustfile.users import TracerFastHttpUser, TracerUser

__all__ = ["BulletInterceptor", "TracerFastHttpUser", "TracerUser", "bullet"]

_PLACES = {"TracerUser": "users", "TracerFastHttpUser": "users", "bullet": "clients", "BulletInterceptor": "grpc"}


def check_locust(why: str = "locustfiles run in a real Locust") -> None:
    """Raise UsageError TB1050 when Locust is not installed. Does not import it. `why`: what it is needed for."""
    from importlib.util import find_spec  # noqa: PLC0415

    if find_spec("locust") is None:
        raise UsageError(
            "TB1050",
            "Locust is not installed",
            why=why,
            cure='pip install "tracer-bullet[load]"',
        )


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    check_locust()
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
