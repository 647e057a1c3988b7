"""What Locust wants to know of shots between two reports: deltas by endpoint, on Locust's grid of milliseconds.

The layout is that of `locust.stats.StatsEntry.serialize`. What it calls response time is our latency, from the intended
time: so the master's figures are free of coordinated omission. What was never sent is not there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from tracer_bullet.engine.histogram import BucketTable, Histogram
from tracer_bullet.engine.histogram.buckets import SLOTS, Ints, slots_of_ns
from tracer_bullet.model.arrival import Endpoint
from tracer_bullet.model.shots import NOT_SENT, SHOT_ERRORS, ShotBatch

Endpoints = Sequence[Endpoint] | Mapping[int, Endpoint]

# Both indexed by a shot's error.
_NEVER_GOES: Final = np.array([error in NOT_SENT for error in SHOT_ERRORS])
_CUT_OFF: Final = np.array([error in ("stopped", "lost") for error in SHOT_ERRORS])
# Slots of the sparse tables: a latency in ms, a second of Unix time.
_WIDE: Final = 1 << 36
_UNEXPECTED: Final = SHOT_ERRORS.index("unexpected")
_STATUS_BASE: Final = 1000
_NS: Final = 1_000_000_000
TOTAL_NAME: Final = "Aggregated"


def locust_buckets(latency_ns: Ints) -> Ints:
    """`locust.stats.bucket_response_time` for each: whole ms, two significant digits above 100 ms, halves to even."""
    # Which grid applies goes by the value before rounding, as in Locust: 99.6 ms becomes 100.
    unit = np.select(
        [latency_ns < 100_000_000, latency_ns < 1_000_000_000, latency_ns < 10_000_000_000],
        [np.int64(1_000_000), np.int64(10_000_000), np.int64(100_000_000)],
        np.int64(1_000_000_000),
    )
    whole, rest = np.divmod(latency_ns, unit)
    whole += (2 * rest > unit) | ((2 * rest == unit) & (whole % 2 == 1))
    return whole * (unit // 1_000_000)


def error_key(method: str, name: str, error: str) -> str:
    """Locust's own key of an error, so that its own workers' errors merge with ours (`StatsError.create_key`)."""
    return hashlib.sha256(f"{method}.{name}.{error!r}".encode()).hexdigest()


class Deltas:
    """Counts since the last report. One is filled while the one before is packed, in another thread if need be."""

    def __init__(self, since_s: float, *, failing_status: int = 400) -> None:
        self._since_s = since_s
        self._failing_status = failing_status
        self._latency = BucketTable(SLOTS)
        self._buckets = BucketTable(_WIDE)
        self._requests = BucketTable(_WIDE)
        self._failures = BucketTable(_WIDE)
        self._errors = BucketTable(_WIDE)
        self._unanswered = BucketTable(1)
        # Of each endpoint: latencies' sum, least and most in ns, bytes of answers, and when the last one ended.
        self._sum_ns = np.zeros(0, np.int64)
        self._least_ns = np.zeros(0, np.int64)
        self._most_ns = np.zeros(0, np.int64)
        self._bytes = np.zeros(0, np.int64)
        self._last_ns = np.zeros(0, np.int64)
        self._endpoints: Endpoints = ()

    def record(self, batch: ShotBatch, endpoints: Endpoints) -> None:
        """Count a batch. `endpoints` may grow afterwards; it is read when the report is made."""
        self._endpoints = endpoints
        error = np.asarray(batch.error).astype(np.int64)
        sent = ~_NEVER_GOES[error] | (np.asarray(batch.sent_ns) > 0)
        if not sent.any():
            return
        endpoint = np.asarray(batch.endpoint).astype(np.int64)[sent]
        error, status = error[sent], np.asarray(batch.status).astype(np.int64)[sent]
        due, ended = np.asarray(batch.due_ns)[sent], np.asarray(batch.ended_ns)[sent]
        ended = np.where(ended > 0, ended, due)  # of a lost engine's shots no end is known
        self._grow(int(endpoint.max()) + 1)
        self._requests.add(endpoint, ended // _NS)
        np.maximum.at(self._last_ns, endpoint, ended)
        np.add.at(self._bytes, endpoint, np.asarray(batch.answer_bytes)[sent])
        failed = (error != 0) | (status >= self._failing_status)
        self._failures.add(endpoint[failed], ended[failed] // _NS)
        answered = (error == 0) | (error == _UNEXPECTED)
        self._errors.add(endpoint[failed], np.where(answered, _STATUS_BASE + status, error)[failed])
        cut = _CUT_OFF[error]
        self._unanswered.add(endpoint[cut], error[cut] * 0)
        self._latencies(endpoint[~cut], np.maximum(ended - due, 0)[~cut])

    def report(self, now_s: float) -> dict[str, Any]:
        """The part of a `stats` message that Locust knows: `stats`, `stats_total` and `errors`."""
        entries = [self._entry(number, endpoint) for number, endpoint in self._named()]
        return {
            "stats": entries,
            "stats_total": _total(entries, self._since_s),
            "errors": dict(self._error_entries(now_s)),
        }

    def histograms(self) -> dict[str, Any]:
        """The part that only we read, beside it: each endpoint's latencies, exactly (HdrHistogram V2, unit 1 µs)."""
        return {
            "version": 1,
            "unit": "us",
            "entries": [
                [endpoint.method, endpoint.name, Histogram(self._latency.row(number)).encode()]
                for number, endpoint in self._named()
            ],
        }

    def _latencies(self, endpoint: Ints, latency_ns: Ints) -> None:
        self._latency.add(endpoint, slots_of_ns(latency_ns))
        self._buckets.add(endpoint, locust_buckets(latency_ns))
        np.add.at(self._sum_ns, endpoint, latency_ns)
        np.minimum.at(self._least_ns, endpoint, latency_ns)
        np.maximum.at(self._most_ns, endpoint, latency_ns)

    def _grow(self, size: int) -> None:
        more = size - self._sum_ns.size
        if more <= 0:
            return
        more = max(more, self._sum_ns.size)
        zeros = np.zeros(more, np.int64)
        self._sum_ns = np.concatenate((self._sum_ns, zeros))
        self._most_ns = np.concatenate((self._most_ns, zeros))
        self._bytes = np.concatenate((self._bytes, zeros))
        self._last_ns = np.concatenate((self._last_ns, zeros))
        self._least_ns = np.concatenate((self._least_ns, np.full(more, np.iinfo(np.int64).max)))

    def _named(self) -> Iterator[tuple[int, Endpoint]]:
        for number in self._requests.rows().tolist():
            yield number, self._endpoints[number]

    def _entry(self, number: int, endpoint: Endpoint) -> dict[str, Any]:
        per_second = self._requests.entries(number)
        failures = self._failures.entries(number)
        buckets = self._buckets.entries(number)
        requests = sum(per_second.values())
        return {
            "name": endpoint.name,
            "method": endpoint.method,
            "last_request_timestamp": int(self._last_ns[number]) / _NS,
            "start_time": self._since_s,
            "num_requests": requests,
            "num_none_requests": requests - sum(buckets.values()),
            "num_failures": sum(failures.values()),
            "total_response_time": int(self._sum_ns[number]) / 1e6,
            "max_response_time": int(self._most_ns[number]) / 1e6,
            "min_response_time": int(self._least_ns[number]) / 1e6 if buckets else None,
            "total_content_length": int(self._bytes[number]),
            "response_times": buckets,
            "num_reqs_per_sec": per_second,
            "num_fail_per_sec": failures,
        }

    def _answered(self, status: int) -> str:
        return f"HTTP {status}" if status >= self._failing_status else f"unexpected, HTTP {status}"

    def _error_entries(self, now_s: float) -> Iterator[tuple[str, dict[str, Any]]]:
        for number in self._errors.rows().tolist():
            endpoint = self._endpoints[number]
            for code, count in self._errors.entries(number).items():
                text = SHOT_ERRORS[code] if code < _STATUS_BASE else self._answered(code - _STATUS_BASE)
                yield (
                    error_key(endpoint.method, endpoint.name, text),
                    {
                        "name": endpoint.name,
                        "method": endpoint.method,
                        "error": text,
                        "occurrences": count,
                        "first_seen": self._since_s,
                        "last_seen": now_s,
                    },
                )


def _total(entries: Sequence[Mapping[str, Any]], since_s: float) -> dict[str, Any]:
    """All entries as one, as Locust's own workers send it beside them."""
    total: dict[str, Any] = {"name": TOTAL_NAME, "method": "", "start_time": since_s}
    for key in ("num_requests", "num_none_requests", "num_failures", "total_response_time", "total_content_length"):
        total[key] = sum(entry[key] for entry in entries)
    for key in ("response_times", "num_reqs_per_sec", "num_fail_per_sec"):
        merged: dict[int, int] = {}
        for entry in entries:
            for slot, count in entry[key].items():
                merged[slot] = merged.get(slot, 0) + count
        total[key] = merged
    total["last_request_timestamp"] = max((e["last_request_timestamp"] for e in entries), default=None)
    total["max_response_time"] = max((e["max_response_time"] for e in entries), default=0)
    least = [e["min_response_time"] for e in entries if e["min_response_time"] is not None]
    total["min_response_time"] = min(least, default=None)
    return total
