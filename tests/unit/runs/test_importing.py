"""The recipe of an import: folder, files, report, and what stays when it breaks off."""

from __future__ import annotations

import gc
import io
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.traces.formats.samples import content
from tracer_bullet.errors import UsageError, WorkspaceError
from tracer_bullet.model import RunManifest, RunStarted
from tracer_bullet.model.imported import ImportReport
from tracer_bullet.runs.importing import ImportEnded, ImportEvent, Input, import_spans
from tracer_bullet.runs.span_files import SpanFiles, TraceCount
from tracer_bullet.runs.store import read_spans
from tracer_bullet.traces.columns import SpanColumns
from tracer_bullet.traces.formats.convert import append
from tracer_bullet.traces.table import read_table
from tracer_bullet.workspace.runs import RunFolder, latest_run, read_json, runs_root


def given_as(name: str, data: bytes) -> Input:
    return Input(name=name, open=lambda: nullcontext(io.BytesIO(data)), size=len(data))


def ended(events: Iterator[ImportEvent]) -> tuple[ImportReport, RunFolder]:
    *_, last = events
    assert isinstance(last, ImportEnded)
    return last.report, RunFolder(path=last.folder)


def columns(*trace_numbers: int) -> SpanColumns:
    made = SpanColumns()
    made.resources.add({})
    for number, trace in enumerate(trace_numbers):
        append(
            made,
            (trace.to_bytes(16, "big"), (number + 1).to_bytes(8, "big"), bytes(8)),
            (1, 2),
            name="n",
            kind=1,
            service="s",
            status=0,
            message="",
            attributes={},
            resource=0,
            scope="",
            trace_state="",
        )
    return made


def test_files_of_several_formats_become_one_run(tmp_path: Path) -> None:
    names = ("otel/request.json", "jaeger/trace.json", "zipkin/v2.json", "collector/collector.binpb")
    report, folder = ended(import_spans(tmp_path, [given_as(n, content(n)) for n in names]))
    assert [(f.name, f.format, f.spans) for f in report.files] == [
        ("otel/request.json", "OTLP JSON", 7),
        ("jaeger/trace.json", "Jaeger", 5),
        ("zipkin/v2.json", "Zipkin", report.files[2].spans),
        ("collector/collector.binpb", "OTLP protobuf", 4),
    ]
    spans = read_spans(folder)
    assert len(spans) == report.spans == sum(f.spans for f in report.files)
    assert report.traces == len({s.trace_id for s in spans})
    assert sum(f.traces for f in report.files) > report.traces  # Jaeger's trace is one of OTLP's
    manifest = read_json(folder.manifest, RunManifest)
    assert (manifest.kind, manifest.state, manifest.scenario) == (
        "import",
        "finished",
        f"{', '.join(names[:3])} and 1 more",
    )
    assert manifest.ended_ns is not None
    assert read_json(folder.imported, ImportReport) == report
    assert latest_run(tmp_path) == folder


def test_what_is_not_recognised_is_told_and_the_rest_imported(tmp_path: Path) -> None:
    def missing() -> nullcontext[BinaryIO]:
        raise PermissionError(13, "Permission denied")

    sources = [given_as("a.txt", b"hello"), Input(name="b", open=missing), given_as("c", content("otel/request.json"))]
    report, _ = ended(import_spans(tmp_path, sources))
    assert [f.problem for f in report.files] == [
        "not recognised: text beginning with 'hello'",
        "cannot be read: Permission denied",
        "",
    ]
    assert report.spans == 7


