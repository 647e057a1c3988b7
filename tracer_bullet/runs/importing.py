"""The recipe of `tracer-bullet import`: inputs of any format to a run folder of kind `import`."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Final

from tracer_bullet.errors import TracerBulletError, UsageError
from tracer_bullet.model import PhaseStarted, Progress, RunManifest, RunStarted
from tracer_bullet.model.imported import ImportedFile, ImportReport
from tracer_bullet.runs.analyse import analyse_run
from tracer_bullet.runs.context import Context
from tracer_bullet.runs.manifests import quiet_manifest
from tracer_bullet.runs.span_files import FILE_SPANS, SpanFiles, TraceCount
from tracer_bullet.traces.columns import SpanColumns
from tracer_bullet.traces.formats.read import BATCH_SPANS, Reading, unknown_format
from tracer_bullet.traces.formats.registry import FORMATS
from tracer_bullet.workspace.runs import RunFolder, create_run, write_json

_SHOWN: Final = 3
_UNREADABLE: Final = "cannot be read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """Bytes from anywhere: a file, standard input, the answer of a server. `size` in bytes, 0 when not known."""

    name: str
    open: Callable[[], AbstractContextManager[BinaryIO]]
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportEnded:
    """Last event of an import."""

    report: ImportReport
    folder: Path


ImportEvent = RunStarted | PhaseStarted | Progress | ImportEnded


@dataclass
class _Import:
    """An import under way. There is no folder until there are spans."""

    workspace: Path
    inputs: Sequence[Input]
    manifest: RunManifest
    exit: ExitStack
    folder: RunFolder | None = None
    files: SpanFiles | None = None
    done: list[ImportedFile] = field(default_factory=list)
    traces: TraceCount = field(default_factory=TraceCount)

    def started(self) -> RunStarted:
        """Make the folder and open its span files."""
        self.folder = create_run(self.workspace, self.manifest.run_id)
        write_json(self.folder.manifest, self.manifest)
        self.files = self.exit.enter_context(SpanFiles(self.folder.spans))
        names = [i.name for i in self.inputs]
        return RunStarted(
            run_id=self.manifest.run_id, folder=self.folder.path, scenario="import", target=_short(names), bullets=0
        )

    def add(self, columns: SpanColumns, one: _One) -> None:
        """Write spans of one input."""
        assert self.files is not None  # noqa: S101  # `started` opened them
        one.spans += len(columns)
        one.since_collected += len(columns)
        self.files.add(columns, one.traces)

    def report(self) -> ImportReport:
        spans = sum(f.spans for f in self.done)
        return ImportReport(files=tuple(self.done), spans=spans, traces=self.traces.total())

    def write(self, state: str) -> None:
        if self.folder is not None:
            write_json(self.folder.imported, self.report())
            ended_ns = None if state == "running" else time.time_ns()
            write_json(self.folder.manifest, replace(self.manifest, state=state, ended_ns=ended_ns))


def import_spans(
    workspace: Path, inputs: Sequence[Input], *, forced: str | None = None, context: Context | None = None
) -> Iterator[ImportEvent]:
    """Read all inputs into a new run folder and analyse it; the last event carries the loss report.

    `forced` is a key of `traces.formats.registry.FORMATS`, else each input's format is recognised from its content.
    An input that is not recognised, or cannot be read, is told in the report and the others are imported. Raises
    UsageError TB413 for an unknown format, TB415 when no input can be read, TB411 when none was recognised, TB414 when
    none had a span; then there is no folder. However it ends, what was read until then stays readable. Without
    `context` nothing is analysed.
    """
    if forced is not None and forced not in FORMATS:
        raise unknown_format(forced, FORMATS)
    with ExitStack() as stack:
        running = _Import(workspace, inputs, quiet_manifest("import", _short([i.name for i in inputs])), stack)
        try:
            with _without_cycles_collected():
                yield from _read_all(running, forced)
            stack.close()
            if running.folder is None:
                raise _nothing(running.done)
            running.write("running")
            if context is not None:
                yield from analyse_run(running.folder, context)
        except BaseException:
            # The files first: a reader of the manifest may look at them at once.
            with contextlib.suppress(TracerBulletError):
                stack.close()
            with contextlib.suppress(TracerBulletError):
                running.write("interrupted")
            raise
        running.write("finished")
    yield ImportEnded(report=running.report(), folder=running.folder.path)


def _read_all(running: _Import, forced: str | None) -> Iterator[ImportEvent]:
    for source in running.inputs:
        yield PhaseStarted(phase="import", detail=source.name)
        with ExitStack() as stack:
            try:
                stream = stack.enter_context(source.open())
            except OSError as error:
                problem = f"{_UNREADABLE}: {error.strerror or error}"
                running.done.append(ImportedFile(name=source.name, problem=problem))
                continue
            yield from _read_one(running, source, stream, forced)


def _read_one(running: _Import, source: Input, stream: BinaryIO, forced: str | None) -> Iterator[ImportEvent]:
    counted = _Counted(stream)
    reading = Reading(counted, forced=forced)
    one = _One(TraceCount())
    try:
        for columns in reading.batches(BATCH_SPANS):
            if running.files is None:
                yield running.started()
            running.add(columns, one)
            del columns
            if one.since_collected >= FILE_SPANS:
                gc.collect()
                one.since_collected = 0
            yield Progress(phase="import", done=counted.read_bytes, total=source.size)
    finally:
        rest = reading.rest()
        if len(rest):  # broken off
            if running.files is None:
                running.started()
            running.add(rest, one)
        if running.files is not None:
            running.files.flush()
            running.traces.merge(one.traces)
        running.done.append(_told(source.name, reading, one, broke=counted.broke))


@dataclass
class _One:
    """What was written of one input."""

    traces: TraceCount
    spans: int = 0
    since_collected: int = 0


def _told(name: str, reading: Reading, one: _One, *, broke: str) -> ImportedFile:
    losses = reading.losses
    problem = "" if reading.format else f"not recognised: {reading.looks_like}"
    if broke:
        problem = f"reading broke off: {broke}"
    return ImportedFile(
        name=name,
        format=reading.format,
        spans=one.spans,
        traces=one.traces.total(),
        lost=dict(losses.lost.most_common()),
        repaired=dict(losses.repaired.most_common()),
        examples={reason: tuple(some) for reason, some in losses.examples.items() if some},
        problem=problem,
    )


class _Counted:
    """A stream that knows how much was read of it, and ends where it broke off."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.read_bytes = 0
        self.broke = ""

    def read(self, size: int, /) -> bytes:
        try:
            chunk = self._stream.read(size)
        except OSError as error:  # a disk or a server: what came until then is kept
            self.broke = error.strerror or str(error)
            return b""
        self.read_bytes += len(chunk)
        return chunk


@contextmanager
def _without_cycles_collected() -> Iterator[None]:
    """Parsed JSON is millions of small objects without cycles, which the collector would walk over and over."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _nothing(done: Sequence[ImportedFile]) -> UsageError:
    """The error for an import without a single span."""
    rows = [f"{f.name}: {f.problem or _emptiness(f)}" for f in done[:10]]
    rows += [f"and {len(done) - 10} more"] if len(done) > 10 else []
    if any(f.format for f in done):
        cure = "see what was lost; --format says which format it is, should it be taken for a wrong one"
        return UsageError("TB414", "there is no span to import", why="; ".join(rows), cure=cure)
    if all(f.problem.startswith(_UNREADABLE) for f in done):
        return UsageError("TB415", "no input can be read", why="; ".join(rows), cure="see to the address, or the file")
    known = ", ".join(f"{f.name} ({key})" for key, f in FORMATS.items())
    return UsageError(
        "TB411", "no input is in a known format", why="; ".join(rows), cure=f"export the traces in one of: {known}"
    )


def _emptiness(file: ImportedFile) -> str:
    losses = ", ".join(f"{count} {reason}" for reason, count in file.lost.items())
    return f"{file.format} without spans" + (f"; lost: {losses}" if losses else "")


def _short(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
