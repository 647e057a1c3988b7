"""Architecture over time: a series of graphs as one page that steps through them, and as a table. Pure.

All steps share one layout, that of everything that was ever seen, so that what stays does not move. The page is one
offline file under a Content Security Policy, as the report's is (report/page.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

from markupsafe import Markup

from tracer_bullet.model import Edge, Node, ServiceGraph
from tracer_bullet.report.columns import columns
from tracer_bullet.report.offline import asset, dagre, page_environment, policy
from tracer_bullet.report.text import iso, line, moment, ms, plural

MAX_NODES: Final = 150
MAX_EDGES: Final = 400


class State(Enum):
    """What a part is in a step. `WENT`: it was in the step before; `ABSENT`: neither there nor here."""

    THERE = "there"
    CAME = "came"
    WENT = "went"
    ABSENT = "absent"


SIGNS: Final = {State.THERE: "●", State.CAME: "+", State.WENT: "−", State.ABSENT: "·"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One run's graph."""

    name: str
    started_ns: int
    graph: ServiceGraph


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """A node or an edge over all steps. `ends` are the node ids of an edge, empty for a node."""

    id: str
    name: str
    kind: str
    states: tuple[State, ...]
    notes: tuple[str, ...]
    calls: int
    ends: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether it came or went."""
        return State.CAME in self.states or State.WENT in self.states


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """All steps, by time, and all that was seen in them, by id. `note` says what was left out."""

    steps: tuple[Snapshot, ...]
    nodes: tuple[Track, ...]
    edges: tuple[Track, ...]
    note: str = ""


def build_history(snapshots: Iterable[Snapshot]) -> History:
    """The history of these runs, whatever their order. Raises ValueError without any."""
    steps = tuple(replace(s, name=line(s.name, 80)) for s in sorted(snapshots, key=lambda s: (s.started_ns, s.name)))
    if not steps:
        raise ValueError("a history needs a run")
    nodes: list[dict[str, Node]] = [{n.id: n for n in step.graph.nodes} for step in steps]
    edges: list[dict[str, Edge]] = [{f"{e.source} → {e.target}": e for e in step.graph.edges} for step in steps]
    names = {i: line(n.name, 80) for step in nodes for i, n in step.items()}
    return _cut(
        History(
            steps=steps,
            nodes=tuple(_track(key, nodes, _node) for key in _keys(nodes)),
            edges=tuple(
                replace(track, name=" → ".join(names.get(end, end) for end in track.ends))
                for track in (_track(key, edges, _edge) for key in _keys(edges))
            ),
        )
    )


def render_history_text(history: History, *, everything: bool = False) -> str:
    """The steps, and a row for each part that came or went (with `everything`, for all); ends with a newline."""
    head = [f"{i + 1}" for i in range(len(history.steps))]
    out = columns(
        ("", "run", "started", "spans"),
        [(n, s.name, moment(s.started_ns), f"{s.graph.spans:,}") for n, s in zip(head, history.steps, strict=True)],
        right=(0, 3),
    )
    rows = [
        (kind, track.name, *(SIGNS[state] for state in track.states))
        for kind, tracks in (("node", history.nodes), ("edge", history.edges))
        for track in tracks
        if everything or track.changed
    ]
    out.append("")
    out += columns(("", "", *head), rows) if rows else ["Nothing came or went."]
    out += ["", "● there  + came  − went  · absent"] if rows else []
    out += [history.note] if history.note else []
    return "\n".join(out) + "\n"


def render_history_page(history: History) -> str:
    """The page as HTML5 text, to be written as UTF-8."""
    style, scripts = asset("history.css"), (dagre(), asset("history.js"))
    return (
        page_environment()
        .get_template("history.html.j2")
        .render(
            history=history,
            signs=SIGNS,
            dates=[moment(step.started_ns) for step in history.steps],
            summary=_summary(history),
            data=_data(history),
            style=Markup(style),  # noqa: S704 - our own files, hashed below
            scripts=[Markup(s) for s in scripts],  # noqa: S704
            policy=policy([style], list(scripts)),
        )
    )


def _keys(steps: Sequence[dict[str, Any]]) -> list[str]:
    return sorted({key for step in steps for key in step})


def _track(key: str, steps: Sequence[dict[str, Any]], make: Callable[[str, Any], Track]) -> Track:
    found = [step.get(key) for step in steps]
    last = next(part for part in reversed(found) if part is not None)
    states = [
        _state(part is not None, i > 0 and found[i - 1] is not None, first=i == 0) for i, part in enumerate(found)
    ]
    return replace(
        make(key, last),
        states=tuple(states),
        notes=tuple("" if part is None else _figures(part) for part in found),
        calls=sum(part.calls for part in found if part is not None),
    )


def _state(here: bool, before: bool, *, first: bool) -> State:
    if here:
        return State.THERE if before or first else State.CAME
    return State.WENT if before else State.ABSENT


def _node(key: str, node: Node) -> Track:
    kind = line(node.system, 40) or node.kind.value.replace("_", " ")
    return Track(id=key, name=line(node.name, 80), kind=kind, states=(), notes=(), calls=0)


def _edge(key: str, edge: Edge) -> Track:
    later = "later" if edge.asynchronous else ""
    return Track(id=key, name=key, kind=later, states=(), notes=(), calls=0, ends=(edge.source, edge.target))


def _figures(part: Node | Edge) -> str:
    said = plural(part.calls, "call") + (f", {plural(part.errors, 'error')}" if part.errors else "")
    return f"{said}, p95 {ms(part.latency.p95_ms)}" if isinstance(part, Edge) else said


def _cut(history: History) -> History:
    """What can be drawn: parts that changed come before others, then the busiest."""

    def rank(track: Track) -> tuple[bool, int, str]:
        return not track.changed, -track.calls, track.id

    nodes = sorted(history.nodes, key=rank)[:MAX_NODES]
    kept = {n.id for n in nodes}
    edges = sorted((e for e in history.edges if kept.issuperset(e.ends)), key=rank)[:MAX_EDGES]
    left_out = (len(history.nodes) - len(nodes), len(history.edges) - len(edges))
    note = f"{plural(left_out[0], 'node')} and {plural(left_out[1], 'edge')} with few calls are left out."
    return replace(
        history,
        nodes=tuple(sorted(nodes, key=lambda t: t.id)),
        edges=tuple(sorted(edges, key=lambda t: t.id)),
        note=note if any(left_out) else "",
    )


def _summary(history: History) -> list[str]:
    """A sentence for each step: what came and went in it."""
    said = []
    for i in range(len(history.steps)):
        parts = [
            f"{word} {', '.join(t.name for t in found[:4])}{f' and {len(found) - 4} more' if len(found) > 4 else ''}"
            for state, word in ((State.CAME, "came:"), (State.WENT, "went:"))
            if (found := [t for t in (*history.nodes, *history.edges) if t.states[i] is state])
        ]
        said.append("; ".join(parts) or ("the first run" if i == 0 else "nothing came or went"))
    return said


def _data(history: History) -> dict[str, Any]:
    keys = {track.id: f"n{i}" for i, track in enumerate(history.nodes)}
    return {
        "steps": [
            {"name": s.name, "at": moment(s.started_ns), "iso": iso(s.started_ns), "said": said}
            for s, said in zip(history.steps, _summary(history), strict=True)
        ],
        "nodes": [_drawn(t) | {"key": keys[t.id]} for t in history.nodes],
        "edges": [
            _drawn(t) | {"key": f"e{i}", "source": keys[t.ends[0]], "target": keys[t.ends[1]]}
            for i, t in enumerate(history.edges)
        ],
    }


def _drawn(track: Track) -> dict[str, Any]:
    return {"name": track.name, "kind": track.kind, "states": [s.value for s in track.states], "notes": track.notes}
