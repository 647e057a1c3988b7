"""When each request is due, on one absolute schedule that begins at 0: speed, rate, shape, loops and clones. Pure."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

from tracer_bullet.replay.timing.curve import Curve
from tracer_bullet.replay.timing.stamps import SECOND_NS
from tracer_bullet.workspace.replay import TimingSpec

T = TypeVar("T")


class Due(NamedTuple):
    """What is due when: `what` of the recording, as clone number `clone`."""

    due_ns: int
    clone: int
    what: object


def speed_of(timing: TimingSpec, curve: Curve) -> float:
    """How many recorded seconds pass in one of the replay; for a `rate` 1, since it goes by numbers alone."""
    if timing.shape is not None:
        return speed_to_peak(curve, timing.shape.peak / timing.clones, timing.shape.window_s)
    return timing.speed or 1.0


def speed_to_peak(curve: Curve, peak: float, window_s: float) -> float:
    """The speed at which the busiest `window_s` of the replay has `peak` requests a second.

    A window of the replay is `speed` times as long in the recording, so it is found by bisection; what cannot reach
    the peak (too few requests for one window of it) is played so that all of it falls into one window.
    """
    total = sum(curve.counts)
    whole_s = len(curve.counts) * curve.width_s
    if not total or total < peak * window_s:
        return max(whole_s / window_s, 1e-9) if total else 1.0
    low, high = 1e-6, max(whole_s / window_s, 1.0)
    for _ in range(60):
        middle = (low * high) ** 0.5
        if curve.busiest(window_s * middle) * middle < peak:
            low = middle
        else:
            high = middle
    return high


def clone_offsets(clones: int, spread_s: float) -> list[int]:
    """How long after the first one each clone of a session starts, evenly within the spread; the first at once."""
    return [round(spread_s * SECOND_NS * k / clones) for k in range(clones)]


def loop_period_ns(span_ns: int, count: int) -> int:
    """From the beginning of one round to that of the next: the recording, and the mean gap after its last request."""
    return span_ns + (span_ns // (count - 1) if count > 1 else SECOND_NS)


def amplified(source: Iterable[tuple[int, T]], offsets: list[int]) -> Iterator[tuple[int, int, T]]:
    """(due, clone, what) for each (time, what) of the source and each clone, in order of the due times.

    Both times and offsets ascend. What is kept is the part of the source that the last clone is behind the first one.
    """
    if len(offsets) == 1:
        for at, what in source:
            yield at + offsets[0], 0, what
        return
    window: deque[tuple[int, T]] = deque()
    first = 0  # the place in the source of window[0]
    waiting = list(range(len(offsets)))  # clones that have had all of the window
    heap: list[tuple[int, int, int]] = []  # due, clone, place

    def emit() -> Iterator[tuple[int, int, T]]:
        nonlocal first
        due, clone, place = heap[0]
        yield due, clone, window[place - first][1]
        if place + 1 < first + len(window):
            heapq.heapreplace(heap, (window[place + 1 - first][0] + offsets[clone], clone, place + 1))
        else:
            heapq.heappop(heap)
            waiting.append(clone)
        if clone == len(offsets) - 1:  # nobody is behind it
            window.popleft()
            first += 1

    for at, what in source:
        while heap and heap[0][0] < at:
            yield from emit()
        window.append((at, what))
        for clone in waiting:
            heapq.heappush(heap, (at + offsets[clone], clone, first + len(window) - 1))
        waiting.clear()
    while heap:
        yield from emit()


def at_rate(due: Iterable[tuple[int, int, T]], rate: float) -> Iterator[tuple[int, int, T]]:
    """The same in the same order, the kth (from 0) at k ÷ rate seconds."""
    for number, (_, clone, what) in enumerate(due):
        yield round(number * SECOND_NS / rate), clone, what


def looped(rounds: int, period_ns: int, play: Callable[[int], Iterable[tuple[int, T]]]) -> Iterator[tuple[int, T]]:
    """The source of each round, one after the other. What comes late in its round never goes before the next one's."""
    latest = 0
    for number in range(rounds):
        for at, what in play(number):
            latest = max(latest, at + number * period_ns)
            yield latest, what
