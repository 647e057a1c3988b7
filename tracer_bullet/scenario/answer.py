"""The answer to a step: what is expected of it, and what is taken from it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tracer_bullet.model import Check
from tracer_bullet.scenario.matching import MISSING, Text, describe, satisfies, show
from tracer_bullet.scenario.paths import find_values
from tracer_bullet.scenario.plan import PlannedStep
from tracer_bullet.scenario.render import fill_matcher
from tracer_bullet.workspace.template import Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. `body` is decoded and may be only the beginning, when `truncated`.

    `duration_ms` is from sending to the end of the answer.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    duration_ms: float
    truncated: bool = False

    def header(self, name: str) -> Text | None:
        """The value of a header, its lines joined by `, ` (RFC 9110, section 5.3); None when it is not there."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return Text(", ".join(values)) if values else None


def check_answer(step: PlannedStep, answer: Answer, variables: Mapping[str, Scalar] | None = None) -> tuple[Check, ...]:
    """One check an expectation of the step, in the order status, headers, JSON, time.

    `variables` fill the `${name}` in matchers; they are those that the request was rendered with.
    """
    known = variables or {}
    return (
        _check_status(step, answer),
        *_check_headers(step, answer, known),
        *_check_json(step, answer, known),
        *_check_time(step, answer, known),
    )


def expects_status(step: PlannedStep, status: int) -> bool:
    """Whether the step's expectation admits this status."""
    return any(str(status) == wanted or f"{status // 100}xx" == wanted for wanted in step.spec.expect.status)


def take_values(step: PlannedStep, answer: Answer) -> dict[str, Scalar] | Check:
    """The variables that the step takes, or a failed check for the first that is not there."""
    taken: dict[str, Scalar] = {}
    for name, source in step.spec.take.items():
        try:
            taken[name] = _take(source, answer)
        except ValueError as error:
            return _check(
                step, f"take {name}", f"take.{name}", passed=False, expected=f"one value at {source}", actual=str(error)
            )
    return taken


def _take(source: str, answer: Answer) -> Scalar:
    if source == "status":
        return answer.status
    if source.startswith("header:"):
        value = answer.header(source.removeprefix("header:"))
        if value is None:
            raise ValueError(f"missing; the answer has the headers {_names(answer)}")
        return str(value)
    found = find_values(source, _json(answer))
    if not found:
        raise ValueError(f"missing; the answer is {_body_text(answer)}")
    if not isinstance(found[0], str | int | float | bool):
        raise ValueError(f"{show(found[0])}, which is no text, number or boolean")
    return found[0]


def _check_status(step: PlannedStep, answer: Answer) -> Check:
    expect = step.spec.expect
    expected = " or ".join(expect.status) + (" (default: the step names no status)" if expect.status_is_default else "")
    passed = expects_status(step, answer.status)
    actual = str(answer.status) if passed else f"{answer.status}, with the body {_body_text(answer)}"
    return _check(step, "status", "expect.status", passed=passed, expected=expected, actual=actual)


def _check_headers(step: PlannedStep, answer: Answer, variables: Mapping[str, Scalar]) -> Iterator[Check]:
    for name, written in step.spec.expect.headers.items():
        matcher = fill_matcher(written, variables)
        value = answer.header(name)
        passed = satisfies(matcher, MISSING if value is None else value)
        actual = f"missing; the answer has the headers {_names(answer)}" if value is None else show(value)
        path = f"expect.headers.{name}"
        yield _check(step, f"header {name}", path, passed=passed, expected=describe(matcher), actual=actual)


def _check_json(step: PlannedStep, answer: Answer, variables: Mapping[str, Scalar]) -> Iterator[Check]:
    expectations = step.spec.expect.json_
    if not expectations:
        return
    try:
        document = _json(answer)
    except ValueError as error:
        for path, matcher in expectations.items():
            yield _json_check(step, path, passed=False, expected=describe(matcher), actual=str(error))
        return
    for path, written in expectations.items():
        matcher = fill_matcher(written, variables)
        try:
            found = find_values(path, document) or [MISSING]
        except ValueError as error:
            yield _json_check(step, path, passed=False, expected=describe(matcher), actual=str(error))
            continue
        wrong = [value for value in found if not satisfies(matcher, value)]
        actual = _found_text(wrong or found, len(found), answer)
        yield _json_check(step, path, passed=not wrong, expected=describe(matcher), actual=actual)


def _json_check(step: PlannedStep, path: str, *, passed: bool, expected: str, actual: str) -> Check:
    return _check(step, f"json {path}", f"expect.json.{path}", passed=passed, expected=expected, actual=actual)


def _check_time(step: PlannedStep, answer: Answer, variables: Mapping[str, Scalar]) -> Iterator[Check]:
    if step.spec.expect.time_ms is not None:
        matcher = fill_matcher(step.spec.expect.time_ms, variables)
        passed = satisfies(matcher, answer.duration_ms)
        expected, actual = f"{describe(matcher)} ms", f"{answer.duration_ms:.1f} ms"
        yield _check(step, "time", "expect.time_ms", passed=passed, expected=expected, actual=actual)


def _json(answer: Answer) -> Any:
    """The body as a JSON value. Raises ValueError that says what it is instead."""
    if answer.truncated:
        raise ValueError(f"the answer is longer than the {len(answer.body):,} bytes that are kept")
    try:
        return json.loads(answer.body, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("the answer is nested too deep") from None
    except ValueError:
        raise ValueError(f"the answer is no JSON, but {_body_text(answer)}") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _found_text(values: list[Any], found: int, answer: Answer) -> str:
    if values == [MISSING]:
        return f"missing; the answer is {_body_text(answer)}"
    text = ", ".join(show(value) for value in values[:5])
    if len(values) > 5:
        text += f" and {len(values) - 5} more"
    return text if found == len(values) else f"{text} (of {found} found)"


def _body_text(answer: Answer) -> str:
    if not answer.body:
        return "empty"
    return show(Text(answer.body[:1_000].decode("utf-8", "backslashreplace")))


def _names(answer: Answer) -> str:
    return ", ".join(dict.fromkeys(name.lower() for name, _ in answer.headers)) or "none"


def _check(step: PlannedStep, name: str, path: str, *, passed: bool, expected: str, actual: str) -> Check:
    return Check(
        name=name, passed=passed, expected=expected, actual=actual, where=step.where(path), step=step.spec.name
    )
