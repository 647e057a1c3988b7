"""Spark in a virtual environment of its own, `.venvs/spark`: too heavy for everybody's.

`run_analyses` runs what tests/unit/graph/engines/analyses.py names on Spark and on DuckDB, in a process of its own.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VENV = ROOT / ".venvs" / "spark"
_INSTALL_TIMEOUT_S = 900.0
_RUN_TIMEOUT_S = 900.0


def run_analyses(source: Path, *names: str) -> str:
    """Compare both engines over the span table at `source`; what was printed. Skips the calling test without Spark."""
    python = _environment()
    command = [python, "-m", "tests.unit.graph.engines.on_spark", str(source), *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=_RUN_TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    return done.stdout


def _environment() -> Path:
    if shutil.which("java") is None:
        pytest.skip("spark: no java on this machine")
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = ours["optional-dependencies"]
    heavy = [r for r in extras["spark"] if not r.startswith("tracer-bullet")]
    wanted = [*ours["dependencies"], *extras["harness"], *heavy]
    key = hashlib.sha256("\n".join([sys.version, *wanted]).encode()).hexdigest()
    marker = VENV / "made-of"
    VENV.parent.mkdir(exist_ok=True)
    with (VENV.parent / "spark.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test workers come here at once
        if not marker.exists() or marker.read_text() != key:
            shutil.rmtree(VENV, ignore_errors=True)
            _install(wanted)
            marker.write_text(key)
    return VENV / "bin" / "python"


def _install(wanted: list[str]) -> None:
    try:
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True, capture_output=True, text=True)
        pip = [VENV / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        subprocess.run([*pip, *wanted], check=True, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        shutil.rmtree(VENV, ignore_errors=True)
        pytest.skip(f"spark: pip could not install it: {str(getattr(error, 'stderr', '') or error)[-200:]}")
