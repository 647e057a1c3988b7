"""Claim: a load run is told the same way everywhere: what was sent, demanded, is not known, and broke."""

from __future__ import annotations

import json
import re
import unicodedata
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.unit.report.loaded import STOPPED, curve, hostile, load_report, load_run, step_failed
from tests.unit.report.replayed import endpoint, quantiles
from tracer_bullet.model import Finding, Outcome, Severity
from tracer_bullet.model.load import LoadAccounting, LoadReport, LoadSecond, ThresholdResult
from tracer_bullet.model.replay import Timing
from tracer_bullet.report import Document, build_document, render_json, render_junit
from tracer_bullet.report.load_chart import build_charts
from tracer_bullet.report.load_tables import MAX_ROWS
from tracer_bullet.report.load_view import build_load
from tracer_bullet.report.page import render_page
from tracer_bullet.report.shape_base import Tone
from tracer_bullet.report.shape_load import LoadTable, LoadView
from tracer_bullet.report.terminal import TerminalStyle, render_terminal


def view(report: LoadReport) -> LoadView:
    found = build_load(report)
    assert found is not None
    return found


def facts(report: LoadReport) -> dict[str, tuple[str, Tone]]:
    return {f.label: (f.value, f.tone) for f in view(report).facts}


def tables(report: LoadReport) -> dict[str, LoadTable]:
    return {t.title: t for t in view(report).tables}


def cases(document: Document, group: str) -> dict[str, ET.Element]:
    root = ET.fromstring(render_junit(document))
    return {c.get("name", ""): c for c in root.iter("testcase") if c.get("classname", "").endswith(f".{group}")}


def test_no_load_no_view() -> None:
    assert build_load(None) is None


def test_facts_say_what_became_of_everything() -> None:
    told = facts(load_report())
    assert told["Iterations"] == ("12,000 begun: 11,800 whole, 150 broken, 50 cut", Tone.WARN)
    assert told["Not sent"] == ("40 × stale, 4 × skipped", Tone.UNSURE)
    assert told["Warm-up"][0] == "10 s, 510 requests that are in no other figure"
    assert told["Traces"][0].startswith("2 % of traces"), "percentiles say how they were sampled"
    assert "Stopped by" not in told
    assert facts(load_report(armed=(), audited=0))["Traces audited"] == ("0", Tone.UNSURE)
    assert facts(load_report(stop=STOPPED))["Stopped by"] == ("guardrail after 41.3 s", Tone.BAD)


def test_a_closed_model_does_not_boast() -> None:
    tiles = {t.label: t for t in view(load_report(model="closed")).tiles}
    assert tiles["Latency p99"].note.startswith("a slow target gets fewer requests")


def test_what_was_not_sent_has_no_latency() -> None:
    tiles = {t.label: t for t in view(load_report(accounting=LoadAccounting())).tiles}
    assert (tiles["Latency p99"].value, tiles["Latency p99"].note) == ("–", "nothing was sent")
    assert tiles["Late p99"].value == "–"


def test_tiles_are_short_and_coloured_by_what_they_mean() -> None:
    tiles = {t.label: t for t in view(load_report()).tiles}
    assert (tiles["Requests"].tone, tiles["Requests"].note) == (Tone.BAD, "111 failed, 40 not sent")
    assert (tiles["Thresholds"].value, tiles["Thresholds"].tone) == ("1 of 3", Tone.BAD)
    assert (tiles["Capacity"].value, tiles["Capacity"].note) == ("200/s", "iterations; broke at 400/s")
    assert "Rate" not in {t.label for t in view(load_report(stop=STOPPED)).tiles}, "a stopped run has no such number"
    late = load_report(timing=Timing(lateness=quantiles(9.0), valid=False), thresholds=())
    shown = {t.label: t for t in view(late).tiles}
    assert (shown["Late p99"].tone, shown["Late p99"].note[-7:]) == (Tone.UNSURE, "INVALID")
    assert all(len(label) <= 14 for label in tiles), "wider ones are cut in a terminal"


def test_every_table_says_what_it_is_of() -> None:
    found = tables(load_report())
    assert list(found) == [
        "Thresholds", "Capacity", "Steps", "Iterations", "Failures", "Against 2026-11-20-before",
        "Services, from the traces", "Senders", "Guardrails",
    ]  # fmt: skip
    for table in found.values():
        assert all(len(row.cells) == len(row.values) == len(table.heads) - 1 for row in table.rows)
        assert all(n < len(table.heads) - 1 for n in table.narrow)


