"""Claim: a run that was judged without a single trace gets its page, JUnit and JSON all the same."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.report.replayed import endpoint, replay_report, replay_run
from tracer_bullet.cli.render import show
from tracer_bullet.errors import WorkspaceError
from tracer_bullet.model import Outcome
from tracer_bullet.runs.outputs import load_document, write_outputs
from tracer_bullet.runs.store import write_spans
from tracer_bullet.workspace.runs import RunFolder, create_run, write_json


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """As a replay leaves it whose traces never came: no spans, so no analysis and no graph."""
    report = replay_report([endpoint("GET /a")], armed=(), audited=0)
    run, _ = replay_run(report)
    folder = create_run(tmp_path, run.manifest.run_id)
    write_json(folder.manifest, run.manifest)
    write_json(folder.verdict, replace(run.verdict, bullets=(), findings=(), outcome=Outcome.INCONCLUSIVE))
    write_json(folder.replay, report)
    return folder


@pytest.mark.parametrize("part", [False, True], ids=["no span table", "an empty one"])
def test_no_trace_no_graph_but_a_report(folder: RunFolder, capsys: pytest.CaptureFixture[str], part: bool) -> None:
    if part:
        write_spans(folder, ())
    document = write_outputs(folder)
    assert document.outcome is Outcome.INCONCLUSIVE
    assert "Replay" in folder.report.read_text(encoding="utf-8")
    cases = ET.parse(folder.junit).getroot().iter("testcase")
    assert {c.get("name") for c in cases} >= {"GET /a", "verdict"}
    assert show(folder, as_json=True) == 3
    told = json.loads(capsys.readouterr().out)
    assert told["replay"]["accounting"]["sent"] == 100
    assert show(folder, as_json=False) == 3
    assert "INCONCLUSIVE" in capsys.readouterr().out


def test_a_run_that_was_never_judged_says_that_it_has_no_graph(folder: RunFolder) -> None:
    folder.verdict.unlink()
    with pytest.raises(WorkspaceError) as told:
        load_document(folder)
    assert told.value.code == "TB104"
