"""Hypothesis strategies for analyses, objectives, drift and catalogs with any text and any number in them."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from tests.unit.report.generated import any_text, counts, numbers, runs
from tests.unit.report.shop_run import Run
from tracer_bullet.model import Catalog, CatalogFinding, CatalogLink, Distribution, Entity
from tracer_bullet.model.analysis import (
    Analysis,
    Cause,
    ClockSkew,
    Contrast,
    CriticalPaths,
    EdgeLatency,
    ExampleTrace,
    Heatmap,
    OperationLatency,
    PathSection,
    PathShare,
    Pattern,
    ServiceLatency,
)
from tracer_bullet.model.drift import Drift, EdgeDrift, ErrorDrift, LatencyDrift
from tracer_bullet.model.imported import ImportedFile, ImportReport
from tracer_bullet.model.slo import (
    BurnRate,
    DerivationCheck,
    DerivedObjective,
    Objective,
    ObjectiveVerdict,
    SloReport,
)
from tracer_bullet.report import Document, build_document

signed = st.one_of(numbers, st.floats(min_value=-1e6, max_value=0))
shares = st.floats(min_value=0, max_value=1)
distributions = st.lists(st.integers(0, 10**12), max_size=8).map(Distribution.of)
trace_ids = st.tuples(st.one_of(any_text, st.integers(1, 3).map(lambda i: f"{i:032x}")))
texts = st.lists(any_text, max_size=2).map(tuple)


def some(one: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(one, max_size=2).map(tuple)


def of(kind: type, **more: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """A strategy for a dataclass: text, counts and numbers are hostile, what is named in `more` is as said."""
    known = {
        "str": any_text,
        "int": counts,
        "float": signed,
        "bool": st.booleans(),
        "Distribution": distributions,
        "tuple[str, ...]": texts,
    }
    fields = {name: known[said] for name, said in kind.__annotations__.items() if said in known}
    return st.builds(kind, **{**fields, **more})


causes = of(Cause, share=shares, example_trace_ids=trace_ids)
analyses = of(
    Analysis,
    services=some(of(ServiceLatency)),
    operations=some(of(OperationLatency)),
    edges=some(of(EdgeLatency)),
    patterns=some(of(Pattern, example_trace_ids=trace_ids)),
    critical=st.one_of(st.none(), of(CriticalPaths, shares=some(of(PathShare)))),
    skews=some(of(ClockSkew)),
    causes=some(causes),
    contrasts=some(of(Contrast)),
    heatmap=st.one_of(
        st.none(),
        of(
            Heatmap,
            slots=st.integers(1, 4),
            rows=st.integers(1, 4),
            row_0_ms=st.floats(0.001, 10),
            slot_ns=st.integers(1, 10**12),
            start_ns=st.integers(0, 2**62),
            cells=some(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 10**9))),
        ),
    ),
    examples=some(of(ExampleTrace, trace_id=st.integers(1, 3).map(lambda i: f"{i:032x}"))),
)
objectives = of(Objective, threshold_ms=st.one_of(st.none(), numbers), target=shares)
slos = of(
    SloReport,
    verdicts=some(
        of(
            ObjectiveVerdict,
            objective=objectives,
            met=st.sampled_from([True, False, None]),
            burn_rates=some(of(BurnRate)),
            measured_ms=st.one_of(st.none(), numbers),
        )
    ),
    derived=some(of(DerivedObjective)),
    checks=some(of(DerivationCheck)),
)
drifts = of(
    Drift,
    edges=some(of(EdgeDrift, p_value=shares)),
    latencies=some(of(LatencyDrift)),
    errors=some(of(ErrorDrift, before=shares, after=shares)),
)
catalogs = of(Catalog, entities=some(of(Entity, links=some(of(CatalogLink)))))
imports = of(
    ImportReport,
    files=some(
        of(
            ImportedFile,
            lost=st.dictionaries(any_text, counts, max_size=2),
            repaired=st.dictionaries(any_text, counts, max_size=2),
            examples=st.dictionaries(any_text, texts, max_size=2),
        )
    ),
)


@dataclass(frozen=True, kw_only=True)
class Found:
    """A run and everything found of it."""

    run: Run
    judged: bool
    more: dict[str, object]

    def document(self) -> Document:
        """Its document."""
        verdict = self.run.verdict if self.judged else None
        return build_document(self.run.manifest, verdict, self.run.graph, self.run.traces, **self.more)  # type: ignore[arg-type]


@st.composite
def found(draw: st.DrawFn) -> Found:
    run = draw(runs())
    spans = [s for t in run.traces for s in t.spans]
    sections = {
        s.trace_id: (PathSection(span_id=s.span_id, start_ns=s.start_ns, end_ns=max(s.start_ns, s.end_ns)),)
        for s in spans
    }
    return Found(
        run=run,
        judged=draw(st.booleans()),
        more={
            "analysis": draw(st.one_of(st.none(), analyses)),
            "slos": draw(st.one_of(st.none(), slos)),
            "drift": draw(st.one_of(st.none(), drifts)),
            "catalog": draw(st.one_of(st.none(), catalogs)),
            "catalog_findings": draw(some(of(CatalogFinding))),
            "imported": draw(st.one_of(st.none(), imports)),
            "paths": sections,
        },
    )
