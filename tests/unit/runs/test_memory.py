"""Claim: a replay's process holds no library that it does not use, and pandas still works for who asks for it."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

LOOK = """
import json, sys
import tracer_bullet.cli.replay
from tracer_bullet.runs.memory import give_back, keep_small
keep_small()
import numpy as np, pyarrow as pa
pa.array(["a"]), pa.array([1], pa.int64()), pa.array(np.arange(3)), pa.table({"a": [1]})
give_back()
print(json.dumps([name for name in ("pandas", "duckdb", "sqlglot", "jinja2") if name in sys.modules]))
"""


def told(code: str) -> object:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_arrow_does_not_load_pandas_by_itself_nor_the_command_what_the_report_takes() -> None:
    assert told(LOOK) == []


@pytest.mark.skipif(find_spec("pandas") is None, reason="pandas is not installed")
def test_pandas_is_there_for_who_asks() -> None:
    code = "from tracer_bullet.runs.memory import keep_small; keep_small(); import json, pyarrow as pa"
    assert told(f"{code}; print(json.dumps(pa.table({{'a': [1, 2]}}).to_pandas()['a'].tolist()))") == [1, 2]
