"""A made-up analysis of any size: graph, latencies, paths, causes, objectives, drift and catalog that fit together.

Services call those after them, so that the graph has layers; numbers come from a seeded generator.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.unit.report.discoveries import LENGTH_NS, causes_of, contrasts_of, critical_of, heatmap_of, patterns_of
from tests.unit.report.outcomes import drift_of, slos_of
from tests.unit.report.shop_run import START_NS, Run
from tests.unit.report.system import CALLS, Plan, plan_of, spans_of
from tracer_bullet.model import (
    Catalog,
    CatalogFinding,
    CatalogLink,
    Distribution,
    Edge,
    Entity,
    Evidence,
    Node,
    NodeKind,
    RequestType,
    RunManifest,
    ServiceGraph,
    Trace,
)
from tracer_bullet.model.analysis import (
    Analysis,
    ClockSkew,
    EdgeLatency,
    ExampleTrace,
    OperationLatency,
    PathSection,
    ServiceLatency,
)
from tracer_bullet.model.drift import Drift
from tracer_bullet.model.imported import ImportedFile, ImportReport
from tracer_bullet.model.slo import SloReport
from tracer_bullet.report import Document, build_document


@dataclass(frozen=True, kw_only=True)
class Sample:
    """All that `build_document` takes."""

    run: Run
    analysis: Analysis
    slos: SloReport
    drift: Drift
    catalog: Catalog
    catalog_findings: tuple[CatalogFinding, ...]
    paths: dict[str, tuple[PathSection, ...]]
    imported: ImportReport

    def document(self) -> Document:
        """The document of an analysis that nobody judged."""
        return build_document(
            self.run.manifest,
            None,
            self.run.graph,
            self.run.traces,
            analysis=self.analysis,
            slos=self.slos,
            drift=self.drift,
            catalog=self.catalog,
            catalog_findings=self.catalog_findings,
            paths=self.paths,
            imported=self.imported,
        )


def sample(
    *, services: int = 14, operations: int = 40, edges: int = 36, examples: int = 6, spans: int = 60, seed: int = 5
) -> Sample:
    """Everything, at a size. `spans` is the size of the largest example trace."""
    rng = random.Random(seed)
    plan = plan_of(rng, services, operations, edges)
    traces = tuple(
        Trace.of(
            f"{i + 1:032x}", spans_of(rng, plan, f"{i + 1:032x}", max(8, spans * (i + 1) // examples), START_NS + i)
        )
        for i in range(examples)
    )
    ids = tuple(t.trace_id for t in traces)
    graph = _graph(rng, plan, ids)
    names = [n.name for n in graph.nodes if n.kind is NodeKind.SERVICE]
    catalog = _catalog(names)
    return Sample(
        run=Run(manifest=_manifest(), verdict=None, graph=graph, traces=traces),  # type: ignore[arg-type]
        analysis=_analysis(rng, plan, graph, ids),
        slos=slos_of(plan),
        drift=drift_of(rng, plan),
        catalog=catalog,
        catalog_findings=_catalog_findings(names),
        paths={t.trace_id: critical_sections(t) for t in traces},
        imported=_imported(),
    )


def _manifest() -> RunManifest:
    return RunManifest(
        run_id="20260131-1400-analyse",
        kind="analyse",
        scenario="shop-2026-01-31.jsonl",
        scenario_file="",
        target="",
        target_url="",
        production=False,
        request_type=RequestType.STANDARD,
        bullets=0,
        concurrency=0,
        started_ns=START_NS,
        ended_ns=START_NS + 2_400_000_000,
        state="ended",
    )


def durations(rng: random.Random, middle_ms: float, n: int, *, tail: float = 0.6) -> Distribution:
    """Log-normal durations around a median."""
    return Distribution.of(int(rng.lognormvariate(0, tail) * middle_ms * 1e6) for _ in range(n))


def _graph(rng: random.Random, plan: Plan, ids: tuple[str, ...]) -> ServiceGraph:
    edges = []
    for call in plan.calls:
        found = durations(rng, call.middle_ms, 30)
        rule = "client-server" if call.target.startswith("service:") else "peer-attribute"
        edges.append(
            Edge(
                source=call.source,
                target=call.target,
                calls=call.calls,
                errors=call.errors,
                latency=found.latency(),
                evidence=(
                    Evidence(rule=rule, count=call.calls, example_trace_ids=(rng.choice(ids), f"{call.calls:032x}")),
                    Evidence(rule="parent-child", count=call.calls // 3, example_trace_ids=()),
                ),
                asynchronous=call.target.startswith("queue:"),
            )
        )
    into = {i: sum(c.calls for c in plan.calls if c.target == i) for i in plan.ids}
    bad = {i: sum(c.errors for c in plan.calls if c.target == i) for i in plan.ids}
    nodes = tuple(
        Node(
            id=i,
            name=i.partition(":")[2],
            kind=NodeKind(i.partition(":")[0]),
            system={"store": "postgresql", "queue": "kafka"}.get(i.partition(":")[0], ""),
            calls=into[i],
            errors=bad[i],
        )
        for i in plan.ids
    )
    return ServiceGraph(
        nodes=nodes,
        edges=tuple(edges),
        operations=(),
        traces=24_000,
        spans=1_000_000,
        orphans=((plan.services[1], 12),),
    )


def _analysis(rng: random.Random, plan: Plan, graph: ServiceGraph, ids: tuple[str, ...]) -> Analysis:
    return Analysis(
        start_ns=START_NS,
        end_ns=START_NS + LENGTH_NS,
        traces=24_000,
        spans=1_000_000,
        services=tuple(
            ServiceLatency(
                service=name,
                calls=CALLS,
                errors=(37, 0, 0)[i % 3],
                rate_per_s=CALLS / 3600,
                durations=durations(rng, 5 + 3 * (i % 30), 200),
                own=durations(rng, 1 + i % 7, 200),
            )
            for i, name in enumerate(plan.services)
        ),
        operations=tuple(
            OperationLatency(
                service=service,
                name=name,
                calls=900 + i,
                errors=i % 4 * 3,
                rate_per_s=(900 + i) / 3600,
                durations=durations(rng, 2 + i % 90, 60, tail=0.9),
                own=durations(rng, 1 + i % 9, 60),
                fan_out=(i % 7) * 1.3,
            )
            for i, (service, name) in enumerate(plan.operations)
        ),
        edges=tuple(
            EdgeLatency(
                source=e.source,
                target=e.target,
                calls=e.calls,
                errors=e.errors,
                rate_per_s=e.calls / 3600,
                caller=durations(rng, e.latency.p50_ms * 1.1, 40),
                callee=durations(rng, e.latency.p50_ms, 40) if e.target.startswith("service:") else Distribution(),
                calls_per_trace=1.4,
            )
            for e in graph.edges
        ),
        patterns=patterns_of(plan, ids),
        critical=critical_of(rng, plan),
        skews=(
            ClockSkew(
                caller="node-a",
                callee="node-b",
                calls=812,
                offset_ms=41.2,
                low_ms=40.8,
                high_ms=41.9,
                corrected=True,
                reason="every call fits, from both sides",
            ),
            ClockSkew(
                caller="node-a",
                callee="node-c",
                calls=3,
                offset_ms=-0.4,
                low_ms=-2.0,
                high_ms=1.1,
                corrected=False,
                reason="zero is among what the calls allow",
            ),
        ),
        causes=causes_of(plan, ids),
        contrasts=contrasts_of(plan),
        bad_traces=1_204,
        heatmap=heatmap_of(rng),
        examples=tuple(
            ExampleTrace(trace_id=i, why=why)
            for i, why in zip(ids, ("slowest", "typical of errors", "most spans") * 4, strict=False)
        ),
    )


def _catalog(names: list[str]) -> Catalog:
    entity = Entity(
        ref=f"component:default/{names[2]}",
        name=names[2],
        service=names[2],
        owner="group:default/pricing",
        on_call="pricing-oncall",
        description="Prices and discounts",
        links=(
            CatalogLink(url="https://runbooks.example/pricing", title="Runbook", kind="runbook"),
            CatalogLink(url="javascript:alert(1)", title="Bad link", kind="dashboard"),
        ),
        where="catalog/shop.yaml:12",
    )
    return Catalog(entities=(entity,))


def _catalog_findings(names: list[str]) -> tuple[CatalogFinding, ...]:
    return (
        CatalogFinding(
            rule="no-owner",
            entity=f"component:default/{names[1]}",
            message=f"{names[1]} has no owner",
            cure="Write spec.owner in catalog/shop.yaml",
            where="catalog/shop.yaml:3",
            error=False,
        ),
        CatalogFinding(
            rule="undeclared-dependency",
            entity=f"component:default/{names[2]}",
            message=f"{names[2]} calls {names[4]}, which it does not declare",
            cure="Add it to spec.dependsOn, or run: tracer-bullet catalog sync",
        ),
    )


def _imported() -> ImportReport:
    return ImportReport(
        files=(
            ImportedFile(
                name="spans.jsonl",
                format="otlp-json-lines",
                spans=999_900,
                traces=23_990,
                lost={"span without an id": 12},
                repaired={"64-bit trace id was padded": 400},
                examples={"span without an id": ("line 812",)},
            ),
            ImportedFile(name="notes.txt", problem="this is text, not traces"),
        ),
        spans=1_000_000,
        traces=24_000,
    )


def critical_sections(trace: Trace) -> tuple[PathSection, ...]:
    """A walk back from the end, always into the child that ends last: disjoint, and it covers the root."""
    sections = []
    stack = [(trace.roots[0], trace.roots[0].end_ns)]
    while stack:
        span, until = stack.pop()
        inside = [c for c in trace.children(span) if span.start_ns < c.end_ns <= until]
        last = max(inside, key=lambda c: (c.end_ns, c.span_id), default=None)
        begin = last.end_ns if last is not None else span.start_ns
        sections.append(PathSection(span_id=span.span_id, start_ns=begin, end_ns=until))
        if last is not None:
            stack += [(span, max(last.start_ns, span.start_ns)), (last, last.end_ns)]
    return tuple(s for s in sections if s.end_ns > s.start_ns)
