"""A load run for Prometheus. docs/load-outputs.md lists the names.

Format: text exposition format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/). Units are seconds,
bytes and shares from 0 to 1, as https://prometheus.io/docs/practices/naming/ asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Final

from tracer_bullet.model.load import LoadLive
from tracer_bullet.runs.load.live import LiveRun
from tracer_bullet.runs.load.outputs.readings import BOUNDS_S, Counts, Reading

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX: Final = "tracer_bullet_load_"
Labels = Mapping[str, str]
Samples = Iterable[tuple[Labels, float]]


def metrics_text(run: LiveRun | None, live: LoadLive | None, reading: Reading | None) -> str:
    """All that is known so far; of a run that has not begun, nothing."""
    out: list[str] = []
    if run is not None:
        labels = {"run": run.run_id, "scenario": run.scenario, "target": run.target}
        _add(out, "info", "gauge", "The run that is under way.", [(labels, 1)])
    if reading is not None:
        _counted(out, reading)
    if live is not None:
        _now(out, live)
    return "".join(f"{line}\n" for line in out)


def _counted(out: list[str], reading: Reading) -> None:
    steps = [({"scenario": s.step.scenario, "step": s.step.step}, s) for s in reading.steps]
    requests = [
        ({**labels, "method": s.step.method, "outcome": error or "ok"}, float(n))
        for labels, s in steps
        for error, n in s.outcomes.items()
    ]
    _add(out, "requests_total", "counter", "Requests that were sent, warm-up left out.", requests)
    name, told = "request_duration_seconds", "From the intended time to the end of the answer."
    _histogram(out, name, told, [(labels, s.latency) for labels, s in steps])
    late = [({"sender": str(n)}, counts) for n, counts in reading.lateness.items()]
    _histogram(out, "lateness_seconds", "How late the harness itself sent.", late)
    done = [
        ({"scenario": name, "outcome": outcome}, float(n))
        for name, counted in reading.iterations.items()
        for outcome, n in zip(("whole", "broken"), counted, strict=True)
    ]
    _add(out, "iterations_total", "counter", "Iterations that ended.", done)
    unsent = [({"reason": reason}, float(n)) for reason, n in reading.not_sent.items()]
    _add(out, "requests_not_sent_total", "counter", "Planned requests that were not sent.", unsent)
    _add(out, "warm_up_requests_total", "counter", "Requests of the warm-up.", [({}, reading.warm_up)])
    _add(out, "sent_bytes_total", "counter", "Bytes of requests.", [({}, reading.request_bytes)])
    _add(out, "received_bytes_total", "counter", "Bytes of answers.", [({}, reading.answer_bytes)])


def _now(out: list[str], live: LoadLive) -> None:
    gauges = [
        ("elapsed_seconds", "Since the schedule's start.", live.t_s),
        ("planned_seconds", "How long the schedule lasts.", live.span_s),
        ("planned_requests_per_second", "The rate that is planned now.", live.planned_rate),
        ("requests_per_second", "The rate of the last seconds.", live.rate),
        ("error_ratio", "Of the requests of the last seconds.", live.error_rate),
        ("users", "Users that are under way, in a closed model.", live.users),
        ("senders", "Processes that send.", live.senders),
        ("warming_up", "1 while requests are not counted.", int(live.warming_up)),
    ]
    for name, told, value in gauges:
        _add(out, name, "gauge", told, [({}, value)])
    broken = [({"guardrail": g.name}, float(g.broken)) for g in live.guardrails]
    _add(out, "guardrail_broken", "gauge", "1 when the target's health was past its limit.", broken)


def _histogram(out: list[str], name: str, told: str, series: Iterable[tuple[Labels, Counts]]) -> None:
    rows = list(series)
    if not rows:
        return
    _head(out, name, "histogram", told)
    for labels, counts in rows:
        bounds = [*(f"{bound:g}" for bound in BOUNDS_S), "+Inf"]
        for bound, n in zip(bounds, accumulate(counts.buckets), strict=True):
            out.append(_sample(f"{name}_bucket", {**labels, "le": bound}, n))
        out.append(_sample(f"{name}_sum", labels, counts.sum_s))
        out.append(_sample(f"{name}_count", labels, counts.count))


def _add(out: list[str], name: str, kind: str, told: str, samples: Samples) -> None:
    rows = list(samples)
    if rows:
        _head(out, name, kind, told)
        out.extend(_sample(name, labels, value) for labels, value in rows)


def _head(out: list[str], name: str, kind: str, told: str) -> None:
    out.append(f"# HELP {_PREFIX}{name} {told}")
    out.append(f"# TYPE {_PREFIX}{name} {kind}")


def _sample(name: str, labels: Labels, value: float) -> str:
    said = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items())
    return f"{_PREFIX}{name}{f'{{{said}}}' if said else ''} {value!r}"


def _escape(text: str) -> str:
    # A lone surrogate has no UTF-8.
    text = text.encode("utf-8", "replace").decode()
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
