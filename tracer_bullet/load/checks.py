"""Answers against what their steps expect, at load: one definition with `fire`, counts instead of one check a time.

Fails soft towards the run: what cannot be looked into is counted in `unchecked`, and never stops anything.
"""

from __future__ import annotations

import re
import zlib
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tracer_bullet.load.quick import Quick
from tracer_bullet.load.script import Script
from tracer_bullet.load.script.script import Row
from tracer_bullet.load.script.takes import asked_by_expectations
from tracer_bullet.model import Check
from tracer_bullet.model.load import CheckFailure
from tracer_bullet.model.shots import SHOT_ERRORS, KeptAnswer, ShotBatch
from tracer_bullet.scenario.answer import Answer, check_answer, take_values
from tracer_bullet.scenario.exchange import MAX_KEPT_BYTES
from tracer_bullet.scenario.matching import describe, satisfies
from tracer_bullet.scenario.plan import PlannedStep
from tracer_bullet.scenario.render import fill_matcher
from tracer_bullet.workspace.matcher import Matcher
from tracer_bullet.workspace.template import Scalar

_UNEXPECTED: Final = SHOT_ERRORS.index("unexpected")
# What says nothing of the target's answers: these are the run's own.
_NOT_TOLD: Final = frozenset(SHOT_ERRORS.index(e) for e in ("stopped", "lost", "skipped", "stale"))
_NOT_MINTED: Final = SHOT_ERRORS.index("slot")
# Bounds on what is remembered: answers whose shots are to come, iterations under way, wordings of a step's failures.
_MOST_KEPT: Final = 100_000
_MOST_ITERATIONS: Final = 200_000
_MOST_WORDINGS: Final = 20
# Answers that were looked into and are as expected: the same again need no second look.
_MOST_FINE: Final = 4096
_FINE_BYTES: Final = 4096
_MOST_CHARS: Final = 200
# What differs from answer to answer: numbers, ids, long words with digits in them.
_CHANGING: Final = re.compile(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|\b(?=[A-Za-z_]*\d)[0-9A-Za-z_]{12,}\b|(?<![A-Za-z_])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?"
)


@dataclass(slots=True)
class _Step:
    """A step of the statistics. `taken_for_later`: what it takes is asked for by the expectations of a later one.

    `headers`: those that the judgement depends on.
    """

    script: Script
    planned: PlannedStep
    taken_for_later: bool
    has_references: bool
    is_last: bool
    slowest: _Time | None
    headers: frozenset[str]
    quick: Quick | None
    wordings: set[str] = field(default_factory=set)

    @property
    def index(self) -> int:
        return self.planned.index

    @property
    def is_constant(self) -> bool:
        """Whether the same answer is always judged alike."""
        return not self.has_references


