"""Arming by endpoint: a request waits until its endpoint had a clean bullet, or is the one that goes alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import AsyncResult

from tracer_bullet.errors import StoppedError


class Gate:
    """Asks the conductor about endpoints that it does not know as armed. All processes share the conductor's answer."""

    def __init__(self, tell: Callable[[dict[str, Any]], None], *, armed: bool, wait_s: float) -> None:
        self._tell = tell
        self._open = not armed
        self._wait_s = wait_s
        self._armed: set[str] = set()
        self._asked: dict[int, AsyncResult] = {}
        self._last = 0
        self.stopped = ""

    def enter(self, endpoint: str) -> bool:
        """Return True when this request is the one that arms the endpoint, False when it is armed. May wait long.

        Raises StoppedError TB1053 once the run is stopped, TB1054 when no answer comes.
        """
        self.check()
        if self.knows(endpoint):
            return False
        self._last += 1
        number, answer = self._last, AsyncResult()
        self._asked[number] = answer
        try:
            self._tell({"t": "ask", "n": number, "endpoint": endpoint})
            how = answer.get(timeout=self._wait_s)
        except gevent.Timeout:
            why = f"the conductor has not answered within {self._wait_s:.0f} s"
            raise StoppedError("TB1054", f"{endpoint} was not armed in time; nothing is sent to it", why=why) from None
        finally:
            self._asked.pop(number, None)
        self.check()
        if how == "armed":
            self._armed.add(endpoint)
        return bool(how == "arm")

    def knows(self, endpoint: str) -> bool:
        """Whether requests to it need not wait."""
        return self._open or endpoint in self._armed

    def check(self) -> None:
        """Raise StoppedError TB1053 once the run is stopped."""
        if self.stopped:
            raise StoppedError("TB1053", "the run was stopped; nothing more is sent", why=self.stopped)

    def hear(self, message: dict[str, Any]) -> None:
        """An answer of the conductor: `go` or `armed`."""
        if message["t"] == "armed":
            self._armed.add(message["endpoint"])
        elif (answer := self._asked.get(message["n"])) is not None:
            answer.set(message["how"])

    def stop(self, why: str) -> None:
        """Refuse everything from now on, those that wait included."""
        self.stopped = self.stopped or why or "no reason is known"
        for answer in list(self._asked.values()):
            answer.set("stopped")
