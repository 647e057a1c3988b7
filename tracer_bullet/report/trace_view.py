"""Example traces: which are shown, and their waterfalls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tracer_bullet.model import BulletVerdict, Outcome, Severity, Span, SpanKind, Trace, Verdict
from tracer_bullet.model import attributes as names
from tracer_bullet.report import text
from tracer_bullet.report.shape import Example, Mark, SpanRow, Tone

RULE = (
    "Shown: the first failed bullet, the first inconclusive one, the slowest trace and a typical one "
    "(a passed bullet whose trace length is nearest to the median), each once."
)
MAX_ROWS = 250
MAX_INDENT = 24
LANES = 8
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


def build_examples(verdict: Verdict, traces: Sequence[Trace], *, flag_sent: bool) -> tuple[Example, ...]:
    """Up to four traces by `RULE`; a trace that fits several reasons is shown once and names them all.

    With `flag_sent`, entry spans that do not carry the flag are marked.
    """
    known = {t.trace_id: t for t in traces if t.spans}
    bullets = {b.trace_id: b for b in verdict.bullets if b.trace_id in known}
    reasons: dict[str, list[str]] = {}
    for why, trace_id in _choices(list(bullets.values()), list(known.values())):
        reasons.setdefault(trace_id, []).append(why)
    return tuple(
        _example(f"t{i}", text.listing(why), known[trace_id], bullets.get(trace_id), flag_sent)
        for i, (trace_id, why) in enumerate(reasons.items())
    )


def _choices(bullets: list[BulletVerdict], traces: list[Trace]) -> Iterable[tuple[str, str]]:
    for outcome in (Outcome.FAILED, Outcome.INCONCLUSIVE):
        first = min((b for b in bullets if b.outcome is outcome), key=lambda b: b.bullet, default=None)
        if first is not None:
            yield f"first {outcome.value}", first.trace_id
    if not traces:
        return
    lengths = {t.trace_id: trace_ms(t) for t in traces}
    yield "slowest", max(lengths, key=lambda i: (lengths[i], i))
    passed = [b.trace_id for b in bullets if b.outcome is Outcome.PASSED] or list(lengths)
    ordered = sorted(passed, key=lambda i: (lengths[i], i))
    yield "typical", ordered[(len(ordered) - 1) // 2]


def _example(key: str, why: str, trace: Trace, bullet: BulletVerdict | None, flag_sent: bool) -> Example:
    spans = [(d, s) for d, s in trace.walk() if s.name != names.SEAL_SPAN_NAME]
    kept = _kept(trace, [s for _, s in spans], flag_sent)
    begin = min((s.start_ns for _, s in spans), default=0)
    length_ns = max(max((s.end_ns for _, s in spans), default=0) - begin, 1)
    lanes = {service: i % LANES for i, service in enumerate(dict.fromkeys(s.service for _, s in spans))}
    found = _by_span(bullet)
    rows = tuple(
        _row(
            depth,
            span,
            (begin, length_ns),
            lanes[span.service],
            [*found.get(span.span_id, ()), *_marks(span, flag_sent)],
        )
        for depth, span in spans
        if span.span_id in kept
    )
    outcome = bullet.outcome if bullet is not None else None
    left_out = len(spans) - len(rows)
    return Example(
        key=key,
        why=why,
        title=f"Bullet {bullet.bullet}" if bullet is not None else "Trace",
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
    )


def _kept(trace: Trace, spans: Sequence[Span], flag_sent: bool) -> set[str]:
    """Ids of at most about `MAX_ROWS` spans: those with marks, then the longest, with their ancestors."""
    if len(spans) <= MAX_ROWS:
        return {s.span_id for s in spans}
    kept: set[str] = set()
    for span in sorted(spans, key=lambda s: (not (_marks(s, flag_sent) or s.failed), s.start_ns - s.end_ns, s.span_id)):
        path = [span.span_id]
        for above in trace.ancestors(span):
            if above.span_id in kept:
                break
            path.append(above.span_id)
        if len(kept) + len(path) <= MAX_ROWS:
            kept.update(path)
        if len(kept) >= MAX_ROWS:
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


def _row(depth: int, span: Span, frame_ns: tuple[int, int], lane: int, marks: list[Mark]) -> SpanRow:
    begin_ns, length_ns = frame_ns
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
    )


def span_label(span: Span) -> str:
    """What a span did: the guard's words where there are some; a database file by its last part."""
    operation = span.attributes.get(names.OPERATION)
    if operation and span.kind is SpanKind.CLIENT:
        return operation
    file = span.attributes.get("db.namespace") or span.attributes.get("db.name") or ""
    return span.name.replace(file, file.rpartition("/")[2]) if "/" in file else span.name


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
