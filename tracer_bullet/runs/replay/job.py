"""What a replay needs before it starts, gathered and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tracer_bullet.audit import AuditRules
from tracer_bullet.capture.redaction import Redactor
from tracer_bullet.capture.redaction.settings import make_redactor
from tracer_bullet.context.keys import SigningKey, load_signing_key
from tracer_bullet.errors import UsageError
from tracer_bullet.model import System
from tracer_bullet.runs.context import Context, read_context
from tracer_bullet.runs.job import (
    Target,
    audit_rules,
    is_production,
    open_workspace,
    refuse_in_production,
    resolve_target,
)
from tracer_bullet.runs.windows import Windows, windows_of
from tracer_bullet.workspace.accounts import load_accounts
from tracer_bullet.workspace.load import Located, load_located
from tracer_bullet.workspace.replay import Replay, change_timing
from tracer_bullet.workspace.traces import TracesSpec

# A replay may take long; a token that ended in the midst of it would refuse the rest.
TOKEN_MARGIN_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """The part of the sessions that this process replays: `index` of `count`."""

    index: int = 0
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayJob:
    """Everything that a replay needs. `seed` decides what is left to chance but for ids."""

    workspace: Path
    spec: Located[Replay]
    archive: Path
    target: Target
    context: Context
    traces: TracesSpec
    key: SigningKey
    issuer: str
    redactor: Redactor
    accounts: tuple[Mapping[str, str], ...]
    armed: bool
    windows: Windows
    shard: Shard = Shard()
    seed: int = 1

    @property
    def rules(self) -> AuditRules:
        """The file's audit section, as the audit wants it."""
        return audit_rules(self.spec.value.audit)

    @property
    def lost_traces(self) -> float:
        """The share of audited traces that may be lost."""
        return self.spec.value.guardrails.lost_traces

    @property
    def kill_file(self) -> Path:
        """Where the kill switch is looked for."""
        return self.workspace / self.spec.value.guardrails.kill_file


def prepare_replay(
    file: Path,
    *,
    environ: Mapping[str, str],
    target: str | None = None,
    changes: Mapping[str, object] | None = None,
    unarmed: bool = False,
    shard: Shard | None = None,
    system: System | None = None,
    override_window: str = "",
) -> ReplayJob:
    """Load and check all files of a replay. Raises WorkspaceError, UsageError or KeyFileError, all exit 2.

    `changes` are what the command line says in place of the file's `timing`. `system` replaces what the settings say of
    the target's parts. `override_window`: why it is replayed though a window of the target is closed.
    """
    spec = load_located(file, Replay)
    if changes:
        spec = replace(spec, value=change_timing(spec.value, changes))
    workspace, settings = open_workspace(file.absolute().parent, environ)
    resolved = resolve_target(settings, spec.value.target, target)
    if system is not None:
        resolved = replace(resolved, system=system)
    hosts = [url for url in spec.value.rewrite.hosts.values() if is_production(settings.value, url)]
    if hosts:
        resolved = replace(resolved, production=True)
    refuse_in_production("--unarmed", settings, resolved, wanted=unarmed, url=next(iter(hosts), ""))
    archive = (file.absolute().parent / spec.value.archive).resolve()
    if not archive.exists():
        raise UsageError(
            "TB985",
            f"there is no archive {spec.value.archive}",
            where=spec.where("archive"),
            cure="make one with `tracer-bullet capture import` or `capture proxy`",
        )
    identities = spec.value.identities.file
    keys = settings.value.keys
    key = load_signing_key(workspace / keys.private)
    return ReplayJob(
        workspace=workspace,
        spec=spec,
        archive=archive,
        target=resolved,
        context=read_context(workspace, environ, system=resolved.system),
        traces=settings.value.traces,
        key=replace(key, kid=keys.kid) if keys.kid else key,
        issuer=settings.value.issuer,
        redactor=make_redactor(settings.value.capture, workspace, environ),
        accounts=() if identities is None else load_accounts(file.absolute().parent / identities),
        armed=not unarmed,
        shard=shard or Shard(),
        windows=windows_of(
            settings, resolved, command="replay", urls=spec.value.rewrite.hosts.values(), override=override_window
        ),
    )
