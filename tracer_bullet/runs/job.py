"""What a run needs before it starts, gathered and checked: the preflight's first half."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from tracer_bullet.audit import AllowedWrite, AuditRules
from tracer_bullet.context.keys import SigningKey, load_signing_key
from tracer_bullet.errors import UsageError
from tracer_bullet.model import RequestType, System
from tracer_bullet.runs.context import Context, read_context
from tracer_bullet.scenario import Plan, Scenario, load_scenario
from tracer_bullet.scenario import plan as plan_scenario
from tracer_bullet.workspace.addresses import check_url
from tracer_bullet.workspace.audit import AuditSpec
from tracer_bullet.workspace.load import Located
from tracer_bullet.workspace.settings import (
    SETTINGS_FILE,
    Settings,
    find_workspace,
    load_settings,
)
from tracer_bullet.workspace.traces import TracesSpec

TOKEN_LIFETIME_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A system to fire at, by name and address."""

    name: str
    url: str
    production: bool
    scope: tuple[str, ...]
    system: System


@dataclass(frozen=True, slots=True, kw_only=True)
class FireJob:
    """Everything `fire` needs. `request_type` STANDARD is the control: the same requests, for real."""

    workspace: Path
    scenario: Located[Scenario]
    plan: Plan
    target: Target
    context: Context
    traces: TracesSpec
    key: SigningKey | None
    issuer: str
    bullets: int
    concurrency: int
    armed: bool
    request_type: RequestType
    lifetime_s: int = TOKEN_LIFETIME_S

    @property
    def rules(self) -> AuditRules:
        """The scenario's audit section, as the audit wants it."""
        return audit_rules(self.scenario.value.audit)


def audit_rules(spec: AuditSpec) -> AuditRules:
    """A file's audit section, as the audit wants it."""
    return AuditRules(
        no_writes=spec.no_writes,
        every_service_flagged=spec.every_service_flagged,
        allow=tuple(AllowedWrite(service=a.service, operation=a.operation) for a in spec.allow),
        ignore=tuple(i.rule for i in spec.ignore),
    )


def open_workspace(start: Path, environ: Mapping[str, str]) -> tuple[Path, Located[Settings]]:
    """The workspace around `start` and its settings. Raises UsageError TB301, WorkspaceError."""
    folder = find_workspace(start)
    if folder is None:
        raise UsageError(
            "TB301",
            f"no {SETTINGS_FILE} here or above",
            where=str(start),
            cure="make a workspace with `tracer-bullet init`",
        )
    return folder, load_settings(folder, environ)


def resolve_target(settings: Located[Settings], name: str, override: str | None) -> Target:
    """The target called `name`; `override` is another target's name or an http(s) address for this one."""
    if override is not None and "://" not in override:
        name = override
    spec = settings.value.target(name)
    url, production = spec.url, spec.production
    if override is not None and "://" in override:
        try:
            url = check_url(override)
        except ValueError as error:
            raise UsageError("TB302", f"--target {override!r}: {error}") from None
        # An address is no way round what the settings say of it.
        production |= is_production(settings.value, url)
    return Target(name=name, url=url, production=production, scope=spec.scope, system=spec.system)


def refuse_in_production(
    option: str, settings: Located[Settings], target: Target, *, wanted: bool, url: str = ""
) -> None:
    """Raises UsageError TB303 when the option is given for a target that has customers. `url`: of another host of the
    same run, which has."""
    if wanted and target.production:
        raise UsageError(
            "TB303",
            f"{option} is refused for {target.name}",
            why=f"{url or target.url} is marked production: true",
            where=f"{settings.file}:{settings.line(f'targets.{target.name}.production')}",
            cure="try it on a target that has no customers",
        )


def is_production(settings: Settings, url: str) -> bool:
    """Whether an address is that of a target that is marked `production: true`."""
    return any(t.production and server_of(t.url) == server_of(url) for t in settings.targets.values())


def server_of(url: str) -> tuple[str, int | None]:
    """Host and port of an address."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def prepare_fire(
    scenario_file: Path,
    *,
    environ: Mapping[str, str],
    target: str | None = None,
    variables: Mapping[str, str] | None = None,
    bullets: int | None = None,
    concurrency: int | None = None,
    control: bool = False,
    unarmed: bool = False,
    system: System | None = None,
) -> FireJob:
    """Load and check all files of a run. Raises WorkspaceError, UsageError or KeyFileError, all exit 2.

    `system` replaces what the settings say of the target's parts, for systems started on the spot.
    """
    scenario = load_scenario(scenario_file)
    workspace, settings = open_workspace(scenario_file.absolute().parent, environ)
    resolved = resolve_target(settings, scenario.value.target, target)
    if system is not None:
        resolved = replace(resolved, system=system)
    refuse_in_production("--control", settings, resolved, wanted=control)
    refuse_in_production("--unarmed", settings, resolved, wanted=unarmed)
    keys = settings.value.keys
    key = None if control else load_signing_key(workspace / keys.private)
    return FireJob(
        workspace=workspace,
        scenario=scenario,
        plan=plan_scenario(scenario, base_url=resolved.url, overrides=variables),
        target=resolved,
        context=read_context(workspace, environ, system=resolved.system),
        traces=settings.value.traces,
        key=replace(key, kid=keys.kid) if key is not None and keys.kid else key,
        issuer=settings.value.issuer,
        bullets=bullets if bullets is not None else scenario.value.bullets,
        concurrency=concurrency if concurrency is not None else scenario.value.concurrency,
        armed=not unarmed,
        request_type=RequestType.STANDARD if control else RequestType.TRACE,
    )
