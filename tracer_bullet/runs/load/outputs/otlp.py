"""Metrics of a load run out by OTLP/HTTP in protobuf (OTLP 1.x, metrics; https://opentelemetry.io/docs/specs/otlp/).

Temporality is cumulative: one that was lost is made up for by the next. Output's posture: what fails is told once, and
never ends the run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

import httpx
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)

from tracer_bullet import __version__
from tracer_bullet.errors import UsageError
from tracer_bullet.model.load import LoadLive
from tracer_bullet.runs.load.live import LiveRun
from tracer_bullet.runs.load.outputs.readings import BOUNDS_S, Counts, Reading

# Both of the connection and of the answer; the last export may keep the run's end waiting for so long.
_TIMEOUT_S: Final = 5.0
Values = Iterable[tuple[Mapping[str, str], float]]


def encode_metrics(run: LiveRun, live: LoadLive | None, reading: Reading, *, start_ns: int, now_ns: int) -> bytes:
    """An ExportMetricsServiceRequest. Times are Unix nanoseconds."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    known = {"service.name": "tracer-bullet", "service.version": __version__, "tb.run": run.run_id}
    resource.resource.attributes.extend(_attributes({**known, "tb.scenario": run.scenario, "tb.target": run.target}))
    scope = resource.scope_metrics.add()
    scope.scope.name, scope.scope.version = "tracer_bullet.load", __version__
    made = _Metrics(start_ns, now_ns)
    made.counted(reading)
    if live is not None:
        made.now(live)
    scope.metrics.extend(made.metrics)
    encoded: bytes = request.SerializeToString()
    return encoded


class _Metrics:
    def __init__(self, start_ns: int, now_ns: int) -> None:
        self._start_ns = start_ns
        self._now_ns = now_ns
        self.metrics: list[Metric] = []

    def counted(self, reading: Reading) -> None:
        steps = [({"tb.scenario": s.step.scenario, "tb.step": s.step.step}, s) for s in reading.steps]
        requests = [
            ({**labels, "http.request.method": s.step.method, **({"error.type": error} if error else {})}, float(n))
            for labels, s in steps
            for error, n in s.outcomes.items()
        ]
        self._sum("tracer_bullet.load.requests", "{request}", requests)
        self._histogram("tracer_bullet.load.request.duration", [(labels, s.latency) for labels, s in steps])
        late = [({"tb.sender": str(n)}, counts) for n, counts in reading.lateness.items()]
        self._histogram("tracer_bullet.load.lateness", late)
        done = [
            ({"tb.scenario": name, "tb.outcome": outcome}, float(n))
            for name, counted in reading.iterations.items()
            for outcome, n in zip(("whole", "broken"), counted, strict=True)
        ]
        self._sum("tracer_bullet.load.iterations", "{iteration}", done)
        unsent = [({"tb.reason": reason}, float(n)) for reason, n in reading.not_sent.items()]
        self._sum("tracer_bullet.load.requests.not_sent", "{request}", unsent)

    def now(self, live: LoadLive) -> None:
        self._gauge("tracer_bullet.load.planned_rate", "{request}/s", [({}, live.planned_rate)])
        self._gauge("tracer_bullet.load.rate", "{request}/s", [({}, live.rate)])
        self._gauge("tracer_bullet.load.users", "{user}", [({}, live.users)])
        self._gauge("tracer_bullet.load.senders", "{sender}", [({}, live.senders)])
        broken = [({"tb.guardrail": g.name}, float(g.broken)) for g in live.guardrails]
        self._gauge("tracer_bullet.load.guardrail.broken", "1", broken)

    def _sum(self, name: str, unit: str, values: Values) -> None:
        points = [
            NumberDataPoint(
                attributes=_attributes(labels),
                start_time_unix_nano=self._start_ns,
                time_unix_nano=self._now_ns,
                as_int=int(value),
            )
            for labels, value in values
        ]
        if points:
            total = Sum(data_points=points, aggregation_temporality=AGGREGATION_TEMPORALITY_CUMULATIVE)
            total.is_monotonic = True
            self.metrics.append(Metric(name=name, unit=unit, sum=total))

    def _gauge(self, name: str, unit: str, values: Values) -> None:
        points = [
            NumberDataPoint(attributes=_attributes(labels), time_unix_nano=self._now_ns, as_double=value)
            for labels, value in values
        ]
        if points:
            self.metrics.append(Metric(name=name, unit=unit, gauge=Gauge(data_points=points)))

    def _histogram(self, name: str, series: Iterable[tuple[Mapping[str, str], Counts]]) -> None:
        points = [
            HistogramDataPoint(
                attributes=_attributes(labels),
                start_time_unix_nano=self._start_ns,
                time_unix_nano=self._now_ns,
                count=counts.count,
                sum=counts.sum_s,
                bucket_counts=counts.buckets,
                explicit_bounds=BOUNDS_S,
            )
            for labels, counts in series
        ]
        if points:
            found = Histogram(data_points=points, aggregation_temporality=AGGREGATION_TEMPORALITY_CUMULATIVE)
            self.metrics.append(Metric(name=name, unit="s", histogram=found))


class Exporter:
    """Sends what it is given from a thread of its own. What waits is replaced by what is newer, so nothing piles up."""

    def __init__(self, url: str, warn: Callable[[str], None]) -> None:
        """`url`: the collector's base address. Raises UsageError TB1071 when it is none."""
        self._url = _endpoint(url)
        self._warn = warn
        self._warned = False
        self._waiting: bytes | None = None
        self._ended = False
        self._ready = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="tracer-bullet metrics", daemon=True)
        self._started_ns = time.time_ns()

    def start(self) -> None:
        """Be ready to send."""
        self._thread.start()

    def give(self, run: LiveRun, live: LoadLive | None, reading: Reading) -> None:
        """Send this as soon as what is under way has been answered."""
        body = encode_metrics(run, live, reading, start_ns=self._started_ns, now_ns=time.time_ns())
        with self._ready:
            self._waiting = body
            self._ready.notify()

    def stop(self) -> None:
        """Send what waits, and end; after some seconds it is left to itself."""
        with self._ready:
            self._ended = True
            self._ready.notify()
        self._thread.join(3 * _TIMEOUT_S)

    def _run(self) -> None:
        with httpx.Client(timeout=_TIMEOUT_S, headers={"content-type": "application/x-protobuf"}) as client:
            while (body := self._next()) is not None:
                self._send(client, body)

    def _next(self) -> bytes | None:
        with self._ready:
            self._ready.wait_for(lambda: self._waiting is not None or self._ended)
            body, self._waiting = self._waiting, None
            return body

    def _send(self, client: httpx.Client, body: bytes) -> None:
        try:
            client.post(self._url, content=body).raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if not self._warned:
                self._warned = True
                self._warn(f"metrics do not reach {self._url}: {str(error) or type(error).__name__}")


def _endpoint(url: str) -> str:
    why = "it does not begin with http:// or https://, and a host"
    try:
        parsed = urlsplit(url)
        if parsed.scheme in ("http", "https") and parsed.hostname and parsed.port != 0:
            return f"{url.rstrip('/')}/v1/metrics"
    except ValueError as error:
        why = str(error)
    raise UsageError(
        "TB1071", "metrics cannot go there", where=url, why=why, cure="as --otlp-metrics http://127.0.0.1:4318"
    )


def _attributes(labels: Mapping[str, str]) -> list[KeyValue]:
    # protobuf refuses lone surrogates.
    return [
        KeyValue(key=key, value=AnyValue(string_value=text.encode("utf-8", "replace").decode()))
        for key, text in labels.items()
    ]
