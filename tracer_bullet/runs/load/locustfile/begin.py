"""Beginning a run by a locustfile: run id, token, manifest, terms."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass
from typing import Final

from tracer_bullet import __version__
from tracer_bullet.context.carriers import write_baggage, write_tracestate
from tracer_bullet.context.token import mint
from tracer_bullet.load.locustfile.protocol import Terms
from tracer_bullet.model import Context, RequestType, RunManifest
from tracer_bullet.runs.load.locustfile.job import LocustfileJob
from tracer_bullet.runs.manifests import user_name

_NS: Final = 1_000_000_000
# A run without an end gets a new token long before the old one ends.
TOKEN_S: Final = 3600
RENEW_S: Final = 1800


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What is decided once."""

    manifest: RunManifest
    terms: Terms


def begin(job: LocustfileJob, *, run_id: str) -> Beginning:
    """Mint the first token; nothing is sent or written yet."""
    started_ns = time.time_ns()
    token, baggage = new_token(job, run_id)
    manifest = RunManifest(
        run_id=run_id,
        kind="load",
        scenario=job.name,
        scenario_file=job.options.locustfile,
        target=job.target.name,
        target_url=job.target.url,
        production=job.target.production,
        request_type=RequestType.TRACE,
        bullets=0,
        concurrency=job.options.users,
        started_ns=started_ns,
        token_id=f"{job.key.kid} until {started_ns // _NS + TOKEN_S}",
        fired_by=user_name(),
        override_window=job.options.override_window,
        versions={"tracer-bullet": __version__, "python": platform.python_version()},
    )
    return Beginning(
        manifest=manifest,
        terms=Terms(
            run_id=run_id,
            target=job.target.url,
            token=token,
            baggage=baggage,
            tracestate=write_tracestate((), flag=True),
            flagged=job.flagged,
            allowed=job.allowed,
            trace=job.spec.trace,
            rate=trace_rate(job, audited=0),
            armed=job.armed,
        ),
    )


def new_token(job: LocustfileJob, run_id: str) -> tuple[str, str]:
    """A token from now on, and the baggage that has it."""
    token = mint(
        job.key,
        issuer=job.issuer,
        run_id=run_id,
        scope=job.target.scope,
        now_s=time.time_ns() // _NS,
        lifetime_s=TOKEN_S,
    )
    tester = job.spec.tester
    context = Context(run_id=run_id, token=token, user_id=tester.user_id, account_id=tester.account_id)
    return token, write_baggage(context)


def trace_rate(job: LocustfileJob, *, audited: int) -> float:
    """How many traces are audited a second: as many as `proof` allows, evenly over a run whose length is known, and
    ever fewer of one that may last for ever."""
    proof, length_s = job.spec.proof, job.options.run_time_s
    if length_s is not None:
        even = proof.max_traces / max(length_s, 1.0)
        return min(proof.traces_per_s, even) if audited < proof.max_traces else 0.0
    return proof.traces_per_s * max(0, proof.max_traces - audited) / proof.max_traces
