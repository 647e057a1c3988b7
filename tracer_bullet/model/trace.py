"""The spans of one trace, indexed by their tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from tracer_bullet.model.span import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Why a trace is not known to be complete. `rule` is a slug of docs/findings.md."""

    rule: str
    service: str
    detail: str
    span_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Trace:
    """All known spans of one trace id, without duplicates, in order of (start, span id)."""

    trace_id: str
    spans: tuple[Span, ...]

    @classmethod
    def of(cls, trace_id: str, spans: Iterable[Span]) -> Trace:
        """Build a trace from spans in any order; spans of other traces are left out.

        A span delivered twice counts once: the copy that ends last wins.
        """
        best: dict[str, Span] = {}
        for span in spans:
            if span.trace_id != trace_id:
                continue
            known = best.get(span.span_id)
            if known is None or _rank(span) > _rank(known):
                best[span.span_id] = span
        ordered = sorted(best.values(), key=lambda s: (s.start_ns, s.span_id))
        return cls(trace_id=trace_id, spans=tuple(ordered))

    @cached_property
    def by_id(self) -> dict[str, Span]:
        """Span id → span."""
        return {s.span_id: s for s in self.spans}

    @cached_property
    def _children(self) -> dict[str, tuple[Span, ...]]:
        found: dict[str, list[Span]] = {}
        for span in self.spans:
            if span.parent_id is not None:
                found.setdefault(span.parent_id, []).append(span)
        return {k: tuple(v) for k, v in found.items()}

    def children(self, span: Span) -> tuple[Span, ...]:
        """Direct children, by start time."""
        return self._children.get(span.span_id, ())

    def parent(self, span: Span) -> Span | None:
        """The parent, or None for a root and for an orphan."""
        return self.by_id.get(span.parent_id) if span.parent_id is not None else None

    @cached_property
    def roots(self) -> tuple[Span, ...]:
        """Spans that say they have no parent."""
        return tuple(s for s in self.spans if s.parent_id is None)

    @cached_property
    def orphans(self) -> tuple[Span, ...]:
        """Spans whose parent was never received."""
        return tuple(s for s in self.spans if s.parent_id is not None and s.parent_id not in self.by_id)

    def ancestors(self, span: Span) -> Iterator[Span]:
        """Parent, grandparent and so on; ends at a root, an orphan or a cycle."""
        seen = {span.span_id}
        current = self.parent(span)
        while current is not None and current.span_id not in seen:
            seen.add(current.span_id)
            yield current
            current = self.parent(current)

    def walk(self) -> Iterator[tuple[int, Span]]:
        """(depth, span) in tree order, roots and orphans first; every span once, no recursion."""
        seen: set[str] = set()
        tops = [*self.roots, *self.orphans]
        for top in [*tops, *self.spans]:  # the tail reaches spans that only a parent cycle holds
            stack = [(0, top)]
            while stack:
                depth, span = stack.pop()
                if span.span_id in seen:
                    continue
                seen.add(span.span_id)
                yield depth, span
                stack.extend((depth + 1, child) for child in reversed(self.children(span)))


def _rank(span: Span) -> tuple[int, int, str]:
    """Total order between copies of one span, so that the choice does not hang on arrival."""
    return (span.end_ns, len(span.attributes), repr(span))
