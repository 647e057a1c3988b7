"""Correlation in the plan: takes on what mints, slots where a minted value is used. Pure, a session at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from tracer_bullet.model.arrival import Take
from tracer_bullet.model.exchange import Answer, Exchange
from tracer_bullet.replay.correlation.answers import json_body, set_cookie
from tracer_bullet.replay.correlation.patterns import Pattern, ignored, is_strong
from tracer_bullet.replay.found import Survey
from tracer_bullet.replay.reading.select import globs
from tracer_bullet.replay.requests.draft import Draft
from tracer_bullet.replay.requests.json_spans import key_path
from tracer_bullet.replay.requests.leaves import Leaf, Mark, leaves
from tracer_bullet.workspace.json_path import Step, parse_json_path
from tracer_bullet.workspace.replay import CorrelateSpec

_MOST_VALUES: Final = 64  # remembered of a session; the oldest is forgotten, and counted
_MOST_TAKES: Final = 32
_MOST_ITEMS: Final = 20
_COOKIE_HISTORY: Final = 4
_PLAIN: Final = re.compile(r"[A-Za-z0-9._~-]+")


class _Bound(NamedTuple):
    variable: str
    ready_ns: int
    plan: _Plan


@dataclass(frozen=True, slots=True)
class _Plan:
    """A pattern or a rule, ready to use. `wanted` decides about a leaf at an endpoint."""

    variable: str
    source: str
    steps: tuple[Step, ...]
    name: str
    expression: re.Pattern[str] | None
    wanted: Callable[[int, Leaf], bool]


class Values:
    """What the answers of one session have minted so far: recorded value → variable."""

    __slots__ = ("bound", "cookies", "counts", "odd")

    def __init__(self) -> None:
        self.bound: dict[str, _Bound] = {}
        self.cookies: dict[str, list[tuple[str, int]]] = {}
        self.counts: dict[str, int] = {}
        self.odd = False  # a value that may stand otherwise in a request than as its own text


@dataclass(slots=True)
class Correlator:
    """`correlate:` and what the survey found, compiled. `forgotten` counts values that no longer could be replaced."""

    spec: CorrelateSpec
    by_endpoint: dict[int, list[_Plan]] = field(default_factory=dict)
    rules: list[tuple[str, re.Pattern[str], _Plan]] = field(default_factory=list)
    names: Mapping[int, str] = field(default_factory=dict)
    forgotten: int = 0

    @classmethod
    def of(cls, spec: CorrelateSpec, survey: Survey) -> Correlator:
        """That of a replay file and a survey."""
        names = {count.number: count.text for count in survey.endpoints}
        made = cls(spec=spec, names=names)
        for pattern in survey.patterns.found if spec.find else ():
            if pattern.source != "cookie" and not made.ignores(pattern.endpoint, pattern.where):
                made.by_endpoint.setdefault(pattern.endpoint, []).append(_found(pattern))
        for rule in spec.rules:
            method, _, path = rule.minted_by.partition(" ")
            kind, _, where = rule.take.partition(":")
            plan = _Plan(
                rule.name, kind, parse_json_path(where) if kind == "json" else (), where, None, _used_at(rule.used_at)
            )
            compiled = globs([path.strip()])
            if compiled is not None:
                made.rules.append((method.upper(), compiled, plan))
        return made

    def ignores(self, endpoint: int, where: str) -> bool:
        """Whether the file says that this one is not wanted."""
        return ignored(self.spec, f"{self.names.get(endpoint, '')} {where}")

    def marks(self, values: Values, draft: Draft, endpoint: int, start_ns: int) -> list[Mark]:
        """Where the request uses what was minted before it began."""
        if not self._may_use(values, draft):
            return []
        marks = []
        for leaf in leaves(draft.target, draft.headers, draft.body):
            bound = values.bound.get(leaf.text)
            cookie = values.cookies.get(leaf.place[7:], ()) if leaf.place.startswith("cookie:") else ()
            if any(text == leaf.text and ready <= start_ns for text, ready in cookie):
                marks.append(Mark(leaf, leaf.place))
            elif bound is not None and bound.ready_ns <= start_ns and bound.plan.wanted(endpoint, leaf):
                marks.append(Mark(leaf, bound.variable))
        return marks

    def _may_use(self, values: Values, draft: Draft) -> bool:
        """Whether any remembered value stands in the request: a quick look before the close one."""
        if values.cookies and any(len(n) == 6 and n.lower() == "cookie" for n, _ in draft.headers):
            return True
        if not values.bound:
            return False
        if values.odd:
            return True
        head = "\n".join([draft.target, *[value for _, value in draft.headers]])
        body = draft.body.decode("latin-1")
        return any(text in head or text in body for text in values.bound)

    def takes(self, values: Values, exchange: Exchange, endpoint: int, ended_ns: int) -> tuple[Take, ...]:
        """What is taken from the answer to this request; remembers the recorded values."""
        answer = exchange.answer
        if answer is None:
            return ()
        takes: list[Take] = []
        if self.spec.find:
            self._cookies(takes, values, answer, endpoint, ended_ns)
        plans = [*self._rules(exchange), *self.by_endpoint.get(endpoint, ())]
        document: Any = None
        for plan in plans:
            if plan.source == "json" and document is None:
                document = json_body(answer)
            for path, text in _recorded(plan, answer, document):
                self._bind(takes, values, plan, path, text, ended_ns, exchange)
        return tuple(takes)

    def _rules(self, exchange: Exchange) -> list[_Plan]:
        if not self.rules:
            return []
        method, path = exchange.request.method, exchange.request.target.partition("?")[0]
        return [plan for verb, glob, plan in self.rules if verb == method and glob.match(path)]

    def _cookies(self, takes: list[Take], values: Values, answer: Answer, endpoint: int, ended_ns: int) -> None:
        for name, line in answer.headers:
            if len(name) != 10 or name.lower() != "set-cookie" or (pair := set_cookie(line)) is None:
                continue
            if self.spec.ignore and self.ignores(endpoint, f"cookie:{pair[0]}"):
                continue
            history = values.cookies.setdefault(pair[0], [])
            history.append((pair[1], ended_ns))
            del history[:-_COOKIE_HISTORY]
            takes.append(Take(f"cookie:{pair[0]}", "cookie", pair[0]))

    def _bind(
        self, takes: list[Take], values: Values, plan: _Plan, path: str, text: str, ended_ns: int, exchange: Exchange
    ) -> None:
        if text in values.bound or len(text) < self.spec.min_length or len(takes) >= _MOST_TAKES:
            return
        if _echoes(text, exchange):
            return
        if len(values.bound) >= _MOST_VALUES:
            del values.bound[next(iter(values.bound))]
            self.forgotten += 1
        count = values.counts[plan.variable] = values.counts.get(plan.variable, 0) + 1
        variable = plan.variable if count == 1 else f"{plan.variable}#{count}"
        values.bound[text] = _Bound(variable, ended_ns, plan)
        values.odd = values.odd or _PLAIN.fullmatch(text) is None
        takes.append(Take(variable, plan.source, path, plan.expression.pattern if plan.expression else ""))


def _found(pattern: Pattern) -> _Plan:
    uses = pattern.uses
    return _Plan(
        pattern.variable,
        pattern.source,
        parse_json_path(pattern.place) if pattern.source == "json" else (),
        pattern.place,
        re.compile(pattern.expression) if pattern.expression else None,
        lambda endpoint, leaf: (endpoint, leaf.place) in uses or is_strong(leaf.text),
    )


def _used_at(places: Sequence[str]) -> Callable[[int, Leaf], bool]:
    if not places:
        return lambda _endpoint, _leaf: True
    exact = {_normal(place) for place in places}
    return lambda _endpoint, leaf: leaf.place in exact or (leaf.place.startswith("path[") and "path" in exact)


def _normal(place: str) -> str:
    kind, colon, name = place.partition(":")
    if kind == "json":
        return "json:" + re.sub(r"\[\d+\]", "[*]", name)
    return f"{kind}{colon}{name.lower() if kind == 'header' else name}"


def _echoes(text: str, exchange: Exchange) -> bool:
    """Whether the answer only says again what was asked with."""
    request = exchange.request
    return text in request.target or (bool(request.body) and text.encode() in (request.body or b""))


def _recorded(plan: _Plan, answer: Answer, document: Any) -> list[tuple[str, str]]:
    """(exact path, value) of what a plan takes from a recorded answer."""
    if plan.source == "json":
        found = _at(document, plan.steps) if document is not None else []
    elif plan.source == "header":
        found = [(plan.name.lower(), value) for value in answer.values(plan.name)[:1]]
    else:
        pairs = [set_cookie(line) for line in answer.values("set-cookie")]
        found = [(plan.name, pair[1]) for pair in pairs if pair is not None and pair[0] == plan.name]
    if plan.expression is None:
        return found
    matches = ((path, plan.expression.search(text)) for path, text in found)
    return [(path, match[1]) for path, match in matches if match is not None]


def _at(document: Any, steps: tuple[Step, ...]) -> list[tuple[str, str]]:
    """Texts and whole numbers at a path of a JSON document, with their exact paths; of each list the first items."""
    current: list[tuple[str, Any]] = [("$", document)]
    for step in steps:
        reached: list[tuple[str, Any]] = []
        for path, value in current:
            if isinstance(value, dict):
                keys = [step.key] if step.key in value else list(value) if step.key is None else []
                reached.extend((key_path(path, str(key)), value[key]) for key in keys)
            elif isinstance(value, list) and not isinstance(step.key, str):
                some = range(min(len(value), _MOST_ITEMS)) if step.key is None else range(len(value))[step.key :][:1]
                reached.extend((f"{path}[{index}]", value[index]) for index in some)
        current = reached
    return [(p, v if isinstance(v, str) else str(v)) for p, v in current if _is_value(v)]


def _is_value(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))