def test_demands_are_met_not_met_or_not_known() -> None:
    rows = tables(load_report())["Thresholds"].rows
    assert [(r.name, r.cells, r.tone) for r in rows] == [
        ("p(99) < 300ms", ("120 ms", "30,000", "met"), Tone.GOOD),
        ("error_rate < 0.1% of buy / pay", ("1.2 %", "900", "not met"), Tone.BAD),
        ("p(99.9) < 1s of service pricing", ("–", "12", "not enough data"), Tone.UNSURE),
    ]
    assert rows[1].note == "1.23 % of 900; it stopped the run"


def test_the_knee_and_what_saturates_are_told() -> None:
    table = tables(load_report())["Capacity"]
    assert [r.cells[-1] for r in table.rows] == ["held", "held", "not enough data", "broke"]
    assert "it peaks near 271/s with 37 at once" in table.note
    assert "own time grew most in pricing ×7.4, cart ×1.9" in table.note


def test_a_regression_has_its_bounds() -> None:
    rows = tables(load_report())["Against 2026-11-20-before"].rows
    assert rows[0].cells == ("p99", "80.0 ms", "155 ms", "+94.0 %", "+70.0 % to +120.0 %", "worse")
    assert [r.tone for r in rows] == [Tone.BAD, Tone.PLAIN, Tone.UNSURE]
    assert rows[1].cells[4] == "\N{MINUS SIGN}2.0 % to +5.0 %"


def test_a_failure_shows_the_smallest_data_that_fails() -> None:
    first = tables(load_report())["Failures"].rows[0]
    assert first.cells == (
        "100",
        "status is 500, expected 201",
        "sku='MUG-00017', quantity=40",
        "sku='MUG', quantity=11",
    )


def test_a_lost_sender_is_told_and_one_alone_is_not_worth_a_table() -> None:
    whole = load_report()
    assert [r.tone for r in tables(whole)["Senders"].rows] == [Tone.PLAIN, Tone.BAD, Tone.WARN]
    assert tables(whole)["Senders"].rows[1].note == "lost: no word for 5 s"
    assert "Senders" not in tables(replace(whole, senders=whole.senders[:1]))
    assert "Senders" in tables(replace(whole, senders=whole.senders[1:2])), "it was lost"


def test_cuts_are_told() -> None:
    table = tables(hostile())["Steps"]
    assert len(table.rows) == MAX_ROWS
    assert table.note == "Shown: 200 of 230 rows, in their order."


def moves(path: str) -> int:
    return path.count("M")


def test_a_stall_is_a_rate_of_nothing_and_a_latency_that_nobody_knows() -> None:
    rates, latency, users = build_charts(curve())
    assert [line.name for line in rates.lines] == ["planned", "sent", "failed"]
    assert [moves(line.path) for line in (*rates.lines, *latency.lines)] == [1, 1, 1, 2, 2]
    sent = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", rates.lines[1].path)]
    assert sent.count(100.0) >= 6, "at the foot while nothing came back"
    assert users.title == "Users"
    assert len(build_charts(curve(gap=range(0)))[0].lines[1].path.split("L")) == 120


def test_what_is_too_short_for_a_line_has_none() -> None:
    assert build_charts(()) == build_charts(curve(1)) == ()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(0, 1e7, allow_subnormal=False), min_size=2, max_size=30, unique=True),
    st.sampled_from([1.0, 5.0]),
    st.floats(0, 1e9),
)
def test_every_line_stays_in_its_box(at: list[float], width: float, most: float) -> None:
    points = [
        LoadSecond(
            t_s=float(int(t)), width_s=width, planned_rate=most, rate=most / (n + 1), bad=n, p50_ms=n, p99_ms=most
        )
        for n, t in enumerate(sorted(at))
    ]
    for chart in build_charts(points):
        for line in chart.lines:
            numbers = [float(n) for n in re.findall(r"-?[\d.]+", line.path.replace("h0", ""))]
            assert len(numbers) < 100_000
            assert all(0 <= x <= 1000 for x in numbers[::2])
            assert all(0 <= y <= 100 for y in numbers[1::2])


def test_each_threshold_and_each_step_is_a_case() -> None:
    elsewhere = Finding(rule="flag-lost", severity=Severity.ERROR, message="", service="cart", operation="buy / look")
    document = load_run(load_report(), [step_failed("buy / pay"), elsewhere])[1]
    demands = cases(document, "thresholds")
    assert list(demands) == [
        "p(99) < 300ms",
        "error_rate < 0.1% of buy / pay",
        "p(99.9) < 1s of service pricing",
    ]
    assert [[e.tag for e in c] for c in demands.values()] == [["system-out"], ["failure"], ["error"]]
    failure = demands["error_rate < 0.1% of buy / pay"].find("failure")
    assert failure is not None
    assert (failure.get("type"), failure.get("message")) == ("threshold", "1.23 % of 900")
    steps = cases(document, "steps")
    assert {name: [e.tag for e in c] for name, c in steps.items()} == {
        "buy / look": ["system-out"],
        "buy / pay": ["failure"],
        "browse / list": ["system-out"],
    }
    assert "111 × answer-timeout" in "".join(steps["buy / pay"].itertext())


