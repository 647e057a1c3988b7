"""The walk: from spans to the sections of their traces' critical paths (docs/critical-path.md has the rule)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracer_bullet.graph.paths.chains import Chains, find_chains
from tracer_bullet.graph.paths.cover import covered_time
from tracer_bullet.graph.paths.spans import PathSpans, choose_roots, non_blocking
from tracer_bullet.graph.paths.trees import NOBODY, Bools, Ids, Ints, fold, positions


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """What of the traces a root may have waited for: blocking spans, cut to their parents, without the empty ones.

    `rows` are rows of the spans given; `parents` and `roots` are numbers in here; `trace` counts the roots.
    """

    rows: Ints
    parents: Ints
    span_id: Ids
    start: Ints
    end: Ints
    roots: Ints
    trace: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Sections of critical paths: `owner` (a row of the spans given) was waited for from `start` to `end`.

    The sections of a trace are disjoint and cover its root. `alone`: ns of the section in which nothing else
    that the root waits for was under way. `tied`: another tie rule would give the section away. `roots` are rows.
    """

    roots: Ints
    owner: Ints
    start: Ints
    end: Ints
    alone: Ints
    tied: Bools
    extra_roots: int
    rootless: int
    detached: int


def walk_paths(spans: PathSpans, grain_ns: int) -> Paths:
    """The critical paths of all traces of `spans`. `grain_ns` is the clocks' resolution (≥ 1)."""
    roots = choose_roots(spans)
    detached = non_blocking(spans, grain_ns)
    tree = _cut(spans, roots, detached)
    chains = find_chains(tree.parents, tree.start, tree.end, tree.span_id, grain_ns)
    owner, start, end, tied, covered = _sections(tree, chains)
    return Paths(
        roots=roots,
        owner=tree.rows[owner],
        start=start,
        end=end,
        alone=end - start - covered,
        tied=tied,
        extra_roots=int((spans.parents == NOBODY).sum()) - len(roots),
        rootless=int(spans.orphan[roots].sum()),
        detached=int(detached.sum()),
    )


def _cut(spans: PathSpans, roots: Ints, detached: Bools) -> Tree:
    start, end = spans.start.copy(), spans.end.copy()
    parents = np.where(detached, NOBODY, spans.parents)
    top = fold(parents, (start, np.maximum), (end, np.minimum))
    chosen = np.zeros(len(parents), dtype=np.bool_)
    chosen[roots] = True
    alive = chosen[top] & (end > start)
    number = positions(alive)
    rows = np.flatnonzero(alive)
    # A span that is not empty has no empty ancestor, so that every parent is in here.
    over = parents[rows]
    inner = np.where(over == NOBODY, NOBODY, number[over])
    return Tree(
        rows=rows,
        parents=inner,
        span_id=spans.span_id[rows],
        start=start[rows],
        end=end[rows],
        roots=np.flatnonzero(inner == NOBODY),
        trace=positions(inner == NOBODY)[number[top[rows]]],
    )


def _sections(tree: Tree, chains: Chains) -> tuple[Ints, Ints, Ints, Bools, Ints]:
    """Owner, start, end and tied of each section, and for how long other work was under way beside it."""
    # A span's window ends where the next one of its chain begins, and never after its parent's.
    limit = tree.end.copy()
    followed = np.flatnonzero(chains.next != NOBODY)
    limit[followed] = np.minimum(limit[followed], tree.start[chains.next[followed]])
    tied = chains.tied.copy()
    top = fold(np.where(chains.chosen, tree.parents, NOBODY), (limit, np.minimum), (tied, np.logical_or))
    on_path = tree.parents[top] == NOBODY
    path = np.flatnonzero(on_path)
    below = np.flatnonzero(on_path & (tree.parents != NOBODY))
    over = tree.parents[below]
    # A parent's own time is before each span of its chain, and after the last one.
    start = np.concatenate(
        (_after(chains.previous[below], limit, tree.start[over]), _after(chains.last[path], limit, tree.start[path]))
    )
    end = np.concatenate((np.minimum(tree.start[below], limit[over]), limit[path]))
    owner = np.concatenate((over, path))
    real = np.flatnonzero(end > start)
    owner, start, end = owner[real], start[real], end[real]
    beside = np.flatnonzero(~chains.chosen & (tree.parents != NOBODY))
    beside = beside[on_path[tree.parents[beside]]]
    until = np.minimum(tree.end[beside], limit[tree.parents[beside]])
    roots = (tree.start[tree.roots], tree.end[tree.roots])
    others = (tree.trace[beside], tree.start[beside], until)
    covered = covered_time(roots, others, (tree.trace[owner], start, end))
    return owner, start, end, tied[owner], covered


def _after(spans: Ints, limit: Ints, otherwise: Ints) -> Ints:
    return np.where(spans == NOBODY, otherwise, limit[spans])
