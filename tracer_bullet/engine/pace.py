"""The alarm clock: wakes the loop at an absolute time. Linux timerfd, since the loops' own timers have a grain of 1 ms.

uvloop rounds timers to whole milliseconds and may fire early (docs/engine.md has the figures). A timerfd is armed with
an absolute time of CLOCK_MONOTONIC, which is Python's `time.monotonic_ns`, so that nothing adds up.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Callable
from typing import Final, Protocol

_ABSOLUTE: Final = 1  # TFD_TIMER_ABSTIME
_SECOND: Final = 1_000_000_000


class Pacer(Protocol):
    """Calls `wake`, given when made, once after each `arm`."""

    name: str
    """What it goes by, as the report tells it."""

    def arm(self, at_ns: int) -> None:
        """Wake at this time of `time.monotonic_ns`, at once when it is past; 0: not at all. The last call counts."""

    def close(self) -> None:
        """Wake no more."""


def open_pacer(loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> Pacer:
    """The best that this machine has."""
    if not sys.platform.startswith("linux"):
        return LoopPacer(loop, wake)
    try:
        return TimerfdPacer(loop, wake)
    except (OSError, AttributeError, NotImplementedError):
        return LoopPacer(loop, wake)


def unix_offset_ns() -> int:
    """What to add to `time.monotonic_ns` to get Unix nanoseconds: the closest of several readings."""
    best = (1 << 62, 0)
    for _ in range(16):
        before = time.monotonic_ns()
        unix = time.time_ns()
        after = time.monotonic_ns()
        best = min(best, (after - before, unix - (before + after) // 2))
    return best[1]


class _Timespec(ctypes.Structure):
    _fields_ = (("sec", ctypes.c_long), ("nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class TimerfdPacer:
    """By timerfd_create(2). Setting it again clears what it has told, so that it need not be read."""

    name = "timerfd"

    def __init__(self, loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
        self._loop = loop
        self._fd, self._set = _by_os() if sys.version_info >= (3, 13) else _by_ctypes()
        self._wake = wake
        self._armed = False
        loop.add_reader(self._fd, self._fired)

    def arm(self, at_ns: int) -> None:
        """As in Pacer."""
        self._armed = True
        self._set(at_ns)

    def close(self) -> None:
        """As in Pacer."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _fired(self) -> None:
        self._armed = False
        try:
            self._wake()
        finally:
            if not self._armed:
                self._set(0)


def _by_os() -> tuple[int, Callable[[int], object]]:
    if sys.version_info >= (3, 13):
        fd = os.timerfd_create(time.CLOCK_MONOTONIC, flags=os.TFD_NONBLOCK | os.TFD_CLOEXEC)
        return fd, lambda at_ns: os.timerfd_settime_ns(fd, flags=os.TFD_TIMER_ABSTIME, initial=at_ns)
    raise NotImplementedError


def _by_ctypes() -> tuple[int, Callable[[int], object]]:
    # PyDLL keeps the GIL: the calls take less time than handing it over.
    library = ctypes.PyDLL(None, use_errno=True)
    fd = library.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")
    spec = _Itimerspec()
    value, settime = spec.value, library.timerfd_settime
    settime.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    where = ctypes.addressof(spec)

    def arm(at_ns: int) -> None:
        value.sec, value.nsec = divmod(at_ns, _SECOND)  # `value` keeps what `where` points to alive
        settime(fd, _ABSOLUTE, where, None)

    return fd, arm


class LoopPacer:
    """By the loop's own timer: up to 1 ms late, and never early. Where there is no timerfd."""

    name = "loop timer (about 1 ms)"

    def __init__(self, loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
        self._loop = loop
        self._wake = wake
        self._timer: asyncio.TimerHandle | None = None
        self._at_ns = 0

    def arm(self, at_ns: int) -> None:
        """As in Pacer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._at_ns = at_ns
        if at_ns:
            self._timer = self._loop.call_later(max(0, at_ns - time.monotonic_ns()) / _SECOND, self._fired)

    def close(self) -> None:
        """As in Pacer."""
        self.arm(0)

    def _fired(self) -> None:
        self._timer = None
        if time.monotonic_ns() < self._at_ns:
            self.arm(self._at_ns)  # uvloop may be 1 ms early
        else:
            self._at_ns = 0
            self._wake()
