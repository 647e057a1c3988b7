"""Choosing spans of a trace by a selector, and the spans that come closest when none is chosen. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tracer_bullet.model import Span, Trace
from tracer_bullet.model.attributes import HARNESS_SERVICE
from tracer_bullet.scenario.matching import MISSING, Missing, Text, describe, satisfies, show
from tracer_bullet.workspace.scenario import Selector

# What one span lacks for a condition; empty when it fulfils it.
_Condition = Callable[[Span], str]


def attribute(span: Span, key: str) -> Text | Missing:
    """A span attribute's value as text without a type, or MISSING."""
    value = span.attributes.get(key)
    return MISSING if value is None else Text(value)


def select(selector: Selector, trace: Trace) -> tuple[Span, ...]:
    """The spans that fulfil the selector, in the trace's order, without the harness's own."""
    return tuple(s for s in _select_any(selector, trace) if s.service != HARNESS_SERVICE)


def closest(selector: Selector, trace: Trace, *, limit: int) -> list[tuple[Span, str]]:
    """The spans that lack least to be chosen, and what they lack; at most `limit`, best first."""
    conditions = list(_conditions(selector, trace))
    rated = []
    for span in trace.spans:
        if span.service == HARNESS_SERVICE:
            continue
        lacks = [text for condition in conditions if (text := condition(span))]
        rated.append((len(lacks), span, " and ".join(lacks)))
    rated.sort(key=lambda row: row[0])
    return [(span, text) for _, span, text in rated[:limit]]


def _select_any(selector: Selector, trace: Trace) -> tuple[Span, ...]:
    conditions = list(_conditions(selector, trace))
    return tuple(s for s in trace.spans if not any(condition(s) for condition in conditions))


def _conditions(selector: Selector, trace: Trace) -> Iterator[_Condition]:
    if (service := selector.service) is not None:
        yield lambda s: "" if satisfies(service, Text(s.service)) else f"its service is not {describe(service)}"
    if (name := selector.name) is not None:
        yield lambda s: "" if satisfies(name, Text(s.name)) else f"its name is not {describe(name)}"
    if (kind := selector.kind) is not None:
        yield lambda s: "" if s.kind.name.lower() == kind else f"its kind is not {kind}"
    if (status := selector.status) is not None:
        yield lambda s: "" if s.status.name.lower() == status else f"its status is {s.status.name.lower()}"
    for key, matcher in selector.attributes.items():
        yield lambda s, k=key, m=matcher: (  # type: ignore[misc]  # mypy infers no lambda defaults
            "" if satisfies(m, attribute(s, k)) else f"its {k} is {show(attribute(s, k))}"
        )
    if selector.under is not None:
        below = _below({s.span_id for s in _select_any(selector.under, trace)}, trace)
        yield lambda s: "" if s.span_id in below else "it has no such ancestor"
    if selector.child_of is not None:
        parents = {s.span_id for s in _select_any(selector.child_of, trace)}
        yield lambda s: "" if s.parent_id in parents else "it has no such parent"


def _below(ids: set[str], trace: Trace) -> set[str]:
    """The ids of all descendants; ends also where parents form a cycle."""
    found: set[str] = set()
    stack = [trace.by_id[i] for i in ids]
    while stack:
        for child in trace.children(stack.pop()):
            if child.span_id not in found:
                found.add(child.span_id)
                stack.append(child)
    return found
