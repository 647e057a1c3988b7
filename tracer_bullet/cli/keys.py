"""`tracer-bullet keys`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tracer_bullet.context.keys import JWKS_NAME, PRIVATE_NAME, create_keys, load_key_set
from tracer_bullet.workspace.settings import find_workspace

KEYS_FOLDER = Path(".tracer-bullet/keys")


def _folder(given: Path | None) -> Path:
    return given or (find_workspace(Path.cwd()) or Path.cwd()) / KEYS_FOLDER


@click.group("keys")
def command() -> None:
    """Make and list the key pairs that sign bullets."""


@command.command("new")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help=f"Default: {KEYS_FOLDER}.")
@click.option("--json", "as_json", is_flag=True, help="Print the result for machines.")
def new(folder: Path | None, *, as_json: bool) -> None:
    """Make a new Ed25519 key. The old one's public half stays in the key set until you remove it."""
    place = _folder(folder)
    key = create_keys(place)
    if as_json:
        click.echo(json.dumps({"kid": key.kid, "private": str(place / PRIVATE_NAME), "jwks": str(place / JWKS_NAME)}))
        return
    click.echo(f"private key  {place / PRIVATE_NAME}  (mode 0600; it stays with the harness)")
    click.echo(f"public keys  {place / JWKS_NAME}  (give it to services: TRACER_BULLET_KEYS=<path, URL or the JSON>)")
    click.echo(f"key id       {key.kid}")


@command.command("list")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help=f"Default: {KEYS_FOLDER}.")
def list_(folder: Path | None) -> None:
    """List the ids of the public keys that services accept."""
    for kid in load_key_set(str(_folder(folder) / JWKS_NAME)).keys:
        click.echo(kid)
