"""The places where Locust and its HTTP clients are changed. Each is as low, or as narrow, as it can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracer_bullet.load.locustfile.plugin import Plugin


def patch_all(plugin: Plugin) -> None:
    """Patch sessions, tasks, the two HTTP clients, and sockets. There is no way back: the process is Locust's."""
    from tracer_bullet.load.locustfile.patches import fast, sessions, sockets, standard, tasks  # noqa: PLC0415

    for place in (sessions, tasks, standard, fast, sockets):
        place.patch(plugin)
