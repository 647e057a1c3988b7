"""A real Zipkin server for tests, and spans in its format.

The server's jar comes from Maven Central into `.tools/` once; where Java or Maven are
missing, or the jar cannot be had, tests that need it are skipped by name.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from tracer_bullet.model import Span, SpanKind, SpanStatus

VERSION = "3.4.4"
TOOLS = Path(__file__).parents[2] / ".tools"
JAR = TOOLS / f"zipkin-server-{VERSION}-exec.jar"
FETCH_TIMEOUT_S = 240


def fetch_jar() -> Path:
    """The server's jar; skips the calling test when it cannot be had."""
    if shutil.which("java") is None:
        pytest.skip("zipkin: no java on this machine")
    if not JAR.exists():
        maven = shutil.which("mvn")
        if maven is None:
            pytest.skip("zipkin: no mvn to fetch the server's jar with")
        draft = TOOLS / f"zipkin-{os.getpid()}"
        artifact = f"io.zipkin:zipkin-server:{VERSION}:jar:exec"
        command = [maven, "-q", "-B", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={draft}"]
        try:
            subprocess.run(command, check=True, timeout=FETCH_TIMEOUT_S, capture_output=True, cwd=TOOLS.parent)
            (draft / JAR.name).replace(JAR)
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"zipkin: the server's jar cannot be fetched: {error}")
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return JAR


@contextlib.contextmanager
def run_zipkin(log: Path) -> Iterator[str]:
    """Run a server that keeps spans in memory; its base address."""
    jar = fetch_jar()
    # Port 0 lets the server choose; its log says which. The self-tracing default is off.
    command = ["java", "-Xmx256m", "-Darmeria.ports[0].ip=127.0.0.1", "-Darmeria.ports[0].port=0", "-jar", str(jar)]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=out, env={**os.environ, "STORAGE_TYPE": "mem"}
        )
        try:
            yield _served_at(process, out)
        finally:
            process.terminate()
            process.communicate(timeout=30)


def _served_at(process: subprocess.Popen[bytes], log: BinaryIO) -> str:
    """Read the server's output until it says where it serves; if it never does, the output ends with it."""
    assert process.stdout is not None
    for line in process.stdout:
        log.write(line)
        found = re.search(rb"Serving HTTP at \S+ - (http://[^/\s]+)", line)
        if found:
            return found[1].decode()
    raise AssertionError(f"zipkin ended with {process.wait()} before it served; see {log.name}")


def post_spans(url: str, spans: Iterable[dict[str, Any]]) -> None:
    """Deliver Zipkin v2 spans, as a reporter does."""
    body = json.dumps(list(spans)).encode()
    request = urllib.request.Request(f"{url}/api/v2/spans", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 202


def to_zipkin(span: Span) -> dict[str, Any]:
    """A model span as OpenTelemetry's Zipkin exporter writes it (microseconds; error as a tag)."""
    kind = "" if span.kind in (SpanKind.INTERNAL, SpanKind.UNSPECIFIED) else span.kind.name
    error = {"error": span.status_message or "true"} if span.status is SpanStatus.ERROR else {}
    value: dict[str, Any] = {
        "traceId": span.trace_id,
        "id": span.span_id,
        "parentId": span.parent_id,
        "kind": kind,
        "name": span.name,
        "timestamp": span.start_ns // 1_000,
        "duration": (span.end_ns - span.start_ns) // 1_000,
        "localEndpoint": {"serviceName": span.service},
        "tags": {**span.attributes, **error},
        "annotations": [{"timestamp": e.time_ns // 1_000, "value": e.name} for e in span.events],
    }
    return {k: v for k, v in value.items() if v not in (None, "")}
