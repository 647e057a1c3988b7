"""What `tracer-bullet replay --plan` prints: what would be sent, and what to look at before it is. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tracer_bullet.cli.capture.text import counted, moment
from tracer_bullet.replay.found import Survey
from tracer_bullet.runs.replay.job import ReplayJob

_MOST_ENDPOINTS = 30


def plan_text(job: ReplayJob, found: Survey, planned_s: float) -> str:
    """For people. `planned_s`: how long the schedule is."""
    return "\n".join(_lines(job, found, planned_s)) + "\n"


def _lines(job: ReplayJob, found: Survey, planned_s: float) -> Iterator[str]:
    timing = job.spec.value.timing
    requests = found.to_send * timing.clones * timing.loop
    yield f"{job.spec.value.name}: {job.archive.name} at {job.target.url}"
    yield f"recorded from {moment(found.first_ns)} to {moment(found.last_ns)}"
    yield f"{found.read} exchanges, {found.to_send} to send in {found.sessions} sessions"
    times = f" ({timing.clones} of each session, {timing.loop} times)" if timing.clones * timing.loop > 1 else ""
    yield f"{requests} requests in {planned_s:.1f} s{times}, {requests / max(planned_s, 1):.1f}/s on average"
    if found.skipped:
        yield f"not selected: {counted(found.skipped)}"
    if found.refused:
        yield f"refused: {counted(found.refused)}"
    yield ""
    yield f"endpoints ({len(found.endpoints)}; {found.arming_requests} requests prove them harmless first):"
    listed = sorted(found.endpoints, key=lambda e: (-e.requests, e.text))
    for endpoint in listed[:_MOST_ENDPOINTS]:
        refused = f", {endpoint.refused} refused" if endpoint.refused else ""
        yield f"  {endpoint.requests:>8}  {endpoint.text}{refused}"
    if len(listed) > _MOST_ENDPOINTS:
        yield f"  … and {len(listed) - _MOST_ENDPOINTS} more (--json lists all)"
    if found.correlations:
        yield ""
        yield "values that answers mint, and where they are used (correlate.ignore leaves one out):"
        for one in found.correlations:
            yield f"  {one.minted} → {', '.join(one.used)}  ({one.sessions} sessions, {one.how})"
    if found.review:
        yield ""
        yield "look at this first:"
        yield from (f"  - {sentence}" for sentence in found.review)


def plan_json(job: ReplayJob, found: Survey, planned_s: float) -> str:
    """For machines."""
    timing = job.spec.value.timing
    values = {
        "name": job.spec.value.name,
        "archive": str(job.archive),
        "target": job.target.url,
        "exchanges": found.read,
        "sessions": found.sessions,
        "requests": found.to_send * timing.clones * timing.loop,
        "duration_s": planned_s,
        "skipped": dict(found.skipped),
        "refused": dict(found.refused),
        "arming_requests": found.arming_requests,
        "endpoints": [{"endpoint": e.text, "requests": e.requests, "refused": e.refused} for e in found.endpoints],
        "correlations": [
            {"variable": c.variable, "minted": c.minted, "used": list(c.used), "sessions": c.sessions, "how": c.how}
            for c in found.correlations
        ],
        "review": list(found.review),
    }
    return json.dumps(values, indent=2) + "\n"
