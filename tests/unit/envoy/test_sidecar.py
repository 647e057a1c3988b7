"""Claim: a sidecar's file and options are checked before Envoy sees them, and nothing in them can become a script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.servers.envoy import EnvoyUnavailableError, envoy_binary, validate
from tracer_bullet.cli.envoy import guard
from tracer_bullet.cli.main import run
from tracer_bullet.context.keys import create_keys
from tracer_bullet.context.token import CLOCK_SKEW_S
from tracer_bullet.envoy import SidecarSpec, inbound, load_sidecar, render
from tracer_bullet.envoy.parts import lua_value
from tracer_bullet.errors import WorkspaceError

JWKS = '{"keys": []}'
LEAST: dict[str, Any] = {"service": "checkout", "inbound": {"upstream": "127.0.0.1:8080"}}


def write(folder: Path, tree: dict[str, Any]) -> Path:
    path = folder / "sidecar.yaml"
    path.write_text(yaml.safe_dump({"version": 1, **tree}))
    return path


def test_options_are_laid_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, LEAST | {"outbound": {"system_hosts": ["a"]}, "service": "${NAME}"})
    options = {"inbound": {"edge": True}, "outbound": {"listen": "127.0.0.1:1"}}
    found = load_sidecar(path, options, {"NAME": "cart"})
    assert found.service == "cart"
    assert found.inbound is not None
    assert found.outbound is not None
    assert (found.inbound.upstream, found.inbound.edge) == ("127.0.0.1:8080", True)
    assert (found.outbound.listen, found.outbound.system_hosts) == ("127.0.0.1:1", ("a",))
    assert load_sidecar(None, LEAST, {}) == SidecarSpec.model_validate({"version": 1, **LEAST})


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"inbound": {"upstream": "8080"}}, "inbound.upstream"),
        ({"inbound": {"upstream": "a:99999"}}, "inbound.upstream"),
        ({"inbound": {"upstream": "a:1", "edge": True, "trusted": {"networks": ["10.0.0.1/8"]}}}, "networks"),
        ({"inbound": {"upstream": "a:1", "edge": True, "trusted": {"principals": ["x"]}}}, "tls.client_ca"),
        ({"inbound": {"upstream": "a:1", "trusted": {"networks": ["10.0.0.0/8"]}}}, "trusted is for the edge"),
        ({"outbound": {"stubs": [{"url": "x", "status": 100}]}}, "status"),
        ({"outbound": {"redirects": {"a": "ftp://x"}}}, "redirects"),
        ({"outbond": {}}, "did you mean 'outbound'"),
        ({"service": ""}, "service"),
        ({"inbound": None}, "give inbound"),
    ],
)
def test_mistakes_are_told_with_their_place(change: dict[str, Any], where: str, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError) as caught:
        load_sidecar(write(tmp_path, LEAST | change), {}, {})
    assert where in str(caught.value)
    assert "sidecar.yaml:" in str(caught.value)


def test_the_same_values_give_the_same_bytes_as_yaml_and_as_json() -> None:
    spec = SidecarSpec.model_validate({"version": 1, **LEAST, "admin": "127.0.0.1:9901"})
    text = render(spec, JWKS)
    assert text == render(spec, JWKS)
    assert yaml.safe_load(text) == json.loads(render(spec, JWKS, as_json=True))


def test_the_clock_skew_is_that_of_our_guards() -> None:
    assert inbound.CLOCK_SKEW_S == CLOCK_SKEW_S


@given(st.text())
def test_a_text_stays_within_its_quotes(text: str) -> None:
    literal = lua_value(text.encode("utf-8", "replace").decode())
    assert literal.isascii()
    assert not set(literal[1:-1]) & set('"\n\r')
    assert literal.startswith('"')
    assert literal.endswith('"')


@settings(max_examples=20)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1))
def test_whatever_hosts_are_called_the_configuration_can_be_read(hosts: list[str]) -> None:
    tree = {"version": 1, "service": hosts[0], "outbound": {"system_hosts": hosts, "tls_hosts": hosts}}
    spec = SidecarSpec.model_validate(tree)
    assert yaml.safe_load(render(spec, JWKS)) == json.loads(render(spec, JWKS, as_json=True))


def test_envoy_accepts_scripts_with_any_text_in_them(tmp_path: Path) -> None:
    try:
        envoy_binary()
    except EnvoyUnavailableError as error:
        pytest.skip(str(error))
    create_keys(tmp_path)
    odd = ['"] = nil error("x', "a]]b", "%d[[", "\\", "\n--", "ü*"]
    stubs = [{"url": text, "body": text, "headers": {"x-a": "50%"}} for text in odd]
    tree = LEAST | {"version": 1, "service": "\n".join(odd), "outbound": {"system_hosts": odd, "stubs": stubs}}
    checked = validate(render(SidecarSpec.model_validate(tree), (tmp_path / "jwks.json").read_text()), tmp_path)
    assert checked.returncode == 0, checked.stderr


def test_the_command_says_where_it_cannot_write(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    create_keys(workdir / ".tracer-bullet" / "keys")
    options = ["--service", "a", "--upstream", "127.0.0.1:1"]
    assert run(["envoy", "guard", *options, "--out", "nowhere/envoy.yaml"]) == 2
    assert "TB801" in capsys.readouterr().err
    assert run(["envoy", "guard", "--service", "a"]) == 2
    assert "command line" in capsys.readouterr().err
    assert run(["envoy", "guard", *options, "--keys", "nowhere"]) == 2
    assert "TB205" in capsys.readouterr().err


def test_the_command_takes_all_its_options(workdir: Path) -> None:
    create_keys(workdir / ".tracer-bullet" / "keys")
    given_ = [
        "--service", "a", "--upstream", "127.0.0.1:1", "--inbound", "127.0.0.1:2", "--edge", "--trusted", "10.0.0.0/8",
        "--outbound", "127.0.0.1:3", "--system-host", "*.shop", "--redirect", "pay.example=https://sandbox.example",
        "--admin", "127.0.0.1:4", "--json",
    ]  # fmt: skip
    found = CliRunner().invoke(guard, given_, catch_exceptions=False)
    tree = json.loads(found.output)
    ports = [row["address"]["socket_address"]["port_value"] for row in tree["static_resources"]["listeners"]]
    assert (ports, tree["admin"]["address"]["socket_address"]["port_value"]) == ([2, 3], 4)
    assert {row["name"] for row in tree["static_resources"]["clusters"]} == {"service", "anywhere", "sandbox_1"}
    assert "address_prefix" in found.output
