"""Words that the capture commands share. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from tracer_bullet.model.losses import Losses


def counted(counts: Mapping[str, int]) -> str:
    """`bullet 3, redaction 1`, the most first."""
    return ", ".join(
        f"{name or 'not recorded'} {count}"
        for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


def moment(at_ns: int | None) -> str:
    """A time in UTC, to the millisecond."""
    if at_ns is None:
        return "-"
    whole = datetime.fromtimestamp(at_ns // 1_000_000_000, tz=UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{at_ns % 1_000_000_000 // 1_000_000:03}Z"


def losses_lines(losses: Losses) -> list[str]:
    """A line a reason, for what was lost and for what was repaired."""
    lines = []
    for name, counts in (("lost", losses.lost), ("repaired", losses.repaired)):
        for reason, count in counts.most_common():
            example = next(iter(losses.examples.get(reason, ())), "")
            lines.append(f"{name}: {count} × {reason}{f' (as {example})' if example else ''}")
    return lines
