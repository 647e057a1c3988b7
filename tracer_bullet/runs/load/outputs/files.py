"""Files for other programs: histograms as an HdrHistogram log, and the tables of Locust's `--csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from tracer_bullet import __version__
from tracer_bullet.engine.histogram import Histogram
from tracer_bullet.model.load import LoadReport, StepKey
from tracer_bullet.model.replay import EndpointResult
from tracer_bullet.runs.load.figures import LoadFigures
from tracer_bullet.workspace.runs import RunFolder, write_whole

_PERCENTILES = (50.0, 66.0, 75.0, 80.0, 90.0, 95.0, 98.0, 99.0, 99.9, 99.99, 100.0)
_HEADS = (
    "Type", "Name", "Request Count", "Failure Count", "Median Response Time", "Average Response Time",
    "Min Response Time", "Max Response Time", "Average Content Size", "Requests/s", "Failures/s",
    "50%", "66%", "75%", "80%", "90%", "95%", "98%", "99%", "99.9%", "99.99%", "100%",
)  # fmt: skip
_HISTORY = (
    "Timestamp",
    "User Count",
    "Type",
    "Name",
    "Requests/s",
    "Failures/s",
    "50%",
    "99%",
    "Planned/s",
    "Lateness 99%",
)


def write_load_outputs(
    folder: RunFolder, steps: Sequence[StepKey], figures: LoadFigures, report: LoadReport, *, start_ns: int
) -> None:
    """Write `histograms.hlog`, `stats.csv` and `stats_history.csv`. Raises WorkspaceError TB104."""
    span_s = max((point.t_s + point.width_s for point in report.curve), default=0.0)
    log = hdr_log(steps, figures, start_ns=start_ns, span_s=span_s)
    write_whole(folder.path / "histograms.hlog", log.encode())
    write_whole(folder.path / "stats.csv", stats_csv(steps, figures, report, span_s=span_s).encode())
    write_whole(folder.path / "stats_history.csv", history_csv(report, start_ns=start_ns).encode())


def hdr_log(steps: Sequence[StepKey], figures: LoadFigures, *, start_ns: int, span_s: float) -> str:
    """Latencies of all steps, then of each, as one interval with a tag.

    Format: HdrHistogram's log, version 1.3 (HistogramLogWriter of https://github.com/HdrHistogram/HdrHistogram). Its
    values are microseconds, maxima are milliseconds.
    """
    start_s = start_ns / 1e9
    lines = [
        f"#[Logged with tracer-bullet {__version__}]",
        "#[Histogram log format version 1.3]",
        f"#[StartTime: {start_s:.3f} (seconds since epoch)]",
        f"#[BaseTime: {start_s:.3f} (seconds since epoch)]",
        '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"',
        _interval("all", figures.all.latency(), span_s),
    ]
    lines += [_interval(step.name, figures.all.latency(number), span_s) for number, step in enumerate(steps)]
    return "\n".join(lines) + "\n"


def stats_csv(steps: Sequence[StepKey], figures: LoadFigures, report: LoadReport, *, span_s: float) -> str:
    """One row a step and one for all, in the columns of Locust's `_stats.csv`. Times are milliseconds."""
    by_name = {result.endpoint: result for result in report.steps}
    seconds = max(span_s - report.warm_up_s, 1e-9)
    rows = [
        _row(step.method, by_name[step.name], figures.all.latency(number), seconds)
        for number, step in enumerate(steps)
        if step.name in by_name
    ]
    return _csv(_HEADS, [*rows, _row("", report.overall, figures.all.latency(), seconds, name="Aggregated")])


def history_csv(report: LoadReport, *, start_ns: int) -> str:
    """The run over its time, as in Locust's `_stats_history.csv`, with what was planned and how late it was."""
    rows = [
        (
            round(start_ns / 1e9 + point.t_s), point.users, "", "Aggregated", f"{point.rate:.2f}",
            f"{point.bad / point.width_s:.2f}", f"{point.p50_ms:.3f}", f"{point.p99_ms:.3f}",
            f"{point.planned_rate:.2f}", f"{point.lateness_p99_ms:.3f}",
        )
        for point in report.curve
    ]  # fmt: skip
    return _csv(_HISTORY, rows)


def _interval(tag: str, histogram: Histogram, span_s: float) -> str:
    # A comma would end the tag; HdrHistogram's own readers take neither commas nor spaces in one.
    name = tag.replace(",", "_").replace(" ", "_")
    return f"Tag={name},0.000,{span_s:.3f},{histogram.quantiles().max_ms:.3f},{histogram.encode()}"


def _row(
    method: str, result: EndpointResult, latency: Histogram, seconds: float, *, name: str = ""
) -> tuple[object, ...]:
    q = latency.quantiles()
    values = [us / 1000 for us in latency.values_us(_PERCENTILES)]
    lowest = latency.values_us((0.0,))[0] / 1000
    return (
        method, name or result.endpoint, result.sent, result.failed, f"{q.p50_ms:.3f}", f"{q.mean_ms:.3f}",
        f"{lowest:.3f}", f"{q.max_ms:.3f}", "", f"{result.sent / seconds:.3f}", f"{result.failed / seconds:.3f}",
        *(f"{value:.3f}" for value in values),
    )  # fmt: skip


def _csv(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(heads)
    writer.writerows(rows)
    return out.getvalue()
