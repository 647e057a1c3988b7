"""Claim: what a service imports of us is light, and nothing of the harness or of guarded libraries comes along."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.startup import added_import_ms

HEAVY = {
    "aiosqlite", "asyncpg", "click", "django", "duckdb", "fastapi", "flask", "google", "grpc", "httpcore", "httptools",
    "httpx", "hypothesis", "jinja2", "jsonpath_ng", "locust", "numpy", "pyarrow", "pydantic", "pytest", "rich",
    "sqlalchemy", "sqlglot", "starlette", "uvicorn", "yaml",
}  # fmt: skip


def imported_by(module: str) -> set[str]:
    program = f"import sys, {module}; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize("module", ["tracer_bullet", "tracer_bullet.context", "tracer_bullet.guards"])
def test_nothing_heavy_comes_along(module: str) -> None:
    assert imported_by(module) & HEAVY == set()


def test_nor_when_the_service_is_armed_and_has_such_libraries_installed() -> None:
    """Arming must not import what the service does not use."""
    program = """
import base64, json, sys
from tracer_bullet.guards import arm, asgi, census, wsgi
key = {"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": base64.urlsafe_b64encode(bytes(32)).decode().rstrip("=")}
armed = arm(service="cart", keys=json.dumps({"keys": [key]}))
armed_already = [g.name for g in census() if g.state != "waiting" and g.version]  # the standard library's have none
assert armed_already == [], census()
assert armed.problem == ""
print(*sys.modules, sep="\\n")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {name.split(".")[0] for name in done.stdout.split()} & HEAVY == set()


def test_the_heavy_ones_would_be_seen() -> None:
    assert {"click", "rich"} & HEAVY <= imported_by("rich, click")


def test_importing_us_adds_little_to_opentelemetry() -> None:
    """The aim is 60 ms; benchmarks/startup.py measures it, and the parts that services import."""
    assert added_import_ms("tracer_bullet", 5) < 60
