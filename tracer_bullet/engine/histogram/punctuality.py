"""Whether the engine kept time: lateness of sending, and whether it grew while the run went on."""

from __future__ import annotations

from typing import Final

from tracer_bullet.engine.histogram.buckets import SLOTS, Ints, slots_of_ns
from tracer_bullet.engine.histogram.hdr import Histogram
from tracer_bullet.engine.histogram.table import BucketTable
from tracer_bullet.model.replay import Timing

_FIRST_WINDOW_NS: Final = 1 << 20  # about a millisecond
_MOST_WINDOWS: Final = 1024
_ALL, _FREE = 0, 1


class Punctuality:
    """Lateness (sent − ready) of all that was sent, and of what waited for no answer; and its drift.

    Drift needs lateness by due time. Windows begin at a millisecond, and double in length whenever a run has more than
    a thousand of them: bounded memory, and never coarser than a five-hundredth of the run.
    """

    def __init__(self) -> None:
        self._lateness = BucketTable(SLOTS)
        self._held = BucketTable(SLOTS)
        self._by_due = BucketTable(SLOTS)
        self._window_ns = _FIRST_WINDOW_NS
        self._first_ns: int | None = None
        self._last_ns = 0

    def record(self, due_ns: Ints, ready_ns: Ints, sent_ns: Ints) -> None:
        """Count shots that were sent."""
        if not due_ns.size:
            return
        slots = slots_of_ns(sent_ns - ready_ns)
        free = ready_ns <= due_ns
        self._lateness.add(_ALL, slots)
        self._lateness.add(_FREE, slots[free])
        self._held.add(0, slots_of_ns((ready_ns - due_ns)[~free]))
        if free.any():
            due_ns = due_ns[free]
            self._span(int(due_ns.min()), int(due_ns.max()))
            self._by_due.add(due_ns // self._window_ns, slots[free])

    def merge(self, other: Punctuality) -> None:
        """Add another's counts."""
        self._lateness.merge(other._lateness)
        self._held.merge(other._held)
        if other._first_ns is None:
            return
        self._span(other._first_ns, other._last_ns)
        while self._window_ns < other._window_ns:
            self._widen()
        theirs = BucketTable(SLOTS)
        theirs.merge(other._by_due)
        for _ in range((self._window_ns // other._window_ns).bit_length() - 1):
            theirs.halve()
        self._by_due.merge(theirs)

    @property
    def lateness_of_all(self) -> Histogram:
        """Of all that was sent, what was held for an answer included, from when it might go."""
        return Histogram(self._lateness.row(_ALL))

    @property
    def lateness(self) -> Histogram:
        """Of what waited for no answer."""
        return Histogram(self._lateness.row(_FREE))

    @property
    def held(self) -> Histogram:
        """How long what waited for an answer waited."""
        return Histogram(self._held.row(0))

    @property
    def drift_ms(self) -> float:
        """Median lateness of the last tenth of the schedule minus that of its first tenth."""
        if self._first_ns is None:
            return 0.0
        tenth = (self._last_ns - self._first_ns) // 10
        first, last = self._first_ns // self._window_ns, self._last_ns // self._window_ns
        if last - first < 2:
            return 0.0
        begin = self._by_due.span(first, max((self._first_ns + tenth) // self._window_ns, first + 1))
        end = self._by_due.span(min((self._last_ns - tenth) // self._window_ns + 1, last), last + 1)
        (early,), (late,) = Histogram(begin).values_us((50.0,)), Histogram(end).values_us((50.0,))
        return (late - early) / 1000

    def timing(self, bound_ms: float) -> Timing:
        """The run's own punctuality. It is invalid when p99 of what waited for no answer is above the bound."""
        lateness = self.lateness.quantiles()
        return Timing(
            lateness=lateness,
            held=self.held.quantiles(),
            drift_ms=self.drift_ms,
            bound_ms=bound_ms,
            valid=lateness.p99_ms <= bound_ms,
        )

    def _span(self, first_ns: int, last_ns: int) -> None:
        self._first_ns = first_ns if self._first_ns is None else min(self._first_ns, first_ns)
        self._last_ns = max(self._last_ns, last_ns)
        while self._last_ns // self._window_ns - self._first_ns // self._window_ns >= _MOST_WINDOWS:
            self._widen()

    def _widen(self) -> None:
        self._by_due.halve()
        self._window_ns *= 2
