"""Which traces are bad, and the span where each went wrong: the tables that the rest of this package reads."""

from __future__ import annotations

from typing import Final

from tracer_bullet.graph.engines import Engine
from tracer_bullet.graph.sql import causes, slow

FEWEST_TO_BE_SLOW: Final = 30
_MOST_COMPARED: Final = 200


def judge_traces(engine: Engine) -> None:
    """Make the tables `judged` (a row a trace with a root) and `blamed` (a row a trace with something wrong).

    Reads the tables of graph/prepare.py.
    """
    engine.define("head", causes.HEADS)
    engine.define("trace_root", causes.ROOTS)
    _judge_failed(engine)
    _judge_slow(engine)
    engine.define("bad", slow.BAD)
    engine.define("address", causes.ADDRESSES)
    engine.define("blamed", causes.BLAMED)
    for table in ("head", "trace_root", "failing", "failed_trace", "swallowed_trace", "excess", "bad", "address"):
        engine.drop(table)


def _judge_failed(engine: Engine) -> None:
    engine.define("failing", causes.FAILINGS)
    engine.define("suspect", causes.SUSPECTS)
    passing = _settle(engine, "passing", causes.PASSING)
    engine.define("risen", causes.RISEN.format(passing=passing))
    down = _settle(engine, "down", causes.DOWN)
    engine.define("candidate", causes.CANDIDATES)
    climb = _settle(engine, "climb", causes.CLIMB)
    engine.define("failed_trace", causes.ENTRIES.format(climb=climb, down=down))
    engine.define("swallowed_trace", causes.SWALLOWED.format(down=down))
    for table in ("suspect", passing, "risen", down, "candidate", climb):
        engine.drop(table)


def _judge_slow(engine: Engine) -> None:
    engine.define("paced", slow.PACED)
    engine.define("pace_limit", slow.LIMITS.format(fewest=FEWEST_TO_BE_SLOW))
    engine.define("slow_trace", slow.SLOW)
    engine.define("judged", slow.JUDGED)
    engine.define("timed", slow.TIMED.format(most=_MOST_COMPARED))
    engine.define("timed_span", slow.TIMED_SPANS)
    cut = _settle(engine, "cut", slow.CUTS, slow.JUMP_CUTS)
    engine.define("within_root", slow.WITHIN.format(cut=cut))
    engine.drop("timed_span")
    engine.drop(cut)
    engine.define("own_each", slow.OWN)
    engine.define("own_operation", slow.OWN_BY_OPERATION)
    engine.define("excess", slow.EXCESS)
    for table in ("paced", "pace_limit", "slow_trace", "timed", "within_root", "own_each", "own_operation"):
        engine.drop(table)


def _settle(engine: Engine, name: str, query: str, jump: str = causes.JUMP) -> str:
    """Make a table of pointers, each followed to its end; the table's name."""
    here, there = f"{name}_a", f"{name}_b"
    engine.define(here, query)
    before, left = 0, _unsettled(engine, here)
    # Each round doubles the way; what leads into a circle never settles.
    while left and left != before:
        engine.define(there, jump.format(name=here))
        engine.drop(here)
        here, there = there, here
        before, left = left, _unsettled(engine, here)
    return here


def _unsettled(engine: Engine, name: str) -> int:
    return int(engine.rows(causes.UNSETTLED.format(name=name))[0][0])
