"""What is not accounted for, from the schedule: it is the same for everybody, so nobody has to be asked. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tracer_bullet.load.parts import Parts, read_parts
from tracer_bullet.load.profile import Profile
from tracer_bullet.model.load import SenderJob
from tracer_bullet.runs.load.fleet.duties import Duties, Duty
from tracer_bullet.runs.load.fleet.member import Member


def profile_of(job: SenderJob, parts: Parts | None = None) -> Profile:
    """The schedule of a job."""
    load = (parts or read_parts(job)).load
    return Profile(load.profile, arrivals=load.arrivals, seed=load.seed, curves=job.curves)


def span_ns_of(job: SenderJob) -> int:
    """How long its schedule is."""
    return round(profile_of(job).span_s * 1e9)


def count_losses(job: SenderJob, duties: Duties, members: Iterable[Member], *, stopped_ns: int | None = None) -> None:
    """Note down what of each member's share nobody knows of: `unaccounted` requests.

    Of one that was lost: what the schedule gave it, until others took over or all were stopped (`stopped_ns`, from the
    start), less what it told of. In the closed model nobody can know what would have come: there it is what it had
    planned by its last word. Of the others: shots that they told of and that did not come.
    """
    for member in members:
        given = planned_requests(job, duties.of(member.number), stopped_ns=stopped_ns) if member.lost else None
        if given is None:
            given = max(member.said, member.note.planned if member.note is not None else 0)
        missing = planned_requests(job, member.gaps, stopped_ns=stopped_ns) or 0
        member.unaccounted = max(0, given - member.rows) + missing


def planned_requests(job: SenderJob, duties: Iterable[Duty], *, stopped_ns: int | None = None) -> int | None:
    """How many requests the schedule has in these duties; None in the closed model."""
    parts = read_parts(job)
    profile = profile_of(job, parts)
    if not profile.is_open:
        return None
    limit, _ = parts.limit(profile)
    steps = np.array([len(script.steps) for script in parts.scripts], np.int64)
    total = 0
    for duty in duties:
        to_ns = duty.to_ns if stopped_ns is None else min(duty.to_ns, stopped_ns)
        mask = np.zeros(job.shards, bool)
        mask[list(duty.residues)] = True
        number = profile.first_at(duty.from_ns)
        for due in profile.due_ns(number):
            numbers = np.arange(number, number + len(due), dtype=np.int64)
            mine = numbers[(due < to_ns) & mask[numbers % job.shards]]
            if limit is not None:
                mine = mine[mine < limit]
            total += int(steps[parts.mix.scenarios(mine)].sum())
            number += len(due)
            if due[-1] >= to_ns:
                break
    return total