class _Time:
    """`time_ms` of a step, over a column of milliseconds."""

    def __init__(self, matcher: Matcher) -> None:
        self.matcher = matcher
        self.message = f"time: expected {describe(matcher)} ms"
        self._ordered = [(n, v) for n, v in matcher.operators if n in _COMPARE and _is_number(v)]
        self.is_columnar = len(self._ordered) == len(matcher.operators)

    def wrong(self, took_ms: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which are not as demanded."""
        if not self.is_columnar:
            return np.array([not satisfies(self.matcher, float(ms)) for ms in took_ms], dtype=bool)
        fine = np.ones(len(took_ms), dtype=bool)
        for name, operand in self._ordered:
            fine &= _COMPARE[name](took_ms, operand)
        return ~fine


class Checker:
    """Judges what the shots of some scripts brought back. Used from one thread.

    `row_of`: arrival number → the row of its iteration, while that is under way.
    """

    def __init__(self, scripts: Sequence[Script], row_of: Callable[[int], Row]) -> None:
        self._row_of = row_of
        self._steps: dict[int, _Step] = {}
        for script in scripts:
            for endpoint, planned in zip(script.endpoints, script.plan.steps, strict=True):
                self._steps[endpoint.number] = _step(script, planned)
        self._lasts = np.array([n for n, s in self._steps.items() if s.is_last], dtype=np.int32)
        self._timed = {n: s.slowest for n, s in self._steps.items() if s.slowest is not None}
        self._kept: dict[int, KeptAnswer] = {}
        self._taken: dict[int, dict[str, Scalar]] = {}
        self._fine: set[tuple[Any, ...]] = set()
        self.checked = 0
        self.unchecked = 0

    def answer(self, kept: KeptAnswer) -> None:
        """An answer, whose shot comes in a later batch."""
        if len(self._kept) >= _MOST_KEPT:
            self._kept.pop(next(iter(self._kept)))
            self.unchecked += 1
        self._kept[kept.number] = kept

    def shots(self, batch: ShotBatch) -> tuple[ShotBatch, list[tuple[CheckFailure, int]]]:
        """The batch with `unexpected` where an answer is not what its step expects, and what was wrong.

        Each kind of failure (step, wording without what changes) is told once with how often it was in this batch,
        and the row and trace of the first. What never got an answer is told too; what the run itself held back is not.
        """
        told: dict[tuple[int, str], list[int]] = {}
        errors = np.frombuffer(batch.error, dtype=np.int8).copy() if len(batch) else np.zeros(0, dtype=np.int8)
        before = np.flatnonzero(errors).tolist()
        self._look(batch, errors, told)
        self._time(batch, errors, told)
        judged = {index for indexes in told.values() for index in indexes}
        changed = bool(judged)
        for index in before:
            if index not in judged and errors[index] not in _NOT_TOLD:
                self._tell(batch, index, int(errors[index]), told)
        failures = [(self._failure(batch, key, min(indexes)), len(indexes)) for key, indexes in told.items()]
        self._forget(batch)
        if changed:
            batch = replace(batch, error=array("b", errors.tobytes()))
        return batch, failures

    # Judging

    def _look(self, batch: ShotBatch, errors: NDArray[np.int8], told: dict[tuple[int, str], list[int]]) -> None:
        """Look into the answers that came with this batch."""
        if not self._kept:
            return
        for index, number in enumerate(batch.number):
            kept = self._kept.pop(number, None)
            step = self._steps.get(batch.endpoint[index])
            if kept is None or step is None or errors[index] not in (0, _UNEXPECTED):
                continue
            message = self._judge(step, kept, number, (batch.ended_ns[index] - batch.sent_ns[index]) / 1e6)
            if message:
                errors[index] = _UNEXPECTED
                told.setdefault((batch.endpoint[index], message), []).append(index)

    def _judge(self, step: _Step, kept: KeptAnswer, number: int, took_ms: float) -> str:
        """What is wrong with an answer, in words without what changes; empty when nothing is."""
        raw = kept.answer
        headers = tuple(line for line in raw.headers if line[0].lower() in step.headers)
        key = (id(step), raw.status, kept.cut, raw.body, headers)
        cacheable = step.is_constant and len(raw.body or b"") <= _FINE_BYTES and not step.taken_for_later
        if cacheable and key in self._fine:
            self.checked += 1
            return ""
        answer = _answer(kept, took_ms)
        if step.quick is not None and not answer.truncated and step.quick.is_fine(raw.status, raw.headers, answer.body):
            self.checked += 1
            self._remember(cacheable, key)
            return ""
        first = number - step.index
        variables: Mapping[str, Scalar] = {}
        if step.has_references:
            variables = {**step.script.variables(first, self._row(number)), **self._taken.get(first, {})}
        try:
            checks = check_answer(step.planned, answer, variables)
        except KeyError:  # an earlier answer of the iteration, which has the variable, was not kept
            self.unchecked += 1
            return ""
        self.checked += 1
        failed = next((check for check in checks if not check.passed), None)
        if failed is None:
            failed = self._take(step, answer, first)
        if failed is not None:
            return self._worded(step, failed, answer.status)
        self._remember(cacheable, key)
        return ""

    def _remember(self, cacheable: bool, key: tuple[Any, ...]) -> None:
        if cacheable:
            if len(self._fine) >= _MOST_FINE:
                self._fine.clear()
            self._fine.add(key)

    def _take(self, step: _Step, answer: Answer, first: int) -> Check | None:
        taken = take_values(step.planned, answer)
        if isinstance(taken, Check):
            return taken
        if step.taken_for_later:
            if len(self._taken) >= _MOST_ITERATIONS:
                self._taken.pop(next(iter(self._taken)))
            self._taken.setdefault(first, {}).update(taken)
        return None

    def _time(self, batch: ShotBatch, errors: NDArray[np.int8], told: dict[tuple[int, str], list[int]]) -> None:
        if not self._timed or not len(batch):
            return
        endpoints = np.frombuffer(batch.endpoint, dtype=np.int32)
        took_ms = (np.frombuffer(batch.ended_ns, np.int64) - np.frombuffer(batch.sent_ns, np.int64)) / 1e6
        for endpoint, time in self._timed.items():
            rows = np.flatnonzero((endpoints == endpoint) & (errors == 0))
            step = self._steps[endpoint]
            wrong = (
                rows[time.wrong(took_ms[rows])] if not step.has_references else self._slow(step, batch, rows, took_ms)
            )
            if len(wrong):
                errors[wrong] = _UNEXPECTED
                told.setdefault((endpoint, time.message), []).extend(wrong.tolist())

    def _slow(
        self, step: _Step, batch: ShotBatch, rows: NDArray[np.int64], took_ms: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """The same where the demand holds variables."""
        wrong: list[int] = []
        matcher = step.planned.spec.expect.time_ms
        for index in rows.tolist():
            number = batch.number[index]
            first = number - step.index
            known = {**step.script.variables(first, self._row(number)), **self._taken.get(first, {})}
            try:
                fine = matcher is None or satisfies(fill_matcher(matcher, known), float(took_ms[index]))
            except KeyError:
                self.unchecked += 1
                continue
            if not fine:
                wrong.append(index)
        return np.array(wrong, dtype=np.int64)

    # Telling

    def _tell(self, batch: ShotBatch, index: int, error: int, told: dict[tuple[int, str], list[int]]) -> None:
        endpoint = batch.endpoint[index]
        step = self._steps.get(endpoint)
        if step is None:
            return
        if error == _UNEXPECTED:
            message = _status_message(step, batch.status[index])
        elif error == _NOT_MINTED:
            message = "not sent: no earlier answer gave a usable value for a variable of the request"
        else:
            message = f"no complete answer: {SHOT_ERRORS[error]}"
        told.setdefault((endpoint, message), []).append(index)

    def _worded(self, step: _Step, check: Check, status: int) -> str:
        if check.name == "status":
            return _status_message(step, status)
        if check.name == "time" and step.slowest is not None:
            return step.slowest.message
        expected = _folded(check.expected) if step.has_references else check.expected
        message = f"{check.name}: expected {expected}, got {_folded(check.actual)}"
        if message not in step.wordings:
            if len(step.wordings) >= _MOST_WORDINGS:
                return f"{check.name}: expected {expected}, got other values"
            step.wordings.add(message)
        return message

    def _failure(self, batch: ShotBatch, key: tuple[int, str], index: int) -> CheckFailure:
        return CheckFailure(
            endpoint=key[0],
            message=key[1],
            trace_id=f"{batch.trace_hi[index]:016x}{batch.trace_lo[index]:016x}",
            row=dict(self._row(batch.number[index])),
        )

    def _row(self, number: int) -> Row:
        try:
            return self._row_of(number)
        except KeyError:
            return {}

    def _forget(self, batch: ShotBatch) -> None:
        """Iterations whose last step is over. It always comes, `skipped` if it was not sent."""
        if not len(batch):
            return
        ended = np.flatnonzero(np.isin(np.frombuffer(batch.endpoint, dtype=np.int32), self._lasts))
        for index in ended.tolist():
            step = self._steps[batch.endpoint[index]]
            first = batch.number[index] - step.index
            step.script.forget(first)
            self._taken.pop(first, None)


def _step(script: Script, planned: PlannedStep) -> _Step:
    later = script.plan.steps[planned.index + 1 :]
    asked = {name for other in later for name in asked_by_expectations(other.spec)}
    time_ms = planned.spec.expect.time_ms
    names = (name.lower() for name in planned.spec.expect.headers)
    taken = (source.removeprefix("header:").lower() for source in planned.spec.take.values())
    has_references = bool(asked_by_expectations(planned.spec))
    taken_for_later = bool(asked & planned.spec.take.keys())
    quick = None if has_references or taken_for_later else Quick(planned.spec)
    return _Step(
        script=script,
        planned=planned,
        taken_for_later=taken_for_later,
        has_references=has_references,
        is_last=not later,
        slowest=None if time_ms is None else _Time(time_ms),
        headers=frozenset(["content-encoding", *names, *taken]),
        quick=quick if quick is not None and quick.is_usable else None,
    )


def _status_message(step: _Step, status: int) -> str:
    return f"status {status}, expected {' or '.join(step.planned.spec.expect.status)}"


def _folded(text: str) -> str:
    folded = _CHANGING.sub("#", text)
    return folded if len(folded) <= _MOST_CHARS else f"{folded[: _MOST_CHARS - 1]}…"


def _answer(kept: KeptAnswer, took_ms: float) -> Answer:
    """As `fire` would have read it: headers as text, the body without content coding."""
    raw = kept.answer
    headers = tuple((name, _text(value)) for name, value in raw.headers)
    codings = [c.strip().lower() for v in raw.values("content-encoding") for c in v.split(",")]
    body, is_cut = _decoded(raw.body or b"", codings)
    return Answer(status=raw.status, headers=headers, body=body, duration_ms=took_ms, truncated=kept.cut or is_cut)


def _text(value: str) -> str:
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def _decoded(body: bytes, codings: list[str]) -> tuple[bytes, bool]:
    """The body without gzip and deflate, at most MAX_KEPT_BYTES of it, and whether there is more."""
    for coding in reversed(codings):
        if coding in ("gzip", "x-gzip", "deflate"):
            body = _inflated(body, (47, -15) if coding == "deflate" else (31,))
    return body[:MAX_KEPT_BYTES], len(body) > MAX_KEPT_BYTES


def _inflated(body: bytes, formats: tuple[int, ...]) -> bytes:
    # zlib's window bits: 31 gzip, 47 gzip or zlib by the first bytes, -15 the bare deflate that some send instead.
    for bits in formats:
        try:
            return zlib.decompressobj(bits).decompress(body, MAX_KEPT_BYTES + 1)
        except zlib.error:
            continue
    return body


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_COMPARE: Final[Mapping[str, Callable[[NDArray[np.float64], float], NDArray[np.bool_]]]] = {
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
