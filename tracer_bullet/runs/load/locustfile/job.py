"""What a run by a locustfile needs before it starts, gathered and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tracer_bullet.audit import AuditRules
from tracer_bullet.context.keys import SigningKey, load_signing_key
from tracer_bullet.errors import UsageError
from tracer_bullet.load.locustfile.hosts import entry
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
from tracer_bullet.runs.load.locustfile.options import LocustfileOptions
from tracer_bullet.workspace.load import Located, load_located
from tracer_bullet.workspace.locustfile import LocustfileSpec
from tracer_bullet.workspace.settings import Settings
from tracer_bullet.workspace.traces import TracesSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class LocustfileJob:
    """Everything that a run needs. `flagged`, `allowed`: hosts, as `host` or `host:port`."""

    workspace: Path
    settings: Located[Settings]
    options: LocustfileOptions
    spec: LocustfileSpec
    target: Target
    flagged: tuple[str, ...]
    allowed: tuple[str, ...]
    context: Context
    traces: TracesSpec
    key: SigningKey
    issuer: str
    armed: bool

    @property
    def name(self) -> str:
        """How reports call the run."""
        return Path(self.options.locustfile.partition(",")[0]).stem

    @property
    def arguments(self) -> tuple[str, ...]:
        """For Locust. A target that was named is said to it as `--host`, which goes before what classes say."""
        told = self.options.target is not None and self.options.host is None
        return (*self.options.arguments, *(("--host", self.target.url) if told else ()))

    @property
    def rules(self) -> AuditRules:
        """The audit section, as the audit wants it."""
        return audit_rules(self.spec.audit)

    @property
    def lost_traces(self) -> float:
        """The share of audited traces that may be lost."""
        return self.spec.guardrails.lost_traces

    @property
    def kill_file(self) -> Path:
        """Where the kill switch is looked for."""
        return self.workspace / self.spec.guardrails.kill_file


def prepare_locustfile(
    options: LocustfileOptions, *, environ: Mapping[str, str], start: Path, system: System | None = None
) -> LocustfileJob:
    """Load and check all files of a run. Raises WorkspaceError, UsageError or KeyFileError, all exit 2.

    The workspace is the one around `start`, the folder that it is run in, or else around the locustfile. `system`
    replaces what the settings say of the target's parts.
    """
    spec = LocustfileSpec(version=1) if options.bullets is None else load_located(options.bullets, LocustfileSpec).value
    if options.trace is not None:
        spec = spec.model_copy(update={"trace": options.trace})
    workspace, settings = _workspace(options, start, environ)
    resolved = _target(settings, options, spec)
    if system is not None:
        resolved = replace(resolved, system=system)
    flagged = tuple(map(_host, (resolved.url, *spec.flag_hosts, *options.flag_hosts)))
    allowed = tuple(map(_host, (*spec.allow_hosts, *options.allow_hosts)))
    production = resolved.production or any(is_production(settings.value, f"http://{host}") for host in flagged)
    refuse_in_production("--unarmed", settings, replace(resolved, production=production), wanted=options.unarmed)
    keys = settings.value.keys
    key = load_signing_key(workspace / keys.private)
    return LocustfileJob(
        workspace=workspace,
        settings=settings,
        options=options,
        spec=spec,
        target=resolved,
        flagged=flagged,
        allowed=allowed,
        context=read_context(workspace, environ, system=resolved.system),
        traces=settings.value.traces,
        key=replace(key, kid=keys.kid) if keys.kid else key,
        issuer=settings.value.issuer,
        armed=not options.unarmed,
    )


def _workspace(options: LocustfileOptions, start: Path, environ: Mapping[str, str]) -> tuple[Path, Located[Settings]]:
    try:
        return open_workspace(start, environ)
    except UsageError:
        return open_workspace((start / options.locustfile.partition(",")[0]).absolute().parent, environ)


def _target(settings: Located[Settings], options: LocustfileOptions, spec: LocustfileSpec) -> Target:
    """The target that is named, or that has the address of `--host`, or the only one there is."""
    targets = settings.value.targets
    named = options.target or spec.target
    if options.host is not None and named is None:
        there = [name for name, t in targets.items() if entry(t.url) == _entry(options.host)]
        named = there[0] if there else None
    name = named if named is not None and "://" not in named else None
    if name is None:
        if len(targets) > 1:
            raise UsageError(
                "TB1057",
                "it is not said which target the locustfile is for",
                where=settings.file,
                cure=f"--target with one of {', '.join(targets)}",
            )
        name = next(iter(targets))
    address = options.host or (named if named is not None and "://" in named else None)
    return resolve_target(settings, name, address)


def _entry(text: str) -> tuple[str, int | None]:
    try:
        return entry(text)
    except ValueError as error:
        raise UsageError("TB1058", f"{error}") from None


def _host(text: str) -> str:
    host, port = _entry(text)
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"
