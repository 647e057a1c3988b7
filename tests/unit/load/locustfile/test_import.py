"""Claim: the package is cheap to import, and says how to get Locust where it is missing."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import tracer_bullet.load.locustfile as package
from tests.e2e.loads import simple_workspace
from tracer_bullet.cli.main import run
from tracer_bullet.errors import UsageError


def test_importing_it_brings_neither_locust_nor_gevent() -> None:
    code = (
        "import sys, tracer_bullet.load.locustfile, tracer_bullet.runs.load.locustfile.job;"
        "print([m for m in sys.modules if m.split('.')[0] in ('locust', 'gevent', 'geventhttpclient')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_without_locust_the_cure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match="Locust is not installed") as caught:
        package.TracerUser  # noqa: B018
    assert "tracer-bullet[load]" in str(caught.value)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        package.nonsense  # noqa: B018


@pytest.mark.parametrize("fleet", [("--workers", "local:2"), ("--master",)])
def test_a_fleet_without_locust_does_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fleet: tuple[str, ...]
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "locust" else found(name, *more)
    )
    file = simple_workspace(tmp_path, "http://127.0.0.1:9", "  rate: 1/s\n  duration: 1s\n")
    assert run(["load", str(file), "--unarmed", *fleet]) == 2
    told = capsys.readouterr().err
    assert "TB1050: Locust is not installed" in told
    assert "tracer-bullet[load]" in told
    assert not list((tmp_path / ".tracer-bullet").glob("runs/*"))
