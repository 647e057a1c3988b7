"""What a replay concludes, as it stands in `replay.json`. Times are milliseconds unless the name says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """Of an HdrHistogram with 3 significant digits (http://hdrhistogram.org); all 0 when `count` is."""

    count: int = 0
    mean_ms: float = 0.0
    p50_ms: float = 0.0
    p90_ms: float = 0.0
    p95_ms: float = 0.0
    p99_ms: float = 0.0
    p999_ms: float = 0.0
    max_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointResult:
    """How an endpoint did. `latency` counts from the intended time, `service` from the sending, `held` is how long
    requests waited for an earlier answer of their session. `statuses`: status → count; `errors`: reason → count."""

    endpoint: str
    sent: int
    failed: int
    latency: Quantiles
    service: Quantiles
    held: Quantiles = Quantiles()
    statuses: Mapping[str, int] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounting:
    """Nothing is lost silently: planned = sent + refused + not_sent, and sent = answered + failed.

    `skipped`: exchanges of the archive that were not selected, by reason. `refused`: planned, but never to be sent
    (a write without its body, a host that is not allowed, …), by reason. `not_sent`: the run ended first, by reason.
    """

    read: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    planned: int = 0
    sent: int = 0
    answered: int = 0
    failed: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    not_sent: Mapping[str, int] = field(default_factory=dict)
    request_bytes: int = 0
    answer_bytes: int = 0
    backed_off: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The run's own punctuality: actual minus intended time of sending, of requests that waited for no answer.

    `drift_ms`: how much later the last tenth was sent than the first tenth, at the median. `valid` is False past
    `bound_ms` at p99: then latencies say nothing of the target.
    """

    lateness: Quantiles = Quantiles()
    held: Quantiles = Quantiles()
    drift_ms: float = 0.0
    bound_ms: float = 10.0
    valid: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """The replay against the recording. Shares are 0 to 1.

    `in_order`: of pairs of consecutive requests of a session, those sent in the recorded order; `gap_error`: |replayed
    gap − recorded gap ÷ speed| between consecutive requests of the whole replay; `lost`/`repeated`: records that were
    sent never / more than once; concurrency is requests under way, time-weighted mean and maximum, as recorded (None
    where durations are unknown) and as replayed.
    """

    sessions: int = 0
    pairs: int = 0
    in_order: float = 1.0
    gap_error: Quantiles = Quantiles()
    lost: int = 0
    repeated: int = 0
    span_recorded_s: float = 0.0
    span_replayed_s: float = 0.0
    concurrency_recorded: tuple[float, int] | None = None
    concurrency_replayed: tuple[float, int] = (0.0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Answers that differ from the recording, at one endpoint and one field.

    `field`: `status`, `header:content-type`, `body`, or a JSON path with `[*]` for indexes. `kind`: `status`,
    `missing`, `added`, `type`, `value`, `order`, `size`. `differing` of `compared` answers; `share_low` and
    `share_high` bound the true share (95 %); `noise` is the share that differs between repeated sends, of `noise_of`
    pairs. `examples` are (recorded, replayed) texts, redacted and cut.
    """

    endpoint: str
    field: str
    kind: str
    differing: int
    compared: int
    share_low: float
    share_high: float
    noise: float = 0.0
    noise_of: int = 0
    examples: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All differences. `findings` are above their noise with enough samples; `noisy` differ among themselves too;
    `unsure` have too few samples. `incomparable`: why answers were not compared → count."""

    compared: int = 0
    equal: int = 0
    findings: tuple[Difference, ...] = ()
    noisy: tuple[Difference, ...] = ()
    unsure: tuple[Difference, ...] = ()
    incomparable: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """A value that an answer mints and later requests use. `minted`: endpoint and place, as `POST /login $.token`;
    `used`: places, as `GET /orders header:authorization`. `how`: `found` or `rule`."""

    variable: str
    minted: str
    used: tuple[str, ...]
    sessions: int
    uses: int
    how: str = "found"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopEvent:
    """Why sending ended before the schedule did: `guardrail`, `kill-switch`, `budget`, `interrupt`, `lost-traces`,
    `not-harmless`, `locust`; with what was seen. `after_s` counts from the schedule's start."""

    reason: str
    detail: str
    after_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """`replay.json` of a run folder. `armed`: endpoints that had a clean bullet; `audited`: traces that were
    judged of what was replayed, without those that armed it."""

    archive: str
    spec: str
    mode: str
    speed: float
    sessions: int
    accounting: Accounting
    timing: Timing
    overall: EndpointResult
    endpoints: tuple[EndpointResult, ...] = ()
    fidelity: Fidelity | None = None
    comparison: Comparison | None = None
    correlations: tuple[Correlation, ...] = ()
    armed: tuple[str, ...] = ()
    audited: int = 0
    stop: StopEvent | None = None
