"""Example traces: which are shown, and their waterfalls."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tracer_bullet.model import BulletVerdict, Outcome, Severity, Span, SpanKind, Trace, Verdict
from tracer_bullet.model import attributes as names
from tracer_bullet.model.analysis import Analysis, PathSection, Pattern
from tracer_bullet.report import text
from tracer_bullet.report.flame_view import lanes_of, trace_flame
from tracer_bullet.report.labels import span_label
from tracer_bullet.report.shape import Example, Mark, SpanRow
from tracer_bullet.report.shape_base import Tone

ANALYSIS_RULE = "Shown: traces that the analysis chose, the slowest and a typical one, each once, with why."
RULE = (
    "Shown: the first failed bullet, the first inconclusive one, the slowest trace and a typical one "
    "(a passed bullet whose trace length is nearest to the median), each once."
)
MAX_EXAMPLES = 12
# Of one trace; and of all together, so that many examples do not make the page heavy.
MAX_ROWS = 250
MAX_ALL_ROWS = 1500
MAX_INDENT = 24
MAX_SECTIONS = 40
ENTRY_KINDS = (SpanKind.SERVER, SpanKind.CONSUMER)

OUTCOME_TONE = {
    Outcome.PASSED: Tone.GOOD,
    Outcome.FAILED: Tone.BAD,
    Outcome.INCONCLUSIVE: Tone.UNSURE,
    Outcome.ABORTED: Tone.BAD,
}
# What each decision of docs/protocol.md section 5 means to a reader, and how it feels.
DECISIONS: dict[str, tuple[str, Tone]] = {
    "rolled_back": ("ran in a transaction that was rolled back", Tone.GOOD),
    "suppressed": ("was not sent; the caller got an inferred answer", Tone.GOOD),
    "shadowed": ("went to a shadow place", Tone.GOOD),
    "stubbed": ("was answered from a template", Tone.GOOD),
    "forwarded": ("was sent under the flag, for consumers that know it", Tone.GOOD),
    "unguarded": ("ran in code that no guard stands for", Tone.BAD),
    "denied": ("was refused; the caller got an error", Tone.GOOD),
    "allowed": ("happened for real, as a rule allows", Tone.WARN),
}


def trace_ms(trace: Trace) -> float:
    """Length of a trace: its root's duration when it has one root, else from first start to last end."""
    if len(trace.roots) == 1:
        return trace.roots[0].duration_ms
    if not trace.spans:
        return 0.0
    return (max(s.end_ns for s in trace.spans) - min(s.start_ns for s in trace.spans)) / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceContext:
    """What is known of traces besides their spans. `paths` are critical paths by trace id."""

    verdict: Verdict | None = None
    analysis: Analysis | None = None
    paths: Mapping[str, Sequence[PathSection]] = field(default_factory=dict)
    flag_sent: bool = False

    def patterns_of(self, trace_id: str) -> tuple[Pattern, ...]:
        """The wasteful patterns that have this trace as an example."""
        found = self.analysis.patterns if self.analysis is not None else ()
        return tuple(p for p in found if trace_id in p.example_trace_ids)


