"""Counts how answers differ from the recording, by endpoint and field, beside how they differ among themselves."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from tracer_bullet.model.exchange import Answer, Exchange, Lack
from tracer_bullet.model.replay import Comparison, Correlation, Difference
from tracer_bullet.model.shares import wilson
from tracer_bullet.model.shots import KeptAnswer
from tracer_bullet.replay.compare.content import read_content
from tracer_bullet.replay.compare.diff import FieldDifference, differences
from tracer_bullet.workspace.replay import CompareSpec

_EXAMPLES: Final = 3
_EXAMPLE_LENGTH: Final = 80
# An endpoint whose answers have ever new keys must not fill the memory.
_MOST_FIELDS: Final = 2_000
_OTHERS: Final = ("(other fields)", "value")
_NOTHING: Final[Mapping[bytes, bytes]] = {}


@dataclass(slots=True)
class _Field:
    differing: int = 0
    examples: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class _Endpoint:
    """What was counted of one endpoint. A field counts once an answer, however often it stands in it."""

    compared: int = 0
    equal: int = 0
    fields: dict[tuple[str, str], _Field] = field(default_factory=dict)
    pairs: int = 0
    noise: Counter[tuple[str, str]] = field(default_factory=Counter)


class Comparer:
    """Compares answers as they come. Memory grows with endpoints and fields, not with answers.

    `correlations`: what answers mint is new each time, and no difference. Examples are kept as they are given, so
    answers must have been redacted before.
    """

    def __init__(self, spec: CompareSpec, correlations: Iterable[Correlation] = ()) -> None:
        self._spec = spec
        self._endpoints: dict[str, _Endpoint] = {}
        self._incomparable: Counter[str] = Counter()
        self._minted = {tuple(c.minted.rsplit(" ", 1)) for c in correlations}

    def noise(self, endpoint: str, first: KeptAnswer, second: KeptAnswer) -> None:
        """Two answers to the same request, sent twice: what differs here differs by itself."""
        place = self._endpoints.setdefault(endpoint, _Endpoint())
        place.pairs += 1
        found = self._fields(endpoint, _differences(first.answer, second.answer, self._spec.headers, body=True))
        place.noise.update(key for key in found)

    def see(
        self, endpoint: str, exchange: Exchange, kept: KeptAnswer, minted: Mapping[bytes, bytes] = _NOTHING
    ) -> None:
        """Compare an answer with the recorded one. `minted`: recorded value → the one that stands for it in this
        session, as text; such a pair is no difference."""
        recorded, lacks = exchange.answer, exchange.lacks
        if recorded is None or Lack.ANSWER in lacks:
            self._incomparable["no recorded answer"] += 1
            return
        body = recorded.body is not None and not lacks & {Lack.ANSWER_BODY, Lack.ANSWER_BODY_CUT} and not kept.cut
        if not body:
            self._incomparable["body not compared: it was not recorded, or not whole"] += 1
        headers = () if Lack.ANSWER_HEADERS in lacks else self._spec.headers
        found = self._fields(endpoint, _differences(recorded, kept.answer, headers, body=body), minted)
        place = self._endpoints.setdefault(endpoint, _Endpoint())
        place.compared += 1
        place.equal += not found
        for key, difference in found.items():
            full = key not in place.fields and len(place.fields) >= _MOST_FIELDS
            counted = place.fields.setdefault(_OTHERS if full else key, _Field())
            counted.differing += 1
            example = (_shown(difference.recorded), _shown(difference.replayed))
            if len(counted.examples) < _EXAMPLES and example not in counted.examples:
                counted.examples.append(example)

    def result(self) -> Comparison:
        """What is found, what is noise, and what has too few samples to say; each the surest first."""
        sorted_out: dict[str, list[Difference]] = {"findings": [], "noisy": [], "unsure": []}
        for endpoint, place in sorted(self._endpoints.items()):
            for (name, kind), counted in sorted(place.fields.items()):
                difference = _difference(endpoint, place, name, kind, counted)
                sorted_out[self._class(difference)].append(difference)
        ordered = {
            name: tuple(sorted(some, key=lambda d: (-d.share_low, d.endpoint, d.field, d.kind)))
            for name, some in sorted_out.items()
        }
        return Comparison(
            compared=sum(p.compared for p in self._endpoints.values()),
            equal=sum(p.equal for p in self._endpoints.values()),
            incomparable=dict(self._incomparable),
            **ordered,
        )

    def _class(self, difference: Difference) -> str:
        if difference.noise > 0:
            _, noise_high = wilson(round(difference.noise * difference.noise_of), difference.noise_of)
            if difference.share_low <= noise_high:
                return "noisy"
        return "findings" if difference.compared >= self._spec.min_samples else "unsure"

    def _fields(
        self, endpoint: str, found: Iterator[FieldDifference], minted: Mapping[bytes, bytes] = _NOTHING
    ) -> Mapping[tuple[str, str], FieldDifference]:
        """The first difference of each field and kind, without those that are ignored or minted."""
        kept: dict[tuple[str, str], FieldDifference] = {}
        for difference in found:
            key = difference.path, difference.kind
            if key not in kept and not _stands_for(difference, minted) and not self._ignored(endpoint, difference.path):
                kept[key] = difference
        return kept

    def _ignored(self, endpoint: str, path: str) -> bool:
        if (endpoint, path) in self._minted:
            return True
        return any(_fits(path, rule.field) and _fits(endpoint, rule.endpoint) for rule in self._spec.ignore)


def _stands_for(difference: FieldDifference, minted: Mapping[bytes, bytes]) -> bool:
    if not minted or difference.kind != "value":
        return False
    return minted.get(_text(difference.recorded).encode()) == _text(difference.replayed).encode()


def _fits(text: str, glob: str) -> bool:
    """Globs as in the shell, but `[*]` stands for itself, as it does in paths."""
    return fnmatchcase(text, glob.replace("[", "[[]"))


def _differences(
    recorded: Answer, replayed: Answer, headers: Iterable[str], *, body: bool
) -> Iterator[FieldDifference]:
    """Of whole answers. Another status says it all: such a body is another answer."""
    if recorded.status != replayed.status:
        yield FieldDifference("status", "status", recorded.status, replayed.status)
        return
    for name in headers:
        a, b = recorded.values(name), replayed.values(name)
        if a != b:
            kind = "missing" if not b else "added" if not a else "value"
            yield FieldDifference(f"header:{name.lower()}", kind, ", ".join(a), ", ".join(b))
    if not body:
        return
    old, new = read_content(recorded), read_content(replayed)
    if old.is_json and new.is_json:
        try:
            yield from differences(old.json, new.json)
        except RecursionError:  # a thousand levels deep
            if old.data != new.data:
                yield FieldDifference("body", "value", f"{len(old.data)} bytes", f"{len(new.data)} bytes")
    elif old.is_json != new.is_json:
        yield FieldDifference("body", "type", _sort(old.is_json), _sort(new.is_json))
    elif old.data != new.data:
        yield FieldDifference("body", "value", f"{len(old.data)} bytes", f"{len(new.data)} bytes")


def _sort(is_json: bool) -> str:
    return "JSON" if is_json else "no JSON"


def _difference(endpoint: str, place: _Endpoint, name: str, kind: str, counted: _Field) -> Difference:
    low, high = wilson(counted.differing, place.compared)
    return Difference(
        endpoint=endpoint,
        field=name,
        kind=kind,
        differing=counted.differing,
        compared=place.compared,
        share_low=low,
        share_high=high,
        noise=place.noise[name, kind] / place.pairs if place.pairs else 0.0,
        noise_of=place.pairs,
        examples=tuple(counted.examples),
    )


def _shown(value: Any) -> str:
    text = _text(value)
    return text if len(text) <= _EXAMPLE_LENGTH else f"{text[: _EXAMPLE_LENGTH - 1]}…"


def _text(value: Any) -> str:
    try:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    except RecursionError:
        return "(nested too deep to be shown)"
