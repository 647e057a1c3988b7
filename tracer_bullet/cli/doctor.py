"""`tracer-bullet doctor`."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import click

from tracer_bullet.cli.fire import read_variables
from tracer_bullet.cli.render import say
from tracer_bullet.errors import ExitCode
from tracer_bullet.model import Severity
from tracer_bullet.model.codec import encode
from tracer_bullet.runs.doctor import Diagnosis, Hop, diagnose
from tracer_bullet.runs.job import prepare_fire


@click.command("doctor")
@click.argument("scenario", type=click.Path(path_type=Path))
@click.option("--target", help="Another target of tracer-bullet.yaml, or an address for the scenario's own.")
@click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", help="Set a variable of the scenario.")
@click.option("--json", "as_json", is_flag=True, help="Print the result for machines.")
def command(scenario: Path, target: str | None, variables: tuple[str, ...], *, as_json: bool) -> int:
    """Fire one bullet of SCENARIO and show, hop by hop, what arrived: flag, guards, spans."""
    job = prepare_fire(scenario, environ=os.environ, target=target, bullets=1, variables=read_variables(variables))
    found = asyncio.run(diagnose(job))
    text = json.dumps({**encode(found), "healthy": found.healthy}, indent=2) if as_json else _text(found)
    say(f"{text}\n")
    if found.healthy:
        return int(ExitCode.PASSED)
    failed = any(f.severity is Severity.ERROR for f in found.findings)
    return int(ExitCode.FAILED if failed else ExitCode.INCONCLUSIVE)


def _warnings(hop: Hop) -> list[str]:
    """What the guards of a service say that they do not cover."""
    rows = dict(row.partition("=")[::2] for row in hop.guards)
    unguarded = [name for name, policy in rows.items() if policy == "unguarded"]
    blind = [name for name, policy in rows.items() if policy == "blind"]
    texts = [f"no guard stands for {', '.join(unguarded)}, which it has imported"] if unguarded else []
    return texts + ([f"the net cannot see what {', '.join(blind)} does"] if blind else [])


def _text(found: Diagnosis) -> str:
    rows = [f"trace {found.trace_id}", ""]
    rows += [f"  answer  {step}: {status}" for step, status in found.answers]
    rows += ["", f"  {'hop':<34} {'spans':>5}  {'flag':<9} {'carriers':<28} guards"]
    for hop in found.hops:
        flag = f"refused: {hop.refused}" if hop.refused else ("yes" if hop.flagged else "MISSING")
        carriers = ", ".join(hop.carriers) or "-"
        name = f"{hop.caller} → {hop.service}"
        rows.append(f"  {name:<34} {hop.spans:>5}  {flag:<9} {carriers:<28} {', '.join(hop.guards) or '-'}")
    for hop in found.hops:
        rows += [f"    {hop.service}: {text}" for text in _warnings(hop)]
    if not found.hops:
        rows.append("  no span came back: see whether the services export to the trace source of tracer-bullet.yaml")
    rows.append("")
    for finding in found.findings:
        rows += [f"  {finding.severity.value}: {finding.rule}: {finding.message}", f"    cure: {finding.cure}"]
    rows += [f"  gap: {gap.rule}: {gap.detail}" for gap in found.gaps]
    rows.append("  healthy: a bullet here is proved harmless" if found.healthy else "  not healthy")
    return "\n".join(rows)
