"""What is said of a recording once it was surveyed: what would be sent, and why it cannot be sent as asked."""

from __future__ import annotations

from tracer_bullet.capture.archive import open_archive
from tracer_bullet.errors import UsageError
from tracer_bullet.replay.planner import Planner
from tracer_bullet.replay.survey import Survey, survey
from tracer_bullet.runs.replay.job import ReplayJob

# Sources without times number their requests, 1, 2, 3 …; nobody recorded traffic in the first days of 1970.
_NO_TIMES_BEFORE_NS = 10**15


def look_at(job: ReplayJob) -> tuple[Survey, float]:
    """What a replay would be, and how many seconds it would take. Sends nothing."""
    found = survey(open_archive(job.archive).exchanges(), job.spec.value)
    return found, Planner(job.spec.value, found, job.target.url, accounts=job.accounts).span_ns / 1e9


def check_surveyed(job: ReplayJob, found: Survey) -> None:
    """Raises UsageError: TB987 nothing is to be sent, TB992 the recording has no times and no rate is given."""
    if not found.to_send:
        raise _nothing(job, found)
    if found.last_ns < _NO_TIMES_BEFORE_NS and job.spec.value.timing.rate is None:
        raise UsageError(
            "TB992",
            "the recording has no times: it only says in which order requests were sent",
            where=job.spec.where("archive"),
            cure="give a rate, as `timing: {rate: 10/s}` or --rate 10/s",
        )


def _nothing(job: ReplayJob, found: Survey) -> UsageError:
    reasons = {**found.skipped, **found.refused}
    told = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
    return UsageError(
        "TB987",
        f"nothing of the {found.read} exchanges is to be sent",
        where=job.spec.file,
        why=told,
        cure="see `select:`, and `tracer-bullet replay FILE --plan`",
    )
