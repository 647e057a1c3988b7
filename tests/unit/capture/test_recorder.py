"""The recorder takes what it may, never keeps its source waiting, and accounts for everything."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.capture.archive.exchanges import small
from tests.unit.capture.archive.test_survival import room_for
from tracer_bullet.capture.archive import ArchiveError, ArchiveWriter, open_archive
from tracer_bullet.capture.archive.layout import frames
from tracer_bullet.capture.recorder import Recorder
from tracer_bullet.capture.redaction.pseudonyms import Pseudonyms
from tracer_bullet.capture.redaction.redactor import Redactor
from tracer_bullet.capture.redaction.rules import Rules
from tracer_bullet.capture.selection import Selection, why_never
from tracer_bullet.capture.sessions import Sessions
from tracer_bullet.model.exchange import Exchange

KEY = Pseudonyms(b"0123456789abcdef")


def with_headers(number: int, *headers: tuple[str, str]) -> Exchange:
    exchange = small(number)
    return replace(exchange, request=replace(exchange.request, headers=headers))


class Gate:
    """A redactor that waits until it is let go, and cannot look into exchange 13."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.open = threading.Event()
        self.entered = threading.Event()
        self.passed = threading.Semaphore(0)
        if is_open:
            self.open.set()

    def apply(self, exchange: Exchange) -> Exchange:
        self.entered.set()
        assert self.open.wait(60)
        self.passed.release()
        if exchange.id == "x-13":
            raise RuntimeError("cannot look into it")
        return exchange


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[ArchiveWriter]:
    with ArchiveWriter(tmp_path / "a.tba", created_by="t") as writer:
        yield writer


def test_what_is_taken_is_redacted_placed_and_written(writer: ArchiveWriter) -> None:
    with Recorder(writer, Redactor(Rules(), KEY), sessions=Sessions(KEY.plain), clock=lambda: 0xABC) as recorder:
        for number in range(5):
            assert recorder.take(with_headers(number, ("Cookie", "sid=verysecretvalue")))
    writer.close()
    exchanges = list(open_archive(writer.path).exchanges())
    assert [exchange.id for exchange in exchanges] == [f"abc-{number}" for number in range(1, 6)]
    assert {exchange.session for exchange in exchanges} == {KEY.plain("cookie:sid=verysecretvalue")}
    assert exchanges[0].redacted
    assert "verysecret" not in repr(exchanges)
    counts = recorder.counts
    assert (counts.offered, counts.written, counts.waiting, counts.left_out) == (5, 5, 0, Counter())


def test_bullets_and_replays_are_left_out(writer: ArchiveWriter, flag_headers: Callable[..., dict[str, str]]) -> None:
    bullet = flag_headers()
    never = [
        [(name.upper(), value)]
        for name, value in bullet.items()
        if name in ("baggage", "tracestate", "x-tracer-bullet")
    ]
    never += [
        list(bullet.items()),
        [("baggage", "a=b"), ("Baggage", "tb-run=replay-7")],
        [("baggage", "request_type=TRACE")],
        [("tracestate", "vendor=1,tb=t")],
        [("X-Replayed-By", "goreplay")],
    ]
    fine = [("baggage", "user_id=7,region=eu"), ("tracestate", "vendor=1"), ("traceparent", bullet["traceparent"])]
    with Recorder(writer, Gate(), selection=Selection(marks=("X-Replayed-By",))) as recorder:
        assert [recorder.take(with_headers(1, *headers)) for headers in never] == [False] * len(never)
        assert recorder.take(with_headers(2, *fine))
    counts = recorder.counts
    assert len(never) == 8
    assert counts.left_out == {"bullet": 7, "replay": 1}
    assert (counts.offered, counts.written) == (9, 1)
    assert why_never(small(1)) == ""


def test_paths_and_sessions_that_are_not_wanted_are_left_out(writer: ArchiveWriter) -> None:
    selection = Selection(exclude_paths=("/health", "/orders/1*"), sample=0.5, share=KEY.share)
    with Recorder(writer, Gate(), selection=selection) as recorder:
        for number in range(200, 300):
            recorder.take(replace(small(number), session=f"s{number % 10}"))
        assert not recorder.take(small(1))
        assert not recorder.take(replace(small(1), request=replace(small(1).request, target="/health?deep=1")))
    writer.close()
    kept = {exchange.session for exchange in open_archive(writer.path).exchanges()}
    assert kept == {f"s{number}" for number in range(10) if KEY.share(f"s{number}") < 0.5}
    assert recorder.counts.left_out == {"excluded": 2, "not-sampled": 100 - 10 * len(kept)}
    assert 0 < len(kept) < 10
    with pytest.raises(ValueError, match="share"):
        Selection(sample=0.5)


