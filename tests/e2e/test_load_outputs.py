"""Claim: while a load lasts, its page, Prometheus and a collector are told what the report says at its end."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.e2e.loads import simple_workspace
from tests.e2e.replays import await_that, run_folder, start
from tests.servers.envoy import Recorder
from tests.unit.runs.load.outputs.test_metrics import collector
from tests.unit.runs.load.outputs.watched import Events, get
from tracer_bullet.cli.main import run
from tracer_bullet.model.load import LoadReport
from tracer_bullet.workspace.runs import RunFolder, read_json

LOAD = "  rate: 40/s\n  duration: 6s\n  guardrails: {lateness_p99_ms: 60000}\n"


def test_a_run_is_watched_from_outside(tmp_path: Path) -> None:
    with Recorder() as server, collector() as (otlp, sent):
        file = simple_workspace(tmp_path, f"http://{server.address}", LOAD)
        process = start(file, "--unarmed", "--live-port", "0", "--otlp-metrics", otlp, command="load")
        assert process.stderr is not None
        said = ""
        while "live page:" not in said:
            said = process.stderr.readline()
            assert said, "it ended before it began"
        found = re.search(r"http://127\.0\.0\.1:\d+/", said)
        assert found is not None
        url = found.group()
        await_that(lambda: json.loads(get(url + "live.json")[2])["live"] is not None, "it told nothing")
        scraped: list[Any] = []

        def scrape() -> list[Any]:
            samples = [s for family in parse(get(url + "metrics")[2]) for s in family.samples]
            scraped[:] = [s for s in samples if s.name == "tracer_bullet_load_requests_total"]
            return scraped

        await_that(scrape, "nothing was counted")
        kinds = []
        with Events(url) as events:
            while not kinds or kinds[-1] not in ("end", ""):
                kinds.append(events.next()[0])
        out, err = process.communicate(timeout=120)
        assert process.returncode == 3, (out, err)
    assert {"message", "steps"} <= set(kinds)
    assert kinds[-1] == "end"
    (counted,) = scraped
    assert counted.labels == {"scenario": "simple", "step": "only", "method": "GET", "outcome": "ok"}
    assert 0 < counted.value <= 240
    report = read_json(RunFolder(path=run_folder(tmp_path)).load, LoadReport)
    last = {m.name: m for m in sent[-1][2].resource_metrics[0].scope_metrics[0].metrics}
    (point,) = last["tracer_bullet.load.request.duration"].histogram.data_points
    assert point.count == report.accounting.sent == 240, "the last export is of the whole run"
    assert "metrics do not reach" not in err
    with pytest.raises(ConnectionRefusedError):
        get(url)


def test_a_taken_port_is_told_before_anything_is_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Recorder() as server, socket.create_server(("127.0.0.1", 0)) as taken:
        file = simple_workspace(tmp_path, f"http://{server.address}", LOAD)
        port = str(taken.getsockname()[1])
        assert run(["load", str(file), "--unarmed", "--live-port", port]) == 2
        assert run(["load", str(file), "--unarmed", "--otlp-metrics", "nowhere"]) == 2
        assert server.take() == []
    err = capsys.readouterr().err
    assert "TB1070" in err
    assert "TB1071" in err
    assert not list((tmp_path / ".tracer-bullet").glob("runs/*"))
