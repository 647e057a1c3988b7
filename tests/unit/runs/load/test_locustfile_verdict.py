"""Claim: options, bullets, figures and verdicts of a run by a locustfile say what happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tracer_bullet.errors import UsageError
from tracer_bullet.model import BulletVerdict, Outcome, SpanStatus
from tracer_bullet.model.replay import StopEvent
from tracer_bullet.runs.load.locustfile.bullets import bullet_of
from tracer_bullet.runs.load.locustfile.conclude import Ending, conclude
from tracer_bullet.runs.load.locustfile.figures import LocustFigures
from tracer_bullet.runs.load.locustfile.options import parse
from tracer_bullet.workspace.runs import create_run

CLEAN = [BulletVerdict(bullet=0, trace_id="t", outcome=Outcome.PASSED)]


def test_ours_are_taken_out_and_the_rest_is_locusts() -> None:
    found = parse(
        ["-f", "a.py", "--target", "shop", "--headless", "-u", "5", "--allow-host", "a", "--allow-host=b:1",
         "-t", "1h2m3s", "--my-own", "x", "Shopper", "--json", "--tags", "t1"]
    )  # fmt: skip
    assert found.arguments == ("-f", "a.py", "--headless", "-u", "5", "-t", "1h2m3s", "--my-own", "x", "Shopper",
                               "--tags", "t1")  # fmt: skip
    assert (found.locustfile, found.target, found.users, found.run_time_s) == ("a.py", "shop", 5, 3723.0)
    assert (found.allow_hosts, found.as_json, found.worker, found.asks) == (("a", "b:1"), True, False, False)


def test_a_locustfiles_own_argument_is_not_taken_for_ours() -> None:
    assert parse(["-f", "a.py", "--tar", "x", "--allow"]).arguments == ("-f", "a.py", "--tar", "x", "--allow")


@pytest.mark.parametrize(("given", "seconds"), [("90", 90.0), ("20m", 1200.0), ("x", None), ("", None), ("5m3", None)])
def test_run_times_are_read_as_locust_does(given: str, seconds: float | None) -> None:
    assert parse(["-f", "a.py", f"--run-time={given}"]).run_time_s == seconds


def test_a_wrong_option_of_ours_is_told() -> None:
    with pytest.raises(UsageError, match="--trace"):
        parse(["-f", "a.py", "--trace", "week"])


@pytest.mark.parametrize("option", ["--list", "-h", "--version", "--show-task-ratio"])
def test_what_locust_only_prints_is_known(option: str) -> None:
    assert parse(["-f", "a.py", option]).asks


def shot(endpoint: str, *, status: int = 200, error: str = "") -> list[Any]:
    return ["ab" * 8, "GET", "http://shop/a", endpoint, 10, 20, status, error, 5]


def test_a_trace_becomes_a_bullet_under_one_root() -> None:
    message = {
        "id": "cd" * 16,
        "name": "Shopper.buy",
        "arms": [],
        "shots": [shot("GET /a"), shot("GET /b", status=503)],
    }
    bullet = bullet_of(message, number=3, run_id="r", root_id="ee" * 8)
    assert bullet is not None
    root, *steps = bullet.spans
    assert {s.parent_id for s in steps} == {root.span_id}
    assert root.status is SpanStatus.ERROR
    assert [s.step for s in bullet.shots] == ["GET /a", "GET /b"]
    assert {s.bullet for s in bullet.shots} == {3}


def test_what_never_left_is_no_bullet_and_what_was_cut_off_needs_no_answer() -> None:
    never = {"id": "cd" * 16, "name": "n", "arms": [], "shots": [shot("GET /a", status=0, error="connect")]}
    assert bullet_of(never, number=0, run_id="r", root_id="ee" * 8) is None
    cut = {**never, "shots": [shot("GET /a"), shot("GET /a", status=0, error="stopped")]}
    bullet = bullet_of(cut, number=0, run_id="r", root_id="ee" * 8)
    assert bullet is not None
    assert (len(bullet.shots), len(bullet.spans)) == (1, 3)


def test_rows_of_processes_are_added_up_exactly(tmp_path: Path) -> None:
    figures = LocustFigures(create_run(tmp_path, "20260101-000000-abcdef"), window_s=10)
    ms = 1_000_000
    row = ["ab" * 16, "cd" * 8, 5_000 * ms, 5_007 * ms, 200, 0, 100]
    figures.add(["GET /a", "GET /b"], [[0, *row], [1, *row]])
    figures.add(["GET /b"], [[0, *row[:4], 404, 13, 7]])
    steps = {s.endpoint: s for s in figures.steps()}
    assert {name: (s.sent, s.failed) for name, s in steps.items()} == {"GET /a": (1, 0), "GET /b": (2, 1)}
    assert steps["GET /b"].latency.p50_ms == pytest.approx(7.0, rel=0.001)
    accounting = figures.accounting()
    assert (accounting.sent, accounting.answered, accounting.failed, accounting.answer_bytes) == (3, 2, 1, 207)
    with pytest.raises((ValueError, TypeError, IndexError)):
        figures.add(["GET /a"], [[0, "nonsense"]])


def ending(**changes: Any) -> Ending:
    usual: dict[str, Any] = {
        "locust_code": 0, "requests": 10, "armed": ["GET /a"], "unarmed": [], "needs_arming": True, "unflagged": {},
        "refused": {}, "strangers": {}, "broken": [], "greeted": 1, "stop": None,
    }  # fmt: skip
    return Ending(**{**usual, **changes})


def stopped(reason: str) -> StopEvent:
    return StopEvent(reason=reason, detail="why", after_s=1.0)


@pytest.mark.parametrize(
    ("changes", "outcome", "rule"),
    [
        ({}, Outcome.PASSED, ""),
        ({"locust_code": 1}, Outcome.FAILED, "locust-failed"),
        ({"locust_code": -9}, Outcome.INCONCLUSIVE, "locust-died"),
        ({"unflagged": {"WS /chat": 3}}, Outcome.INCONCLUSIVE, "unflagged"),
        ({"refused": {"cdn:443": 1}}, Outcome.PASSED, "host-refused"),
        ({"strangers": {"GET cdn": 1}}, Outcome.PASSED, "host-allowed"),
        ({"unarmed": ["GET /b"]}, Outcome.INCONCLUSIVE, "endpoint-unproved"),
        ({"needs_arming": False}, Outcome.INCONCLUSIVE, "endpoint-unproved"),
        ({"broken": ["nonsense"]}, Outcome.INCONCLUSIVE, "locust-unclear"),
        ({"stop": stopped("kill-switch"), "locust_code": 4}, Outcome.ABORTED, "stopped-kill-switch"),
        ({"stop": stopped("not-harmless"), "locust_code": 1}, Outcome.FAILED, "stopped-not-harmless"),
        ({"stop": stopped("not-armed"), "locust_code": 3}, Outcome.INCONCLUSIVE, "stopped-not-armed"),
    ],
)
def test_what_becomes_of_it(changes: dict[str, Any], outcome: Outcome, rule: str) -> None:
    verdict = conclude(ending(**changes), CLEAN, run_id="r", name="n")
    assert verdict.outcome is outcome
    assert [f.rule for f in verdict.findings] == ([rule] if rule else [])


def test_without_requests_or_traces_nothing_is_proved() -> None:
    assert conclude(ending(requests=0), [], run_id="r", name="n").findings[0].rule == "nothing-sent"
    assert conclude(ending(), [], run_id="r", name="n").findings[0].rule == "not-audited"
