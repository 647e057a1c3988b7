"""What Envoy told becomes exchanges, all of it, also at the end."""

from __future__ import annotations

import asyncio
import json
import threading

from tracer_bullet.capture.proxy.recording import Recording, Told
from tracer_bullet.model.exchange import Exchange, Lack

NOW = 1_700_000_000 * 10**9


def _tap(path: str) -> bytes:
    headers = {":authority": "a", ":path": path, ":method": "GET", ":scheme": "http"}
    trace = {
        "request": {
            "headers": [{"key": k, "value": v} for k, v in headers.items()],
            "headers_received_time": "2023-11-14T22:13:20Z",
        },
        "response": {"headers": [{"key": ":status", "value": "200"}]},
    }
    return json.dumps({"http_buffered_trace": trace}, indent=1).encode() + b"\n"


def _recorded(*told: bytes) -> tuple[list[Exchange], Recording]:
    kept: list[Exchange] = []
    before = threading.active_count()

    async def run() -> Recording:
        recording = Recording(lambda e: kept.append(e) or True, scheme="http", queue_bytes=10_000, clock=lambda: NOW)
        for data in told:
            recording.put(Told(kind="tap", told_ns=NOW, data=data))
        await recording.close()
        return recording

    recording = asyncio.run(run())
    assert threading.active_count() <= before + 1  # the thread may take a moment to end
    return kept, recording


def test_what_still_waits_for_its_line_is_recorded_at_the_end() -> None:
    kept, recording = _recorded(_tap("/a"), _tap("/b"))
    assert [e.request.target for e in kept] == ["/a", "/b"]
    assert all(Lack.DURATION in e.lacks and e.ended_ns is None for e in kept)
    assert (recording.counts.kept, recording.is_idle) == (2, True)


def test_what_cannot_be_read_is_counted_and_the_next_is_read() -> None:
    kept, recording = _recorded(b"Failed to convert\n", _tap("/a"), b"{}\n}\n")
    assert [e.request.target for e in kept] == ["/a"]
    assert (recording.counts.kept, recording.counts.unreadable) == (1, 2)


def test_what_finds_no_room_is_dropped_and_counted() -> None:
    kept, recording = _recorded(_tap("/a"), _tap("/" + "x" * 10_000), _tap("/b"))
    assert [e.request.target for e in kept] == ["/a", "/b"]
    assert (recording.counts.kept, recording.counts.dropped) == (2, 1)
