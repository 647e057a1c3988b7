"""Load runs at the simulated shop, through the recipe that the command line uses."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from tracer_bullet.context.keys import create_keys
from tracer_bullet.model import RunEnded, Verdict
from tracer_bullet.model.load import LoadReport
from tracer_bullet.runs.load.job import prepare_load
from tracer_bullet.runs.load.recipe import Outside, load
from tracer_bullet.workspace.runs import RunFolder, read_json

# A slow machine is no fault of the target, nor of the harness.
PATIENT = """
  guardrails: {lateness_p99_ms: 5000}
  limits: {answer_s: 120, total_s: 300}
  proof: {traces_per_s: 1000}
"""
BROWSE = """
version: 1
name: browse
target: shop
steps:
  - name: products
    request: {path: /products}
    take: {sku: "$.items[0].sku"}
  - name: again
    request: {path: /products, query: {like: "${sku}"}}
"""
SETTINGS = """
version: 1
targets:
  answerer: {url: %s}
traces: {source: embedded, listen: "127.0.0.1:0", settle_s: 0.5, quiet_s: 0.1}
"""
SIMPLE = """
version: 1
name: simple
target: answerer
variables: {n: 0}
steps:
  - name: only
    request: {path: "/only", query: {n: "${bullet}"}}
load:
"""


def write_scenario(workspace: Path, name: str, text: str) -> Path:
    path = workspace / "scenarios" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def simple_workspace(folder: Path, url: str, load: str) -> Path:
    """A workspace with one step at whatever answers at `url`. `load`: lines of the section, with two blanks before."""
    create_keys(folder / ".tracer-bullet" / "keys")
    (folder / "tracer-bullet.yaml").write_text(SETTINGS % url)
    return write_scenario(folder, "simple", SIMPLE + load)


def run_load(
    file: Path, r: Any, *, outside: Outside | None = None, **settings: Any
) -> tuple[Verdict, RunFolder, LoadReport]:
    """`r`: a firing range."""
    job = prepare_load(file, environ=os.environ, target=r.shop.url, system=r.shop.system(), **settings)
    job = replace(job, traces=job.traces.model_copy(update={"settle_s": 60.0, "quiet_s": 0.3}))

    async def main() -> RunEnded:
        events = [event async for event in load(job, r.receiver, outside=outside)]
        assert isinstance(events[-1], RunEnded)
        return events[-1]

    ended = asyncio.run(main())
    folder = RunFolder(path=ended.folder)
    return ended.verdict, folder, read_json(folder.load, LoadReport)
