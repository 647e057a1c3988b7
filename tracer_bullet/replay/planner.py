"""From a recording to arrivals: the second reading, in the order in which they are due."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Final, NamedTuple

from tracer_bullet.errors import UsageError
from tracer_bullet.model.arrival import Arrival, Endpoint, Origin, Slot, Take
from tracer_bullet.model.exchange import Exchange
from tracer_bullet.replay.correlation.apply import Correlator, Values
from tracer_bullet.replay.destinations import Destinations
from tracer_bullet.replay.found import Survey
from tracer_bullet.replay.live import PROBE, Live
from tracer_bullet.replay.reading.hashing import in_share, shard_of
from tracer_bullet.replay.reading.items import Item, Reading, Tally
from tracer_bullet.replay.reading.refusals import HOST_NOT_ALLOWED, MALFORMED, NOT_SURVEYED
from tracer_bullet.replay.reading.select import SHARD, session_key
from tracer_bullet.replay.requests.draft import Draft
from tracer_bullet.replay.requests.identities import Identities
from tracer_bullet.replay.requests.places import header_text
from tracer_bullet.replay.requests.render import ascii_target, render
from tracer_bullet.replay.requests.rewrite import Rewriter
from tracer_bullet.replay.timing.order import ended_of
from tracer_bullet.replay.timing.schedule import amplified, at_rate, clone_offsets, loop_period_ns, looped, speed_of
from tracer_bullet.workspace.replay import Replay
from tracer_bullet.workspace.template import fill

# Arming bullets and repeated pairs are few, and sent gently.
PROBE_GAP_NS: Final = 20_000_000

Recording = Iterable[Exchange] | Callable[[], Iterable[Exchange]]


class _Written(NamedTuple):
    """A request as bytes, and where it goes."""

    origin: int
    head: bytes
    body: bytes
    slots: tuple[Slot, ...]


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
    What is read is counted: read = skipped + refused + the recorded requests that are planned (`tally`). Of the
    refused, `unwritten` were found only when they were to be written, clones and rounds counted.
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
        self._users: dict[int, int] = {}
        self._live = Live(spec.timing.order, clones=False)
        self._templated = bool(spec.identities.places or spec.rewrite.set_headers or spec.rewrite.json_fields)
        self._variables = lru_cache(maxsize=4096)(self._identities.variables)
        self._next = self.unwritten = 0
        self.endpoints = [Endpoint(number=e.number, method=e.method, name=e.name) for e in survey.endpoints]
        self._surveyed = frozenset(e.number for e in survey.endpoints if e.requests)
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
                made = self._arrival(at, self._session(number, clone, item), clone, item)
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
        self._live = Live(self._spec.timing.order, clones=self._spec.timing.clones > 1)
        self._next = self.unwritten = 0

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

    def _session(self, number: int, clone: int, item: Item) -> int:
        """The number in the replay of a clone of a session in a round."""
        return (number * self._survey.sessions + item.session) * self._spec.timing.clones + clone

    def _texts(self, session: int, clone: int, item: Item) -> Mapping[str, str]:
        """What `${…}` stands for in the requests of a session."""
        if not self._templated:
            return {}
        account = session
        if self._identities.by_user:
            user = self._users.setdefault(hash(session_key(item.exchange)), len(self._users))
            account = user * self._spec.timing.clones + clone
        return self._variables(account, session, clone)

    def _endpoint(self, item: Item) -> int:
        """The number of an item's endpoint; -1 when the survey knew of none of its requests."""
        number = self._survey.numbers.get(item.endpoint, -1)
        return number if number in self._surveyed else -1

    def _arrival(
        self, due_ns: int, session: int, clone: int, item: Item, probe: _Probe | None = None
    ) -> Arrival | None:
        """One arrival; None when the request is refused after all, which is counted."""
        exchange, live = item.exchange, self._live
        endpoint = self._endpoint(item)
        slot = live.slot(session, item) if probe is None else PROBE
        last = item.last if probe is None else probe.last
        values = live.values(slot)
        if last:
            live.forget(session, slot)
        written = self._written(due_ns, session, clone, item, endpoint, values)
        if isinstance(written, str):
            self.tally.refused[written] += 1
            self.tally.to_send -= 1
            self.unwritten += 1
            return None
        number = self._next
        self._next += 1
        after = live.after(slot, item.start_ns) if probe is None else probe.after
        takes: tuple[Take, ...] = ()
        if not last:
            held = bool(written.slots) or after >= 0
            live.planned(slot, number, item.start_ns, ended_of(exchange), held=held)
            takes = self._takes(slot, values, item, endpoint)
        return Arrival(
            number,
            due_ns,
            session,
            written.origin,
            endpoint,
            written.head,
            written.body,
            exchange.id,
            after,
            written.slots,
            takes,
            last,
            self._keep(exchange, session) if probe is None else probe.keep,
        )

    def _written(
        self, due_ns: int, session: int, clone: int, item: Item, endpoint: int, values: Values | None
    ) -> _Written | str:
        """The request's bytes, or why it is refused."""
        if endpoint < 0:  # the recording is not quite the one that was surveyed
            return NOT_SURVEYED
        exchange, texts = item.exchange, self._texts(session, clone, item)
        draft = Draft(exchange, self._rewriter.headers.lines(exchange.request.headers))
        self._rewriter.apply(draft, texts, session, delta_ns=self._begins_ns + due_ns - item.start_ns)
        self._identities.apply(draft, texts)
        draft.target = ascii_target(draft.target)
        destination = self._destinations.of(exchange)
        host = destination.host
        if self._rewriter.host:
            host = header_text(str(fill(self._rewriter.host, texts)))
            if not self._destinations.allows(host, destination):
                return HOST_NOT_ALLOWED
        marks = () if values is None else self._correlator.marks(values, draft, endpoint, item.start_ns)
        rendered = render(draft, base=destination.base, host=host, marks=marks)
        if rendered is None:
            return MALFORMED
        return _Written(destination.origin.number, rendered[0], draft.body, rendered[1])

    def _takes(self, slot: int, values: Values | None, item: Item, endpoint: int) -> tuple[Take, ...]:
        exchange = item.exchange
        ended = item.start_ns if exchange.ended_ns is None else exchange.ended_ns
        values = values or Values()
        takes = self._correlator.takes(values, exchange, endpoint, ended)
        if takes:
            self._live.remember(slot, values)
        return takes

    def _keep(self, exchange: Exchange, session: int) -> bool:
        """Of whole sessions: what one answer mints is needed to compare the later ones."""
        compare = self._spec.compare
        if not compare.enabled or exchange.answer is None:
            return False
        return compare.sample >= 1 or in_share(f"compare {self._seed} {session}", compare.sample)

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
        session, after = self._next, -1
        self._live.forget(session, PROBE)
        for place, (item, pair) in enumerate(sends):
            probe = _Probe(after, place == len(sends) - 1, pair)
            made = self._arrival(self._next * PROBE_GAP_NS, session, 0, item, probe)
            if made is not None:
                after = made.number
                yield made, item.exchange


def _has_credential(exchange: Exchange) -> bool:
    """Whether a request says who it is from: then it may need what an answer minted."""
    return any(name.lower() in ("authorization", "cookie") for name, _ in exchange.request.headers)
