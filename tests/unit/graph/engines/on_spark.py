"""Run by tests/servers/spark.py in Spark's environment: both engines over one span table, every answer compared."""

from __future__ import annotations

import sys

from tests.unit.graph.engines.analyses import ANALYSES
from tests.unit.graph.engines.mirror import MirrorEngine
from tracer_bullet.graph.engines import open_engine


def main(source: str, *names: str) -> None:
    for name in names:
        both = MirrorEngine(open_engine("duckdb", source), open_engine("local[2]", source))
        ANALYSES[name](both)
        for view in ("source_attribute", "source_resource", "source_link", "source_exception"):
            both.rows(f"SELECT count(*), count(DISTINCT span_id) FROM {view}")
        print(name, both.queries)  # noqa: T201
        both.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
