"""`tracer-bullet capture audit`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from tracer_bullet.capture.archive import open_archive
from tracer_bullet.capture.redaction.audit import AuditReport, audit_exchanges
from tracer_bullet.capture.redaction.settings import rules_of
from tracer_bullet.cli.render import say
from tracer_bullet.runs.capture import capture_spec


@click.command("audit")
@click.argument("archive", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def command(archive: Path, *, as_json: bool) -> int:
    """Search an ARCHIVE for secrets that redaction left, in any encoding. Exit code 1 when there are any.

    What the settings' `capture.redact` keeps on purpose is no finding. No secret is printed.
    """
    opened = open_archive(archive)
    rules = rules_of(capture_spec(Path.cwd(), os.environ))
    report = audit_exchanges(opened.exchanges(ordered=False), rules)
    problems = [str(problem) for problem in opened.problems]
    say(_json(report, problems) if as_json else _text(archive, report, problems))
    return 0 if report.clean and not problems else 1


def _text(archive: Path, report: AuditReport, problems: list[str]) -> str:
    lines = [f"{archive}: {report.exchanges} exchanges, {report.secrets or 'no'} secrets"]
    for row in report.rows:
        lines.append(f"  {row.count} × {row.kind} in {row.where} of {row.endpoint}, as {row.excerpt}")
        lines.append(f"      in {', '.join(row.exchanges)}")
    if report.more:
        lines.append(f"  and {report.more} in further places")
    if report.secrets:
        lines.append("add rules under `capture.redact` of tracer-bullet.yaml, capture again, and remove this archive")
    lines += [f"not searched: {problem}" for problem in problems]
    return "\n".join(lines) + "\n"


def _json(report: AuditReport, problems: list[str]) -> str:
    rows = [
        {"endpoint": r.endpoint, "where": r.where, "kind": r.kind, "count": r.count, "exchanges": list(r.exchanges)}
        for r in report.rows
    ]
    found = {"exchanges": report.exchanges, "secrets": report.secrets, "rows": rows, "not_searched": problems}
    return json.dumps(found, indent=2) + "\n"
