"""The audit as the report shows it: the flag's way hop by hop, writes, findings, checks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tracer_bullet.model import Check, Finding, Outcome, Severity, Span, Trace, Verdict
from tracer_bullet.model import attributes as names
from tracer_bullet.report import text
from tracer_bullet.report.graph_view import cut_note, unguarded
from tracer_bullet.report.shape import CheckRow, FindingRow, HopRow, Tone, WriteRow
from tracer_bullet.report.trace_view import ENTRY_KINDS, OUTCOME_TONE, decision_text

_CARRIERS = ("baggage", "tracestate", "header")
_UNSEEN = "(caller not received)"
_SEVERITIES = {
    Severity.ERROR: ("error", Tone.BAD, Outcome.FAILED),
    Severity.GAP: ("gap", Tone.UNSURE, Outcome.INCONCLUSIVE),
    Severity.WARNING: ("warning", Tone.WARN, Outcome.PASSED),
}


@dataclass(slots=True)
class _Hop:
    calls: int = 0
    marked: int = 0
    forwarded: int = 0
    refused: int = 0
    told: int = 0
    carriers: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Seen:
    spans: int = 0
    writes: int = 0
    trace_ids: set[str] = field(default_factory=set)
    first: str = ""


def build_hops(traces: Sequence[Trace], verdict: Verdict, *, flag_sent: bool) -> tuple[HopRow, ...]:
    """Every border between services that `traces` crossed, in order of first appearance.

    A hop is a span whose parent is of another service, an entry (server, consumer) span
    under an exit span of the same service, or an entry span whose parent is missing.
    Whether a loss is bad is for the audit to say: a hop is bad when an error finding names it.
    """
    hops: dict[tuple[str, str], _Hop] = {}
    for trace in traces:
        above = _above_marked(trace)
        for span in trace.spans:
            caller = _caller(trace, span)
            if caller is None:
                continue
            hop = hops.setdefault((caller, span.service), _Hop())
            if span.name != names.SEAL_SPAN_NAME:
                _count_hop(hop, span, above)
            if names.CARRIERS in span.attributes and not _told_beside(trace, span):
                _count_carriers(hop, span.attributes[names.CARRIERS])
    bad = {text.line(f.hop) for f in verdict.findings if f.hop and f.severity is Severity.ERROR}
    return tuple(_hop_row(ends, hop, bad, flag_sent) for ends, hop in hops.items())


def build_writes(
    traces: Sequence[Trace], verdict: Verdict, limit: int
) -> tuple[tuple[WriteRow, ...], str, dict[str, int], int]:
    """(rows, note, decision → single writes, writes that no guard decided on).

    Decided writes are counted from spans, an inner span that repeats its parent's decision
    left out; undecided ones are the audit's findings on the bullets, and come first.
    """
    seen: dict[tuple[str, str, str], _Seen] = {}
    for trace in traces:
        for span in trace.spans:
            decision = span.attributes.get(names.DECISION)
            if decision and not _repeats_parent(trace, span):
                _count_write(seen.setdefault((span.service, _operation(span), decision), _Seen()), span)
    totals: Counter[str] = Counter()
    for (_, _, decision), found in seen.items():
        totals[text.line(decision, 60)] += found.writes
    bare: dict[tuple[str, str], list[Finding]] = {}
    for finding in unguarded(verdict):
        bare.setdefault((finding.service, finding.operation), []).append(finding)
    rows = [_undecided_row(key, group) for key, group in sorted(bare.items())]
    rows += [_write_row(key, found) for key, found in sorted(seen.items())]
    note = cut_note(min(limit, len(rows)), len(rows), "kind", "undecided ones first, then by service")
    return tuple(rows[:limit]), note, dict(totals), sum(len(group) for group in bare.values())


def build_findings(verdict: Verdict, limit: int) -> tuple[tuple[FindingRow, ...], str]:
    """The run's findings, errors first, each with the number of bullets that show it."""
    hits = Counter(key for b in verdict.bullets for key in {_finding_key(f) for f in b.findings})
    order = list(_SEVERITIES)
    ranked = sorted(verdict.findings, key=lambda f: order.index(f.severity))
    judged = len(verdict.bullets)
    rows = tuple(_finding_row(f, hits[_finding_key(f)], judged) for f in ranked[:limit])
    return rows, cut_note(len(rows), len(ranked), "finding", "errors first")


