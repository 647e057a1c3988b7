"""The members of a fleet: who joined, who sends what, who is lost, and what is said to each. No I/O; time is given.

A member that falls silent is lost for good: it is told so, in case that it hears, and its share goes to the others from
a moment on by which it has stopped by itself. So no iteration is ever sent by two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

from tracer_bullet import __version__
from tracer_bullet.load.locust import frames
from tracer_bullet.model.load import SenderChange, SenderEvent, SenderJob, SenderNote, SenderShots
from tracer_bullet.runs.load.fleet.clocks import RoundTrip
from tracer_bullet.runs.load.fleet.duties import Duties, shards_for
from tracer_bullet.runs.load.fleet.losses import count_losses
from tracer_bullet.runs.load.fleet.member import Member
from tracer_bullet.runs.load.fleet.packing import moved, read_events

_NS: Final = 1_000_000_000
# From a loss being noticed, 4 to 6 s after the last sign of life, to the first iteration of whoever takes over. By
# then the lost one has stopped: 3 s after it last heard the master, and its engine holds a second's worth. Those who
# take over have planned a second ahead (load.share).
MARGIN_NS: Final = 3 * _NS
# In beats of half a second.
_SILENT: Final = 12
_STOPPING: Final = 20
_ALONE: Final = 30
_LINGER: Final = 60
# Of a job with many rows: no word of the master may keep its next one from coming in time.
_PIECE: Final = 1 << 20
# Half a round trip beyond which a host's clock is not known well enough to share a schedule with.
_CLOCK_NS: Final = 250_000_000


class Master(Protocol):
    """How members are spoken to."""

    def tell(self, client: str | None, kind: str, data: Mapping[str, Any]) -> None:
        """A custom message to one worker, or to all."""
        ...

    def send(self, *members: Any) -> None:
        """A word to the master itself."""
        ...


class Roll:
    """`emit` is given each event, and None when the job is over. `waits`: whether somebody may still come when nobody
    sends any more. `now_ns`: Unix time."""

    def __init__(
        self, master: Master, emit: Callable[[SenderEvent | None], None], now_ns: Callable[[], int], *, waits: bool
    ) -> None:
        self._master = master
        self._emit = emit
        self._now_ns = now_ns
        self._waits = waits
        self._clients: dict[str, Member] = {}
        self.members: list[Member] = []
        self._job: SenderJob | None = None
        self._packed = b""
        self._span_ns = self._epoch = 0
        self._linger = _LINGER
        self._duties = Duties(1)
        self._alone = self._lingering = self._stopping = 0
        self._stopped_ns: int | None = None
        self.stopping = self._closing = False
        self.refused: list[str] = []

    @property
    def here(self) -> list[Member]:
        """Those that can be given work."""
        return [member for member in self.members if member.here]

    # A job

    def begin(self, job: SenderJob, packed: bytes, *, span_ns: int, linger_s: float) -> None:
        """Give a job, and the same packed, to all that are here. `span_ns`: how long its schedule is; `linger_s`: how
        long its last requests may take."""
        members = self.here
        self._job = replace(job, shards=shards_for(len(members)))
        self._packed = packed
        self._span_ns, self._linger = span_ns, _LINGER + int(linger_s * 2)
        self._epoch += 1
        self._duties = Duties(self._job.shards)
        self._duties.begin(member.number for member in members)
        self._alone = self._lingering = self._stopping = 0
        self._stopped_ns = None
        self.members = [m for m in self.members if m.state != "lost"]  # who was lost before is told of there
        for member in members:
            self._enlist(member, 0)
            self._change(member, "joined", f"{member.name}; {member.clock_text}")
        if self.stopping:
            self.stop()

    def bye(self) -> None:
        """The fleet is over: whoever leaves now is not lost."""
        self._closing = True
        self._master.tell(None, frames.BYE, {})

    def stop(self) -> None:
        """End the job; whoever does not within seconds is lost."""
        self._note_stop()
        for member in self.members:
            if member.state == "sending":
                self._master.tell(member.client, frames.HALT, {"epoch": self._epoch})

    def end(self, why: str) -> None:
        """The master is gone: so is everybody, to us."""
        for member in [m for m in self.members if m.state != "lost"]:
            self.lose(member, why, spread=False)
        self._note_stop()
        self._settle()

    def _note_stop(self) -> None:
        self.stopping = True
        if self._job is not None and self._stopped_ns is None:
            self._stopped_ns = self._now_ns() - self._job.start_ns

    def beat(self) -> None:
        """Half a second is over."""
        if self._job is None:
            return
        sending = [member for member in self.members if member.state == "sending"]
        self._stopping += self.stopping
        past = self._now_ns() > self._job.start_ns + self._span_ns
        self._lingering = self._lingering + 1 if past else 0
        self._alone = 0 if sending else self._alone + 1
        for member in sending:
            member.silent += 1
            if self._stopping > _STOPPING:
                self.lose(member, "it did not stop within 10 s")
            elif member.silent > _SILENT:
                self.lose(member, "it told nothing for 6 s")
        if self._lingering > self._linger and not self.stopping:
            self.stop()  # what has not come back by now does not
        self._settle()

    def _settle(self) -> None:
        """Whether the job is over: nobody sends, and nobody who may come would have anything to do."""
        if self._job is None or any(member.state == "sending" for member in self.members):
            return
        past = self._now_ns() > self._job.start_ns + self._span_ns
        if self._duties.orphaned and self._waits and not self.stopping and not past and self._alone <= _ALONE:
            return
        if not past and self._stopped_ns is None and self._duties.orphaned:
            self._stopped_ns = self._now_ns() - self._job.start_ns  # what would have come later is nobody's loss
        job, self._job = self._job, None
        self._duties.end()
        count_losses(job, self._duties, self.members, stopped_ns=self._stopped_ns)
        for member in self.members:
            if member.state == "ended":
                member.state = "idle"
        self._emit(None)

    # Members

    def joined(self, client: str) -> None:
        """Locust has a worker that is ready. One that was lost is told so again: it has nothing to send."""
        known = self._clients.get(client)
        if known is None:
            member = self._clients[client] = Member(len(self._clients), client)
            self.members.append(member)
            self._ping(member)
        elif known.state == "lost":
            self._drop(known)

    def left(self, client: str) -> None:
        """Locust has it no more."""
        member = self._clients.get(client)
        if member is not None and self._closing:
            member.state = "left"
        elif member is not None:
            self.lose(member, "it left")

    def missing(self, client: str) -> None:
        """Locust has had no heartbeat of it for 4 to 5 s."""
        if (member := self._clients.get(client)) is not None:
            self.lose(member, "no heartbeat for 4 s")

    def died(self, name: str, how: str) -> None:
        """The process of a worker on this machine has ended."""
        for member in self.members:
            if member.name == name and not self._closing:
                self.lose(member, f"its process ended: {how}")

    def lose(self, member: Member, why: str, *, spread: bool = True) -> None:
        """It is lost, for good; its share goes to others."""
        if member.state == "lost":
            return
        was, member.state, member.lost = member.state, "lost", why
        self._drop(member)
        if was == "new":
            self.refused.append(f"{member.name or member.client}: {why}")
        if self._job is None or was not in ("sending", "ended"):
            return
        self._change(member, "lost", why)
        if was != "sending":
            return  # it has sent all that it had
        if not self.stopping and spread:
            self._spread(member)
        else:
            self._duties.retire(member.number)
        self._settle()

    def message(self, client: str, kind: str, data: Any) -> None:
        """What a worker says; nonsense loses it."""
        member = self._clients.get(client)
        if member is None or not isinstance(data, dict):
            return
        try:
            if kind == frames.PONG:
                self._pong(member, data)
            elif self._job is not None and data["epoch"] == self._epoch:
                self._report(member, kind, data)
        except (ValueError, KeyError, TypeError) as error:
            self.lose(member, f"it said what nobody understands: {error!r}")

    def _pong(self, member: Member, data: Mapping[str, Any]) -> None:
        now = self._now_ns()
        known = member.heard_ping(RoundTrip(int(data["at_ns"]), int(data["here_ns"]), now))
        member.name = str(data["name"])
        if member.state != "new":
            return
        if data["version"] != __version__:
            self.lose(member, f"it is tracer-bullet {data['version']}, and this is {__version__}")
        elif not known:
            self._ping(member)
        elif member.clock.within_ns > _CLOCK_NS:
            self.lose(member, f"its clock cannot be told: {member.clock_text}")
        else:
            member.state = "idle"
            self._come_late(member)

    def _come_late(self, member: Member) -> None:
        """Somebody came while a job is under way: it takes what nobody has, or stands by."""
        if self._job is None or self.stopping:
            return
        from_ns = self._from_ns(self._job)
        got = self._duties.join(member.number, from_ns)
        self._enlist(member, from_ns)
        self._change(member, "joined", f"{member.name}; {member.clock_text}; {'late' if got else 'as a spare'}")
        if got:
            self._change(member, "took", f"{len(got)} of {self._job.shards} parts that nobody had")

    def _enlist(self, member: Member, from_ns: int) -> None:
        job = self._job
        assert job is not None  # noqa: S101  (both callers have looked)
        member.begin()
        mine = {"residues": sorted(self._duties.owned[member.number]), "from_ns": from_ns}
        start_ns = job.start_ns + member.clock.ns
        order = {
            "epoch": self._epoch,
            "sender": member.number,
            "shards": job.shards,
            "job": self._packed,
            "start_ns": start_ns,
            **mine,
        }
        for at in range(0, len(self._packed), _PIECE):
            self._master.tell(member.client, frames.PIECE, {"piece": self._packed[at : at + _PIECE]})
        self._master.tell(member.client, frames.JOB, order)

    def _spread(self, member: Member) -> None:
        job = self._job
        assert job is not None  # noqa: S101
        from_ns = self._from_ns(job)
        had = len(self._duties.owned.get(member.number, ()))
        grown = self._duties.leave(member.number, from_ns)
        for other in self.members:
            if (residues := grown.get(other.number)) is not None:
                share = {"epoch": self._epoch, "residues": sorted(residues), "from_ns": from_ns}
                self._master.tell(other.client, frames.SHARE, share)
                after = f"from {from_ns / _NS:.1f} s after the start on"
                self._change(other, "took", f"some of {had} parts of {member.name or member.client}, {after}")

    def _from_ns(self, job: SenderJob) -> int:
        return max(0, self._now_ns() + MARGIN_NS - job.start_ns)

    # What they tell

    def _report(self, member: Member, kind: str, data: Mapping[str, Any]) -> None:
        member.silent = 0
        match kind:
            case frames.READY:
                member.ready = True
            case frames.TOOK:
                member.gaps += self._duties.not_taken(member.number, int(data["from_ns"]), int(data["since_ns"]))
            case frames.EVENTS:
                for event in read_events(data["events"], member.number):
                    self._heard(member, event)
            case frames.ENDED:
                member.said = int(data["rows"])
                why = str(data["why"])
                if why:
                    self.lose(member, why)
                elif member.state == "sending":
                    self._ended(member)

    def _heard(self, member: Member, event: SenderEvent) -> None:
        if isinstance(event, SenderShots):
            self._lingering = 0
            batch = moved(event.batch, sender=member.number, offset_ns=member.clock.ns)
            member.count(batch)
            event = replace(event, batch=batch)
        elif isinstance(event, SenderNote):
            member.note = event
        self._emit(event)

    def _ended(self, member: Member) -> None:
        member.state = "ended"
        self._duties.retire(member.number)
        self._change(member, "finished", "")
        self._settle()

    def _ping(self, member: Member) -> None:
        self._master.tell(member.client, frames.PING, {"at_ns": self._now_ns()})

    def _drop(self, member: Member) -> None:
        self._master.tell(member.client, frames.DROP, {"why": member.lost})
        self._master.send(frames.FORGET, member.client)

    def _change(self, member: Member, what: str, detail: str) -> None:
        self._emit(SenderChange(sender=member.number, what=what, detail=detail))
