"""The critical path by plain Python over one trace at a time: what the walk of all traces at once must equal.

Written from docs/critical-path.md. And the walk of Jaeger UI, to say where and by how much it differs.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from tracer_bullet.model import Span, SpanKind, Trace

Section = tuple[str, int, int]


@dataclass
class Path:
    """Sections by start, the ids of spans whose time is ambiguous, and ns of each section with nothing beside it."""

    sections: list[Section] = field(default_factory=list)
    ambiguous: set[str] = field(default_factory=set)
    alone: dict[Section, int] = field(default_factory=dict)


def machine(span: Span) -> str:
    return span.resource.get("host.name", "")


def is_blocking(parent: Span, child: Span, grain: int) -> bool:
    if parent.kind is SpanKind.PRODUCER and child.kind is SpanKind.CONSUMER:
        return False
    if any((x.trace_id, x.span_id) == (parent.trace_id, parent.span_id) for x in child.links):
        return False
    known = machine(parent) and machine(child)
    together = machine(parent) == machine(child) if known else parent.service == child.service
    return not (together and child.end_ns > parent.end_ns + grain)


def root_of(trace: Trace) -> Span | None:
    roots = [s for s in trace.spans if s.parent_id in (None, s.span_id)]
    lost = [s for s in trace.spans if s.parent_id is not None and s.parent_id not in trace.by_id]
    found = roots or lost
    return min(found, key=lambda s: (s.start_ns, -s.end_ns, s.span_id)) if found else None


def windows(trace: Trace, root: Span, grain: int) -> dict[str, tuple[int, int]]:
    """What the root may have waited for, each span cut to its parent."""
    found: dict[str, tuple[int, int]] = {}
    if root.end_ns <= root.start_ns:
        return found
    found[root.span_id] = (root.start_ns, root.end_ns)
    todo = [root]
    while todo:
        parent = todo.pop()
        low, high = found[parent.span_id]
        for child in trace.children(parent):
            start, end = max(low, child.start_ns), min(high, child.end_ns)
            if child in (root, parent) or start >= end or not is_blocking(parent, child, grain):
                continue
            found[child.span_id] = (start, end)
            todo.append(child)
    return found


def chain(children: list[str], window: dict[str, tuple[int, int]], until: int, grain: int) -> list[tuple[str, bool]]:
    """The chain, the last one first, each with whether it was a tie."""

    def sure(name: str) -> int:
        return max(window[name][1] - grain, window[name][0] + 1)

    found: list[tuple[str, bool]] = []
    while candidates := [c for c in children if sure(c) <= until]:
        latest = max(map(sure, candidates))
        tied = [c for c in candidates if latest - sure(c) <= max(grain - 2, 0)]
        best = min(tied, key=lambda c: (window[c][0] - window[c][1], window[c][0], c))
        found.append((best, len(tied) > 1))
        until = window[best][0]
    return found


def critical_path(trace: Trace, grain: int) -> Path:
    path = Path()
    root = root_of(trace)
    window = {} if root is None else windows(trace, root, grain)
    if root is None or not window:
        return path
    below: dict[str, list[str]] = defaultdict(list)
    for name in window:
        if name != root.span_id:
            below[trace.by_id[name].parent_id or ""].append(name)
    others: list[tuple[int, int]] = []
    todo = [(root.span_id, window[root.span_id][1], False)]
    while todo:
        name, limit, ambiguous = todo.pop()
        if ambiguous:
            path.ambiguous.add(name)
        now = limit
        links = chain(below[name], window, window[name][1], grain)
        for child, tie in links:
            start, end = window[child][0], min(window[child][1], now)
            path.sections.append((name, end, now))
            todo.append((child, end, ambiguous or tie))
            now = min(now, start)
        path.sections.append((name, window[name][0], now))
        on_chain = {c for c, _ in links}
        others += [(window[c][0], min(window[c][1], limit)) for c in below[name] if c not in on_chain]
    path.sections = sorted((s for s in path.sections if s[1] < s[2]), key=lambda s: s[1])
    path.ambiguous &= {name for name, _, _ in path.sections}
    busy = {t for start, end in others for t in range(start, end)}
    path.alone = {s: sum(t not in busy for t in range(s[1], s[2])) for s in path.sections}
    return path


def jaeger_path(trace: Trace) -> list[Section]:
    """Jaeger UI's criticalPath (packages/jaeger-ui/src/components/TracePage/CriticalPath): per root, producer →
    consumer subtrees dropped, children clipped or dropped when disjoint, back from the last finishing child,
    which must end strictly before the returning point."""
    root = root_of(trace)
    if root is None:
        return []
    window = {root.span_id: (root.start_ns, root.end_ns)}
    below: dict[str, list[str]] = defaultdict(list)
    order = [root]
    for parent in order:
        low, high = window[parent.span_id]
        for child in trace.children(parent):
            if parent.kind is SpanKind.PRODUCER and child.kind is SpanKind.CONSUMER:
                continue
            if child.start_ns >= high or child.end_ns <= low or child.span_id in window:
                continue
            window[child.span_id] = (max(low, child.start_ns), min(high, child.end_ns))
            below[parent.span_id].append(child.span_id)
            order.append(child)
    sections: list[Section] = []
    todo: list[tuple[str, int | None]] = [(root.span_id, None)]
    while todo:
        name, spawn = todo.pop()
        last: str | None = None
        for child in below[name]:
            if (spawn is None or window[child][1] < spawn) and (last is None or window[child][1] > window[last][1]):
                last = child
        until = window[name][1] if spawn is None else spawn
        if last is not None:
            sections.append((name, window[last][1], until))
            todo.extend([(name, window[last][0]), (last, None)])
        else:
            sections.append((name, window[name][0], until))
    return sorted((s for s in sections if s[1] < s[2]), key=lambda s: s[1])