def build_checks(verdict: Verdict) -> tuple[CheckRow, ...]:
    """Expectations over all bullets: one row per step, name and file line, missed ones first."""
    groups: dict[tuple[str, str, str], list[tuple[int, str, Check]]] = {}
    for bullet in verdict.bullets:
        for check in bullet.checks:
            groups.setdefault((check.step, check.name, check.where), []).append((bullet.bullet, bullet.trace_id, check))
    rows = [_check_row(key, group) for key, group in groups.items()]
    order = [Outcome.FAILED, Outcome.INCONCLUSIVE, Outcome.PASSED]
    return tuple(sorted(rows, key=lambda r: (order.index(r.outcome), r.missed == 0)))


def _above_marked(trace: Trace) -> set[str]:
    """Ids of spans that have a span with the flag below them."""
    above: set[str] = set()
    for span in trace.spans:
        if names.REQUEST_TYPE in span.attributes:
            for ancestor in trace.ancestors(span):
                if ancestor.span_id in above:
                    break
                above.add(ancestor.span_id)
    return above


def _caller(trace: Trace, span: Span) -> str | None:
    parent = trace.parent(span)
    if parent is None:
        return _UNSEEN if span.parent_id is not None and span.kind in ENTRY_KINDS else None
    if parent.service != span.service or (span.kind in ENTRY_KINDS and parent.kind not in ENTRY_KINDS):
        return parent.service
    return None


def _count_hop(hop: _Hop, span: Span, above: set[str]) -> None:
    hop.calls += 1
    if names.REFUSED in span.attributes:
        hop.refused += 1
    elif names.REQUEST_TYPE in span.attributes:
        hop.marked += 1
    elif span.span_id in above:
        hop.forwarded += 1


def _told_beside(trace: Trace, seal: Span) -> bool:
    """Whether `seal` is a scope's seal whose entry span, its sibling, tells of the carriers itself."""
    parent = trace.parent(seal) if seal.name == names.SEAL_SPAN_NAME else None
    beside = trace.children(parent) if parent is not None else ()
    return any(names.CARRIERS in s.attributes and s.name != seal.name and s.service == seal.service for s in beside)


def _count_carriers(hop: _Hop, told: str) -> None:
    hop.told += 1
    hop.carriers.update({c.strip() for c in told.split(",")} & set(_CARRIERS))


def _hop_row(ends: tuple[str, str], hop: _Hop, bad: set[str], flag_sent: bool) -> HopRow:
    caller, callee = (text.line(end or "(no service name)", 120) for end in ends)
    found = f"{caller} → {callee}" in bad
    state, tone = _hop_state(hop, found) if flag_sent else ("no flag was sent", Tone.PLAIN)
    return HopRow(
        caller=caller,
        callee=callee,
        marked=f"{text.count(hop.marked)} of {text.plural(hop.calls, 'call')}",
        carriers=_carriers(hop),
        state=state,
        tone=tone,
    )


def _hop_state(hop: _Hop, found: bool) -> tuple[str, Tone]:
    missing = hop.calls - hop.marked - hop.forwarded - hop.refused
    if missing:
        return f"no flag on {text.plural(missing, 'call')}", Tone.BAD if found else Tone.WARN
    if hop.refused:
        return f"{text.plural(hop.refused, 'call')} refused", Tone.BAD
    tone = Tone.BAD if found else Tone.GOOD
    if hop.forwarded:
        return "passed on by a service that does not mark its spans", tone
    if found and any(hop.carriers[c] < hop.told for c in _CARRIERS):
        return "arrived, but not on every carrier", tone
    return "arrived", tone


def _carriers(hop: _Hop) -> str:
    if not hop.told:
        return "not told"
    if all(hop.carriers[c] == hop.told for c in _CARRIERS):
        return "all three" if hop.told == hop.calls else f"all three on {text.plural(hop.told, 'call')}"
    return ", ".join(f"{c} {text.count(hop.carriers[c])}/{text.count(hop.told)}" for c in _CARRIERS)


