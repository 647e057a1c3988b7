"""Claim: `tracer-bullet import` reads what people have, says what was lost, and never leaves a mess."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.conftest import run_cli
from tests.servers.trace_apis import serve_tempo
from tracer_bullet.model import RunManifest, Span, SpanKind
from tracer_bullet.runs.store import read_spans
from tracer_bullet.traces.table import read_table
from tracer_bullet.workspace.runs import RunFolder, latest_run, read_json

GOLDEN = Path(__file__).parents[1] / "unit" / "traces" / "golden"


def a_trace() -> list[Span]:
    root = Span(
        trace_id="ab" * 16, span_id="1" * 16, parent_id=None, name="GET /", kind=SpanKind.SERVER, service="gateway",
        start_ns=10**18, end_ns=10**18 + 5_000_000, resource={"service.name": "gateway"},
    )  # fmt: skip
    return [root, replace(root, span_id="2" * 16, parent_id=root.span_id, kind=SpanKind.CLIENT, name="GET")]


def last_run(workspace: Path) -> RunFolder:
    folder = latest_run(workspace)
    assert folder is not None
    return folder


def test_files_of_any_format_with_their_losses(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "tempo" / "v2.json", tmp_path / "tempo.json")
    (tmp_path / "lines.jsonl.gz").write_bytes(gzip.compress((GOLDEN / "collector" / "collector.jsonl").read_bytes()))
    (tmp_path / "notes.txt").write_text("hello \x1b[31mworld\n")
    done = run_cli("import", "tempo.json", "lines.jsonl.gz", "notes.txt", cwd=tmp_path)
    folder = last_run(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "tempo.json: Tempo, 7 spans of 3 traces\n"
        "  lost             1  traces that Tempo gave in part (status PARTIAL): spans are missing,"
        " as trace exceeds maximum size\n"
        "  lost             1  attributes of links\n"
        "  repaired        23  ids in base64 instead of hex, as AAqwAAAAAAAAAAAAAAAAAQ==\n"
        "  repaired        10  kinds and status codes by name instead of number, as SPAN_KIND_INTERNAL\n"
        "lines.jsonl.gz: OTLP JSON, 4 spans of 2 traces\n"
        "  lost             3  attributes that the sender had dropped\n"
        "  lost             1  documents of other signals: metrics\n"
        "  lost             1  documents of other signals: logs\n"
        "notes.txt: not recognised: text beginning with 'hello \\x1b[31mworld'\n"
        f"run {folder.run_id}: 11 spans of 5 traces in .tracer-bullet/runs/{folder.run_id}\n"
        f"page .tracer-bullet/runs/{folder.run_id}/report.html\n"
    )
    assert len(read_spans(folder)) == 11
    assert read_json(folder.manifest, RunManifest).state == "finished"
    assert folder.graph.exists()
    assert folder.analysis.exists()


def test_a_folder_a_pattern_and_json(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    shutil.copy(GOLDEN / "otel" / "request.json", tmp_path / "in" / "b.json")
    shutil.copy(GOLDEN / "otel" / "request.binpb", tmp_path / "in" / "deep" / "a.bin")
    shutil.copy(GOLDEN / "otel" / "console.txt", tmp_path / "in" / ".hidden")
    done = run_cli("import", "in", "in/*.json", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert [(Path(f["name"]).name, f["format"]) for f in report["files"]] == [
        ("b.json", "OTLP JSON"),
        ("a.bin", "OTLP protobuf"),
    ]
    assert (report["spans"], report["traces"]) == (14, 3)
    assert Path(report["folder"]) == last_run(tmp_path).path.resolve()


def test_standard_input(tmp_path: Path) -> None:
    with (GOLDEN / "otel" / "console.txt").open("rb") as stream:
        done = subprocess.run(
            [sys.executable, "-m", "tracer_bullet", "import", "-"],
            stdin=stream,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "standard input: OpenTelemetry console exporter, 7 spans of 3 traces" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["page.html"], ["TB411", "page.html: not recognised: HTML or XML", "cure: export", "Jaeger (jaeger)"]),
        (["logs.json"], ["TB414", "OTLP JSON without spans", "documents of other signals: logs"]),
        (["missing.json"], ["TB412", "missing.json", "no such file"]),
        (["empty"], ["TB412", "empty", "no file in this folder"]),
        (["page.html", "--format", "jager"], ["TB413", "no format 'jager'", "otlp-json"]),
    ],
)
def test_what_cannot_be_imported_exits_2_and_leaves_nothing(
    tmp_path: Path, arguments: list[str], says: list[str]
) -> None:
    (tmp_path / "page.html").write_text("<html>log in</html>")
    (tmp_path / "logs.json").write_text('{"resourceLogs": []}')
    (tmp_path / "empty").mkdir()
    done = run_cli("import", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    for text in says:
        assert text in done.stderr
    assert not (tmp_path / ".tracer-bullet").exists()


def small_spans(count: int) -> bytes:
    """One line with many spans."""
    spans = ",".join(
        f'{{"traceId":"{n:032x}","spanId":"{n:016x}","startTimeUnixNano":5,"endTimeUnixNano":9}}'
        for n in range(1, count + 1)
    )
    return f'{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}\n'.encode()


@pytest.mark.parametrize(
    ("sent", "state", "code"), [(signal.SIGTERM, "interrupted", 130), (signal.SIGKILL, "running", -9)]
)
def test_an_import_that_is_stopped_leaves_a_readable_run(tmp_path: Path, sent: int, state: str, code: int) -> None:
    line, lines = small_spans(1000), 230
    process = subprocess.Popen(
        [sys.executable, "-m", "tracer_bullet", "import", "-"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    try:
        process.stdin.write(line * lines)
        process.stdin.flush()
        wait_for(lambda: any(tmp_path.rglob("part-0001.parquet")), process)
        os.kill(process.pid, sent)
        told = process.stderr.read().decode()
        assert process.wait(60) == code
    finally:
        process.kill()
        process.stdin.close()
        process.stderr.close()
    folder = last_run(tmp_path)
    assert read_json(folder.manifest, RunManifest).state == state
    rows = read_table(folder.spans).num_rows
    assert 200_000 <= rows <= 1000 * lines
    if sent == signal.SIGTERM:
        assert f"what was read until then is in .tracer-bullet/runs/{folder.run_id}" in told
        assert "interrupted" in told


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes], timeout_s: float = 120) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, "it ended by itself"
        assert time.monotonic() < end
        time.sleep(0.05)


def test_an_address_with_a_header(tmp_path: Path) -> None:
    with serve_tempo() as tempo:
        trace = a_trace()
        tempo.deliver(trace)
        url = f"{tempo.url}/api/v2/traces/{trace[0].trace_id}"
        done = run_cli("import", url, "--header", "X-Scope-OrgID: shop", cwd=tmp_path)
        refused = run_cli("import", url, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{url}: Tempo, {len(trace)} spans of 1 trace\n" in done.stdout
    assert {s.span_id for s in read_spans(last_run(tmp_path))} == {s.span_id for s in trace}
    assert refused.returncode == 2
    assert "it answered 401" in refused.stderr


def test_an_answer_that_breaks_off_is_kept_as_far_as_it_came(tmp_path: Path) -> None:
    whole = (GOLDEN / "collector" / "collector.jsonl").read_bytes()
    head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(whole)}\r\n\r\n".encode()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as connection:
                connection.recv(65_536)
                connection.sendall(head + whole[: whole.index(b"\n") + 40])

        thread = threading.Thread(target=answer)
        thread.start()
        done = run_cli("import", f"http://127.0.0.1:{server.getsockname()[1]}/", cwd=tmp_path)
        thread.join()
    assert done.returncode == 0, done.stderr
    assert "reading broke off: the answer broke off" in done.stdout
    assert len(read_spans(last_run(tmp_path))) == 2


def test_nobody_there(tmp_path: Path) -> None:
    done = run_cli("import", "http://127.0.0.1:1/api/traces", cwd=tmp_path)
    assert done.returncode == 2
    assert "TB415: no input can be read" in done.stderr
    assert "cannot be read: ConnectError" in done.stderr
    assert "export the traces" not in done.stderr


def test_a_header_that_is_none(tmp_path: Path) -> None:
    done = run_cli("import", "x.json", "--header", "nonsense", cwd=tmp_path)
    assert (done.returncode, "is not NAME:VALUE" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [(["--on", "clickhouse://127.0.0.1:1/otel"], 3, "TB504"), (["text.parquet"], 2, "TB501")],
)
def test_an_analysis_that_cannot_begin_leaves_no_run(
    tmp_path: Path, arguments: list[str], code: int, error: str
) -> None:
    (tmp_path / "text.parquet").write_text("this is none")
    done = run_cli("analyse", *arguments, cwd=tmp_path)
    assert (done.returncode, error in done.stderr) == (code, True), done.stderr
    assert not list((tmp_path / ".tracer-bullet" / "runs").iterdir())
