"""Finding what correlates: values of answers that later requests of the same session repeat. Statistical, bounded.

A value counts when it stood in no earlier request of the session, came before the request that uses it began, and is
not the same in most sessions (then it is a constant, as a product's name is). Not all sessions can be remembered: some
hundred at a time are watched, others take their places as they end.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tracer_bullet.model.exchange import Exchange
from tracer_bullet.replay.correlation.answers import MOST_BODY, minted
from tracer_bullet.replay.correlation.patterns import Pattern, Patterns, is_number, is_strong
from tracer_bullet.replay.reading.items import Item
from tracer_bullet.replay.requests.leaves import leaves
from tracer_bullet.workspace.replay import Replay

_WATCHED: Final = 1024
_MOST_REMEMBERED: Final = 60_000  # values of all watched sessions; more sessions are not taken up meanwhile
_IDLE_NS: Final = 60_000_000_000  # a watched session that is silent for so long gives its place away
_MOST_REQUESTS: Final = 200  # of a watched session; then another one is watched
_MOST_VALUES: Final = 500  # of a watched session; the oldest is forgotten
_MOST_OF_ANSWER: Final = 120
_MOST_PLACES: Final = 20_000
_MOST_SHARED: Final = 200_000
_SHARED_A_PLACE: Final = 64
_MOST_USES: Final = 64
_SHARED: Final = 0.5
_COMMON: Final = frozenset({"id", "uuid", "key", "number", "value", "code", "ref"})
_NEVER: Final = frozenset({"true", "false", "null", "none", "undefined"})
_IDENTIFIER: Final = re.compile(
    r"(?i)(?:^|[_.$\]-]|[a-z])(?:id|ids|key|token|number|no|nr|ref|reference|code|uuid|guid|nonce|csrf|xsrf|session|sid"
    r"|etag|version|cursor|ticket|state|secret|otp)['\]]*$"
)

_SIGNATURE: Final = re.compile(r"(?i)AWS4?[- :]|Signature |HMAC|GOOG4-|SharedKey|Digest ")

Place = tuple[int, str, str, str]  # endpoint as handed out, source, place, expression


class _Source(NamedTuple):
    place: Place
    ended_ns: int


@dataclass(slots=True)
class _Watch:
    """A session that is looked at."""

    seen_ns: int = 0
    requests: int = 0
    minted: dict[str, _Source] = field(default_factory=dict)
    sent: set[str] = field(default_factory=set)
    used: set[Place] = field(default_factory=set)
    met: set[tuple[Place, int]] = field(default_factory=set)


@dataclass(slots=True)
class _Found:
    """What is known of a minting place."""

    minting_sessions: int = 0
    sharing: dict[int, int] = field(default_factory=dict)  # hash of a value → sessions in which it was minted
    uses: Counter[tuple[int, str]] = field(default_factory=Counter)
    used: dict[int, str] = field(default_factory=dict)  # hash of a used value → the value
    sessions: int = 0


class Search:
    """Looks at items in order, then says the patterns."""

    def __init__(self, spec: Replay) -> None:
        self._on = spec.correlate.find
        self._least = spec.correlate.min_length
        self._watches: dict[int, _Watch] = {}
        self._places: dict[Place, _Found] = {}
        self._shared = 0
        self._watched = 0
        self._long = 0
        self._signed = 0
        self._unminted: Counter[str] = Counter()
        self._identified = tuple(place.at.lower() for place in spec.identities.places)
        self._swept_ns = 0
        self._remembered = 0

    def look(self, item: Item) -> None:
        """The next item of the reading."""
        if not self._on or item.slot < 0:
            return
        watch = self._watches.get(item.session)
        if watch is None:
            if item.nth > 1 or not self._room(item.start_ns):
                return
            watch = self._watches[item.session] = _Watch()
            self._watched += 1
        watch.seen_ns = item.start_ns
        watch.requests += 1
        before = len(watch.minted) + len(watch.sent)
        self._requests(watch, item)
        self._answer(watch, item)
        self._remembered += len(watch.minted) + len(watch.sent) - before
        if watch.requests >= _MOST_REQUESTS:
            del self._watches[item.session]

    def _room(self, now_ns: int) -> bool:
        if now_ns - self._swept_ns > _IDLE_NS // 8:  # not at every session: it reads them all
            self._swept_ns = now_ns
            for number in [n for n, w in self._watches.items() if now_ns - w.seen_ns > _IDLE_NS]:
                del self._watches[number]
            self._remembered = sum(len(w.minted) + len(w.sent) for w in self._watches.values())
        return len(self._watches) < _WATCHED and self._remembered < _MOST_REMEMBERED

    def _requests(self, watch: _Watch, item: Item) -> None:
        request = item.exchange.request
        redacted = item.exchange.redacted
        for leaf in leaves(request.target, request.headers, request.body or b""):
            text = leaf.text
            if len(text) < self._least or text.lower() in _NEVER:
                continue
            source = watch.minted.get(text)
            if source is not None and source.ended_ns <= item.start_ns:
                self._use(watch, source.place, item.endpoint, leaf.place, text)
                continue
            if source is not None:  # it was sent before the answer had come
                del watch.minted[text]
            if len(watch.sent) < _MOST_VALUES:
                watch.sent.add(text)
            if leaf.place == "header:authorization" and _SIGNATURE.match(text):
                self._signed += 1
            if redacted and _is_credential(leaf.place) and _is_redacted(leaf.place, item.exchange):
                self._without(leaf.place)

    def _without(self, place: str) -> None:
        if place not in self._identified and len(self._unminted) < 100:
            self._unminted[place] += 1

    def _use(self, watch: _Watch, place: Place, endpoint: int, used_at: str, text: str) -> None:
        found = self._places.get(place)
        if found is None:
            return
        if place not in watch.used:
            watch.used.add(place)
            found.sessions += 1
        if len(found.uses) < _MOST_USES or (endpoint, used_at) in found.uses:
            found.uses[endpoint, used_at] += 1
        if len(found.used) < 4 * _SHARED_A_PLACE:
            found.used[hash(text)] = text

    def _answer(self, watch: _Watch, item: Item) -> None:
        answer = item.exchange.answer
        if answer is None:
            return
        if answer.body and len(answer.body) > MOST_BODY:
            self._long += 1
        ended = item.start_ns if item.exchange.ended_ns is None else item.exchange.ended_ns
        left = _MOST_OF_ANSWER
        for value in minted(answer):
            text = value.text
            if len(text) < self._least or text in watch.sent or text.lower() in _NEVER:
                continue
            place = (item.endpoint, value.source, value.place, value.pattern)
            if text not in watch.minted and (left or value.source != "json"):
                left -= value.source == "json"
                if len(watch.minted) >= _MOST_VALUES:
                    del watch.minted[next(iter(watch.minted))]
                watch.minted[text] = _Source(place, ended)
            self._count(watch, place, hash(text))

    def _count(self, watch: _Watch, place: Place, value: int) -> None:
        """How many sessions mint at this place, and how many of them this value."""
        found = self._places.get(place)
        if found is None:
            if len(self._places) >= _MOST_PLACES:
                return
            found = self._places[place] = _Found()
        if (place, 0) not in watch.met:
            watch.met.add((place, 0))
            found.minting_sessions += 1
        if (place, value) in watch.met or len(watch.met) > 2 * _MOST_VALUES:
            return
        watch.met.add((place, value))
        if value in found.sharing:
            found.sharing[value] += 1
        elif len(found.sharing) < _SHARED_A_PLACE and self._shared < _MOST_SHARED:
            self._shared += 1
            found.sharing[value] = 1

    def patterns(self, final: Mapping[int, int], endpoints: Sequence[str]) -> Patterns:
        """What was found. `final`: endpoint as handed out → its number in the survey; `endpoints`: their names."""
        folded: dict[Place, _Found] = {}
        for place, found in self._places.items():
            if found.uses:
                _add(folded.setdefault((final[place[0]], *place[1:]), _Found()), found, final)
        names: Counter[str] = Counter()
        good: list[Pattern] = []
        constants: list[Pattern] = []
        for place, found in sorted(folded.items(), key=lambda item: (-item[1].sessions, item[0])):
            accepted = place[1] == "cookie" or _is_minted(place, found)
            (good if accepted else constants).append(_pattern(place, found, endpoints, names))
        return Patterns(
            found=tuple(good),
            constants=tuple(constants),
            watched=self._watched,
            long_bodies=self._long,
            signed=self._signed,
            unminted=dict(self._unminted),
        )


def _add(into: _Found, found: _Found, final: Mapping[int, int]) -> None:
    into.minting_sessions += found.minting_sessions
    into.sessions += found.sessions
    for value, count in found.sharing.items():
        into.sharing[value] = into.sharing.get(value, 0) + count
    for (endpoint, place), count in found.uses.items():
        into.uses[final[endpoint], place] += count
    into.used.update(found.used)


def _is_minted(place: Place, found: _Found) -> bool:
    """Whether the values are the sessions' own. One session proves nothing: then they must look the part."""
    shared = sum(found.sharing.get(v, 1) > _SHARED * found.minting_sessions for v in found.used)
    if found.minting_sessions > 1:
        return shared * 2 <= len(found.used)
    named = _IDENTIFIER.search(place[2]) is not None or any(
        _IDENTIFIER.search(used) or used.startswith("path") for _, used in found.uses
    )
    return all(
        is_strong(text) or (named and (is_number(text) or any(map(str.isdigit, text)))) for text in found.used.values()
    )