def test_without_a_session_requests_are_sampled_one_by_one(writer: ArchiveWriter) -> None:
    with Recorder(writer, Gate(), selection=Selection(sample=0.3, share=KEY.share)) as recorder:
        for number in range(200, 1_200):
            recorder.take(replace(small(number), session=""))
    assert 200 < recorder.counts.written < 400


def test_what_cannot_be_redacted_is_left_out(writer: ArchiveWriter) -> None:
    with Recorder(writer, Gate()) as recorder:
        for number in (12, 13, 14):
            assert recorder.take(small(number))
    writer.close()
    assert [e.request.target for e in open_archive(writer.path).exchanges()] == ["/orders/12", "/orders/14"]
    assert recorder.counts.left_out == {"redaction": 1}


def test_a_full_queue_drops_and_counts_and_keeps_nobody_waiting(writer: ArchiveWriter) -> None:
    gate = Gate(is_open=False)
    recorder = Recorder(writer, gate, queue_length=3)
    assert recorder.take(small(0))
    assert gate.entered.wait(60)  # it has left the queue
    assert [recorder.take(small(number)) for number in range(1, 6)] == [True, True, True, False, False]
    assert recorder.counts.waiting == 4
    gate.open.set()
    recorder.close()
    counts = recorder.counts
    assert (counts.offered, counts.written, counts.waiting, counts.left_out) == (6, 4, 0, {"queue-full": 2})


def test_large_bodies_fill_the_queue_by_their_bytes(writer: ArchiveWriter) -> None:
    gate = Gate(is_open=False)
    recorder = Recorder(writer, gate, queue_bytes=50_000)
    assert recorder.take(small(0))
    assert gate.entered.wait(60)
    taken = [recorder.take(small(number, size=20_000)) for number in range(1, 5)]
    assert taken == [True, True, False, False]
    gate.open.set()
    for _ in range(3):
        assert gate.passed.acquire(timeout=60)
    gate.open.clear()
    gate.entered.clear()
    assert recorder.take(small(5))
    assert gate.entered.wait(60)
    taken = [recorder.take(small(number, size=20_000)) for number in range(6, 9)]
    assert taken == [True, True, False]  # the same room again
    gate.open.set()
    recorder.close()
    assert recorder.counts.left_out == {"queue-full": 3}


def test_one_that_is_larger_than_the_queue_passes_alone(writer: ArchiveWriter) -> None:
    with Recorder(writer, Gate(), queue_bytes=10) as recorder:
        assert recorder.take(small(1, size=1_000))
    assert recorder.counts.written == 1


def test_after_the_end_nothing_is_taken_and_no_thread_is_left(writer: ArchiveWriter) -> None:
    recorder = Recorder(writer, Gate())
    recorder.close()
    recorder.close()
    assert not recorder.take(small(1))
    assert recorder.counts.left_out == {"closed": 1}
    assert not [thread for thread in threading.enumerate() if thread.name == "recorder"]


def test_what_no_frame_can_hold_is_counted(writer: ArchiveWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_LINE", 3_000)
    with Recorder(writer, Gate()) as recorder:
        assert recorder.take(small(1, size=9_000))
        assert recorder.take(small(2))
    counts = recorder.counts
    assert (counts.written, counts.left_out, recorder.failed) == (1, {"too-large": 1}, None)


def test_a_full_disk_is_counted_and_recording_goes_on_after_it(tmp_path: Path) -> None:
    writer = ArchiveWriter(tmp_path / "a.tba", created_by="t", flush_bytes=2_000, flush_s=None)
    with room_for(writer.path.stat().st_size + 1_000):
        recorder = Recorder(writer, Gate())
        for number in range(100, 120):
            assert recorder.take(small(number, size=1_000))
        with pytest.raises(ArchiveError):
            recorder.close()
    counts = recorder.counts
    assert recorder.failed is not None
    assert recorder.failed.code == "TB923"
    assert counts.left_out["not-written"] == 20 - counts.written > 0
    writer.close()  # room again
    assert open_archive(writer.path).info.count == counts.written


def test_many_threads_at_once(writer: ArchiveWriter) -> None:
    with Recorder(writer, Gate()) as recorder:

        def offer(first: int) -> None:
            for number in range(first, first + 500):
                recorder.take(small(number))

        threads = [threading.Thread(target=offer, args=(first,)) for first in range(1_000, 5_000, 1_000)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    writer.close()
    exchanges = list(open_archive(writer.path).exchanges())
    assert len({exchange.id for exchange in exchanges}) == 2_000
    assert len({exchange.request.target for exchange in exchanges}) == 2_000
