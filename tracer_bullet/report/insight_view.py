"""All that an analysis, objectives, a comparison and a catalog add to the document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tracer_bullet.model.analysis import Analysis, Symptom
from tracer_bullet.model.catalog import Catalog, CatalogFinding
from tracer_bullet.model.drift import Drift
from tracer_bullet.model.imported import ImportReport
from tracer_bullet.model.slo import SloReport
from tracer_bullet.report import text
from tracer_bullet.report.causes_view import build_causes, build_contrasts, build_declared
from tracer_bullet.report.drift_view import build_drift
from tracer_bullet.report.import_view import build_imported, import_summary
from tracer_bullet.report.insight import Insight
from tracer_bullet.report.latency_view import build_heat, build_services
from tracer_bullet.report.paths_view import build_critical, build_patterns, build_skews
from tracer_bullet.report.shape_base import Tile, Tone
from tracer_bullet.report.slo_view import build_slos
from tracer_bullet.report.timing_view import Axis

MAX_SERVICES = 200
MAX_PATTERNS = 100
MAX_SHARES = 100
MAX_CAUSES = 60
MAX_CONTRASTS = 60
MAX_SKEWS = 100
MAX_DECLARED = 200
MAX_FILES = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What other parts of the program found, besides verdict and graph."""

    analysis: Analysis | None = None
    slos: SloReport | None = None
    drift: Drift | None = None
    catalog: Catalog | None = None
    catalog_findings: Sequence[CatalogFinding] = ()
    imported: ImportReport | None = None


def build_insight(found: Findings, axis: Axis, keys: Mapping[str, str]) -> Insight:
    """Everything shown; `keys` are example keys by trace id."""
    declared, declared_note = build_declared(found.catalog_findings, MAX_DECLARED)
    imported, imported_note = build_imported(found.imported, MAX_FILES)
    slos, drift = build_slos(found.slos), build_drift(found.drift)
    analysis = found.analysis
    basis = Insight(
        declared=declared,
        declared_note=declared_note,
        slos=slos,
        drift=drift,
        imported=imported,
        imported_note=imported_note,
        imported_summary=import_summary(found.imported),
    )
    if analysis is None:
        return basis
    services, services_note = build_services(analysis, found.catalog, axis, MAX_SERVICES)
    patterns, patterns_note = build_patterns(analysis.patterns, keys, MAX_PATTERNS)
    causes, causes_note = build_causes(analysis.causes, found.catalog, keys, MAX_CAUSES)
    contrasts, contrasts_note = build_contrasts(analysis.contrasts, MAX_CONTRASTS)
    skews, skews_note = build_skews(analysis.skews, MAX_SKEWS)
    return replace(
        basis,
        services=services,
        services_note=services_note,
        axis=axis.ticks() if services or analysis.operations else (),
        heat=build_heat(analysis.heatmap),
        patterns=patterns,
        patterns_note=patterns_note,
        critical=build_critical(analysis.critical, MAX_SHARES),
        skews=skews,
        skews_note=skews_note,
        causes=causes,
        causes_note=causes_note,
        bad_traces=analysis.bad_traces,
        contrasts=contrasts,
        contrasts_note=contrasts_note,
    )


def analysis_headline(analysis: Analysis | None, services: int, traces: int) -> str:
    """One sentence for spans that nobody judged."""
    if analysis is None:
        return f"{text.plural(traces, 'trace')} through {text.plural(services, 'service')}."
    seen = f"{text.plural(analysis.traces, 'trace')} through {text.plural(services, 'service')}"
    if not analysis.bad_traces:
        return f"{seen}; none of them stood out as failed or slow."
    found = _bad_causes(analysis)
    causes = f", with {text.plural(found, 'cause')}" if found else ""
    return f"{text.count(analysis.bad_traces)} of {seen} failed or were slow{causes}."


def analysis_tiles(analysis: Analysis, insight: Insight, parts: str) -> tuple[Tile, ...]:
    """Headline numbers of an analysis; `parts` says what the graph has."""
    calls, errors = sum(s.calls for s in analysis.services), sum(s.errors for s in analysis.services)
    length_s = max(analysis.end_ns - analysis.start_ns, 0) / 1e9
    tiles = [
        Tile(
            label="Traces",
            value=text.count(analysis.traces),
            note=f"{text.plural(analysis.spans, 'span')} over {text.span_of(length_s)}",
        ),
        Tile(label="Services", value=text.count(len(analysis.services)), note=parts),
        Tile(
            label="Request errors",
            value=text.percent(errors, calls) if calls else text.DASH,
            note=f"{text.count(errors)} of {text.plural(calls, 'request')} that services answered",
            tone=Tone.BAD if errors else Tone.PLAIN,
        ),
    ]
    critical = insight.critical
    if critical is not None and critical.traces and critical.rows:
        first = critical.rows[0]
        tiles.append(
            Tile(
                label="Mean trace",
                value=text.ms(critical.total_ms / critical.traces),
                note=f"{first.share_text} of it in {first.service} {first.operation}",
            )
        )
    if insight.bad_traces or insight.causes:
        note = f"{text.plural(_bad_causes(analysis), 'cause')} found"
        tone = Tone.BAD if insight.bad_traces else Tone.PLAIN
        tiles.append(Tile(label="Bad traces", value=text.count(insight.bad_traces), note=note, tone=tone))
    return (*tiles, *slo_tiles(insight))


def slo_tiles(insight: Insight) -> tuple[Tile, ...]:
    """Objectives and drift, where there are any."""
    tiles = []
    if insight.slos is not None and insight.slos.rows:
        met, of = sum(1 for r in insight.slos.rows if r.met), len(insight.slos.rows)
        tiles.append(
            Tile(
                label="Objectives met",
                value=f"{met}/{of}",
                note=insight.slos.summary,
                tone=_unless_good(insight.slos.tone),
            )
        )
    if insight.drift is not None:
        drift = insight.drift
        tiles.append(
            Tile(
                label="Regressed",
                value=text.count(len(drift.regressed)),
                note=f"against {drift.before}",
                tone=_unless_good(drift.tone),
            )
        )
    return tuple(tiles)


def _bad_causes(analysis: Analysis) -> int:
    """Swallowed errors made no trace a bad one."""
    return sum(1 for c in analysis.causes if c.symptom is not Symptom.SWALLOWED)


def _unless_good(tone: Tone) -> Tone:
    return Tone.PLAIN if tone is Tone.GOOD else tone
