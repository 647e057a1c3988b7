"""Why traces are bad: groups by cause with who is told, what bad traces have in common, and what was not declared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from tracer_bullet.model.analysis import Cause, Contrast, Symptom
from tracer_bullet.model.catalog import Catalog, CatalogFinding, CatalogLink
from tracer_bullet.report import text
from tracer_bullet.report.graph_view import cut_note
from tracer_bullet.report.insight import CauseRow, ContrastRow, DeclaredRow, Link
from tracer_bullet.report.shape_base import Tone
from tracer_bullet.report.timing_view import trace_refs

MAX_LINKS = 6
# What it is called, how it feels, and what its share is of.
_SYMPTOMS = {
    Symptom.ERROR: ("error", Tone.BAD, "the bad ones"),
    Symptom.SLOW: ("slow", Tone.WARN, "the bad ones"),
    Symptom.SWALLOWED: ("swallowed", Tone.WARN, "those that swallowed an error"),
}


def build_causes(
    causes: Sequence[Cause], catalog: Catalog | None, keys: Mapping[str, str], limit: int
) -> tuple[tuple[CauseRow, ...], str]:
    """Groups in the order of the analysis, with the catalog's contacts of the blamed service."""
    rows = tuple(_cause(c, catalog, keys) for c in causes[:limit])
    return rows, cut_note(len(rows), len(causes), "cause", "the most traces first")


def _cause(c: Cause, catalog: Catalog | None, keys: Mapping[str, str]) -> CauseRow:
    entity = catalog.of_service(c.service) if catalog is not None else None
    symptom, tone, whole = _SYMPTOMS[c.symptom]
    word = f"{text.line(c.caller)}, its caller" if c.caller else "its caller"
    blame = f"blamed by {word}: it left no span of its own, or a clean one" if c.peer else "blamed by its own span"
    nameless = (
        f"{text.line(c.operation)} takes the time"
        if c.symptom is Symptom.SLOW
        else f"{text.line(c.operation or c.service)} failed"
    )
    return CauseRow(
        symptom=symptom,
        tone=tone,
        title=text.line(c.error) or nameless,
        service=text.line(c.service),
        operation=text.line(c.operation),
        blame=blame,
        owner=text.line(c.owner or (entity.owner if entity is not None else "")),
        on_call=text.line(entity.on_call) if entity is not None else "",
        links=tuple(_link(link) for link in entity.links[:MAX_LINKS]) if entity is not None else (),
        traces=c.traces,
        share=c.share,
        tally=f"{text.plural(c.traces, 'trace')}, {text.share(c.share)} of {whole}",
        bar=round(1000 * min(max(c.share, 0.0), 1.0), 1),
        path=tuple(text.line(p, 120) for p in c.path),
        examples=trace_refs(c.example_trace_ids, keys),
    )


def _link(link: CatalogLink) -> Link:
    """Only web addresses become links: a catalog is a file that anybody may have written."""
    url = text.line(link.url, 2000)
    try:
        fit = urlsplit(url).scheme in ("http", "https")
    except ValueError:
        fit = False
    return Link(title=text.line(link.title or link.url, 120), url=url if fit else "", kind=text.line(link.kind, 40))


def build_contrasts(contrasts: Sequence[Contrast], limit: int) -> tuple[tuple[ContrastRow, ...], str]:
    """Values in the order of the analysis."""
    rows = tuple(_contrast(c) for c in contrasts[:limit])
    return rows, cut_note(len(rows), len(contrasts), "value", "the most telling first")


def _contrast(c: Contrast) -> ContrastRow:
    bad, good = c.bad / max(c.bad_total, 1), c.good / max(c.good_total, 1)
    return ContrastRow(
        attribute=text.line(c.attribute, 120),
        value=text.line(c.value, 120),
        service=text.line(c.service, 120),
        bad=f"{text.percent(c.bad, c.bad_total)} ({text.count(c.bad)} of {text.count(c.bad_total)})",
        good=f"{text.percent(c.good, c.good_total)} ({text.count(c.good)} of {text.count(c.good_total)})",
        bad_share=bad,
        good_share=good,
        bad_bar=round(1000 * min(bad, 1.0), 1),
        good_bar=round(1000 * min(good, 1.0), 1),
        low=f"+{text.share(c.low)}" if c.low > 0 else text.share(c.low),
        low_share=c.low,
    )


def build_declared(findings: Sequence[CatalogFinding], limit: int) -> tuple[tuple[DeclaredRow, ...], str]:
    """Differences between catalog and spans, errors first."""
    ordered = sorted(findings, key=lambda f: not f.error)[:limit]
    rows = tuple(
        DeclaredRow(
            rule=text.line(f.rule, 80),
            severity="error" if f.error else "warning",
            tone=Tone.BAD if f.error else Tone.WARN,
            entity=text.line(f.entity),
            message=text.line(f.message),
            cure=text.block(f.cure),
            where=text.line(f.where),
        )
        for f in ordered
    )
    return rows, cut_note(len(rows), len(findings), "difference", "errors first")
