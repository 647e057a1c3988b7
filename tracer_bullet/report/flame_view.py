"""Flame views: self time by call path in one trace, and by service and operation over the critical paths."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tracer_bullet.model import Span, Trace
from tracer_bullet.model import attributes as names
from tracer_bullet.model.analysis import CriticalPaths
from tracer_bullet.report import text
from tracer_bullet.report.insight import Block, FlameRow, FlameView
from tracer_bullet.report.labels import LANES, span_label

MAX_DEPTH = 24
MAX_BLOCKS = 160
MAX_ROWS = 60
# Narrower blocks could not be seen nor pointed at; their time stays in the block above.
_NARROWEST = 0.2
ROW_PX = 22


@dataclass(slots=True)
class _Path:
    """A call path: `own_ns` in its own spans, `total_ns` with all below."""

    depth: int
    service: str
    name: str
    own_ns: int = 0
    total_ns: int = 0
    times: int = 0
    below: dict[tuple[str, str], int] = field(default_factory=dict)


def self_times(trace: Trace) -> dict[str, int]:
    """Span id → nanoseconds that no child covers. Children count as far as they lie inside their parent."""
    result = {}
    for span in trace.spans:
        covered, reach = 0, span.start_ns
        for child in trace.children(span):  # by start
            begin, end = max(child.start_ns, reach), min(child.end_ns, span.end_ns)
            if end > begin:
                covered += end - begin
                reach = end
        result[span.span_id] = max(0, span.end_ns - span.start_ns - covered)
    return result


def trace_flame(trace: Trace, lanes: dict[str, int]) -> FlameView:
    """One trace by call path: spans with equal names from the root down are one block.

    Widths are self time with all that is below; work side by side adds up, so the whole may be longer than the
    trace. `lanes` colours services.
    """
    paths, order = _paths(trace)
    for index in reversed(order):  # children come after their parents
        found = paths[index]
        found.total_ns = found.own_ns + sum(paths[i].total_ns for i in found.below.values())
    tops = [i for i in order if paths[i].depth == 0]
    whole = sum(paths[i].total_ns for i in tops)
    blocks, hidden = _blocks(paths, tops, whole, lanes)
    listed = sorted(sorted(order, key=lambda i: (-paths[i].own_ns, i))[:MAX_ROWS])
    ranked = {index: rank for rank, index in enumerate(_preorder(paths, tops))}
    rows = tuple(_row(paths[i], whole) for i in sorted(listed, key=ranked.__getitem__))
    notes = [
        f"{text.plural(hidden, 'block')} too deep or too narrow to draw stand in the blocks above" if hidden else "",
        f"the table has the {MAX_ROWS} call paths with most own time" if len(order) > MAX_ROWS else "",
    ]
    said = "; ".join(n for n in notes if n)
    return FlameView(
        title=f"Own time by call path, {text.ms(whole / 1e6)} in all",
        blocks=tuple(blocks),
        height=max((b.top + ROW_PX for b in blocks), default=0),
        rows=rows,
        note=f"{said[0].upper()}{said[1:]}." if said else "",
    )


def _paths(trace: Trace) -> tuple[list[_Path], list[int]]:
    """All call paths, and their indices in the order in which they were met (parents first)."""
    own = self_times(trace)
    paths: list[_Path] = []
    tops: dict[tuple[str, str], int] = {}
    above: list[int] = []  # path index at each depth of the walk
    for depth, span in trace.walk():
        if span.name == names.SEAL_SPAN_NAME:
            continue
        del above[depth:]
        siblings = paths[above[-1]].below if above else tops
        key = (span.service, span_label(span))
        index = siblings.get(key)
        if index is None:
            index = siblings[key] = len(paths)
            paths.append(_Path(len(above), *key))
        paths[index].own_ns += own[span.span_id]
        paths[index].times += 1
        above.append(index)
    return paths, list(range(len(paths)))


def _preorder(paths: Sequence[_Path], tops: Sequence[int]) -> Iterable[int]:
    stack = list(reversed(_widest(paths, tops)))
    while stack:
        index = stack.pop()
        yield index
        stack.extend(reversed(_widest(paths, list(paths[index].below.values()))))


def _widest(paths: Sequence[_Path], indices: Sequence[int]) -> list[int]:
    return sorted(indices, key=lambda i: (-paths[i].total_ns, i))


def _blocks(paths: Sequence[_Path], tops: Sequence[int], whole: int, lanes: dict[str, int]) -> tuple[list[Block], int]:
    blocks: list[Block] = []
    hidden = 0
    stack: list[tuple[int, float]] = []

    def put(indices: Sequence[int], left: float) -> None:
        placed = []
        for i in _widest(paths, indices):
            placed.append((i, left))
            left += 100 * paths[i].total_ns / whole
        stack.extend(reversed(placed))

    if whole:
        put(tops, 0.0)
    while stack:
        index, left = stack.pop()
        found = paths[index]
        width = 100 * found.total_ns / whole
        if width < _NARROWEST or found.depth >= MAX_DEPTH or len(blocks) >= MAX_BLOCKS:
            hidden += 1
            continue  # what is below is narrower or deeper still
        blocks.append(
            Block(
                top=ROW_PX * found.depth,
                left=round(left, 2),
                width=round(width, 2),
                lane=lanes.get(found.service, 0),
                label=text.line(f"{found.name} · {found.service}", 80),
                title=f"{text.line(found.service, 80)}: {text.line(found.name, 120)} – {_share(found.total_ns, whole)} "
                f"({text.ms(found.total_ns / 1e6)}), own {text.ms(found.own_ns / 1e6)}, "
                f"{text.plural(found.times, 'span')}",
            )
        )
        put(list(found.below.values()), left)
    return blocks, hidden


def _share(part: int, whole: int) -> str:
    return text.share(part / whole) if whole else text.DASH


def _row(found: _Path, whole: int) -> FlameRow:
    return FlameRow(
        depth=min(found.depth, MAX_DEPTH),
        service=text.line(found.service or "(no service name)", 120),
        name=text.line(found.name or "(no name)", 200),
        times=text.count(found.times),
        own=text.ms(found.own_ns / 1e6),
        total=text.ms(found.total_ns / 1e6),
        share=_share(found.own_ns, whole),
    )


def critical_flame(critical: CriticalPaths) -> FlameView:
    """All critical paths together: a row of services, below each its operations, by exclusive time."""
    by_service: dict[str, float] = {}
    for part in critical.shares:
        by_service[part.service] = by_service.get(part.service, 0.0) + max(part.exclusive_ms, 0.0)
    whole = sum(by_service.values())
    if not whole:
        return FlameView(title="")
    blocks = [Block(top=0, left=0, width=100, lane=-1, label="all critical paths", title=text.ms(whole))]
    left, hidden = 0.0, 0
    for i, (service, total) in enumerate(sorted(by_service.items(), key=lambda p: (-p[1], p[0]))):
        width = 100 * total / whole
        if width < _NARROWEST or len(blocks) >= MAX_BLOCKS:
            hidden += 1
            continue
        blocks.append(_critical_block(1, left, width, i % LANES, text.line(service, 80), total, whole))
        inner = left
        for part in sorted((p for p in critical.shares if p.service == service), key=lambda p: -p.exclusive_ms):
            span = 100 * max(part.exclusive_ms, 0.0) / whole
            if span < _NARROWEST or len(blocks) >= MAX_BLOCKS:
                break
            name = f"{text.line(part.operation, 80)} · {text.line(part.service, 60)}"
            blocks.append(_critical_block(2, inner, span, i % LANES, name, part.exclusive_ms, whole))
            inner += span
        left += width
    note = f"{text.plural(hidden, 'service')} too narrow to draw." if hidden else ""
    return FlameView(
        title="Time on critical paths by service and operation", blocks=tuple(blocks), height=3 * ROW_PX, note=note
    )


def _critical_block(row: int, left: float, width: float, lane: int, label: str, part: float, whole: float) -> Block:
    title = f"{label} – {text.share(part / whole)} ({text.ms(part)})"
    return Block(top=ROW_PX * row, left=round(left, 2), width=round(width, 2), lane=lane, label=label, title=title)


def lanes_of(spans: Iterable[Span]) -> dict[str, int]:
    """A colour for each service, in the order in which they come; there are `LANES` of them."""
    return {service: i % LANES for i, service in enumerate(dict.fromkeys(s.service for s in spans))}
