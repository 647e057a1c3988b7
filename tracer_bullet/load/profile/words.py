"""Stages in words, for people. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tracer_bullet.load.profile.pieces import Piece
from tracer_bullet.workspace.traffic import StageSpec


def words_of(stages: Sequence[StageSpec], pieces: Sequence[Sequence[Piece]]) -> tuple[str, ...]:
    """One line a stage, as `2m: from 10/s to 50/s`."""
    return tuple(
        f"{duration(sum(p.length_s for p in some))}: {_shape(stage, some)}"
        for stage, some in zip(stages, pieces, strict=True)
    )


def duration(seconds: float) -> str:
    """A time as people write it: `90s`, `2m`, `1h 30m`."""
    if seconds < 120 or seconds != round(seconds):
        return f"{seconds:.4g}s" if seconds >= 1 else f"{seconds * 1000:.4g}ms"
    hours, rest = divmod(round(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    parts = [f"{n}{unit}" for n, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if n]
    return " ".join(parts)


def rate(value: float) -> str:
    """A rate as people write it: `50/s`, `3/min`."""
    return f"{value:.4g}/s" if value >= 1 or not value else f"{value * 60:.4g}/min"


def _shape(stage: StageSpec, pieces: Sequence[Piece]) -> str:
    first, last = pieces[0], pieces[-1]
    if stage.users is not None:
        return _users(stage.users)
    if stage.users_to is not None:
        return f"from {first.rate:.0f} to {_users(stage.users_to)}"
    if stage.ramp_to is not None:
        return f"from {rate(first.rate)} to {rate(stage.ramp_to)}"
    if stage.steps:
        return f"steps of {', '.join(rate(step) for step in stage.steps)}"
    if stage.spike is not None:
        return f"from {rate(first.rate)} up to {rate(stage.spike)} and back"
    if stage.sine is not None:
        return f"a wave around {rate(stage.sine)}, ±{rate(stage.swing or 0)}, every {duration(stage.period_s or 0)}"
    if stage.curve is not None:
        return f"as {stage.curve}, up to {rate(max(p.rate for p in pieces))}"
    return rate(last.rate)


def _users(count: int) -> str:
    return f"{count} user{'' if count == 1 else 's'}"
