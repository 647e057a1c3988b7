"""What an engine process is told before it sends anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How one engine process sends.

    `baggage` is the value of the flag's baggage header; `,request_id=<span id>` is appended for each request.
    `flag_lines` are the other carriers as ready header lines without CRLF (`tracestate: tb=t`, `x-tracer-bullet: …`).
    Without both (control runs, benchmarks) only `traceparent` is sent. `trace`: what makes one trace. `trace_share`: of
    traces, 0 to 1, the share that is sampled: head sampling by the trace id alone, so that all requests of a trace
    agree, and whoever has the id knows. Sampled are those whose low half, as an unsigned number, is below
    `int(trace_share * 2**64)`, as in `traces.ids.in_share`; so any smaller share that is chosen in that way is sampled.

    `connections`: at most so many to one origin. `spare`: connections kept open ahead of need, so that a burst need
    not wait for handshakes. Time-outs are seconds: `connect_s` with the TLS handshake, `send_s` until the request is
    written, `answer_s` from then to the answer's first byte, `total_s` from when the request was ready to its end.
    `back_off_s`: the longest pause for an origin that answers 429 or 503 (0: none). `keep_bytes`: of a kept answer's
    body. `head_bytes`: the longest header section of an answer. `ca_file`: PEM of authorities; the system's when
    empty. `cpu`: the core to stay on. `spin_ns`: how long before its due time the engine wakes and watches the clock.
    `realtime`: where the system allows it (root, CAP_SYS_NICE), other programs do not hold it up; `pacing` tells. It
    then takes its core from whatever else runs there, the target too.
    `stale_s`: an arrival that is due at a time of its own (not after a pause) and is this late when its turn comes is
    not sent, `stale` (0: it is sent, however late).
    `ahead_s`, `ahead_bytes`: how far ahead of its due time, and how much, of the schedule is handed to the engine.
    """

    run_id: str = ""
    baggage: str = ""
    flag_lines: tuple[str, ...] = ()
    trace: Literal["session", "request"] = "session"
    trace_share: float = 1.0
    connections: int = 512
    spare: int = 4
    connect_s: float = 5.0
    send_s: float = 30.0
    answer_s: float = 30.0
    total_s: float = 60.0
    back_off_s: float = 30.0
    keep_bytes: int = 1_048_576
    head_bytes: int = 262_144
    verify: bool = True
    ca_file: str = ""
    cpu: int | None = None
    spin_ns: int = 0
    realtime: bool = False
    stale_s: float = 0.0
    ahead_s: float = 3.0
    ahead_bytes: int = 33_554_432