def _count_write(found: _Seen, span: Span) -> None:
    told = span.attributes.get(names.COUNT, "")
    found.spans += 1
    found.writes += int(told) if told.isascii() and told.isdecimal() and len(told) < 16 else 1
    found.trace_ids.add(span.trace_id)
    found.first = found.first or span.trace_id


def _write_row(key: tuple[str, str, str], found: _Seen) -> WriteRow:
    meaning, tone = decision_text(key[2])
    return WriteRow(
        service=text.line(key[0], 120),
        operation=text.line(key[1], 200),
        decision=text.line(key[2], 60),
        meaning=meaning,
        times=f"{text.count(found.writes)} in {text.plural(len(found.trace_ids), 'trace')}",
        trace_id=text.line(found.first, 40),
        tone=tone,
    )


def _operation(span: Span) -> str:
    return span.attributes.get(names.OPERATION, "") or span.name


def _repeats_parent(trace: Trace, span: Span) -> bool:
    """Whether this is the inner of two client libraries' spans of one write."""
    parent = trace.parent(span)
    if parent is None or parent.service != span.service:
        return False
    return parent.attributes.get(names.DECISION) == span.attributes[names.DECISION] and (
        _operation(parent) == _operation(span)
    )


def _undecided_row(key: tuple[str, str], group: list[Finding]) -> WriteRow:
    traces = len({f.trace_id for f in group})
    return WriteRow(
        service=text.line(key[0], 120),
        operation=text.line(key[1], 200),
        decision="none",
        meaning="met no guard that decided on it, so it may have happened for real",
        times=f"{text.count(len(group))} in {text.plural(traces, 'trace')}",
        trace_id=text.line(group[0].trace_id, 40),
        tone=Tone.BAD,
    )


def _finding_key(finding: Finding) -> tuple[str, str, str, str, str]:
    return (finding.rule, finding.severity.value, finding.service, finding.hop, finding.operation)


def _finding_row(finding: Finding, bullets: int, judged: int) -> FindingRow:
    severity, tone, _ = _SEVERITIES[finding.severity]
    parts = _distinct([finding.hop or finding.service, finding.operation])
    seen = f"seen in {text.count(bullets)} of {text.plural(judged, 'bullet')}" if bullets else "about the whole run"
    return FindingRow(
        rule=text.line(finding.rule, 80),
        severity=finding.severity,
        severity_text=severity,
        tone=tone,
        message=text.block(finding.message),
        where=" · ".join(parts),
        why=f"rule {text.line(finding.rule, 80)}, {seen}",
        cure=text.block(finding.cure),
        service=text.line(finding.service),
        hop=text.line(finding.hop),
        operation=text.line(finding.operation),
        bullets=bullets,
        trace_id=text.line(finding.trace_id, 40),
        span_id=text.line(finding.span_id, 40),
    )


def _distinct(parts: Iterable[str]) -> list[str]:
    return [text.line(p) for p in dict.fromkeys(parts) if p]


def _check_row(key: tuple[str, str, str], group: list[tuple[int, str, Check]]) -> CheckRow:
    order = list(_SEVERITIES)
    missed = [g for g in group if not g[2].passed]
    worst = min(missed, key=lambda g: order.index(g[2].severity), default=group[0])
    severity = worst[2].severity
    _, tone, outcome = _SEVERITIES[severity] if missed else ("", OUTCOME_TONE[Outcome.PASSED], Outcome.PASSED)
    passed = len(group) - len(missed)
    return CheckRow(
        step=text.line(key[0], 120),
        name=text.line(key[1]),
        where=text.line(key[2]),
        passed=passed,
        missed=len(missed),
        outcome=outcome,
        tone=tone,
        tally=f"{text.count(passed)} of {text.plural(len(group), 'bullet')}",
        expected=text.block(worst[2].expected, 600),
        actual=text.block(worst[2].actual, 600) if missed else "",
        sample=f"bullet {worst[0]}, trace {text.line(worst[1], 40)}" if missed else "",
        severity=severity,
    )
