"""Claim: one model of configuration, from code, a file or variables; each field tells where it came from."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.e2e.conftest import run_cli
from tracer_bullet.errors import GuardError
from tracer_bullet.guards import GuardConfig, Net, Policy, Rule, Sink, Stub
from tracer_bullet.guards.config import POLICIES
from tracer_bullet.guards.environment import config_from_environment, sourced_config
from tracer_bullet.workspace.guards import GuardsSpec, RuleSpec
from tracer_bullet.workspace.settings import load_settings

FILE = """
version: 1
targets:
  shop: {url: "http://127.0.0.1:8080"}
guards:
  "*":
    keys: /etc/jwks.json
    sql: deny
    system_hosts: ["*.svc"]
    testers: ["17", "t-*"]
  cart:
    sql: rollback
    messages: forward
    net: deny
    hold_s: 3
    redirects: {"payments.example": "https://sandbox.example"}
    stubs: [{method: POST, url: "https://sms.example/*", status: 202, json: {ok: true}, headers: {x: y}}]
    rules: [{sink: messages, operation: "PUBLISH audit", policy: deny, quota: 2}]
  stock: {}
"""
CART = GuardConfig(
    service="cart",
    keys="/etc/jwks.json",
    sql=Policy.ROLLBACK,
    messages=Policy.FORWARD,
    net=Net.DENY,
    hold_s=3.0,
    system_hosts=("*.svc",),
    testers=("17", "t-*"),
    redirects=(("payments.example", "https://sandbox.example"),),
    stubs=(Stub(method="POST", url="https://sms.example/*", status=202, json={"ok": True}, headers=(("x", "y"),)),),
    rules=(Rule(sink=Sink.MESSAGES, operation="PUBLISH audit", policy=Policy.DENY, quota=2),),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tracer-bullet.yaml"
    path.write_text(FILE)
    return path


def test_a_services_section_comes_before_that_of_all(file: Path) -> None:
    environ = {"OTEL_SERVICE_NAME": "cart", "TRACER_BULLET_CONFIG": str(file)}
    assert config_from_environment(environ) == CART
    for service in ("stock", "unknown"):
        other = config_from_environment({**environ, "OTEL_SERVICE_NAME": service})
        assert (other.sql, other.messages, other.keys) == (Policy.DENY, Policy.NOOP, "/etc/jwks.json")


def test_variables_come_before_the_file_and_each_field_tells_its_source(file: Path) -> None:
    found = sourced_config({"TRACER_BULLET_SQL": "allow"}, file=file, service="cart")
    assert found.config.sql is Policy.ALLOW
    assert found.sources["sql"] == "TRACER_BULLET_SQL"
    assert found.sources["messages"] == "tracer-bullet.yaml, guards.cart"
    assert found.sources["testers"] == "tracer-bullet.yaml, guards.*"
    assert "cache" not in found.sources


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("guards: {'*': {sqll: deny}}", "sqll is no setting of guards"),
        ("guards: {'*': {keys: '${KEYS}'}}", "TRACER_BULLET_KEYS"),
        ("guards: [", "parsing"),
        ("guards: {'*': {rules: [{sink: sql}]}}", "missing"),
        ("guards: {'*': {stubs: 3}}", "not iterable"),
        ("3", "no attribute"),
    ],
)
def test_a_file_that_cannot_be_read_is_told(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(GuardError) as caught:
        config_from_environment({"OTEL_SERVICE_NAME": "cart", "TRACER_BULLET_CONFIG": str(path)})
    assert caught.value.code == "TB603"
    assert says in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(GuardError, match="cannot be read"):
        config_from_environment({"OTEL_SERVICE_NAME": "cart", "TRACER_BULLET_CONFIG": str(tmp_path / "no.yaml")})


def test_the_workspace_knows_the_same_fields_and_policies(file: Path) -> None:
    assert {f.name for f in fields(GuardConfig)} - {"service"} == set(GuardsSpec.model_fields)
    for sink, policies in POLICIES.items():
        (literal, _) = get_args(GuardsSpec.model_fields[sink.value].annotation)
        assert set(get_args(literal)) == {p.value for p in policies}
    assert set(get_args(RuleSpec.model_fields["sink"].annotation)) == {s.value for s in Sink}
    assert set(get_args(RuleSpec.model_fields["policy"].annotation)) == {p.value for p in Policy}
    settings = load_settings(file.parent, {}).value
    assert settings.guards["cart"].messages == "forward"


def show(*arguments: str, cwd: Path, **environ: str) -> Any:
    return run_cli("guards", "show", *arguments, cwd=cwd, env=environ)


def test_guards_show(file: Path) -> None:
    done = show("--service", "cart", cwd=file.parent)
    assert done.returncode == 0, done.stderr
    rows = [row.split() for row in done.stdout.splitlines()]
    assert ["sql", "rollback", "tracer-bullet.yaml,", "guards.cart"] in rows
    assert ["cache", "noop", "default"] in rows
    (sqlalchemy,) = (row for row in rows if row[:1] == ["sqlalchemy"])
    assert sqlalchemy[-2:] == ["guarded", "rollback"]
    assert "psycopg (libpq's sockets)" in done.stdout


def test_guards_show_for_machines(file: Path) -> None:
    done = show("--json", cwd=file.parent, OTEL_SERVICE_NAME="stock", TRACER_BULLET_NET="off")
    found = json.loads(done.stdout)
    assert found["service"] == "stock"
    assert {"name": "net", "value": "off", "source": "TRACER_BULLET_NET"} in found["settings"]
    assert {"httpx", "sqlalchemy"} <= {lib["name"] for lib in found["libraries"] if lib["state"] == "guarded"}


def test_guards_show_tells_mistakes_with_their_line(file: Path) -> None:
    assert "which service?" in show(cwd=file.parent).stderr
    file.write_text(FILE.replace("messages: forward", "messages: forwards"))
    done = show("--service", "cart", cwd=file.parent)
    assert done.returncode == 2
    assert "tracer-bullet.yaml:13: guards.cart.messages" in done.stderr
    assert "did you mean 'forward'" in done.stderr
