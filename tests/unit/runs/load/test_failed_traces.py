"""Claim: of requests that failed a few of each kind have their traces shown, and none of them is counted anywhere."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.servers.otlp import PROTOBUF, to_protobuf
from tests.unit.engine.shot_batches import batch, shot
from tests.unit.traces.test_receiver import a_span, post
from tracer_bullet.errors import WorkspaceError
from tracer_bullet.model import Analysis, ExampleTrace
from tracer_bullet.runs.load.failed_traces import FailedTraces, keep_examples
from tracer_bullet.traces import Receiver, Recent, ZipkinSource, read_table, spans_to_table, table_to_spans, write_table
from tracer_bullet.workspace.runs import RunFolder, read_json, write_json

HIGH = 2**63 - 1


def row(number: int, error: str = "", endpoint: int = 0, low: int | None = None) -> dict[str, int]:
    found = shot(number=number, endpoint=endpoint, error=error)
    return {**found, "trace_hi": number, "trace_lo": HIGH if low is None else low}


def trace_id(number: int, low: int = HIGH) -> str:
    return f"{number:016x}{low:016x}"


def test_failures_are_claimed_while_they_are_fresh() -> None:
    with Receiver() as receiver:
        receiver.keep_share(0.1, recent=Recent())
        post(receiver, to_protobuf([a_span(trace_id(1)), a_span(trace_id(2)), a_span(trace_id(3))]), PROTOBUF)
        failed = FailedTraces(receiver, share=0.1)
        failed.shots(batch([row(1, "unexpected"), row(2), row(3, "skipped")]))
        post(receiver, to_protobuf([a_span(trace_id(1), "2" * 16)]), PROTOBUF)
        assert failed.claimed == {trace_id(1): "unexpected"}
        spans = asyncio.run(failed.spans())
        assert [s.span_id for s in spans] == ["1" * 16, "2" * 16]
        assert receiver.spans([trace_id(2), trace_id(3)]) == {trace_id(2): [], trace_id(3): []}


def test_a_few_of_each_kind() -> None:
    with Receiver() as receiver:
        receiver.keep_share(0.0, recent=Recent())
        failed = FailedTraces(receiver, share=0.0, each=2, most=5)
        failed.shots(batch([row(n, "reset") for n in range(1, 10)]))
        assert len(failed.claimed) == 2
        failed.shots(batch([row(n, "reset", endpoint=1) for n in range(20, 30)]))
        failed.shots(batch([row(n, "unexpected") for n in range(30, 40)]))
        assert list(failed.claimed.values()) == ["reset"] * 4 + ["unexpected"]


def test_what_is_kept_anyway_or_never_comes_is_not_claimed() -> None:
    with Receiver() as receiver:
        receiver.keep_share(0.1, recent=Recent())
        failed = FailedTraces(receiver, share=0.1, trace_share=0.5)
        lows = [0, 2**64 // 5, 2**64 - 1]  # audited, sampled, not sampled
        failed.shots(batch([row(n + 1, "reset", low=low) for n, low in enumerate(lows)]))
        assert list(failed.claimed) == [trace_id(2, lows[1])]


def test_a_trace_server_keeps_what_it_keeps() -> None:
    source = ZipkinSource("http://127.0.0.1:1")
    failed = FailedTraces(source, share=0.0)
    failed.shots(batch([row(1, "reset")]))
    assert list(failed.claimed) == [trace_id(1)]
    asyncio.run(source.close())


def test_they_join_the_examples_and_nothing_else(tmp_path: Path) -> None:
    folder = RunFolder(path=tmp_path)
    known, new = a_span("a" * 32), [a_span("c" * 32), a_span("c" * 32, "2" * 16), a_span("d" * 32)]
    with pytest.raises(WorkspaceError):
        keep_examples(folder, new)
    analysis = Analysis(
        start_ns=0, end_ns=1, traces=1, spans=1, examples=(ExampleTrace(trace_id="a" * 32, why="slow"),)
    )
    write_json(folder.analysis, analysis)
    write_table(spans_to_table([known]), folder.examples)
    assert keep_examples(folder, []) == 0
    assert keep_examples(folder, [known, *new]) == 2
    found = read_json(folder.analysis, Analysis)
    assert [(e.trace_id[0], e.why) for e in found.examples] == [("a", "slow"), ("c", "failed"), ("d", "failed")]
    assert table_to_spans(read_table(folder.examples)) == [known, *new]
    assert keep_examples(folder, new) == 0, "once is enough"
    assert (found.traces, found.spans) == (1, 1)
