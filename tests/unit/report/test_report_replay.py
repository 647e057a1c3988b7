"""Claim: a replay is told the same way everywhere: what was sent, how punctually, what differs, what is not proved."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.unit.report.replayed import (
    STOPPED,
    difference,
    differs,
    endpoint,
    many,
    quantiles,
    replay_report,
    replay_run,
)
from tracer_bullet.model import Finding, Outcome, Severity
from tracer_bullet.model.replay import ReplayReport, Timing
from tracer_bullet.report import Document, render_json, render_junit
from tracer_bullet.report.replay_view import MAX_DIFFERENCES, MAX_ENDPOINTS, build_replay
from tracer_bullet.report.shape_base import Tone
from tracer_bullet.report.shape_replay import ReplayView
from tracer_bullet.report.terminal import TerminalStyle, render_terminal


def view(report: ReplayReport, findings: tuple[Finding, ...] = ()) -> ReplayView:
    found = build_replay(report, findings)
    assert found is not None
    return found


def facts(report: ReplayReport) -> dict[str, tuple[str, Tone]]:
    return {f.label: (f.value, f.tone) for f in view(report).facts}


def cases(document: Document) -> dict[str, ET.Element]:
    root = ET.fromstring(render_junit(document))
    return {c.get("name", ""): c for c in root.iter("testcase") if c.get("classname", "").endswith(".endpoints")}


def test_no_replay_no_view() -> None:
    assert build_replay(None) is None


def test_facts_say_what_became_of_everything() -> None:
    told = facts(replay_report([endpoint("GET /a"), endpoint("GET /b", sent=50)]))
    assert told["Not selected"] == ("40 × host, 2 × share", Tone.PLAIN)
    assert told["Refused"] == ("12 × write-without-body", Tone.WARN)
    assert told["Not sent"] == ("3 × slot", Tone.UNSURE)
    assert told["Timing"][0] == "speed 4x"
    assert told["Order kept"][0] == "99.97 % of 9,000 pairs of neighbours"
    assert told["Under way at once"][0] == "16.9 on average, 120 at most (recorded: 4.2, 31)"
    assert told["Endpoints proved"] == ("2 of 2", Tone.PLAIN)
    assert "Stopped by" not in told
    assert "Waited for a host's pause" not in told


def test_what_is_not_proved_is_unsure() -> None:
    rows = [endpoint("GET /a"), endpoint("GET /b")]
    told = facts(replay_report(rows, armed=("GET /a", "GET /elsewhere"), audited=0))
    assert told["Endpoints proved"] == ("1 of 2", Tone.UNSURE), "an endpoint that was not sent to proves no other one"
    assert told["Traces audited"] == ("0", Tone.UNSURE)
    not_begun = facts(replay_report([], armed=("GET /a",), fidelity=None, comparison=None))
    assert not_begun["Endpoints proved"] == ("1", Tone.UNSURE)
    assert "Order kept" not in not_begun


def test_tiles_are_short_and_coloured_by_what_they_mean() -> None:
    fine = view(replay_report([endpoint("GET /a")], comparison=None)).tiles
    assert [t.label for t in fine] == ["Requests", "Latency p99", "Late p99"]
    assert fine[0].tone is Tone.UNSURE, "three were not sent"
    late = replay_report([endpoint("GET /a", failed=2)], [difference("GET /a", "$.x")],
                         timing=Timing(lateness=quantiles(9.0), valid=False))  # fmt: skip
    tiles = {t.label: t for t in view(late).tiles}
    assert tiles["Requests"].tone is Tone.BAD
    assert (tiles["Late p99"].value, tiles["Late p99"].tone) == ("45.0 ms", Tone.UNSURE)
    assert tiles["Late p99"].note.endswith("INVALID")
    assert (tiles["As recorded"].value, tiles["As recorded"].tone) == ("70.0 %", Tone.BAD)
    assert all(len(label) <= 14 for label in tiles), "wider ones are cut in a terminal"


def test_endpoints_with_faults_come_first_and_say_so() -> None:
    rows = [endpoint("GET /big", sent=9_000), endpoint("GET /slow", failed=4), endpoint("GET /other", sent=2)]
    wrong = difference("GET /other", "$.price")
    report = replay_report(rows, [wrong], armed=("GET /big", "GET /slow"))
    # A finding about a service's own operation, which is called as the endpoint is, is not about the endpoint.
    elsewhere = Finding(rule="flag-lost", severity=Severity.ERROR, message="", service="cart", operation="GET /big")
    found = view(report, (differs(wrong), elsewhere)).endpoints
    assert [e.name for e in found] == ["GET /other", "GET /slow", "GET /big"]
    assert [e.tone for e in found] == [Tone.BAD, Tone.BAD, Tone.GOOD]
    assert [[rule for rule, _ in e.faults] for e in found] == [["answer-differs"], [], []]
    assert [e.proved for e in found] == [False, True, True]
    assert found[1].outcomes == "96 × 200, 4 × answer-timeout"
    assert (found[0].service, found[0].held) == ("54.0 ms", "")


def test_an_endpoint_that_was_not_proved_is_not_good() -> None:
    (row,) = view(replay_report([endpoint("GET /a")], armed=())).endpoints
    assert row.tone is Tone.UNSURE


def test_differences_are_sorted_out() -> None:
    rows = view(replay_report([endpoint("GET /a")], [difference("GET /a", "$.x")])).differences
    assert [(d.verdict, d.tone) for d in rows] == [
        ("differs", Tone.BAD),
        ("too few answers", Tone.UNSURE),
        ("differs by itself", Tone.PLAIN),
    ]
    assert (rows[0].count, rows[0].share, rows[0].noise) == ("30 of 100", "22 % to 40 %", "2 % of 50 pairs")
    unlearned = view(replay_report([], [replace(difference("GET /a", "$.x"), noise_of=0)])).differences[0]
    assert unlearned.noise == "not learned"


def test_cuts_are_told() -> None:
    report, findings = many(endpoints=MAX_ENDPOINTS + 30, differences=MAX_DIFFERENCES + 20)
    found = view(report, tuple(findings))
    assert (len(found.endpoints), len(found.differences)) == (MAX_ENDPOINTS, MAX_DIFFERENCES)
    assert found.endpoints_note == "Shown: 200 of 230 endpoints, failures first."
    assert found.differences_note.startswith("Shown: 100 of 122 differences, findings first.")
    assert "Not compared: 4 × no recorded answer." in found.differences_note
    bad = {f.operation for f in findings} | {e.endpoint for e in report.endpoints if e.failed}
    assert bad <= {e.name for e in found.endpoints}, "what is cut did well"


def test_a_stop_is_told() -> None:
    report = replay_report([endpoint("GET /a")], stop=STOPPED)
    assert view(report).summary.endswith(" Stopped after 12.3 s: 61 of 80 requests failed within 10 s (allowed: 50 %).")
    assert facts(report)["Stopped by"] == ("guardrail after 12.3 s", Tone.BAD)


def test_each_endpoint_is_a_case() -> None:
    wrong = [difference("GET /a", "$.x"), difference("GET /a", "$.y")]
    report = replay_report([endpoint("GET /a"), endpoint("GET /b"), endpoint("GET /c")], wrong, armed=("GET /b",))
    run, document = replay_run(report, [differs(d) for d in wrong])
    assert run.verdict.outcome is Outcome.FAILED
    found = cases(document)
    assert list(found) == ["GET /a", "GET /b", "GET /c"]
    failure = found["GET /a"].find("failure")
    assert failure is not None
    assert failure.get("type") == "answer-differs"
    assert "$.x" in (failure.text or "")
    assert "$.y" in (failure.text or "")
    assert found["GET /b"].find("failure") is found["GET /b"].find("error") is None
    error = found["GET /c"].find("error")
    assert error is not None, "nothing shows that requests to it were harmless"
    assert error.get("type") == "endpoint-unproved"


def test_no_failed_endpoint_passes_because_there_are_many_findings() -> None:
    """The page shows 200 findings; JUnit goes by all of them."""
    wrong = [difference(f"GET /{i}", f"$.f{n}") for i in range(60) for n in range(5)]
    report = replay_report([endpoint(f"GET /{i}") for i in range(60)], wrong)
    found = cases(replay_run(report, [differs(d) for d in wrong])[1])
    assert [name for name, case in found.items() if case.find("failure") is None] == []


def test_machines_get_the_report_itself() -> None:
    report = replay_report([endpoint("GET /a")], [difference("GET /a", "$.x")], stop=STOPPED)
    told = json.loads(render_json(replay_run(report)[1], {}))["replay"]
    assert told["accounting"]["refused"] == {"write-without-body": 12}
    assert told["comparison"]["findings"][0]["examples"][0] == ["17.50", "19.90"]
    assert told["stop"]["reason"] == "guardrail"
    assert told["timing"]["lateness"]["p99_ms"] == 0.5


@pytest.mark.parametrize("ascii_only", [False, True])
def test_eighty_columns_are_enough(ascii_only: bool) -> None:
    report, findings = many(endpoints=40, differences=30)
    document = replay_run(replace(report, stop=STOPPED), findings)[1]
    said = render_terminal(document, TerminalStyle(width=80, ascii_only=ascii_only))
    assert max(cell_len(row) for row in said.splitlines()) <= 80
    assert said.isascii() or not ascii_only
    start, end = said.index("Requests"), said.index("Median trace")
    assert not {"…", "..."} & set(said[start:end]), "no label of a tile is cut"
    assert "Endpoints  12 of 40; all are on the page" in said
    assert "; not proved" in " ".join(said.split())
    assert "differs (value)" in said


@settings(max_examples=60, deadline=None)
@given(name=st.text(min_size=1), field=st.text(), seen=st.text(), archive=st.text(), width=st.integers(40, 120))
def test_any_text_in_any_place_is_fit_to_show(name: str, field: str, seen: str, archive: str, width: int) -> None:
    wrong = replace(difference(name, field), examples=((seen, seen + "x"),))
    report = replay_report([endpoint(name)], [wrong], archive=archive)
    document = replay_run(report, [differs(wrong)])[1]
    assert ET.fromstring(render_junit(document).encode()).tag == "testsuites"
    json.loads(render_json(document, {}))
    said = render_terminal(document, TerminalStyle(width=width))
    assert all(c.isprintable() for c in said.replace("\n", "").replace("\u00a0", "").replace("\u3000", "")) or said
    assert "\x1b" not in said
