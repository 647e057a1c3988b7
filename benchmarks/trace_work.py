"""One measured piece of work on spans, in a process of its own: `python -m benchmarks.trace_work WORK PATH LIMIT_MB`.

The peers do less than `analyse`: `pandas` joins parents and groups, `anchors` are Jaeger's rule for edges and its walk
for critical paths (PRODUCER to CONSUMER is not cut) in plain Python, one trace after the other.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import orjson

from tracer_bullet.graph.analyse import analyse
from tracer_bullet.graph.assemble import assemble
from tracer_bullet.graph.engines import DuckEngine, EngineOptions
from tracer_bullet.graph.prepare import prepare
from tracer_bullet.model import System
from tracer_bullet.runs.importing import ImportEnded, Input, import_spans

NAMES = {
    "orjson": "orjson.loads alone",
    "import": "import",
    "analyse": "all of it: graph, buckets, critical paths, causes",
    "graph": "the graph alone",
    "pandas": "pandas: parent join, edges, exact quantiles",
    "anchors": "plain Python: Jaeger's edges and critical path",
}
_COLUMNS = "trace_hi, trace_lo, span_id, parent_id, service, name, kind, start_ns, end_ns"


@dataclass(frozen=True)
class Measured:
    wall_s: float
    cpu_s: float
    peak_mb: float
    spans: int
    found: str

    @property
    def rate(self) -> float:
        return self.spans / self.wall_s


def measured(work: str, path: Path, limit_mb: int = 0) -> Measured:
    command = [sys.executable, "-m", "benchmarks.trace_work", work, str(path), str(limit_mb)]
    return Measured(*json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))


def do_analyse(path: str, limit_mb: int) -> tuple[int, str]:
    with DuckEngine(path, EngineOptions(memory_limit_mb=limit_mb or None)) as engine:
        steps = analyse(engine, System())
        while True:
            try:
                next(steps)
            except StopIteration as end:
                graph, found = end.value
                return graph.spans, f"{len(graph.edges)} edges, {len(found.causes)} causes"


def do_graph(path: str, limit_mb: int) -> tuple[int, str]:
    with DuckEngine(path, EngineOptions(memory_limit_mb=limit_mb or None)) as engine:
        prepare(engine, System())
        graph = assemble(engine)
    return graph.spans, f"{len(graph.edges)} edges"


def do_pandas(path: str, _limit_mb: int) -> tuple[int, str]:
    import pandas as pd  # noqa: PLC0415

    spans = pd.read_parquet(path, columns=_COLUMNS.split(", "))
    spans["duration"] = spans.end_ns - spans.start_ns
    parents = spans[["trace_hi", "trace_lo", "span_id", "service"]]
    keys = ["trace_hi", "trace_lo", "parent_id"]
    pairs = spans.merge(parents, left_on=keys, right_on=["trace_hi", "trace_lo", "span_id"], suffixes=("", "_parent"))
    shares = [0.5, 0.9, 0.95, 0.99, 0.999]
    edges = pairs[pairs.service != pairs.service_parent].groupby(["service_parent", "service"]).duration
    edges.quantile(shares)
    entries = spans[spans.kind.isin((2, 5))].groupby(["service", "name"]).duration
    entries.quantile(shares)
    return len(spans), f"{edges.ngroups} edges"


def do_anchors(path: str, _limit_mb: int) -> tuple[int, str]:
    with duckdb.connect() as con:
        rows = con.sql(f"SELECT {_COLUMNS} FROM '{path}'").fetchall()
    traces: dict[tuple[int, int], list[Any]] = defaultdict(list)
    for row in rows:
        traces[row[0], row[1]].append(row)
    edges: dict[tuple[str, str], list[int]] = defaultdict(list)
    exclusive: dict[tuple[str, str], int] = defaultdict(int)
    for spans in traces.values():
        by_id = {s[2]: s for s in spans}
        children: dict[int, list[Any]] = defaultdict(list)
        for span in spans:
            parent = by_id.get(span[3])
            if parent is not None:
                children[parent[2]].append(span)
                if parent[4] != span[4]:
                    edges[parent[4], span[4]].append(span[8] - span[7])
        for root in (s for s in spans if s[3] is None):
            _walk(root, children, exclusive)
    return len(rows), f"{len(edges)} edges"


def _walk(root: Any, children: dict[int, list[Any]], exclusive: dict[tuple[str, str], int]) -> None:
    """Back from the end, always into the child that ended last before."""
    stack = [(root, root[7], root[8])]
    while stack:
        span, start, end = stack.pop()
        at = end
        for child in sorted(children.get(span[2], ()), key=lambda s: -s[8]):
            if child[8] <= at and child[8] > start:
                begin = max(child[7], start)
                exclusive[span[4], span[5]] += at - child[8]
                stack.append((child, begin, child[8]))
                at = begin
        exclusive[span[4], span[5]] += at - start


def do_orjson(path: str, _limit_mb: int) -> tuple[int, str]:
    return sum(len(trace["spans"]) for trace in orjson.loads(Path(path).read_bytes())["data"]), ""


def do_import(path: str, _limit_mb: int) -> tuple[int, str]:
    with tempfile.TemporaryDirectory() as folder:
        source = Input(name=path, open=lambda: Path(path).open("rb"), size=Path(path).stat().st_size)  # noqa: SIM115
        for event in import_spans(Path(folder), [source]):
            if isinstance(event, ImportEnded):
                return sum(file.spans for file in event.report.files), ""
    raise AssertionError("an import ends with its report")


def main(work: str, path: str, limit_mb: str) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    spans, found = globals()[f"do_{work}"](path, int(limit_mb))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    # Not getrusage: across fork and exec its maximum is that of the parent.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(json.dumps([wall, cpu, peak, spans, found]))


if __name__ == "__main__":
    main(*sys.argv[1:])
