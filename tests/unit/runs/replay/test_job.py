"""Claim: a replay is checked before anything is sent, and production has no way round its proof."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tracer_bullet.audit import AllowedWrite
from tracer_bullet.errors import TracerBulletError, UsageError, WorkspaceError
from tracer_bullet.runs.replay.begin import Beginning, begin
from tracer_bullet.runs.replay.job import ReplayJob, Shard
from tracer_bullet.runs.replay.surveyed import look_at

Prepare = Callable[..., ReplayJob]


def code_of(told: pytest.ExceptionInfo[TracerBulletError]) -> str:
    return told.value.code


@pytest.mark.parametrize("override", ["live", "https://shop.example:443/v2"])
def test_production_refuses_unarmed(prepare: Prepare, override: str) -> None:
    with pytest.raises(UsageError) as told:
        prepare(target=override, unarmed=True)
    assert code_of(told) == "TB303"
    assert prepare(target=override).armed


def test_elsewhere_unarmed_is_allowed(prepare: Prepare) -> None:
    assert not prepare(unarmed=True).armed


def test_a_missing_archive(prepare: Prepare, file: Path) -> None:
    (file.parent / "morning.tba").unlink()
    with pytest.raises(UsageError) as told:
        prepare()
    assert code_of(told) == "TB985"
    assert "morning.yaml:4" in str(told.value)


def test_accounts_come_from_a_file_beside_it(prepare: Prepare, file: Path) -> None:
    (file.parent / "testers.csv").write_text("user,password\nann,a\nben,b\n")
    job = prepare("identities: {file: testers.csv}\n")
    assert job.accounts == ({"user": "ann", "password": "a"}, {"user": "ben", "password": "b"})
    with pytest.raises(WorkspaceError) as told:
        prepare("identities: {file: nobody.csv}\n")
    assert code_of(told) == "TB986"


def test_the_command_line_changes_the_timing(prepare: Prepare) -> None:
    job = prepare("timing: {speed: 2x, clones: 3}\n", changes={"rate": "90/min"})
    timing = job.spec.value.timing
    assert (timing.speed, timing.rate, timing.clones) == (None, 1.5, 3)
    with pytest.raises(UsageError) as told:
        prepare(changes={"speed": "-1x"})
    assert code_of(told) == "TB988"


def test_the_audit_section_counts(prepare: Prepare) -> None:
    more = "audit: {no_writes: true, allow: [{service: cart, operation: 'INSERT logs', why: it logs}]}\n"
    rules = prepare(more).rules
    assert (rules.no_writes, rules.allow) == (True, (AllowedWrite(service="cart", operation="INSERT logs"),))


def test_the_kill_file_is_in_the_workspace(prepare: Prepare, file: Path) -> None:
    assert prepare().kill_file == file.parents[1] / ".tracer-bullet" / "stop"


def beginning(job: ReplayJob) -> Beginning:
    found, planned_s = look_at(job)
    return begin(job, found, run_id="run-1", started_ns=1_800_000_000_000_000_000, planned_s=planned_s)


def test_what_is_decided_at_the_start(prepare: Prepare) -> None:
    job = prepare("timing: {clones: 4, loop: 2}\ntrace: request\nlimits: {connections: 9, answer_s: 3}\n")
    made = beginning(job)
    assert (made.sessions, made.requests) == (8, 24)
    assert (made.manifest.kind, made.manifest.bullets, made.manifest.production) == ("replay", 8, False)
    assert (made.engine.connections, made.engine.answer_s, made.engine.trace) == (9, 3.0, "request")
    assert made.engine.run_id == "run-1"
    names = [line.partition(":")[0] for line in made.engine.flag_lines]
    assert len(names) == len(set(names)) == 2
    assert made.engine.baggage


@pytest.mark.parametrize(
    ("more", "share"),
    [
        ("", 1.0),
        ("proof: {max_traces: 1}\n", 1.0),  # one session
        ("trace: request\nproof: {max_traces: 1}\n", 1 / 3),
        ("timing: {clones: 1000}\nproof: {max_traces: 10}\n", 0.01),
        ("timing: {clones: 1000}\nproof: {traces_per_s: 1}\n", 0.002),  # the schedule takes two seconds
    ],
)
def test_as_many_traces_are_audited_as_the_proof_allows(prepare: Prepare, more: str, share: float) -> None:
    job = prepare(more)
    assert beginning(job).share(job) == pytest.approx(share)


def test_shards_share_the_whole(prepare: Prepare) -> None:
    job = prepare(shard=Shard(index=1, count=2))
    assert (job.shard.index, job.shard.count) == (1, 2)
