"""What a load run needs before it starts, gathered and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tracer_bullet.audit import AuditRules
from tracer_bullet.context.keys import SigningKey, load_signing_key
from tracer_bullet.errors import UsageError
from tracer_bullet.load.data import make_rows
from tracer_bullet.load.script import compile_script
from tracer_bullet.model import System
from tracer_bullet.model.arrival import Origin
from tracer_bullet.runs.context import Context, read_context
from tracer_bullet.runs.job import Target, audit_rules, open_workspace, refuse_in_production, resolve_target
from tracer_bullet.runs.load.curves import read_curves
from tracer_bullet.runs.windows import Windows, windows_of
from tracer_bullet.scenario import Plan, Scenario, load_scenario, plan
from tracer_bullet.workspace.load import Located
from tracer_bullet.workspace.settings import Settings
from tracer_bullet.workspace.template import Scalar
from tracer_bullet.workspace.traces import TracesSpec
from tracer_bullet.workspace.traffic import LoadSpec, StopSpec, change_load

Row = Mapping[str, Scalar]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """A scenario of the traffic: what it does, how much of the traffic it is, and the rows that its iterations get."""

    scenario: Located[Scenario]
    plan: Plan
    weight: float
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadJob:
    """Everything that a load run needs. `traffic`: the main scenario first, whose `load` is `spec`."""

    workspace: Path
    settings: Located[Settings]
    traffic: tuple[Traffic, ...]
    spec: LoadSpec
    target: Target
    context: Context
    traces: TracesSpec
    key: SigningKey
    issuer: str
    armed: bool
    curves: Mapping[str, tuple[tuple[float, float], ...]]
    windows: Windows
    find_capacity: bool = False

    @property
    def main(self) -> Located[Scenario]:
        """The scenario whose file was named."""
        return self.traffic[0].scenario

    @property
    def name(self) -> str:
        """How reports call the run."""
        return self.main.value.name

    @property
    def rules(self) -> AuditRules:
        """What the audit of any of the scenarios allows, as the audit wants it."""
        rules = [audit_rules(t.scenario.value.audit) for t in self.traffic]
        return AuditRules(
            no_writes=any(r.no_writes for r in rules),
            every_service_flagged=any(r.every_service_flagged for r in rules),
            allow=tuple(dict.fromkeys(a for r in rules for a in r.allow)),
            ignore=tuple(dict.fromkeys(i for r in rules for i in r.ignore)),
        )

    @property
    def lost_traces(self) -> float:
        """The share of audited traces that may be lost."""
        return self.spec.guardrails.lost_traces

    @property
    def kill_file(self) -> Path:
        """Where the kill switch is looked for."""
        return self.workspace / self.spec.guardrails.kill_file


def prepare_load(
    file: Path,
    *,
    environ: Mapping[str, str],
    target: str | None = None,
    variables: Mapping[str, str] | None = None,
    changes: Mapping[str, object] | None = None,
    unarmed: bool = False,
    find_capacity: bool = False,
    override_window: str = "",
    system: System | None = None,
) -> LoadJob:
    """Load and check all files of a load run. Raises WorkspaceError, UsageError or KeyFileError, all exit 2.

    `changes` are what the command line says in place of the file's `load`: `rate`, `users`, `duration`. `system`
    replaces what the settings say of the target's parts.
    """
    main = load_scenario(file)
    spec = _change(main, changes or {}, rateless=find_capacity)
    if find_capacity:
        spec = _with_objective(main, spec)
    workspace, settings = open_workspace(file.absolute().parent, environ)
    resolved = resolve_target(settings, main.value.target, target)
    if system is not None:
        resolved = replace(resolved, system=system)
    refuse_in_production("--unarmed", settings, resolved, wanted=unarmed)
    main = replace(main, value=main.value.model_copy(update={"load": spec}))
    keys = settings.value.keys
    key = load_signing_key(workspace / keys.private)
    return LoadJob(
        workspace=workspace,
        settings=settings,
        traffic=_traffic(main, spec, resolved.url, variables or {}),
        spec=spec,
        target=resolved,
        context=read_context(workspace, environ, system=resolved.system),
        traces=settings.value.traces,
        key=replace(key, kid=keys.kid) if keys.kid else key,
        issuer=settings.value.issuer,
        armed=not unarmed,
        curves=read_curves(main, spec),
        windows=windows_of(settings, resolved, command="load", override=override_window),
        find_capacity=find_capacity,
    )


def _traffic(
    main: Located[Scenario], spec: LoadSpec, base_url: str, variables: Mapping[str, str]
) -> tuple[Traffic, ...]:
    folder = Path(main.file).absolute().parent
    found = [(main, spec.weight)]
    for index, other in enumerate(spec.others):
        scenario = load_scenario(folder / other.scenario)
        if scenario.value.target != main.value.target:
            raise UsageError(
                "TB1091",
                f"{scenario.value.name} is of the target {scenario.value.target!r}, not {main.value.target!r}",
                where=main.where(f"load.with.{index}"),
                cure="traffic goes to one target; run two loads beside each other",
            )
        found.append((scenario, other.weight))
    names = [s.value.name for s, _ in found]
    for index, name in enumerate(names[1:]):
        if name in names[: index + 1]:
            raise UsageError(
                "TB1092",
                f"two scenarios of the traffic have the name {name!r}",
                where=main.where(f"load.with.{index}"),
                cure="figures are told by scenario: give each a name of its own",
            )
    known = {name for scenario, _ in found for name in scenario.value.variables}
    unknown = sorted(variables.keys() - known)
    made = []
    for scenario, weight in found:
        mine = {n: v for n, v in variables.items() if n in scenario.value.variables or n in unknown}
        planned = plan(scenario, base_url=base_url, overrides=mine)
        _check_sendable(scenario, planned)
        own = scenario.value.load
        rows = make_rows(own.data, scenario, seed=spec.seed) if own is not None else ()
        made.append(Traffic(scenario=scenario, plan=planned, weight=weight, rows=rows))
    return tuple(made)


def _check_sendable(scenario: Located[Scenario], planned: Plan) -> None:
    """What the engine cannot do is told with its line, before anything else. Raises UsageError TB1010, TB1011."""
    compile_script(
        scenario.value,
        base_url=planned.steps[0].base_url,
        variables=planned.variables,
        origin=Origin(number=0, scheme="http", host="", port=0),
        first_endpoint=0,
        run_id="",
        located=scenario,
    )


def _with_objective(main: Located[Scenario], spec: LoadSpec) -> LoadSpec:
    """With what must hold at each rate; the scenario's thresholds on requests, when nothing else is said."""
    objective = spec.capacity.objective or tuple(t for t in spec.thresholds if t.service is None)
    if not objective or any(t.service for t in objective):
        raise UsageError(
            "TB1095",
            "--find-capacity needs an objective on the requests themselves",
            where=main.where("load.capacity.objective"),
            cure="say what must hold, as load: {capacity: {objective: [p(99) < 300ms, error_rate < 1%]}}",
        )
    capacity = spec.capacity.model_copy(update={"objective": objective})
    # The search alone says when it ends.
    return spec.model_copy(update={"capacity": capacity, "thresholds": (), "stop": StopSpec()})


def _change(main: Located[Scenario], changes: Mapping[str, object], *, rateless: bool) -> LoadSpec:
    """The scenario's `load`, with what the command line says in its place."""
    given = main.value.load
    where = main.where("load")
    if given is None and not changes and not rateless:
        raise UsageError(
            "TB1090",
            f"{main.value.name} does not say how much load",
            where=where,
            cure="give --rate 50/s --duration 1m, or a `load:` section (docs/load.md)",
        )
    # The search says rate and duration itself.
    return change_load(given, changes or ({"rate": "1/s", "duration": "1s"} if given is None else {}), where=where)
