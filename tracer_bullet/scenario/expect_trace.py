"""What a scenario expects of a bullet's trace. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tracer_bullet.model import Check, Severity, Span, Trace
from tracer_bullet.scenario.matching import describe, satisfies, show
from tracer_bullet.scenario.select import attribute, closest, select
from tracer_bullet.workspace.load import Located
from tracer_bullet.workspace.matcher import Matcher
from tracer_bullet.workspace.scenario import ScenarioSpec, TraceSpec

_SHOWN = 3
_SPANS_TRIED = 1000


def check_trace(scenario: Located[ScenarioSpec], trace: Trace, *, complete: bool = True) -> tuple[Check, ...]:
    """The checks of `trace:`: for each entry its count, then duration and attributes of what was chosen.

    Where no span was chosen there is only the check on the count. In a trace that is not
    `complete`, too few spans prove nothing: such a check has the severity GAP.
    """
    checks: list[Check] = []
    for index, spec in enumerate(scenario.value.trace):
        checks.extend(_check_entry(scenario, f"trace.{index}", spec, trace, complete=complete))
    return tuple(checks)


def _check_entry(
    scenario: Located[ScenarioSpec], path: str, spec: TraceSpec, trace: Trace, *, complete: bool
) -> Iterator[Check]:
    name = spec.name or path
    chosen = select(spec.spans, trace)
    yield Check(
        name=f"{name}: count",
        passed=satisfies(spec.count, len(chosen)),
        expected=f"{describe(spec.count)} span(s)",
        actual=_count_text(spec, chosen, trace),
        where=scenario.where(f"{path}.count"),
        severity=Severity.ERROR if complete or not _more_would_do(spec.count, len(chosen)) else Severity.GAP,
    )
    if not chosen:
        return
    if spec.duration_ms is not None:
        wrong = [s for s in chosen if not satisfies(spec.duration_ms, s.duration_ms)]
        texts = [f"{_label(s)} took {s.duration_ms:.1f} ms" for s in wrong or chosen]
        where = scenario.where(f"{path}.duration_ms")
        yield _each(f"{name}: duration", f"{describe(spec.duration_ms)} ms", texts, where, passed=not wrong)
    for key, matcher in spec.attributes.items():
        yield _check_attribute(f"{name}: {key}", key, matcher, chosen, scenario.where(f"{path}.attributes.{key}"))


def _more_would_do(count: Matcher, found: int) -> bool:
    """Whether the spans that are missing could still satisfy the count."""
    return any(satisfies(count, found + more) for more in range(1, _SPANS_TRIED))


def _check_attribute(name: str, key: str, matcher: Matcher, chosen: tuple[Span, ...], where: str) -> Check:
    wrong = [s for s in chosen if not satisfies(matcher, attribute(s, key))]
    texts = [f"{_label(s)} has {show(attribute(s, key))}" for s in wrong or chosen]
    return _each(name, describe(matcher), texts, where, passed=not wrong)


def _each(name: str, expected: str, texts: list[str], where: str, *, passed: bool) -> Check:
    return Check(name=name, passed=passed, expected=expected, actual=_some(texts), where=where)


def _count_text(spec: TraceSpec, chosen: tuple[Span, ...], trace: Trace) -> str:
    if chosen:
        return f"{len(chosen)}: {_some([_label(s) for s in chosen])}"
    near = closest(spec.spans, trace, limit=_SHOWN)
    if not near:
        return "0, and the trace has no span of any service"
    return "0; closest: " + "; ".join(f"{_label(span)}, but {why}" for span, why in near)


def _label(span: Span) -> str:
    return f"{span.service} {show(span.name, 80)} ({span.kind.name.lower()} {span.span_id})"


def _some(texts: list[str]) -> str:
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more
