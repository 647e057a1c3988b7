"""Sends each shot when it is due, or as soon after as its session lets it; takes back what became of it.

The usual shot (no slots, nothing to take, nothing to wait for) is handed to its client straight from the queue. Times
are absolute: being late with one request delays no other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from operator import attrgetter
from typing import Final

from tracer_bullet.engine import client as codes
from tracer_bullet.engine.client import Client, Shot, now_ns
from tracer_bullet.engine.pace import Pacer
from tracer_bullet.engine.schedule.carriers import Carriers
from tracer_bullet.engine.schedule.ends import Ends
from tracer_bullet.engine.schedule.sessions import Plot, Session
from tracer_bullet.engine.schedule.slots import SlotError, fill
from tracer_bullet.engine.schedule.takes import pause_s, says_disabled
from tracer_bullet.engine.settings import EngineSettings

# Sent in one wake-up; then the loop reads once, lest answers be stamped late.
_BURST: Final = 64
# Shots that come due within so short a time are waited for: arming the timer takes as long.
_NEAR_NS: Final = 5_000
_LONG_AGO: Final = -(1 << 62)

# For who asks for a pause and does not say how long.
_UNSAID_PAUSE_S: Final = 1.0


class Scheduler:
    """`known` are the shots that are not over, by number. `finish` is called once for each, when it is over; whoever
    gets them there tells `ends` of all, before it is asked by `plan`.

    `unix_ns` is what to add to the clock to get Unix time. `expected`: by endpoint, the statuses that its answers may
    have; `secure`: the numbers of origins behind TLS. Both may grow.
    """

    def __init__(
        self, settings: EngineSettings, clients: dict[int, Client], finish: Callable[[Shot], None], unix_ns: int
    ) -> None:
        self._clients = clients
        self._finish = finish
        self._unix_ns = unix_ns
        self._carriers = Carriers(settings)
        self._by_session = settings.trace == "session"
        self._back_off_s = settings.back_off_s
        self._near_ns = _NEAR_NS + settings.spin_ns
        self._spin_ns = settings.spin_ns
        self._stale_ns = int(settings.stale_s * 1e9) or -_LONG_AGO
        self._queue: deque[Shot] = deque()
        # Those whose due time came of another one's end: (due, number, shot), a heap, since they come in no order.
        self._timed: list[tuple[int, int, Shot]] = []
        self.ends = Ends()
        self.expected: dict[int, frozenset[int]] = {}
        self.secure: set[int] = set()
        self.known: dict[int, Shot] = {}
        self._sessions: dict[int, Session] = {}
        self._paused: dict[int, deque[Shot]] = {}
        self._resumes: dict[int, asyncio.TimerHandle] = {}
        self._until: dict[int, int] = {}
        self._pacer: Pacer | None = None
        self.backed_off = self.starved = self.sent = 0
        self.disabled = self._stopped = False

    def run_by(self, pacer: Pacer) -> None:
        """The pacer that wakes this scheduler."""
        self._pacer = pacer

    @property
    def next_ns(self) -> int:
        """When the next shot is due; 0: none is known."""
        if self._timed and not (self._queue and self._queue[0].due_ns < self._timed[0][0]):
            return self._timed[0][0]
        return self._queue[0].due_ns if self._queue else 0

    # Arrivals

    def session(self, number: int, *, last: bool) -> Session:
        """The session of this number; after its last arrival it is known only to its shots."""
        found = self._sessions.get(number)
        if found is None:
            found = Session(self._carriers.new_trace())
            if not last:
                self._sessions[number] = found
        elif last:
            del self._sessions[number]
        return found

    def trace_of(self, session: Session) -> bytes:
        """The trace id for a shot of this session."""
        return session.trace if self._by_session else self._carriers.new_trace()

    def trace_for(self, number: int, *, last: bool) -> bytes:
        """The same for a shot that needs nothing else of its session."""
        if self._by_session:
            return self.session(number, last=last).trace
        if last:
            self._sessions.pop(number, None)
        return self._carriers.new_trace()

    def add(self, shots: list[Shot]) -> None:
        """Take shots in, which are among `known` already, and have their trace. They go at their `due_ns`."""
        if not shots:
            return
        stamp = self._carriers.stamp
        for shot in shots:
            stamp(shot, shot.trace)
        now, queue = now_ns(), self._queue
        shots.sort(key=attrgetter("due_ns"))
        if shots[0].due_ns < now:
            self.starved += sum(shot.due_ns < now for shot in shots)
        if queue and queue[-1].due_ns > shots[0].due_ns:
            shots = sorted([*queue, *shots], key=attrgetter("due_ns"))
            queue.clear()
        was = queue[0].due_ns if queue else 0
        queue.extend(shots)
        if queue[0].due_ns != was:
            self._arm()

    def plan(self, shot: Shot, plot: Plot, after: int) -> bool:
        """Tie a shot to what it depends on; whether it is to be added. Called in the order of arrivals, when it is
        among `known`, and has its trace."""
        earlier = self.known.get(after)
        if earlier is not None:
            plot.after = earlier
            if earlier.plot is None:
                earlier.plot = Plot(session=plot.session)
        for wanted in plot.takes:
            plot.session.minters.setdefault(wanted.variable, []).append(shot)
        shot.wants = codes.ALL if plot.keep or plot.takes else codes.COOKIES if plot.cookies else codes.NOTHING
        shot.plot = plot
        if after < 0 or self._stopped or (plot.pause_ns < 0 and not plot.needs):
            return True
        if earlier is not None:
            if plot.pause_ns < 0:
                return True
            self._carriers.stamp(shot, shot.trace)
            _wait(shot, earlier)
            return False
        ended, well = self.ends.of(after)
        plot.failed = not well
        if plot.pause_ns < 0:
            return True
        self._carriers.stamp(shot, shot.trace)
        now = now_ns()
        self.starved += bool(ended) and ended + plot.pause_ns < now and not (plot.needs and plot.failed)
        self._time(shot, plot, ended or now)
        return False

    def _time(self, shot: Shot, plot: Plot, ended_ns: int) -> None:
        """What this shot waited for ended then, so that its due time is known."""
        plot.after = None
        if plot.needs and plot.failed:
            shot.due_ns = shot.ready_ns = ended_ns
            self._refuse(shot, codes.SKIPPED)
            return
        due = shot.due_ns = shot.ready_ns = ended_ns + plot.pause_ns
        if due <= now_ns():
            self._begin(shot)
            return
        heappush(self._timed, (due, shot.number, shot))
        if self._timed[0][1] == shot.number:
            self._arm()

    # Sending

    def wake(self) -> None:
        """Send what is due."""
        if self._timed:
            self._wake_timed()
        queue = self._queue
        clients = self._clients
        left = _BURST
        now = now_ns()
        stale = now - self._stale_ns
        while queue:
            shot = queue[0]
            if shot.due_ns > now:
                now = now_ns()
                if shot.due_ns > now + self._near_ns:
                    break
                while now < shot.due_ns:
                    now = now_ns()
            queue.popleft()
            if shot.due_ns < stale:
                self._refuse(shot, codes.STALE)
            elif shot.plot is None and not self._paused:
                self.sent += 1
                clients[shot.origin].send(shot)
            else:
                self._begin(shot)
            left -= 1
            if not left:
                break
        self._arm()

    def _wake_timed(self) -> None:
        timed, now = self._timed, now_ns()
        for _ in range(_BURST):
            if not timed or timed[0][0] > now + self._near_ns:
                break
            due, _, shot = heappop(timed)
            while now < due:
                now = now_ns()
            self._begin(shot)

    def _arm(self) -> None:
        if self._pacer is not None:
            due = self.next_ns if self._timed else self._queue[0].due_ns if self._queue else 0
            self._pacer.arm(max(1, due - self._spin_ns) if due else 0)

    def _begin(self, shot: Shot) -> None:
        """Send a shot that is due, unless something still keeps it."""
        plot = shot.plot
        if isinstance(plot, Plot):
            if plot.after is not None and plot.after.number in self.known:
                _wait(shot, plot.after)
                return
            if plot.after is not None:  # before its end this one could not have gone, however late we look
                shot.ready_ns = max(shot.ready_ns, plot.after.ended_ns)
                plot.failed = bool(plot.after.error)
                plot.after = None
            if plot.needs and plot.failed:
                self._refuse(shot, codes.SKIPPED)
                return
            if plot.slots and not self._filled(shot, plot):
                return
        held = self._paused.get(shot.origin)
        if held is not None:
            self.backed_off += 1
            held.append(shot)
        else:
            self._send(shot)

    def _send(self, shot: Shot) -> None:
        plot = shot.plot
        if isinstance(plot, Plot) and plot.cookies and (jar := plot.session.jars.get(shot.origin)) is not None:
            shot.head = jar.add_to(shot.head, (now_ns() + self._unix_ns) / 1e9)
        self.sent += 1
        self._clients[shot.origin].send(shot)

    def _filled(self, shot: Shot, plot: Plot) -> bool:
        session = plot.session
        for slot in plot.slots:
            if session.has(slot):
                continue
            for minter in session.minters.get(slot.variable, ()):
                if minter.number < shot.number:
                    _wait(shot, minter)
                    return False
            self._refuse(shot)
            return False
        shot.ready_ns = max(shot.ready_ns, *(session.minted_ns[slot.variable] for slot in plot.slots))
        try:
            shot.head, shot.body = fill(shot.head, shot.body, plot.slots, session.values, session.wholes)
        except SlotError:
            self._refuse(shot)
            return False
        return True

    def _refuse(self, shot: Shot, error: int = codes.SLOT) -> None:
        """It is not sent."""
        shot.error = error
        shot.ended_ns = now_ns()
        # Not from within: what depends on it may be a long chain.
        asyncio.get_running_loop().call_soon(self.done, shot)

    # Ends

    def done(self, shot: Shot) -> None:
        """A shot is over. Clients call this."""
        if self.known.pop(shot.number, None) is None:
            return  # it was dropped meanwhile
        if shot.answer is not None and shot.status in codes.BACK_OFF:
            self._look(shot)
        if self.expected and not shot.error and shot.status not in self.expected.get(shot.endpoint, (shot.status,)):
            shot.error = codes.UNEXPECTED
        plot = shot.plot
        if plot is not None:
            assert isinstance(plot, Plot)  # noqa: S101  (`plan` made it)
            self._release(shot, plot)
        self._finish(shot)

    def _release(self, shot: Shot, plot: Plot) -> None:
        if plot.takes:
            whole = plot.session.mint(shot, plot.takes)
            # Where answers are judged at all, one that lacks what is taken from it is not what its step expects.
            if not whole and not shot.error and shot.endpoint in self.expected:
                shot.error = codes.UNEXPECTED
        if plot.cookies:
            plot.session.keep_cookies(shot, self._unix_ns, https=shot.origin in self.secure)
        if not plot.then:
            return
        now, waiting = now_ns(), plot.then
        plot.then = []
        for later in waiting:
            its = later.plot
            if later.number not in self.known or not isinstance(its, Plot):
                continue
            if its.after is shot and its.pause_ns >= 0:
                its.failed = bool(shot.error)
                self._time(later, its, shot.ended_ns)
            else:
                later.ready_ns = max(later.ready_ns, now)
                self._begin(later)

    # Pauses

    def _look(self, shot: Shot) -> None:
        answer = shot.answer
        if answer is None:
            return
        if says_disabled(answer):
            self.disabled = True
        now = now_ns()
        asked = pause_s(answer, (now + self._unix_ns) / 1e9)
        if asked is None and answer.status in codes.BACK_OFF:
            asked = _UNSAID_PAUSE_S
        pause = min(asked or 0.0, self._back_off_s)
        until = now + int(pause * 1e9)
        if pause <= 0 or until <= self._until.get(shot.origin, 0):
            return
        self._until[shot.origin] = until
        self._paused.setdefault(shot.origin, deque())
        timer = self._resumes.pop(shot.origin, None)
        if timer is not None:
            timer.cancel()
        loop = asyncio.get_running_loop()
        self._resumes[shot.origin] = loop.call_later(pause, self._resume, shot.origin)

    def _resume(self, origin: int) -> None:
        """The pause is over: what waited goes, in bursts between which the loop reads."""
        self._resumes.pop(origin, None)
        held, now = self._paused.get(origin), now_ns()
        for _ in range(min(len(held or ()), _BURST)):
            shot = held.popleft()  # type: ignore[union-attr]
            plot = shot.plot
            if shot.due_ns < now - self._stale_ns and not (isinstance(plot, Plot) and plot.pause_ns >= 0):
                self._refuse(shot, codes.STALE)
                continue
            shot.ready_ns = now
            self._send(shot)
        if held:
            asyncio.get_running_loop().call_soon(self._resume, origin)
        else:
            self._paused.pop(origin, None)

    # The end

    def stop(self) -> None:
        """Send nothing more. What was not handed to a client is over, as `stopped`."""
        self._stopped = True
        kept_back = [*self._queue, *(shot for _, _, shot in self._timed)]
        for held in self._paused.values():
            kept_back += held
        for shot in self.known.values():
            if isinstance(shot.plot, Plot):
                kept_back += shot.plot.then
                shot.plot.then = []
        self._queue.clear()
        self._timed.clear()
        self._paused.clear()
        for timer in self._resumes.values():
            timer.cancel()
        self._resumes.clear()
        self._arm()
        self._end(kept_back)

    def abandon(self, shots: Iterable[Shot]) -> None:
        """These were dropped by their clients: they are over, as `stopped`."""
        self._end(shots)

    def forget(self) -> None:
        """Before another run: sessions, ends and counts."""
        self._sessions.clear()
        self.ends.forget()
        self._stopped = False
        self._until.clear()
        self.backed_off = self.starved = self.sent = 0

    def _end(self, shots: Iterable[Shot]) -> None:
        now = now_ns()
        for shot in shots:
            if self.known.pop(shot.number, None) is not None:
                shot.error, shot.ended_ns = codes.STOPPED, now
                self._finish(shot)


def _wait(shot: Shot, earlier: Shot) -> None:
    plot = earlier.plot
    assert isinstance(plot, Plot)  # noqa: S101  (`plan` made it)
    plot.then.append(shot)
