"""Claim: `tracer-bullet --help` answers at once."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.startup import HELP, help_ms


def test_help_takes_little_cpu_time() -> None:
    """The aim is 150 ms; twice that here, since tests share their machine. benchmarks/startup.py has the figure."""
    assert help_ms(5) < 300


def test_help_loads_neither_a_command_nor_what_commands_need() -> None:
    arguments = ", ".join(repr(a) for a in ("tracer-bullet", *HELP[2:]))
    program = f"""
import sys
sys.argv = [{arguments}]
from tracer_bullet.cli import main
try:
    main()
finally:
    print("loaded:", *sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    told, _, modules = done.stdout.partition("loaded:")
    assert "fire" in told
    loaded = set(modules.split())
    assert "tracer_bullet.cli.fire" not in loaded
    assert not {"duckdb", "httpx", "jinja2", "opentelemetry", "pyarrow", "pydantic", "rich", "sqlalchemy"} & loaded
