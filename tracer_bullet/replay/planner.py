"""From a recording to arrivals: the second reading, in the order in which they are due."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from random import Random
from typing import Final, NamedTuple

from tracer_bullet.errors import UsageError
from tracer_bullet.model.arrival import Arrival, Endpoint, Origin, Take
from tracer_bullet.model.exchange import Exchange
from tracer_bullet.replay.correlation.apply import Correlator, Values
from tracer_bullet.replay.destinations import Destinations
from tracer_bullet.replay.found import Survey
from tracer_bullet.replay.reading.hashing import shard_of
from tracer_bullet.replay.reading.items import Item, Reading, Tally
from tracer_bullet.replay.reading.refusals import HOST_NOT_ALLOWED, MALFORMED
from tracer_bullet.replay.reading.select import SHARD, session_key
from tracer_bullet.replay.requests.draft import Draft
from tracer_bullet.replay.requests.identities import Identities
from tracer_bullet.replay.requests.leaves import Mark
from tracer_bullet.replay.requests.places import header_text
from tracer_bullet.replay.requests.render import render
from tracer_bullet.replay.requests.rewrite import Rewriter
from tracer_bullet.replay.timing.order import Order, ended_of
from tracer_bullet.replay.timing.schedule import amplified, at_rate, clone_offsets, loop_period_ns, looped, speed_of
from tracer_bullet.workspace.replay import Replay
from tracer_bullet.workspace.template import fill

# Arming bullets and repeated pairs are few, and sent gently.
PROBE_GAP_NS: Final = 20_000_000

Recording = Iterable[Exchange] | Callable[[], Iterable[Exchange]]


class _Session:
    """A session of the replay while it is under way."""

    __slots__ = ("clone", "number", "order", "values", "variables")

    def __init__(self, number: int, clone: int, variables: Mapping[str, str], order: Order) -> None:
        self.number = number
        self.clone = clone
        self.variables = variables
        self.order = order
        self.values: Values | None = None


class _Probe(NamedTuple):
    """What is said of an arrival that does not follow the schedule."""

    after: int
    last: bool
    keep: bool


class Planner:
    """Makes the arrivals of one replay, or of one shard of it.

    `target_url` is the address that requests go to, `begins_ns` the Unix time at which the schedule will begin (times
    that move with the replay count from it). `accounts` are those of `identities.file`; the list of the spec comes
    behind them. `shard` is (which, of how many): all shards together are the whole, each session in one of them, and
    numbers of sessions are the same as in the whole. The same arguments give the same arrivals.

    Exchanges must be the ones that were surveyed, in their order; when `loop` is above 1 they are what can be read
    again, or a function that opens them.
    What is read is counted: read = skipped + refused + the recorded requests that are planned (`tally`).
    """

    def __init__(
        self,
        spec: Replay,
        survey: Survey,
        target_url: str,
        *,
        seed: int = 0,
        run_id: str = "",
        shard: tuple[int, int] = (0, 1),
        begins_ns: int | None = None,
        accounts: Sequence[Mapping[str, str]] = (),
    ) -> None:
        if not 0 <= shard[0] < shard[1]:
            raise UsageError("TB970", f"there is no shard {shard[0]} of {shard[1]}", cure="shards count from 0")
        self._spec = spec
        self._survey = survey
        self._seed = seed
        self._shard = shard
        self._begins_ns = survey.last_ns if begins_ns is None else begins_ns
        self._identities = Identities(spec, [*accounts, *spec.identities.accounts], run_id)
        self._rewriter = Rewriter(spec.rewrite, run_id)
        self._destinations = Destinations(spec, target_url)
        self._correlator = Correlator.of(spec.correlate, survey)
        self._keeps = Random(seed)  # noqa: S311 - which answers are compared, not a secret
        self._users: dict[int, int] = {}
        self._sessions: dict[int, _Session] = {}
        self._next = 0
        self.endpoints = [Endpoint(number=e.number, method=e.method, name=e.name) for e in survey.endpoints]
        self._late: dict[int, int] = {}
        self.speed = speed_of(spec.timing, survey.curve)
        self.tally = Tally()

    @property
    def origins(self) -> Sequence[Origin]:
        """Where arrivals go, by number; grows as protocols are met."""
        return self._destinations.origins

    @property
    def read(self) -> int:
        """How many exchanges were read so far."""
        return self.tally.read

    @property
    def skipped(self) -> Counter[str]:
        """Exchanges that were not selected, by reason."""
        return self.tally.skipped

    @property
    def refused(self) -> Counter[str]:
        """Exchanges that must not be sent, by reason."""
        return self.tally.refused

    @property
    def forgotten(self) -> int:
        """Minted values that were no longer remembered, since their sessions have too many."""
        return self._correlator.forgotten

    @property
    def span_ns(self) -> int:
        """How long the schedule is, about: from the first arrival to the last."""
        timing, survey = self._spec.timing, self._survey
        if timing.rate is not None:
            return round(survey.to_send * timing.loop * timing.clones * 1e9 / timing.rate)
        once = loop_period_ns(survey.span_ns, survey.to_send)
        played = ((timing.loop - 1) * once + survey.span_ns) / self.speed
        return round(played + clone_offsets(timing.clones, timing.clone_spread_s)[-1])

    def plan(self, exchanges: Recording) -> Iterator[tuple[Arrival, Exchange]]:
        """The arrivals, in the order of their due times, each with the exchange that it replays."""
        timing = self._spec.timing
        if timing.loop > 1 and not callable(exchanges) and iter(exchanges) is exchanges:
            raise TypeError("a recording that is played in a loop must be readable again: give what opens it")
        self._begin()
        period = loop_period_ns(self._survey.span_ns, self._survey.to_send)
        due = amplified(looped(timing.loop, round(period / self.speed), self._play(exchanges)), self._offsets())
        if timing.rate is not None:
            due = at_rate(due, timing.rate)
        for at, clone, (number, item) in due:
            if item.position >= 0:
                made = self._arrival(at, self._session(number, clone, item), item)
                if made is not None:
                    yield made, item.exchange

    def arming(self, exchanges: Iterable[Exchange]) -> Iterator[tuple[Arrival, Exchange]]:
        """The beginnings of the sessions that reach every endpoint: one session after the other, each request after
        the one before it, `PROBE_GAP_NS` apart at least."""
        for prefix in self._prefixes(exchanges):
            yield from self._probe(prefix, frozenset())

    def noise(self, exchanges: Iterable[Exchange]) -> Iterator[tuple[Arrival, Exchange]]:
        """Safe requests twice in a row, up to `compare.noise_pairs` of an endpoint, each pair with `keep`.

        Those that need nothing minted are sessions of their own; the others come in the beginnings that arm, with what
        leads to them, as often as it takes.
        """
        wanted = self._spec.compare.noise_pairs
        pairs: Counter[int] = Counter()
        lonely: list[Item] = []
        tied = {endpoint for pattern in self._survey.patterns.found for endpoint, _ in pattern.uses}

        def alone(item: Item) -> None:
            endpoint = self._endpoint(item)
            safe = not item.exchange.request.is_write and not _has_credential(item.exchange)
            if safe and endpoint not in tied and pairs[endpoint] < wanted:
                pairs[endpoint] += 1
                lonely.append(item)

        prefixes = self._prefixes(exchanges, alone)
        for item in lonely:
            yield from self._probe([item], {self._endpoint(item)})
        for _ in range(wanted):
            for prefix in prefixes:
                short = {
                    e for i in prefix if pairs[e := self._endpoint(i)] < wanted and not i.exchange.request.is_write
                }
                if short:
                    pairs.update(short)
                    yield from self._probe(prefix, short)

    def _begin(self) -> None:
        self.tally = Tally()
        self._sessions.clear()
        self._next = 0

    def _offsets(self) -> list[int]:
        return clone_offsets(self._spec.timing.clones, self._spec.timing.clone_spread_s)

    def _reading(self, tally: Tally) -> Reading:
        survey = self._survey
        return Reading(self._spec, survey.table, tally=tally, lasts=survey.lasts, most=survey.read)

    def _play(self, exchanges: Recording) -> Callable[[int], Iterator[tuple[int, tuple[int, Item]]]]:
        which, count = self._shard

        def play(number: int) -> Iterator[tuple[int, tuple[int, Item]]]:
            # Every round is read whole; what it skips and refuses is counted once.
            tally = self.tally if number == 0 else Tally()
            for item in self._reading(tally).items(exchanges() if callable(exchanges) else exchanges):
                if count > 1 and shard_of(session_key(item.exchange), count) != which:
                    tally.to_send -= 1
                    tally.skipped[SHARD] += 1
                    # It keeps its place in the schedule, so that shards together are the whole.
                    item = item._replace(position=-1)  # noqa: PLW2901
                yield round(item.at_ns / self.speed), (number, item)

        return play

    def _session(self, number: int, clone: int, item: Item) -> _Session:
        clones = self._spec.timing.clones
        which = (number * self._survey.sessions + item.session) * clones + clone
        found = self._sessions.get(which)
        if found is None:
            found = self._sessions[which] = self._new_session(which, clone, item)
        return found

    def _new_session(self, which: int, clone: int, item: Item) -> _Session:
        number = which
        if self._identities.by_user:
            user = self._users.setdefault(hash(session_key(item.exchange)), len(self._users))
            number = user * self._spec.timing.clones + clone
        variables = self._identities.variables(number, which, clone)
        return _Session(which, clone, variables, Order(self._spec.timing.order))

    def _endpoint(self, item: Item) -> int:
        known = self._survey.numbers.get(item.endpoint)
        if known is not None:
            return known
        if item.endpoint not in self._late:  # the recording is not quite the one that was surveyed
            request = item.exchange.request
            number = self._late[item.endpoint] = len(self.endpoints)
            name = request.target.partition("?")[0]
            self.endpoints.append(Endpoint(number=number, method=request.method, name=name))
        return self._late[item.endpoint]

    def _arrival(self, due_ns: int, session: _Session, item: Item, probe: _Probe | None = None) -> Arrival | None:
        """One arrival; None when the request is refused after all, which is counted."""
        exchange, endpoint = item.exchange, self._endpoint(item)
        last = item.last if probe is None else probe.last
        if last:
            self._sessions.pop(session.number, None)
        draft = self._draft(due_ns, session, item)
        destination = self._destinations.of(exchange)
        host = destination.host
        if self._rewriter.host:
            host = header_text(str(fill(self._rewriter.host, session.variables)))
        marks = self._marks(session, draft, endpoint, item.start_ns)
        made = render(draft, base=destination.base, host=host, marks=marks)
        if made is None or not self._destinations.allows(host, destination):
            self.tally.refused[MALFORMED if made is None else HOST_NOT_ALLOWED] += 1
            self.tally.to_send -= 1
            return None
        number = self._next
        self._next += 1
        waits_for = session.order.after(item.start_ns) if probe is None else probe.after
        ended = ended_of(exchange)
        if not last:
            session.order.planned(number, item.start_ns, ended, held=bool(marks) or waits_for >= 0)
        takes = self._takes(session, item, endpoint) if not last else ()
        return Arrival(
            number,
            due_ns,
            session.number,
            destination.origin.number,
            endpoint,
            made[0],
            draft.body,
            exchange.id,
            waits_for,
            made[1],
            takes,
            last,
            self._keep(exchange) if probe is None else probe.keep,
        )

    def _draft(self, due_ns: int, session: _Session, item: Item) -> Draft:
        exchange = item.exchange
        draft = Draft(exchange, self._rewriter.headers.lines(exchange.request.headers))
        delta = self._begins_ns + due_ns - item.start_ns
        self._rewriter.apply(draft, session.variables, session.number, delta_ns=delta)
        self._identities.apply(draft, session.variables)
        return draft

    def _marks(self, session: _Session, draft: Draft, endpoint: int, start_ns: int) -> list[Mark]:
        if session.values is None:
            return []
        return self._correlator.marks(session.values, draft, endpoint, start_ns)

    def _takes(self, session: _Session, item: Item, endpoint: int) -> tuple[Take, ...]:
        if session.values is None:
            session.values = Values()
        ended = item.exchange.ended_ns
        takes = self._correlator.takes(
            session.values, item.exchange, endpoint, item.start_ns if ended is None else ended
        )
        if not session.values.bound and not session.values.cookies:
            session.values = None
        return takes

    def _keep(self, exchange: Exchange) -> bool:
        compare = self._spec.compare
        if not compare.enabled or exchange.answer is None:
            return False
        return compare.sample >= 1 or self._keeps.random() < compare.sample

    def _prefixes(
        self, exchanges: Iterable[Exchange], others: Callable[[Item], None] | None = None
    ) -> list[list[Item]]:
        """The items of the covering beginnings, session by session, and a look at every item."""
        self._begin()
        wanted = {prefix.session: prefix.requests for prefix in self._survey.cover}
        found: dict[int, list[Item]] = {session: [] for session in wanted}
        for item in self._reading(self.tally).items(exchanges):
            if others is not None:
                others(item)
            if item.nth <= wanted.get(item.session, 0):
                found[item.session].append(item)
        return list(found.values())

    def _probe(self, items: list[Item], twice: AbstractSet[int]) -> Iterator[tuple[Arrival, Exchange]]:
        """Items of one session, each after the one before it; the first of each of these endpoints twice, and kept."""
        left = set(twice)
        sends: list[tuple[Item, bool]] = []
        for item in items:
            pair = self._endpoint(item) in left and not item.exchange.request.is_write
            left.discard(self._endpoint(item) if pair else -1)
            sends += [(item, pair)] * (2 if pair else 1)
        session = self._new_session(self._next, 0, items[0])
        after = -1
        for place, (item, pair) in enumerate(sends):
            probe = _Probe(after, place == len(sends) - 1, pair)
            made = self._arrival(self._next * PROBE_GAP_NS, session, item, probe)
            if made is not None:
                after = made.number
                yield made, item.exchange


def _has_credential(exchange: Exchange) -> bool:
    """Whether a request says who it is from: then it may need what an answer minted."""
    return any(name.lower() in ("authorization", "cookie") for name, _ in exchange.request.headers)
