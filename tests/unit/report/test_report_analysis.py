"""What an analysis adds to the document, to the terminal and to the JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.unit.report.analysed import Sample, sample
from tests.unit.report.generated_analysis import Found, found
from tests.unit.report.shop_run import shop_run
from tests.unit.report.test_report_page import read
from tracer_bullet.model import Distribution, ExampleTrace
from tracer_bullet.report import Document, build_document, render_json, render_junit
from tracer_bullet.report.console import TerminalStyle
from tracer_bullet.report.levels import error_level
from tracer_bullet.report.page import render_page
from tracer_bullet.report.paths_view import build_skews
from tracer_bullet.report.shape_base import Tone
from tracer_bullet.report.terminal import render_terminal
from tracer_bullet.report.terminal_analysis import render_analysis
from tracer_bullet.report.timing_view import Axis, trace_refs

ANY = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@pytest.fixture(scope="module")
def small() -> Sample:
    return sample()


@pytest.fixture(scope="module")
def document(small: Sample) -> Document:
    return small.document()


def test_what_nobody_judged_has_no_outcome_but_a_headline(document: Document) -> None:
    assert document.outcome is None
    assert document.exit_code == 0
    assert document.outcome_text == "objectives missed"
    assert document.headline == "1,204 of 24,000 traces through 14 services failed or were slow, with 3 causes."
    assert [t.label for t in document.tiles][:3] == ["Traces", "Services", "Request errors"]
    assert document.totals.traces == 24_000
    assert document.totals.spans == 1_000_000
    assert (document.findings, document.hops, document.writes, document.checks) == ((), (), (), ())


def test_without_objectives_and_drift_it_is_just_analysed(small: Sample) -> None:
    run = small.run
    made = build_document(run.manifest, None, run.graph, run.traces, analysis=small.analysis)
    assert (made.outcome_text, made.tone) == ("analysed", Tone.PLAIN)
    bare = build_document(run.manifest, None, run.graph, run.traces)
    assert bare.headline == f"{len(run.traces)} traces through 14 services."
    said = "".join(read(render_page(bare)).text)
    for absent in ("Causes", "Objectives", "Drift", "Audit", "Checks", "Declared", "Where the time goes"):
        assert absent not in said


def test_a_run_with_a_verdict_keeps_it_and_gains_the_rest(small: Sample) -> None:
    run = shop_run(bullets=20, lost=[4])
    plain = build_document(run.manifest, run.verdict, run.graph, run.traces)
    more = build_document(run.manifest, run.verdict, run.graph, run.traces, analysis=small.analysis, slos=small.slos)
    assert (more.outcome, more.headline, more.findings, more.hops) == (
        plain.outcome,
        plain.headline,
        plain.findings,
        plain.hops,
    )
    assert more.totals == plain.totals
    assert more.tiles[: len(plain.tiles)] == plain.tiles
    assert more.tiles[-1].label == "Objectives met"
    assert more.insight.causes


def test_examples_are_named_once_with_every_reason_and_referred_to(document: Document) -> None:
    ids = [e.trace_id for e in document.examples]
    assert len(ids) == len(set(ids)) == 6
    assert document.examples[0].why.startswith("slowest, error: OperationalError")
    refs = {r.id: r.key for c in document.insight.causes for r in c.examples}
    assert refs[ids[0]] == document.examples[0].key
    assert refs["e" * 32] == "", "a trace that is not shown is named without a link"


def test_clocks_that_may_agree_are_no_trouble(small: Sample) -> None:
    skew = replace(small.analysis.skews[0], offset_ms=0.0, low_ms=-1.0, high_ms=1.0, corrected=False)
    rows, _ = build_skews([skew, replace(skew, low_ms=0.5)], 10)
    assert [(r.state, r.tone) for r in rows] == [("may agree", Tone.PLAIN), ("left as it is", Tone.WARN)]


def test_no_reason_is_told_twice(small: Sample) -> None:
    ids = [t.trace_id for t in small.run.traces]
    chosen = [f"{kind}: gateway GET /, 1.2 s" for kind in ("slowest", "failed", "typical")]
    found = replace(
        small.analysis,
        examples=tuple(ExampleTrace(trace_id=i, why=why) for i, why in zip(ids, chosen, strict=False)),
        causes=(replace(small.analysis.causes[0], example_trace_ids=(ids[1],)),),
        patterns=(),
    )
    run = small.run
    made = build_document(run.manifest, None, run.graph, run.traces[:3], analysis=found)
    whys = {e.trace_id: e.why for e in made.examples}
    assert whys[ids[0]].split(" and ")[0] == "slowest"
    assert whys[ids[1]].startswith("failed: gateway GET /, 1.2 s")
    assert all(w.count("slowest") <= 1 and w.count("typical") <= 1 and "error" not in w for w in whys.values())


def test_critical_sections_add_up_to_the_trace(small: Sample, document: Document) -> None:
    for example, trace in zip(document.examples, small.run.traces, strict=True):
        drawn = sum(width for row in example.rows for _, width in row.critical)
        assert drawn == pytest.approx(1000, abs=1)
        assert (
            sum(s.end_ns - s.start_ns for s in small.paths[trace.trace_id])
            == trace.roots[0].end_ns - trace.roots[0].start_ns
        )


def test_flame_blocks_lie_inside_those_above(document: Document) -> None:
    for example in document.examples:
        assert example.flame is not None
        rows: dict[int, list[tuple[float, float]]] = {}
        for block in example.flame.blocks:
            rows.setdefault(block.top, []).append((block.left, block.left + block.width))
        for top, blocks in rows.items():
            ordered = sorted(blocks)
            assert all(a[1] <= b[0] + 0.02 for a, b in pairwise(ordered)), "no two overlap"
            for left, right in ordered if top else []:
                assert any(low - 0.02 <= left and right <= high + 0.02 for low, high in rows[top - 22])


def test_an_edge_has_both_sides_and_owners_come_from_the_catalog(document: Document) -> None:
    edge = next(e for e in document.graph.edges if e.target_name == "pricing")
    assert [q.label for q in edge.quantiles] == ["caller waited", "callee took"]
    assert all(len(q.values) == 6 for q in edge.quantiles)
    assert edge.timing.histogram is not None
    node = next(n for n in document.graph.nodes if n.name == "pricing")
    assert ("Owner", "group:default/pricing") in [(f.label, f.value) for f in node.facts]
    assert next(s.owner for s in document.insight.services if s.service == "pricing") == "group:default/pricing"


def test_levels_follow_their_limits(document: Document) -> None:
    for edge in document.graph.edges:
        share = edge.errors / edge.calls
        limits = [0.001, 0.01, 0.05]
        assert edge.by_errors.step == (1 if not edge.errors else 2 + sum(share >= limit for limit in limits))
    ordered = sorted(document.graph.edges, key=lambda e: e.timing.ms.p95_ms)
    steps = [e.by_latency.step for e in ordered]
    assert steps == sorted(steps)
    assert (steps[0], steps[-1]) == (1, 5)
    assert len(document.graph.latency_steps) == len(document.graph.error_steps) == 5


def test_missed_objectives_and_regressions_come_first(document: Document) -> None:
    slos, drift = document.insight.slos, document.insight.drift
    assert slos is not None
    assert [r.met for r in slos.rows] == [False, None, True]
    assert slos.rows[0].objective == "99 % of calls within 300 ms, over 5 min"
    assert slos.rows[0].budget == "overspent by 80 % of 30 d"
    assert [f.tone for f in slos.rows[0].burns] == [Tone.BAD, Tone.PLAIN]
    assert drift is not None
    assert all(r.left < r.middle < r.right for r in drift.latencies)
    slower = [r for r in drift.latencies if r.change == "slower"]
    faster = [r for r in drift.latencies if r.change == "faster"]
    assert all(r.middle > r.zero for r in slower)
    assert all(r.middle < r.zero for r in faster)
    assert drift.latencies_note == "Not listed: 2 quantiles without a change that can be shown."


def test_the_terminal_says_the_most_urgent_and_fits(document: Document) -> None:
    said = render_analysis(document, TerminalStyle(), page_path="runs/1/report.html")
    assert said.startswith("✘ OBJECTIVES MISSED  shop-2026-01-31.jsonl\n  1,204 of 24,000 traces")
    for wanted in (
        "group:default/pricing, on call: pricing-oncall",
        "blamed by catalog, its caller",
        "db.region = eu-west-3",
        "repeated calls, 9,412× in 880 traces",
        "missed: 98.2 % of 12,000 calls",
        "12× lost: span without an id (as line 812)",
        "tell  no owner is declared",
    ):
        assert wanted in said
    assert said.endswith("\nPage  runs/1/report.html\n")
    assert render_terminal(document, TerminalStyle(), page_path="runs/1/report.html") == said
    assert max(cell_len(row) for row in said.splitlines()) <= 80
    render_analysis(document, TerminalStyle(ascii_only=True)).encode("ascii")
    assert "\x1b[" in render_analysis(document, TerminalStyle(color=True))


def test_json_has_the_numbers(document: Document, small: Sample) -> None:
    said = json.loads(render_json(document, {}))
    assert said["outcome"] == "analysed"
    assert said["kind"] == "analyse"
    assert said["bad_traces"] == 1_204
    assert said["causes"][0]["traces"] == 814
    assert said["causes"][0]["owner"] == "group:default/pricing"
    assert small.analysis.critical is not None
    assert said["critical"]["total_ms"] == pytest.approx(small.analysis.critical.total_ms)
    assert said["slos"]["objectives"][0]["met"] is False
    assert said["drift"]["regressed"] == list(small.drift.regressed)
    assert said["imported"][0]["problem"] == "this is text, not traces"
    slow = said["operations"][0]
    assert 0 < slow["p50_ms"] <= slow["p95_ms"] <= slow["p999_ms"] <= slow["max_ms"]
    assert 'name="verdict"' in render_junit(document)


def test_equal_analyses_give_equal_bytes() -> None:
    assert render_page(sample().document()) == render_page(sample().document())


def test_a_large_graph_is_cut_with_a_note() -> None:
    large = sample(services=120, operations=300, edges=400, examples=2, spans=20).document()
    page = render_page(large)
    assert "Drawn at first: at most 80 of 162 parts and 160 of 400 edges" in page
    assert "Shown: 200 of 300 operations, slowest p95 first." in page
    assert "Shown: 200 of 400 edges, the failing and the busiest first." in page


@ANY
@given(found())
def test_no_text_and_no_number_breaks_the_page(case: Found) -> None:
    made = case.document()
    page = render_page(made)
    page.encode("utf-8")
    reader = read(page)
    links = {v for k, v in reader.attributes if k == "href" and v and not v.startswith(("#", "data:,"))}
    assert all(v.startswith(("http://", "https://")) for v in links)
    json.loads(render_json(made, {}))
    assert repr(case.document()) == repr(made)  # `nan` equals nothing, not even itself


@ANY
@given(found(), st.sampled_from([40, 80, 120]), st.booleans())
def test_no_line_of_the_terminal_is_too_wide(case: Found, width: int, ascii_only: bool) -> None:
    said = render_analysis(case.document(), TerminalStyle(width=width, ascii_only=ascii_only))
    assert max(cell_len(row) for row in said.splitlines()) <= width
    assert not set(said) & set("\x1b\x07\x00\x9b\u202e")
    said.encode("ascii" if ascii_only else "utf-8")


def test_a_trace_of_ten_thousand_levels_is_drawn(small: Sample) -> None:
    trace = small.run.traces[0]
    root = trace.roots[0]
    spans = [root]
    for i in range(10_000):
        spans.append(replace(root, span_id=f"{i + 100:016x}", parent_id=spans[-1].span_id, name=f"level {i}"))
    deep = type(trace).of(trace.trace_id, spans)
    made = build_document(small.run.manifest, None, small.run.graph, [deep])
    example = made.examples[0]
    assert example.flame is not None
    assert len(example.flame.blocks) == 24
    assert "too deep or too narrow" in example.flame.note
    assert len(example.rows) <= 250


@pytest.mark.parametrize(
    ("errors", "calls", "step"),
    [(0, 0, 0), (0, 10, 1), (1, 10_000, 2), (1, 1_000, 3), (1, 100, 4), (49, 1_000, 4), (50, 1_000, 5), (10, 10, 5)],
)
def test_error_steps_at_their_borders(errors: int, calls: int, step: int) -> None:
    assert error_level(errors, calls).step == step


def test_traces_that_are_shown_come_first() -> None:
    refs = trace_refs(["a", "b", "c", "a", "d"], {"c": "t1", "d": "t0"})
    assert [(r.id, r.key) for r in refs] == [("c", "t1"), ("d", "t0"), ("a", "")]


def test_whoever_the_analysis_names_is_told_without_a_catalog_too(small: Sample) -> None:
    made = build_document(small.run.manifest, None, small.run.graph, small.run.traces, analysis=small.analysis)
    assert [c.owner for c in made.insight.causes] == ["group:default/pricing", "", "", ""]
    assert made.insight.causes[0].on_call == ""


def test_intervals_use_the_whole_width(document: Document) -> None:
    drift = document.insight.drift
    assert drift is not None
    assert min(r.left for r in drift.latencies) == 20
    assert max(r.right for r in drift.latencies) == 980


def test_a_histogram_holds_every_duration() -> None:
    few = Distribution.of([1_000_000, 1_000_000, 900_000_000])
    axis = Axis.of([few])
    assert [t.text for t in axis.ticks()] == ["1 ms", "10 ms", "100 ms", "1 s"]
    drawn = axis.histogram(few)
    assert drawn is not None
    assert drawn.path == "M0 100V0H17V100ZM983 100V50H1000V100Z"
    assert drawn.label == "3 durations from 1.0 ms to 900 ms, half of them within 1.0 ms"
    assert axis.histogram(Distribution()) is None
