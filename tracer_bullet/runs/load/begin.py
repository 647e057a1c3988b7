"""Beginning a load run: run id, token, manifest, and what its senders are told."""

from __future__ import annotations

import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tracer_bullet import __version__
from tracer_bullet.context.carriers import HEADER, TRACESTATE, write_baggage, write_tracestate
from tracer_bullet.context.token import mint
from tracer_bullet.engine import EngineSettings
from tracer_bullet.load.profile import Profile
from tracer_bullet.model import Context, RequestType, RunManifest
from tracer_bullet.model.load import SenderJob
from tracer_bullet.runs.load.job import LoadJob
from tracer_bullet.runs.manifests import user_name
from tracer_bullet.scenario.load import scenario_text

_NS = 1_000_000_000
# Arming, settling and a slow beginning need the token too.
_MARGIN_S = 3600
# How long `--find-capacity` may take.
_SEARCH_S = 6 * 3600
# Far enough ahead for closed users and short enough that a stop, or a share that moves, takes effect soon.
_AHEAD_S = 1.0
# What waits for an answer or a pause was handed over too: half a million requests at the most.
_AHEAD_BYTES = 268_435_456
# Of an iteration whose length nobody knows.
_SHORTEST_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What is decided once."""

    manifest: RunManifest
    context: Context
    job: SenderJob
    profile: Profile


def begin(job: LoadJob, *, run_id: str) -> Beginning:
    """Mint the token for as long as the run is expected to take; nothing is sent or written yet."""
    spec, started_ns = job.spec, time.time_ns()
    profile = Profile(spec.profile, arrivals=spec.arrivals, seed=spec.seed, curves=job.curves)
    planned_s = _SEARCH_S if job.find_capacity else profile.span_s
    now_s, lifetime_s = started_ns // _NS, round(planned_s * 1.2) + _MARGIN_S
    token = mint(job.key, issuer=job.issuer, run_id=run_id, scope=job.target.scope, now_s=now_s, lifetime_s=lifetime_s)
    tester = job.main.value.tester
    context = Context(run_id=run_id, token=token, user_id=tester.user_id, account_id=tester.account_id)
    manifest = RunManifest(
        run_id=run_id,
        kind="load",
        scenario=job.name,
        scenario_file=job.main.file,
        target=job.target.name,
        target_url=job.target.url,
        production=job.target.production,
        request_type=RequestType.TRACE,
        bullets=profile.total,
        concurrency=spec.limits.connections,
        started_ns=started_ns,
        token_id=f"{job.key.kid} until {now_s + lifetime_s}",
        fired_by=user_name(),
        override_window=job.windows.override,
        versions={"tracer-bullet": __version__, "python": platform.python_version()},
    )
    return Beginning(
        manifest=manifest,
        context=context,
        job=sender_job(job, context, spec_share=spec.trace_share),
        profile=profile,
    )


def proof_share(job: LoadJob, profile: Profile, *, iteration_s: float = 0.0) -> float:
    """The share of iterations that are audited, so that no more come a second, and in all, than `proof` allows.

    `iteration_s`: how long one took when it was alone; so users are known to begin no more than so many.
    """
    proof = job.spec.proof
    expected = float(max(profile.total, 1))
    if not profile.is_open:
        between_s = job.spec.between[0]
        expected = profile.most_users * profile.span_s / max(iteration_s + between_s, _SHORTEST_S)
    allowed = min(proof.traces_per_s * max(profile.span_s, 1.0), proof.max_traces)
    return min(job.spec.trace_share, allowed / expected)


def sender_job(job: LoadJob, context: Context, *, spec_share: float) -> SenderJob:
    """What senders are told; `start_ns` comes when they are ready."""
    return SenderJob(
        run_id=context.run_id,
        start_ns=0,
        base_url=job.target.url,
        scenarios=tuple(scenario_text(t.scenario.value) for t in job.traffic),
        variables=tuple(dict(t.plan.variables) for t in job.traffic),
        rows=tuple(tuple(dict(row) for row in t.rows) for t in job.traffic),
        weights=tuple(t.weight for t in job.traffic),
        engine=asdict(_engine(job, context, spec_share)),
        curves=job.curves,
    )


def _engine(job: LoadJob, context: Context, trace_share: float) -> EngineSettings:
    spec = job.spec
    limits = spec.limits
    longest_s = max(step.request.timeout_s for t in job.traffic for step in t.scenario.value.steps)
    return EngineSettings(
        run_id=context.run_id,
        baggage=write_baggage(context),
        flag_lines=(f"{TRACESTATE}: {write_tracestate((), flag=True)}", f"{HEADER}: {context.token}"),
        trace="session",
        trace_share=trace_share,
        connections=limits.connections,
        connect_s=limits.connect_s,
        send_s=limits.send_s,
        # A step's own time-out is what its author meant.
        answer_s=max(limits.answer_s, longest_s),
        total_s=max(limits.total_s, longest_s),
        back_off_s=spec.guardrails.back_off_s,
        stale_s=spec.stale_s,
        ahead_s=_AHEAD_S,
        ahead_bytes=_AHEAD_BYTES,
        verify=spec.tls.verify,
        ca_file="" if spec.tls.ca_file is None else str(Path(job.main.file).absolute().parent / spec.tls.ca_file),
    )
