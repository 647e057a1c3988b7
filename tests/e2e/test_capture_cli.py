"""Claim: recordings come into an archive and out of it by the command line, with what was lost told, and no secret."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import run_cli
from tests.unit.replay.shop import exchange, said
from tracer_bullet.capture.archive import ArchiveWriter, open_archive
from tracer_bullet.model.exchange import Exchange

SECRET = "AKIAIOSFODNN7EXAMPLQ"
TOKEN = "s3cr3t-token-of-ann-1234567890"
SETTINGS = """
version: 1
targets: {shop: {url: "http://127.0.0.1:1"}}
capture: {session: ["query:visitor"], exclude_paths: ["/health*"]}
"""


def entry(path: str, *, status: int = 200, at: int = 0, body: str | None = None) -> dict[str, Any]:
    """An entry of a HAR."""
    request: dict[str, Any] = {
        "method": "GET",
        "url": f"http://shop.example{path}",
        "httpVersion": "HTTP/1.1",
        "headers": [{"name": "Authorization", "value": f"Bearer {TOKEN}"}],
    }
    if body is not None:
        request |= {"method": "POST", "postData": {"mimeType": "application/json", "text": body}}
    content = {"size": 2, "mimeType": "application/json", "text": "{}"}
    answer = {"status": status, "httpVersion": "HTTP/1.1", "headers": [], "content": content}
    return {"startedDateTime": f"2026-11-21T08:00:{at:02}.000Z", "time": 20, "request": request, "response": answer}


def har(*entries: dict[str, Any]) -> str:
    return json.dumps({"log": {"version": "1.2", "creator": {"name": "t", "version": "1"}, "entries": entries}})


LOG = '127.0.0.1 - - [21/Nov/2026:08:00:01 +0000] "GET /a HTTP/1.1" 200 5 "-" "curl"\nno line of a log\n'


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "tracer-bullet.yaml").write_text(SETTINGS)
    return tmp_path


def archive(path: Path, *exchanges: Exchange) -> Path:
    with ArchiveWriter(path, created_by="tests") as writer:
        for number, one in enumerate(exchanges):
            writer.append(replace(one, id=f"e-{number}"))
    return path


def test_files_and_logs_become_an_archive(place: Path) -> None:
    visits = [
        entry("/a?visitor=1"),
        entry("/b?visitor=1", at=2, body='{"password": "hunter22"}'),
        entry("/healthz", at=3),
    ]
    (place / "x.har").write_text(har(*visits, entry("/c?visitor=2", at=1)))
    (place / "access.log").write_text(LOG)
    done = run_cli("capture", "import", "x.har", "access.log", "-o", "x.tba", "--log-time", "end", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "x.har: HAR" in done.stdout
    assert "lost: 1 × " in done.stdout
    assert "left out: excluded 1" in done.stdout
    assert "out of order" in done.stdout
    found = list(open_archive(place / "x.tba").exchanges())
    assert sorted(e.request.target.partition("?")[0] for e in found) == ["/a", "/a", "/b", "/c"]
    by_path = {e.request.target.partition("?")[0]: e.session for e in found if e.source.startswith("har")}
    assert by_path["/a"] == by_path["/b"] != by_path["/c"], "capture.session counts"
    raw = (place / "x.tba").read_bytes() + repr(found).encode()
    assert TOKEN.encode() not in raw
    assert b"hunter22" not in raw
    again = run_cli("capture", "import", "x.har", "-o", "x.tba", cwd=place)
    assert (again.returncode, "TB925" in again.stderr) == (2, True), again.stderr


def test_standard_input(place: Path) -> None:
    command = [sys.executable, "-m", "tracer_bullet", "capture", "import", "-", "-o", "in.tba", "--format", "har"]
    done = subprocess.run(command, cwd=place, input=har(entry("/a")), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "wrote 1 exchanges" in done.stdout
    assert open_archive(place / "in.tba").info.count == 1


def test_what_cannot_be_read_is_told(place: Path) -> None:
    (place / "x.har").write_text(har(entry("/a")))
    (place / "junk").write_bytes(bytes(range(256)) * 4)
    done = run_cli("capture", "import", "x.har", "junk", "-o", "x.tba", cwd=place)
    assert done.returncode == 1
    assert "junk: not read" in done.stdout
    assert "wrote 1 exchanges" in done.stdout, "one bad input does not keep the others out"
    alone = run_cli("capture", "import", "junk", "-o", "y.tba", cwd=place)
    assert alone.returncode == 2
    assert "TB9" in alone.stderr
    assert not (place / "y.tba").exists()


def test_info_tells_what_there_is_and_what_is_lost(place: Path) -> None:
    path = archive(place / "x.tba", exchange(0), exchange(1, at=1.5, session="t"))
    done = run_cli("capture", "info", "x.tba", "--json", "--verify", cwd=place)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["exchanges"], told["hosts"], told["indexed"]) == (2, {"shop.example": 2}, True)
    assert told["last"].endswith("21.500Z")
    path.write_bytes(path.read_bytes()[:-40])
    torn = run_cli("capture", "info", "x.tba", cwd=place)
    assert "x.tba: " in torn.stdout
    assert "not closed properly" in torn.stdout
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    torn = run_cli("capture", "info", "x.tba", cwd=place)
    assert torn.returncode == 1, torn.stdout
    missing = run_cli("capture", "info", "nobody.tba", cwd=place)
    assert missing.returncode == 2
    assert "TB9" in missing.stderr


def test_a_secret_fails_the_audit_and_is_not_printed(place: Path) -> None:
    archive(place / "clean.tba", exchange(0))
    clean = run_cli("capture", "audit", "clean.tba", cwd=place)
    assert (clean.returncode, clean.stdout) == (0, "clean.tba: 1 exchanges, no secrets\n")
    archive(place / "bad.tba", exchange(0, answer=said({"note": f"the key is {SECRET}"})))
    for options in ((), ("--json",)):
        bad = run_cli("capture", "audit", "bad.tba", *options, cwd=place)
        assert bad.returncode == 1, bad.stderr
        assert "$.note" in bad.stdout
        assert SECRET not in bad.stdout + bad.stderr
    assert json.loads(bad.stdout)["secrets"] == 1


@pytest.mark.parametrize("format_", ["har", "goreplay", "mitmproxy"])
def test_out_and_in_again(place: Path, format_: str) -> None:
    archive(
        place / "x.tba",
        exchange(0, target="/a?b=c", answer=said({"x": 1})),
        exchange(1, at=1, method="PUT", body=b"hi"),
    )
    out = run_cli("capture", "export", "x.tba", "--format", format_, "-o", "out", cwd=place)
    assert out.returncode == 0, out.stderr
    assert "wrote 2 exchanges" in out.stderr
    back = run_cli("capture", "import", "out", "-o", "back.tba", cwd=place)
    assert back.returncode == 0, back.stdout + back.stderr
    found = list(open_archive(place / "back.tba").exchanges())
    assert [(e.request.method, e.request.target) for e in found] == [("GET", "/a?b=c"), ("PUT", "/")]
    assert found[1].started_ns - found[0].started_ns == 1_000_000_000
    if format_ == "har":
        again = run_cli("capture", "export", "x.tba", "--format", format_, "-o", "out", cwd=place)
        assert (again.returncode, "TB991" in again.stderr) == (2, True)
        piped = run_cli("capture", "export", "x.tba", "--format", format_, cwd=place)
        assert json.loads(piped.stdout)["log"]["version"] == "1.2"


def test_configuration_for_proxies_that_run(place: Path) -> None:
    nginx = run_cli("capture", "config", "nginx", "--log", "/var/log/x.log", cwd=place)
    assert nginx.returncode == 0
    assert "/var/log/x.log" in nginx.stdout
    envoy = run_cli(
        "capture", "config", "envoy", "--tap", "/tmp/tap", "--mirror", "shadow", "--percent", "5", cwd=place
    )
    assert envoy.returncode == 0, envoy.stderr
    assert "/tmp/tap" in envoy.stdout
    assert "shadow" in envoy.stdout
    assert "/dev/stdout" in run_cli("capture", "config", "envoy", cwd=place).stdout


def test_the_addon_is_a_file_that_knows_this_python(place: Path) -> None:
    done = run_cli("capture", "addon", cwd=place, env={"XDG_CACHE_HOME": str(place / "cache")})
    path = Path(done.stdout.strip())
    assert path.parent == place / "cache" / "tracer-bullet"
    assert f"PYTHON = {sys.executable!r}" in path.read_text()
