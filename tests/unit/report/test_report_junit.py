from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace

from hypothesis import given, settings

from tests.unit.report.generated import runs
from tests.unit.report.shop_run import GAP, Run, shop_run
from tracer_bullet.model import Outcome, Severity
from tracer_bullet.report import build_document, render_json, render_junit


def suite(run: Run) -> ET.Element:
    made = render_junit(build_document(run.manifest, run.verdict, run.graph, run.traces))
    root = ET.fromstring(made.encode("utf-8"))
    assert root.tag == "testsuites"
    assert root.attrib.keys() == {"name", "tests", "failures", "errors", "time"}
    assert [child.tag for child in root] == ["testsuite"]
    return root[0]


def check_shape(found: ET.Element) -> None:
    """What the common schema (Ant, Jenkins' xUnit plugin) asks of a suite."""
    cases = found.findall("testcase")
    assert [c.tag for c in found] == ["properties"] + ["testcase"] * len(cases)
    assert found.attrib.keys() == {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"}
    assert int(found.get("tests", "")) == len(cases)
    assert int(found.get("failures", "")) == len(found.findall("testcase/failure"))
    assert int(found.get("errors", "")) == len(found.findall("testcase/error"))
    assert float(found.get("time", "")) >= 0
    for case in cases:
        assert case.attrib.keys() == {"classname", "name", "time"}
        assert [c.tag for c in case] in ([], ["failure"], ["error"], ["system-out"])
        for told in (*case.findall("failure"), *case.findall("error")):
            assert told.attrib.keys() == {"message", "type"}


def test_five_hundred_bullets_do_not_give_thousands_of_cases() -> None:
    found = suite(shop_run(bullets=500))
    check_shape(found)
    assert found.get("tests") == "8"
    assert found.get("time") == "34.210"
    assert found.get("timestamp") == "2026-01-31T12:00:00"
    assert not found.findall(".//failure")


def test_a_failed_run_fails_its_checks_its_rules_and_its_verdict() -> None:
    found = suite(shop_run(bullets=20, lost=[4], missing=[5]))
    check_shape(found)
    failed = {c.get("name"): c.find("failure") for c in found.findall("testcase") if c.find("failure") is not None}
    assert set(failed) == {
        "payment is asked once (scenarios/checkout.yaml:38)",
        "no writes (scenarios/checkout.yaml:1)",
        "flag-lost",
        "unguarded-write",
        "verdict",
    }
    lost = failed["flag-lost"]
    assert lost is not None
    assert "cure: Let checkout's HTTP client forward baggage" in (lost.text or "")
    assert "where: checkout → payment · POST /charges" in (lost.text or "")
    errors = [c.get("name") for c in found.findall("testcase") if c.find("error") is not None]
    assert errors == ["trace-incomplete"]


def test_an_inconclusive_run_is_an_error_not_a_failure() -> None:
    found = suite(shop_run(bullets=20, missing=[5]))
    assert (found.get("failures"), found.get("errors")) == ("0", "2")


def test_an_aborted_run_is_an_error_even_without_findings() -> None:
    run = shop_run(bullets=2)
    found = suite(replace(run, verdict=replace(run.verdict, outcome=Outcome.ABORTED, planned=9)))
    error = found.find("testcase[@name='verdict']/error")
    assert error is not None
    assert error.get("message") == "Stopped after 2 of 9 bullets."


def test_a_warning_passes_and_is_told() -> None:
    run = shop_run(bullets=2)
    warning = replace(GAP, rule="slow-start", severity=Severity.WARNING)
    found = suite(replace(run, verdict=replace(run.verdict, findings=(warning,))))
    told = found.find("testcase[@name='slow-start']/system-out")
    assert told is not None
    assert "inventory sealed 3 spans" in (told.text or "")


@settings(deadline=None)
@given(runs())
def test_any_run_is_well_formed_and_counts_agree(run: Run) -> None:
    check_shape(suite(run))


def test_json_is_the_documented_object() -> None:
    run = shop_run(bullets=20, lost=[4])
    made = build_document(run.manifest, run.verdict, run.graph, run.traces)
    said = json.loads(render_json(made, {"page": "runs/1/report.html"}))
    assert list(said) == [
        "schema",
        "run_id",
        "scenario",
        "target",
        "outcome",
        "exit_code",
        "headline",
        "started",
        "duration_s",
        "bullets",
        "writes",
        "flag",
        "traces",
        "edges",
        "findings",
        "checks",
        "paths",
        "kind",
        "services",
        "operations",
        "critical",
        "patterns",
        "bad_traces",
        "causes",
        "contrasts",
        "clocks",
        "slos",
        "drift",
        "declared",
        "imported",
    ]
    assert (said["outcome"], said["exit_code"]) == ("failed", 1)
    assert said["bullets"] == {
        "planned": 20,
        "judged": 20,
        "passed": 19,
        "failed": 1,
        "inconclusive": 0,
        "aborted": 0,
    }
    assert said["writes"] == {
        "met": 140,
        "undecided": 1,
        "decisions": {"rolled_back": 99, "stubbed": 20, "suppressed": 20},
    }
    assert said["flag"] == {"hops": 7, "crossed": 6}
    assert said["findings"][0]["hop"] == "checkout → payment"
    assert said["paths"] == {"page": "runs/1/report.html"}
    assert len(said["edges"]) == len(run.graph.edges)


@settings(deadline=None)
@given(runs())
def test_json_of_any_run_is_strict_json_in_ascii(run: Run) -> None:
    said = render_json(build_document(run.manifest, run.verdict, run.graph, run.traces), {})
    assert said.isascii()
    json.loads(said, parse_constant=lambda c: (_ for _ in ()).throw(AssertionError(c)))