@pytest.mark.parametrize(
    ("data", "forced", "code", "says"),
    [
        (b"hello", None, "TB411", "a: not recognised: text beginning with 'hello'"),
        (
            b'{"resourceLogs": []}',
            None,
            "TB414",
            "a: OTLP JSON without spans; lost: 1 documents of other signals: logs",
        ),
        (b'{"a": 1}', "zipkin", "TB414", "Zipkin without spans"),
        (b"hello", "jager", "TB413", ""),
    ],
)
def test_nothing_to_import_leaves_no_folder(
    tmp_path: Path, data: bytes, forced: str | None, code: str, says: str
) -> None:
    with pytest.raises(UsageError) as caught:
        list(import_spans(tmp_path, [given_as("a", data)], forced=forced))
    assert caught.value.code == code
    assert says in caught.value.why
    assert caught.value.cure
    assert not runs_root(tmp_path).exists()


def test_breaking_off_keeps_what_was_read(tmp_path: Path) -> None:
    lines = content("otel/request.json") + b"\n"

    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return lines * 300

    endless = Input(name="endless", open=lambda: nullcontext(Endless()))  # type: ignore[arg-type, return-value]
    events = import_spans(tmp_path, [given_as("first", lines), endless])
    folder = next(RunFolder(path=e.folder) for e in events if isinstance(e, RunStarted))
    for _ in range(4):
        next(events)
    with pytest.raises(KeyboardInterrupt):
        events.throw(KeyboardInterrupt())  # type: ignore[attr-defined]
    manifest, report = read_json(folder.manifest, RunManifest), read_json(folder.imported, ImportReport)
    assert manifest.state == "interrupted"
    assert [f.name for f in report.files] == ["first", "endless"]
    assert read_table(folder.spans).num_rows == report.spans > 7
    assert gc.isenabled()


def test_breaking_off_before_the_first_batch_keeps_its_spans(tmp_path: Path) -> None:
    class Interrupted(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if data := super().read(200):
                return data
            raise KeyboardInterrupt

    lines = content("collector/collector.jsonl") * 3
    with pytest.raises(KeyboardInterrupt):
        list(import_spans(tmp_path, [Input(name="a", open=lambda: nullcontext(Interrupted(lines)))]))
    folder = latest_run(tmp_path)
    assert folder is not None
    assert read_json(folder.manifest, RunManifest).state == "interrupted"
    assert len(read_spans(folder)) == read_json(folder.imported, ImportReport).spans == 12


def test_a_disk_that_is_full_is_told_and_the_manifest_says_so(tmp_path: Path) -> None:
    events = import_spans(tmp_path, [given_as("a", content("otel/request.json"))])
    folder = next(RunFolder(path=e.folder) for e in events if isinstance(e, RunStarted))
    folder.spans.rmdir()
    folder.spans.write_text("no folder")
    with pytest.raises(WorkspaceError) as caught:
        list(events)
    assert caught.value.code == "TB104"
    assert read_json(folder.manifest, RunManifest).state == "interrupted"


def test_spans_go_into_files_of_bounded_size(tmp_path: Path) -> None:
    count = TraceCount()
    with SpanFiles(tmp_path, file_spans=100) as files:
        for _ in range(9):
            files.add(columns(*range(1, 41)), count)
        files.flush()
        assert count.total() == 40
        whole = sorted(p.name for p in tmp_path.glob("*.parquet"))
        assert whole == ["part-0001.parquet", "part-0002.parquet", "part-0003.parquet"]
    assert [pq.read_metadata(p).num_rows for p in sorted(tmp_path.glob("*.parquet"))] == [120, 120, 120]
    assert not list(tmp_path.glob(".*"))
    assert read_table(tmp_path).num_rows == 360


@given(st.lists(st.lists(st.integers(1, 2**128 - 1) | st.integers(1, 9), min_size=1, max_size=9), max_size=5))
def test_traces_are_counted_exactly(batches: list[list[int]]) -> None:
    count, merged = TraceCount(), TraceCount()
    for batch in batches:
        one = TraceCount()
        one.add(columns(*batch).to_arrow())
        count.add(columns(*batch).to_arrow())
        merged.merge(one)
    assert count.total() == merged.total() == len({trace for batch in batches for trace in batch})
