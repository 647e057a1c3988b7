"""Claim: whatever breaks in the middle of a run, its folder is readable and its verdict is not lost."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.runs.conftest import Answering, Source, tiny_job, write_settings
from tracer_bullet.errors import UnreachableError, WorkspaceError
from tracer_bullet.model import Outcome, RunEnded, Verdict
from tracer_bullet.runs.fire import fire
from tracer_bullet.runs.job import FireJob
from tracer_bullet.runs.store import read_spans
from tracer_bullet.workspace.runs import RunFolder, latest_run, read_json


def run(job: FireJob, source: Source | None = None) -> Verdict:
    async def main() -> Verdict:
        events = [event async for event in fire(job, source)]
        assert isinstance(events[-1], RunEnded)
        return events[-1].verdict

    return asyncio.run(main())


def folder_of(workspace: Path) -> RunFolder:
    folder = latest_run(workspace)
    assert folder is not None
    return folder


def state(folder: RunFolder) -> str:
    return str(json.loads(folder.manifest.read_text())["state"])


def test_no_trace_is_inconclusive(workspace: Path) -> None:
    assert run(tiny_job(workspace, bullets=1), Source()).outcome is Outcome.INCONCLUSIVE
    assert state(folder_of(workspace)) == "finished"


def test_an_answer_that_utf8_cannot_hold_is_judged(workspace: Path, target: Answering) -> None:
    target.body = rb'{"id": "\ud800"}'
    verdict = run(tiny_job(workspace, bullets=1), Source())
    assert verdict.outcome is Outcome.FAILED
    (root,) = (s for s in read_spans(folder_of(workspace)) if s.parent_id is None)
    assert "?" in root.status_message
    assert folder_of(workspace).report.exists()


def test_a_source_that_goes_away_leaves_what_was_sent(workspace: Path) -> None:
    with pytest.raises(UnreachableError):
        run(tiny_job(workspace, bullets=1), Source(away=range(1, 99)))
    folder = folder_of(workspace)
    assert state(folder) == "interrupted"
    assert folder.shots.exists()
    assert len(read_spans(folder)) == 2, "the harness's own: root and step"


def test_a_source_that_is_away_for_a_moment_costs_no_verdict(workspace: Path) -> None:
    assert run(tiny_job(workspace, bullets=1), Source(away={1})).outcome is Outcome.INCONCLUSIVE


def test_nothing_is_sent_when_traces_cannot_be_fetched(workspace: Path, target: Answering) -> None:
    write_settings(workspace, target.url, "traces: {source: zipkin, url: 'http://127.0.0.1:1'}\n")
    with pytest.raises(UnreachableError, match="Zipkin"):
        run(tiny_job(workspace, bullets=1))
    assert target.asked == 0
    assert latest_run(workspace) is None


def test_a_graph_that_cannot_be_built_does_not_take_the_verdict(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("no graph")

    monkeypatch.setitem(fire.__globals__, "analyse_run", broken)
    with pytest.raises(RuntimeError, match="no graph"):
        run(tiny_job(workspace, bullets=1), Source())
    folder = folder_of(workspace)
    assert read_json(folder.verdict, Verdict).outcome is Outcome.INCONCLUSIVE
    assert state(folder) == "interrupted"


def test_what_cannot_be_written_while_it_ends_hides_no_reason(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise WorkspaceError((), code="TB104")

    monkeypatch.setitem(fire.__globals__, "write_shots", full)
    with pytest.raises(UnreachableError):
        run(tiny_job(workspace, bullets=1), Source(away=range(1, 99)))
    assert state(folder_of(workspace)) == "interrupted"


def test_more_at_once_than_there_are_bullets(workspace: Path, target: Answering) -> None:
    verdict = run(tiny_job(workspace, bullets=1, concurrency=8), Source())
    assert (len(verdict.bullets), target.asked) == (1, 1)


def test_the_first_bullet_goes_alone(workspace: Path, target: Answering) -> None:
    verdict = run(tiny_job(workspace, bullets=5), Source())
    assert target.asked == 1
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "not-armed" in {f.rule for f in verdict.findings}
