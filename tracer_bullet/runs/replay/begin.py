"""Beginning a replay: run id, token, manifest, and what the engine is told."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

from tracer_bullet import __version__
from tracer_bullet.context.carriers import HEADER, TRACESTATE, write_baggage, write_tracestate
from tracer_bullet.context.token import mint
from tracer_bullet.engine import EngineSettings
from tracer_bullet.model import Context, RequestType, RunManifest
from tracer_bullet.replay.survey import Survey
from tracer_bullet.runs.manifests import user_name
from tracer_bullet.runs.replay.job import TOKEN_MARGIN_S, ReplayJob

_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What is decided once: the manifest, how the engine sends, and how much is expected."""

    manifest: RunManifest
    engine: EngineSettings
    sessions: int
    requests: int
    duration_s: float

    def share(self, job: ReplayJob) -> float:
        """The share of traces that are audited, so that no more come a second, and in all, than `proof` allows."""
        proof = job.spec.value.proof
        traces = self.sessions if job.spec.value.trace == "session" else self.requests
        allowed = min(proof.traces_per_s * max(self.duration_s, 1.0), proof.max_traces)
        return min(1.0, allowed / max(traces, 1))


def begin(job: ReplayJob, found: Survey, *, run_id: str, started_ns: int, planned_s: float) -> Beginning:
    """Mint the token for as long as the replay is expected to take; nothing is sent or written yet.

    `planned_s`: how long the schedule is.
    """
    spec = job.spec.value
    copies = spec.timing.clones * spec.timing.loop
    now_s, lifetime_s = started_ns // _NS, round(planned_s * 1.5) + TOKEN_MARGIN_S + 3000
    token = mint(job.key, issuer=job.issuer, run_id=run_id, scope=job.target.scope, now_s=now_s, lifetime_s=lifetime_s)
    context = Context(run_id=run_id, token=token, user_id=spec.tester.user_id, account_id=spec.tester.account_id)
    manifest = RunManifest(
        run_id=run_id,
        kind="replay",
        scenario=spec.name,
        scenario_file=job.spec.file,
        target=job.target.name,
        target_url=job.target.url,
        production=job.target.production,
        request_type=RequestType.TRACE,
        bullets=found.sessions * copies,
        concurrency=spec.limits.connections,
        started_ns=started_ns,
        token_id=f"{job.key.kid} until {now_s + lifetime_s}",
        fired_by=user_name(),
        versions={"tracer-bullet": __version__, "python": platform.python_version()},
        override_window=job.windows.override,
    )
    return Beginning(
        manifest=manifest,
        engine=_engine(job, context),
        sessions=found.sessions * copies,
        requests=found.to_send * copies,
        duration_s=planned_s,
    )


def _engine(job: ReplayJob, context: Context) -> EngineSettings:
    spec = job.spec.value
    limits = spec.limits
    return EngineSettings(
        run_id=context.run_id,
        baggage=write_baggage(context),
        flag_lines=(f"{TRACESTATE}: {write_tracestate((), flag=True)}", f"{HEADER}: {context.token}"),
        trace=spec.trace,
        connections=limits.connections,
        connect_s=limits.connect_s,
        send_s=limits.send_s,
        answer_s=limits.answer_s,
        total_s=limits.total_s,
        back_off_s=spec.guardrails.back_off_s,
        realtime=spec.timing.real_time,
        verify=spec.tls.verify,
        ca_file="" if spec.tls.ca_file is None else str(Path(job.spec.file).absolute().parent / spec.tls.ca_file),
    )
