"""TRACER_BULLET_CAPTURE: a service records to an archive of its own, redacted, or serves without one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tracer_bullet.capture.archive import open_archive
from tracer_bullet.capture.redaction.audit import audit_exchanges
from tracer_bullet.capture.take import from_environment

PROGRAM = """
import asyncio, sys
from tracer_bullet.capture.asgi import CaptureMiddleware

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"set-cookie", b"sid=s3cr3tV4lue")]})
    await send({"type": "http.response.body", "body": b'{"token": "s3cr3tV4lue"}'})

async def main():
    sent = []
    async def receive():
        return {"type": "http.request", "body": b""}
    async def send(message):
        sent.append(message)
    scope = {"type": "http", "method": "GET", "path": "/a", "query_string": b"token=s3cr3tV4lue", "headers": []}
    for _ in range(3):
        await CaptureMiddleware(app)(scope, receive, send)
    assert len(sent) == 6, sent

asyncio.run(main())
"""


def run(folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    variables = {f"TRACER_BULLET_CAPTURE{name}": value for name, value in environ.items()}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


def test_a_service_records_to_an_archive(tmp_path: Path) -> None:
    run(tmp_path, **{"": "service-{pid}.tba", "_KEY": "k" * 32})
    (path,) = tmp_path.glob("service-*.tba")
    archive = open_archive(path)
    exchanges = list(archive.exchanges())
    assert len(exchanges) == 3
    assert b"s3cr3tV4lue" not in path.read_bytes()
    assert "s3cr3tV4lue" not in repr(exchanges)
    assert audit_exchanges(exchanges).clean
    assert exchanges[0].redacted == ("query:token", "answer:cookie:sid", "answer:json:$.token")
    assert not list(tmp_path.glob(".tracer-bullet"))


def test_without_a_key_one_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    run(tmp_path, **{"": "a.tba", "_KEY_FILE": "capture.key"})
    assert (tmp_path / "capture.key").stat().st_mode & 0o777 == 0o600
    run(tmp_path, **{"": "b.tba", "_KEY_FILE": "capture.key"})
    first, second = (next(open_archive(tmp_path / name).exchanges()) for name in ("a.tba", "b.tba"))
    assert first.request.target == second.request.target, "the same key, the same pseudonyms"


def test_settings_of_a_workspace_count(tmp_path: Path) -> None:
    (tmp_path / "tracer-bullet.yaml").write_text(
        "version: 1\ntargets: {shop: {url: 'http://shop'}}\ncapture: {redact: [{query: token, action: remove}]}\n"
    )
    run(tmp_path, **{"": "a.tba", "_SETTINGS": "."})
    assert next(open_archive(tmp_path / "a.tba").exchanges()).request.target == "/a?"


def test_what_cannot_be_had_is_logged_and_the_service_serves(tmp_path: Path) -> None:
    done = run(tmp_path, **{"": "no/such/folder/a.tba", "_KEY": "short"})
    assert done.stderr.count("nothing is recorded to no/such/folder/a.tba") == 1


def test_nothing_is_asked_for_nothing_is_done() -> None:
    assert from_environment({}) is None


def test_what_a_service_imports_is_light() -> None:
    program = "import sys, tracer_bullet.capture.asgi, tracer_bullet.capture.wsgi; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert modules & {"pydantic", "yaml", "zstandard", "orjson", "numpy", "uvicorn", "starlette", "flask"} == set()
    assert not any(
        name.startswith(("tracer_bullet.capture.archive", "tracer_bullet.capture.redaction")) for name in modules
    )


def test_what_tells_sessions_apart_counts_too(tmp_path: Path) -> None:
    sessions = []
    for name, capture in (("a", "{}"), ("b", "{session: ['query:token']}"), ("c", "{session: ['query:other']}")):
        text = f"version: 1\ntargets: {{shop: {{url: 'http://shop'}}}}\ncapture: {capture}\n"
        (tmp_path / "tracer-bullet.yaml").write_text(text)
        run(tmp_path, **{"": f"{name}.tba", "_SETTINGS": ".", "_KEY": "k" * 32})
        sessions.append({e.session for e in open_archive(tmp_path / f"{name}.tba").exchanges()})
    usual, token, other = sessions
    assert len(usual) == len(token) == 1
    assert usual != token
    assert other != token
