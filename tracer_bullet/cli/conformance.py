"""`tracer-bullet conformance`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from tracer_bullet.cli.keys import KEYS_FOLDER
from tracer_bullet.cli.render import say
from tracer_bullet.conformance import Level, Outcome, Report, ServiceUnderTest, check_service
from tracer_bullet.context.keys import PRIVATE_NAME, load_signing_key
from tracer_bullet.errors import ExitCode
from tracer_bullet.model.codec import encode
from tracer_bullet.workspace.addresses import check_url
from tracer_bullet.workspace.settings import find_workspace, load_settings

_MARKS = {Outcome.HONOURED: "yes", Outcome.BROKEN: "NO", Outcome.NOT_CHECKED: "-"}


@click.command("conformance")
@click.argument("url")
@click.option("--level", type=click.Choice([level.value for level in Level]), default=Level.PARTICIPANT.value,
              show_default=True, help="Only forwards the flag, or decides and guards too.")  # fmt: skip
@click.option("--service", default="", help="The service's name, for the token's scope (default: *).")
@click.option("--key", type=click.Path(path_type=Path), help="Private key to sign with (default: the workspace's).")
@click.option("--disabled-url", default="", help="A second address of it, where the kill switch is thrown.")
@click.option("--callback", default="127.0.0.1:0", show_default=True, help="Where to listen for its calls.")
@click.option("--callback-url", default="", help="How it reaches that, if by another address.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0.1), default=30.0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the result for machines.")
def command(url: str, level: str, key: Path | None, *, as_json: bool, **given: str | float) -> int:
    """Run the wire protocol against the service at URL, which has the endpoint of docs/conformance.md.

    Its customers' writes are real: use a test instance.
    """
    try:
        address = check_url(url)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="URL") from None
    subject = ServiceUnderTest(url=address, level=Level(level), **given)  # type: ignore[arg-type]
    report = check_service(subject, load_signing_key(key or _workspace_key()))
    text = json.dumps({**encode(report), "conforms": report.conforms}, indent=2) if as_json else _text(report)
    say(f"{text}\n")
    return int(ExitCode.PASSED if report.conforms else ExitCode.FAILED)


def _workspace_key() -> Path:
    workspace = find_workspace(Path.cwd())
    if workspace is None:
        return Path.cwd() / KEYS_FOLDER / PRIVATE_NAME
    return workspace / load_settings(workspace, os.environ).value.keys.private


def _text(report: Report) -> str:
    rows = [f"{report.url}, as a {report.level.value}", ""]
    for r in report.results:
        rows.append(f"  {_MARKS[r.outcome]:<4} {r.name:<24} {r.claim}{'' if r.required else '  (optional)'}")
        if r.detail:
            rows.append(f"       {'':<24} {r.detail}")
    honoured = sum(r.outcome is Outcome.HONOURED for r in report.results)
    verdict = "conforms" if report.conforms else "does not conform"
    return "\n".join([*rows, "", f"  {verdict}: {honoured} of {len(report.results)} honoured"])
