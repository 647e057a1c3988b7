"""What a replay of a recording would be, from one streaming pass: who, what, how much, and what to look at first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from tracer_bullet.model.exchange import Exchange
from tracer_bullet.replay.correlation.search import Search
from tracer_bullet.replay.cover import CoverBuilder
from tracer_bullet.replay.found import EndpointCount, Survey
from tracer_bullet.replay.reading.endpoints import Endpoints
from tracer_bullet.replay.reading.items import Reading, Tally
from tracer_bullet.replay.review import review
from tracer_bullet.replay.timing.curve import CurveBuilder
from tracer_bullet.workspace.replay import Replay

__all__ = ["EndpointCount", "Survey", "survey"]

_MOST_HOSTS: Final = 1000
_WINDOW_S: Final = 10.0


def survey(exchanges: Iterable[Exchange], spec: Replay) -> Survey:
    """Read a recording, ordered by start, once. Keeps some 150 bytes a session under way, and what grows with the
    endpoints; nothing a request but two bits."""
    return _Surveyor(spec).run(exchanges)


class _Surveyor:
    def __init__(self, spec: Replay) -> None:
        self._spec = spec
        self._endpoints = Endpoints()
        self._tally = Tally()
        self._reading = Reading(spec, self._endpoints, tally=self._tally, on_refused=self._on_refused)
        self._requests: Counter[int] = Counter()
        self._refused: Counter[int] = Counter()
        self._hosts: Counter[str] = Counter()
        self._curve = CurveBuilder()
        self._cover = CoverBuilder()
        self._search = Search(spec)

    def run(self, exchanges: Iterable[Exchange]) -> Survey:
        reading, requests, hosts = self._reading, self._requests, self._hosts
        curve, cover, search = self._curve, self._cover, self._search
        for item in reading.items(exchanges):
            requests[item.endpoint] += 1
            authority = item.exchange.request.authority
            if authority in hosts or len(hosts) < _MOST_HOSTS:
                hosts[authority] += 1
            curve.add(item.at_ns)
            cover.reach(item.slot, item.session, item.nth, item.endpoint)
            if item.slot < 0:
                reading.sessions.mark_last(item.ordinal)
            search.look(item)
        return self._result()

    def _on_refused(self, exchange: Exchange, reason: str) -> None:
        del reason
        if exchange.request.target.startswith("/"):
            self._refused[self._reading.endpoint(exchange)] += 1

    def _result(self) -> Survey:
        reading, tally, endpoints = self._reading, self._tally, self._endpoints
        names = endpoints.names()
        dense = {number: place for place, number in enumerate(names)}
        numbers = {number: dense[endpoints.current(number)] for number in range(len(endpoints))}
        counts = _counts(names, numbers, self._requests, self._refused)
        texts = [count.text for count in counts]
        patterns = self._search.patterns(numbers, texts)
        curve = self._curve.curve()
        shape = self._spec.timing.shape
        found = Survey(
            read=tally.read,
            to_send=tally.to_send,
            sessions=reading.sessions.count,
            skipped=dict(tally.skipped),
            refused=dict(tally.refused),
            endpoints=counts,
            hosts=dict(self._hosts),
            first_ns=reading.first_ns or 0,
            last_ns=reading.last_ns,
            span_ns=reading.timeline.at_ns,
            pauses=reading.timeline.cut,
            pauses_ns=reading.timeline.cut_ns,
            curve=curve,
            busiest_per_s=curve.busiest(shape.window_s if shape else _WINDOW_S),
            stamps=reading.stamps,
            cover=self._cover.cover(numbers),
            correlations=patterns.listed(self._spec.correlate, texts),
            patterns=patterns,
            lasts=reading.sessions.finish(),
            table=endpoints,
            numbers=numbers,
        )
        return replace(found, review=review(found, self._spec))


def _counts(
    names: Mapping[int, tuple[str, str]], numbers: Mapping[int, int], requests: Counter[int], refused: Counter[int]
) -> tuple[EndpointCount, ...]:
    folded_requests, folded_refused = _folded(requests, numbers), _folded(refused, numbers)
    return tuple(
        EndpointCount(
            number=place, method=method, name=name, requests=folded_requests[place], refused=folded_refused[place]
        )
        for place, (method, name) in enumerate(names.values())
    )


def _folded(counts: Counter[int], numbers: Mapping[int, int]) -> Counter[int]:
    folded: Counter[int] = Counter()
    for number, count in counts.items():
        folded[numbers[number]] += count
    return folded