def _pattern(place: Place, found: _Found, endpoints: Sequence[str], names: Counter[str]) -> Pattern:
    endpoint, source, where, expression = place
    if source == "cookie":
        name = f"cookie:{where}"
    else:
        name = _name(source, where, expression, endpoints[endpoint])
        names[name] += 1
        name = name if names[name] == 1 else f"{name}_{names[name]}"
    return Pattern(
        variable=name,
        endpoint=endpoint,
        source=source,
        place=where,
        expression=expression,
        uses=dict(found.uses),
        sessions=found.sessions,
    )


def _name(source: str, where: str, expression: str, endpoint: str) -> str:
    """A name for people: `token`, `order_id`."""
    words = re.findall(r"[A-Za-z][A-Za-z0-9_]*", where)
    if expression:
        words = re.findall(r"[A-Za-z][A-Za-z0-9_]*", expression)
        return f"{words[-1]}_id" if words and expression.startswith("/") else words[-1] if words else "value"
    if source == "json" and words and words[-1].lower() in _COMMON:
        before = words[-2:-1] or re.findall(r"[A-Za-z][A-Za-z0-9_]*", endpoint.partition(" ")[2])[-1:]
        return "_".join([*before, words[-1]])
    return words[-1] if words else "value"


def _is_credential(place: str) -> bool:
    return (
        place.startswith("cookie:")
        or place == "header:authorization"
        or bool(re.match(r"header:x-(?:api-key|auth|csrf|xsrf|access)", place))
    )


def _is_redacted(place: str, exchange: Exchange) -> bool:
    return any(
        r.lower() == place.lower() or (r == "header:cookie" and place.startswith("cookie:")) for r in exchange.redacted
    )
