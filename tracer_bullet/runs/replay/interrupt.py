"""Ctrl-C as a reason to stop: the replay ends as by its kill switch, and what was sent is judged and told."""

from __future__ import annotations

import time

from tracer_bullet.model.replay import StopEvent


class Interrupt:
    """Asked for by whoever handles signals, looked at by the replay."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self._asked_s: float | None = None

    @property
    def asked(self) -> bool:
        """Whether somebody did."""
        return self._asked_s is not None

    def ask(self) -> None:
        """Stop, please."""
        self._asked_s = time.monotonic()

    def look(self) -> StopEvent | None:
        """The reason, once there is one."""
        if self._asked_s is None:
            return None
        after_s = self._asked_s - self._began_s
        return StopEvent(reason="interrupt", detail="it was interrupted", after_s=after_s)
