"""A load run: what its senders are told and tell, and what it concludes, as it stands in `load.json`.

Times are milliseconds unless the name says otherwise; shares are 0 to 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tracer_bullet.model.replay import EndpointResult, Quantiles, StopEvent, Timing
from tracer_bullet.model.shots import EngineNote, ShotBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Iteration:
    """One run through a scenario's steps. `number` counts all of a run from 0; who has `number % shards` among its
    residues sends it. `scenario` is its index. `due_ns` counts from the schedule's start.

    Closed model: `user` from 0 on; its first step is due `pause_ns` after the arrival `after` has ended (-1: at
    `due_ns`).
    """

    number: int
    scenario: int
    due_ns: int
    user: int = -1
    after: int = -1
    pause_ns: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class StepKey:
    """Which step an endpoint of the statistics is: the endpoint's number is its place in the run's list of these."""

    scenario: str
    step: str
    method: str
    path: str
    index: int
    of: int

    @property
    def name(self) -> str:
        """As reports call it."""
        return f"{self.scenario} / {self.step}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderJob:
    """Everything that a sender needs, on whatever host; all of it can be written as JSON.

    `scenarios`: each a scenario as JSON text (as `ScenarioSpec` dumps it, defaults left out), the main one, whose
    `load` holds, first; `base_url`: where all of them go; `variables`: by scenario, those of `--var` included; `rows`:
    by scenario, the rows of its data. `curves`: of the archives that the profile names, (offset in s, requests) of
    each second. `engine`: EngineSettings as a map. `start_ns` is Unix time. `shards`: into how many parts the
    iterations are divided.
    """

    run_id: str
    start_ns: int
    base_url: str
    scenarios: tuple[str, ...]
    variables: tuple[Mapping[str, str | int | float | bool], ...]
    rows: tuple[tuple[Mapping[str, str | int | float | bool], ...], ...]
    weights: tuple[float, ...]
    engine: Mapping[str, object]
    curves: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    shards: int = 1


# What senders tell. `sender` is its number, from 0 on.


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderShots:
    """Shots that ended, what was expected of their answers checked."""

    sender: int
    batch: ShotBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderNote:
    """How a sender is: `planned` arrivals and `iterations` so far; `users` now; `cpu` is the share of one core that the
    process that plans used lately."""

    sender: int
    engine: EngineNote
    planned: int
    iterations: int
    users: int = 0
    cpu: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFailure:
    """An answer that is not what its step expects. `row`: the data that the iteration was made from."""

    endpoint: int
    message: str
    trace_id: str
    row: Mapping[str, str | int | float | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderFailures:
    """The first few failures of each kind, and how many there were of it since the last time."""

    sender: int
    failures: tuple[tuple[CheckFailure, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderChange:
    """A sender `joined`, was `lost` (with why), came `back`, `took` over a share, or has `finished`."""

    sender: int
    what: str
    detail: str = ""


SenderEvent = SenderShots | SenderNote | SenderFailures | SenderChange


# What a run concludes.


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadAccounting:
    """Nothing is lost silently: planned = sent + not_sent, sent = answered + failed (no whole answer, or an unexpected
    one). Iterations: `begun` = `whole` (every step as expected) + `broken` + `cut` (by the end of the run, or lost).
    `warm_up` requests are in none of the others."""

    planned: int = 0
    sent: int = 0
    answered: int = 0
    failed: int = 0
    not_sent: Mapping[str, int] = field(default_factory=dict)
    warm_up: int = 0
    begun: int = 0
    whole: int = 0
    broken: int = 0
    cut: int = 0
    request_bytes: int = 0
    answer_bytes: int = 0
    backed_off: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderResult:
    """How a sender did. `lost`: why it was lost, empty when it was not. `unaccounted`: requests of its share that
    nobody sent, or nobody knows of."""

    sender: int
    name: str
    sent: int
    lateness: Quantiles
    cpu_share: float = 0.0
    lost: str = ""
    unaccounted: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdResult:
    """A demand and what was measured. `met` None: not enough data, or nothing measured. `scope` as people say it."""

    expect: str
    scope: str
    value: float | None
    unit: str
    met: bool | None
    samples: int = 0
    aborted: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineResult:
    """One metric of one step against an earlier run. `verdict`: `worse`, `better`, `same`, `not-enough-data`.

    `change` is relative for latencies, absolute for error rates, with the bounds of its confidence interval.
    """

    step: str
    metric: str
    before: float
    after: float
    change: float
    low: float
    high: float
    verdict: str
    samples: tuple[int, int] = (0, 0)
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityStep:
    """One rate that was tried. `held`: the objective held; None: it could not be told."""

    rate: float
    achieved: float
    held: bool | None
    p50_ms: float
    p99_ms: float
    error_rate: float
    concurrency: float
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usl:
    """The universal scalability law, X(N) = λN / (1 + σ(N − 1) + κN(N − 1)) (N. Gunther, Guerrilla Capacity Planning),
    fitted to throughput over concurrency. `peak_n`, `peak_rate`: where it is highest; None without a peak."""

    lambda_: float
    sigma: float
    kappa: float
    r2: float
    peak_n: float | None = None
    peak_rate: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What `--find-capacity` found: the objective holds at `low`, and breaks at `high` (None: not up to the most that
    was asked for). `saturated`: services whose own time grew most from low to high rates, the first one first, with
    the factor."""

    low: float
    high: float | None
    steps: tuple[CapacityStep, ...]
    usl: Usl | None = None
    saturated: tuple[tuple[str, float], ...] = ()
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSecond:
    """A second (or `width_s` seconds) of a run, from the schedule's start. Rates are requests a second."""

    t_s: float
    width_s: float
    planned_rate: float
    rate: float
    bad: int
    p50_ms: float
    p99_ms: float
    lateness_p99_ms: float = 0.0
    users: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """Failures of one kind. `row`: data that made one; `smallest`: the smallest such data, where it was looked for."""

    step: str
    message: str
    count: int
    trace_id: str = ""
    row: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    smallest: Mapping[str, str | int | float | bool] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceResult:
    """A service under load, from its server spans in the sampled traces. `share` of traces that were sampled."""

    service: str
    spans: int
    errors: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardrailReading:
    """What a guardrail saw of the target: name, the last and the worst value, its limit, and how often it looked."""

    name: str
    last: str
    worst: str
    limit: str
    looks: int
    broken: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadLive:
    """How a run is doing now, over its last seconds: for whoever watches. Rates are requests a second, `t_s` counts
    from the schedule's start. `left`: of each budget, as people say it."""

    t_s: float
    span_s: float
    planned_rate: float
    rate: float
    errors: int
    error_rate: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    lateness_p99_ms: float
    sent: int
    failed: int
    iterations: int
    users: int
    senders: int
    warming_up: bool = False
    left: Mapping[str, str] = field(default_factory=dict)
    guardrails: tuple[GuardrailReading, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LocustEntry:
    """What the Locust master of a fleet counted of the same requests, warm-up too: whole milliseconds, two digits."""

    name: str
    requests: int
    failures: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """`load.json` of a run folder. `model`: `open` or `closed`. `steps`: by step; `scenarios`: whole iterations, from
    the first step's intended time to the last one's end."""

    scenarios: tuple[str, ...]
    model: str
    profile: tuple[str, ...]
    span_s: float
    warm_up_s: float
    accounting: LoadAccounting
    timing: Timing
    overall: EndpointResult
    steps: tuple[EndpointResult, ...] = ()
    iterations: tuple[EndpointResult, ...] = ()
    services: tuple[ServiceResult, ...] = ()
    senders: tuple[SenderResult, ...] = ()
    locust: tuple[LocustEntry, ...] = ()
    thresholds: tuple[ThresholdResult, ...] = ()
    baseline: tuple[BaselineResult, ...] = ()
    baseline_run: str = ""
    capacity: Capacity | None = None
    failures: tuple[FailureGroup, ...] = ()
    curve: tuple[LoadSecond, ...] = ()
    guardrails: tuple[GuardrailReading, ...] = ()
    sampling: str = ""
    armed: tuple[str, ...] = ()
    audited: int = 0
    stop: StopEvent | None = None