def test_a_step_that_may_fail_passes() -> None:
    document = load_run(load_report(), [step_failed("buy / pay", Severity.WARNING)])[1]
    assert cases(document, "steps")["buy / pay"].find("failure") is None


def test_no_failed_step_passes_because_there_are_many() -> None:
    rows = [endpoint(f"buy / {n}", failed=1) for n in range(300)]
    document = load_run(load_report(rows), [step_failed(r.endpoint) for r in rows])[1]
    assert [name for name, case in cases(document, "steps").items() if case.find("failure") is None] == []


def test_machines_get_the_report_itself() -> None:
    told = json.loads(render_json(load_run(load_report(stop=STOPPED))[1], {}))["load"]
    assert told["accounting"]["not_sent"] == {"stale": 40, "skipped": 4}
    assert told["capacity"]["usl"]["peak_n"] == 37.0
    assert told["failures"][0]["smallest"] == {"sku": "MUG", "quantity": 11}
    assert [t["met"] for t in told["thresholds"]] == [True, False, None]
    assert told["stop"]["reason"] == "guardrail"


@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("width", [60, 80])
def test_eighty_columns_are_enough(ascii_only: bool, width: int) -> None:
    rows = [endpoint(f"a-scenario-of-some-length / a step with a long name {n}", failed=n) for n in range(30)]
    report = load_report(rows, stop=STOPPED)
    document = load_run(report, [step_failed(r.endpoint) for r in rows])[1]
    said = render_terminal(document, TerminalStyle(width=width, ascii_only=ascii_only))
    assert max(cell_len(row) for row in said.splitlines()) <= width
    assert said.isascii() or not ascii_only
    assert "Steps  12 of 30; all are on the page" in said
    if width == 80:
        start, end = said.index("Requests"), said.index("Median trace")
        assert not {"…", "..."} & set(said[start:end]), "no label of a tile is cut"
        assert "not met" in said
        assert "not enough data" in said


hostile_text = st.text(min_size=1)


SCRIPTS = render_page(load_run(load_report())[1]).count("<script")


@settings(max_examples=60, deadline=None)
@given(name=hostile_text, said=hostile_text, other=hostile_text, width=st.integers(40, 120))
def test_any_text_in_any_place_is_fit_to_show(name: str, said: str, other: str, width: int) -> None:
    whole = load_report([endpoint(name)])
    report = replace(
        whole,
        scenarios=(name,),
        profile=(said,),
        services=tuple(replace(s, service=name) for s in whole.services),
        senders=tuple(replace(s, name=name, detail=said, lost=other) for s in whole.senders),
        thresholds=(ThresholdResult(expect=said, scope=other, value=1.0, unit=other, met=False, detail=said),),
        baseline=tuple(replace(b, step=name, metric=said) for b in whole.baseline),
        baseline_run=other,
        failures=tuple(replace(f, step=name, message=said, row={other: said}, trace_id=other) for f in whole.failures),
        guardrails=tuple(replace(g, name=name, last=said, worst=other, limit=said) for g in whole.guardrails),
        sampling=said,
        stop=replace(STOPPED, detail=other),
    )
    document = load_run(report, [step_failed(name)])[1]
    assert ET.fromstring(render_junit(document).encode()).tag == "testsuites"
    json.loads(render_json(document, {}))
    shown = render_terminal(document, TerminalStyle(width=width))
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cs") and c != "\n"], "it obeys them"
    page = render_page(document).encode("utf-8", "replace").decode()
    assert page.count("<script") == SCRIPTS


def test_the_headline_of_a_run_that_is_not_clear_does_not_blame_its_bullets() -> None:
    run = load_run(load_report())[0]
    verdict = replace(run.verdict, outcome=Outcome.INCONCLUSIVE)
    document = build_document(run.manifest, verdict, run.graph, run.traces, load=load_report())
    assert re.fullmatch(
        r"(\d+) of \1 bullets? passed, but not all that was asked of the run is known: see the findings\.",
        document.headline,
    )


def test_a_failed_run_is_failed_everywhere() -> None:
    run, document = load_run(load_report(), [step_failed("buy / pay")])
    assert "but the run failed" in document.headline
    assert run.verdict.outcome is document.outcome is Outcome.FAILED