def build_examples(traces: Sequence[Trace], known: TraceContext) -> tuple[tuple[Example, ...], dict[str, str]]:
    """Up to `MAX_EXAMPLES` traces by `RULE`, and their keys by trace id.

    A trace that fits several reasons is shown once and names them all. When the flag was sent, entry spans that do
    not carry it are marked.
    """
    by_id = {t.trace_id: t for t in traces if t.spans}
    bullets = {b.trace_id: b for b in known.verdict.bullets if b.trace_id in by_id} if known.verdict else {}
    reasons: dict[str, list[str]] = {}
    for why, trace_id in _choices(list(bullets.values()), list(by_id.values()), known.analysis):
        if trace_id in reasons or len(reasons) < MAX_EXAMPLES:
            said = reasons.setdefault(trace_id, [])
            if not any(one == why or one.startswith(f"{why}: ") for one in said):
                said.append(why)
    keys = {trace_id: f"t{i}" for i, trace_id in enumerate(reasons)}
    limit = max(60, min(MAX_ROWS, MAX_ALL_ROWS // max(len(reasons), 1)))
    shown = tuple(
        _example(keys[trace_id], text.listing(why), by_id[trace_id], bullets.get(trace_id), known, limit)
        for trace_id, why in reasons.items()
    )
    return shown, keys


def _choices(bullets: list[BulletVerdict], traces: list[Trace], analysis: Analysis | None) -> Iterable[tuple[str, str]]:
    for outcome in (Outcome.FAILED, Outcome.INCONCLUSIVE):
        first = min((b for b in bullets if b.outcome is outcome), key=lambda b: b.bullet, default=None)
        if first is not None:
            yield f"first {outcome.value}", first.trace_id
    if not traces:
        return
    lengths = {t.trace_id: trace_ms(t) for t in traces}
    chosen = [e for e in (analysis.examples if analysis is not None else ()) if e.trace_id in lengths]
    for example in chosen:
        slowest = example.why.startswith("slowest: ")  # the page says of what, and how long it took
        yield "slowest" if slowest else text.line(example.why, 80), example.trace_id
    yield "slowest", max(lengths, key=lambda i: (lengths[i], i))
    passed = [b.trace_id for b in bullets if b.outcome is Outcome.PASSED] or list(lengths)
    ordered = sorted(passed, key=lambda i: (lengths[i], i))
    yield "typical", ordered[(len(ordered) - 1) // 2]
    if analysis is not None:
        of_cause = {e.trace_id for e in chosen if e.why.startswith(("failed: ", "slow: ", "swallowed error: "))}
        yield from _of_findings(analysis, lengths, of_cause)


def _of_findings(analysis: Analysis, known: Container[str], told: Container[str]) -> Iterable[tuple[str, str]]:
    """The first known example of each cause, unless it was `told`, and of each wasteful pattern."""
    for cause in analysis.causes:
        first_known = next((i for i in cause.example_trace_ids if i in known), None)
        if first_known is not None and first_known not in told:
            yield f"{cause.symptom.value}: {text.line(cause.error or cause.operation, 60)}", first_known
    for pattern in analysis.patterns:
        first_known = next((i for i in pattern.example_trace_ids if i in known), None)
        if first_known is not None:
            yield pattern.waste.value.replace("-", " "), first_known


def _example(
    key: str, why: str, trace: Trace, bullet: BulletVerdict | None, known: TraceContext, limit: int
) -> Example:
    spans = [(d, s) for d, s in trace.walk() if s.name != names.SEAL_SPAN_NAME]
    path = _by_section(known.paths.get(trace.trace_id, ()))
    patterns = known.patterns_of(trace.trace_id)
    kept = _kept(trace, [s for _, s in spans], known.flag_sent, path, limit)
    begin = min((s.start_ns for _, s in spans), default=0)
    length_ns = max(max((s.end_ns for _, s in spans), default=0) - begin, 1)
    lanes = lanes_of(s for _, s in spans)
    found = _by_span(bullet)
    rows = tuple(
        _row(
            depth,
            span,
            (begin, length_ns),
            lanes[span.service],
            [*found.get(span.span_id, ()), *_marks(span, known.flag_sent), *_waste_marks(span, patterns)],
            path.get(span.span_id, []),
        )
        for depth, span in spans
        if span.span_id in kept
    )
    outcome = bullet.outcome if bullet is not None else None
    left_out = len(spans) - len(rows)
    return Example(
        key=key,
        why=why,
        title=f"Bullet {bullet.bullet}" if bullet is not None else _title(spans),
        trace_id=text.line(trace.trace_id, 40),
        outcome=outcome.value if outcome is not None else "",
        tone=OUTCOME_TONE[outcome] if outcome is not None else Tone.PLAIN,
        duration=text.ms(trace_ms(trace)),
        size=f"{text.plural(len(spans), 'span')} in {text.plural(len(lanes), 'service')}",
        rows=rows,
        ticks=tuple(text.ms(length_ns / 1e6 * i / 4) for i in range(5)),
        note=f"{text.plural(left_out, 'further span')} left out: marked and longest spans come first."
        if left_out
        else "",
        flame=trace_flame(trace, lanes) if len(spans) > 1 else None,
        has_path=bool(path),
    )


def _title(spans: Sequence[tuple[int, Span]]) -> str:
    return text.line(f"{spans[0][1].service} {span_label(spans[0][1])}", 80) if spans else "Trace"


def _by_section(sections: Sequence[PathSection]) -> dict[str, list[PathSection]]:
    found: dict[str, list[PathSection]] = {}
    for section in sections:
        found.setdefault(section.span_id, []).append(section)
    return found


def _kept(
    trace: Trace, spans: Sequence[Span], flag_sent: bool, path: Mapping[str, Sequence[PathSection]], limit: int
) -> set[str]:
    """Ids of at most about `limit` spans: marked ones, then what the path spends most in, then the longest; with
    their ancestors."""
    if len(spans) <= limit:
        return {s.span_id for s in spans}

    def order(span: Span) -> tuple[bool, int, int, str]:
        marked = bool(_marks(span, flag_sent) or span.failed)
        on_path = sum(p.end_ns - p.start_ns for p in path.get(span.span_id, ()))
        return (not marked, -on_path, span.start_ns - span.end_ns, span.span_id)

    kept: set[str] = set()
    misses = 0  # a long chain fits nowhere: do not climb it from every span
    for span in sorted(spans, key=order):
        if span.span_id in kept:
            continue
        way = [span.span_id]
        for above in trace.ancestors(span):
            if above.span_id in kept or len(way) > limit:
                break
            way.append(above.span_id)
        if len(kept) + len(way) <= limit:
            kept.update(way)
        else:
            misses += 1
        if len(kept) >= limit or misses > 4 * limit:
            break
    return kept


def _by_span(bullet: BulletVerdict | None) -> dict[str, list[Mark]]:
    """The bullet's findings that name a span, as marks on it."""
    found: dict[str, list[Mark]] = {}
    for finding in bullet.findings if bullet is not None else ():
        if finding.span_id and finding.severity is not Severity.WARNING:
            tone = Tone.BAD if finding.severity is Severity.ERROR else Tone.UNSURE
            mark = Mark(text=text.line(finding.rule, 40), tone=tone, title=text.line(finding.message))
            found.setdefault(finding.span_id, []).append(mark)
    return found


def _row(
    depth: int,
    span: Span,
    frame_ns: tuple[int, int],
    lane: int,
    marks: list[Mark],
    sections: Sequence[PathSection],
) -> SpanRow:
    begin_ns, length_ns = frame_ns
    on_path_ns = sum(p.end_ns - p.start_ns for p in sections)
    left = 1000 * (span.start_ns - begin_ns) / length_ns
    width = max(0.0, 1000 * (span.end_ns - span.start_ns) / length_ns)
    return SpanRow(
        depth=depth,
        indent=min(depth, MAX_INDENT),
        lane=lane,
        service=text.line(span.service or "(no service name)", 120),
        name=text.line(span_label(span) or "(no name)", 200),
        kind="" if span.kind is SpanKind.UNSPECIFIED else span.kind.name.lower(),
        start=text.ms((span.start_ns - begin_ns) / 1e6),
        duration=text.ms(span.duration_ms),
        left=round(left, 2),
        width=round(width, 2),
        tone=Tone.BAD if span.failed else Tone.PLAIN,
        message=text.line(span.status_message) if span.failed else "",
        marks=tuple(marks),
        critical=tuple(
            (round(1000 * (p.start_ns - begin_ns) / length_ns, 2), round(1000 * (p.end_ns - p.start_ns) / length_ns, 2))
            for p in sorted(sections, key=lambda p: (p.start_ns - p.end_ns, p.start_ns))[:MAX_SECTIONS]
        ),
        critical_text=text.ms(on_path_ns / 1e6) if sections else "",
    )


def _waste_marks(span: Span, patterns: Sequence[Pattern]) -> list[Mark]:
    return [
        Mark(text=p.waste.value.replace("-", " "), tone=Tone.WARN, title=text.line(p.message))
        for p in patterns
        if p.service == span.service and p.operation == span.name
    ]


def _marks(span: Span, flag_sent: bool) -> list[Mark]:
    marks = []
    decision = span.attributes.get(names.DECISION)
    if decision:
        meaning, tone = decision_text(decision)
        operation = text.line(span.attributes.get(names.OPERATION, ""), 120)
        marks.append(Mark(text=text.line(decision, 40), tone=tone, title=f"{operation or 'a write'} {meaning}"))
    refused = span.attributes.get(names.REFUSED)
    if refused:
        reason = text.line(refused, 60)
        marks.append(Mark(text=f"refused: {reason}", tone=Tone.BAD, title="the service refused the bullet"))
    elif flag_sent and span.kind in ENTRY_KINDS and names.REQUEST_TYPE not in span.attributes:
        marks.append(Mark(text="no flag", tone=Tone.WARN, title="the service did not mark this span as a bullet's"))
    return marks


def decision_text(decision: str) -> tuple[str, Tone]:
    """What a guard's decision means, and its tone; an unknown one is bad."""
    return DECISIONS.get(decision, ("is a decision that this version does not know", Tone.BAD))


def crossings(traces: Iterable[Trace]) -> dict[tuple[str, str], tuple[str, ...]]:
    """(caller, callee) → traces in which one calls the other: by parent and child, or by the peer's name."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for trace in traces:
        for span in trace.spans:
            parent = trace.parent(span)
            ends = [(parent.service, span.service)] if parent is not None else []
            ends += [(span.service, span.attributes[a]) for a in _PEER_NAMES if a in span.attributes]
            for end in ends:
                found.setdefault(end, {})[trace.trace_id] = None
    return {ends: tuple(ids) for ends, ids in found.items()}


_PEER_NAMES = ("peer.service", "db.namespace", "db.name", "server.address", "messaging.destination.name")
