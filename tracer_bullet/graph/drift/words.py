"""Regressions as sentences, most important first. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tracer_bullet.model import Change, Drift, LatencyDrift


def regressions(drift: Drift, fail_on: frozenset[Change]) -> tuple[str, ...]:
    """A sentence for each change in `fail_on`: edges, then errors, then latencies, each with the most calls first."""
    return tuple(sentence for part in (_edges, _errors, _latencies) for sentence in part(drift, fail_on))


def _edges(drift: Drift, fail_on: frozenset[Change]) -> Iterator[str]:
    for edge in drift.edges:
        if edge.change in fail_on:
            yield f"{edge.source} → {edge.target} {edge.change.value}: {edge.message}"


def _errors(drift: Drift, fail_on: frozenset[Change]) -> Iterator[str]:
    for row in drift.errors:
        if row.change in fail_on:
            more = "more" if row.change is Change.MORE_ERRORS else "fewer"
            yield (
                f"{row.service} {row.operation} has {more} errors: {row.before:.2%} → {row.after:.2%} of its calls "
                f"({row.low:+.2%} to {row.high:+.2%})"
            )


def _latencies(drift: Drift, fail_on: frozenset[Change]) -> Iterator[str]:
    moved: dict[tuple[str, str, Change], list[LatencyDrift]] = {}
    for row in drift.latencies:
        if row.change in fail_on:
            moved.setdefault((row.service, row.operation, row.change), []).append(row)
    for (service, operation, change), rows in moved.items():
        parts = [
            f"p{row.quantile * 100:g} {row.before_ms:.4g} → {row.after_ms:.4g} ms "
            f"({row.low_ms:+.3g} to {row.high_ms:+.3g})"
            for row in sorted(rows, key=lambda r: r.quantile)
        ]
        yield f"{service} {operation} is {change.value}: {', '.join(parts)}; effect {rows[0].magnitude}"
