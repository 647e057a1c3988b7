"""Claim: a service's configuration is read whole or refused with a cure, and untested libraries refuse bullets."""

from __future__ import annotations

import contextlib
import importlib
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.context.carriers import read_claim
from tracer_bullet.context.keys import load_key_set
from tracer_bullet.errors import GuardError, KeyFileError
from tracer_bullet.guards import Armed, GuardConfig, Net, Policy, Rule, Sink, Stub, arm, census, registry
from tracer_bullet.guards.environment import config_from_environment
from tracer_bullet.guards.http import httpx as httpx_guard
from tracer_bullet.guards.registry import Guard
from tracer_bullet.guards.sql import sqlalchemy as sqlalchemy_guard
from tracer_bullet.guards.versions import satisfies
from tracer_bullet.model import FlagState

LEAST = {"TRACER_BULLET_SERVICE": "cart", "TRACER_BULLET_KEYS": "jwks.json"}


def test_every_variable_sets_its_field() -> None:
    stubs = '[{"method": "POST", "url": "https://pay/*", "status": 201, "json": {"id": 1}, "headers": {"x": "y"}}]'
    rules = '[{"sink": "egress", "operation": "POST sms.example/*", "policy": "allow", "quota": 3}]'
    found = config_from_environment(
        {
            **LEAST,
            "TRACER_BULLET_SQL": "deny",
            "TRACER_BULLET_EGRESS": "redirect",
            "TRACER_BULLET_CACHE": "shadow",
            "TRACER_BULLET_MESSAGES": "forward",
            "TRACER_BULLET_MAIL": "deny",
            "TRACER_BULLET_AWS": "shadow",
            "TRACER_BULLET_DOCUMENTS": "allow",
            "TRACER_BULLET_RULES": rules,
            "TRACER_BULLET_SHADOW_PREFIX": "tb_",
            "TRACER_BULLET_SHADOW_SCHEMA": "shadow",
            "TRACER_BULLET_NET": "deny",
            "TRACER_BULLET_TESTERS": "t-*, 17",
            "TRACER_BULLET_STUBS": stubs,
            "TRACER_BULLET_REDIRECTS": '{"pay.example": "https://sandbox.example"}',
            "TRACER_BULLET_SYSTEM_HOSTS": "*.svc, 127.0.0.1:8080 ,",
            "TRACER_BULLET_LINGER_S": "1.5",
            "TRACER_BULLET_HOLD_S": "30",
        }
    )
    assert found == GuardConfig(
        service="cart",
        keys="jwks.json",
        sql=Policy.DENY,
        egress=Policy.REDIRECT,
        cache=Policy.SHADOW,
        messages=Policy.FORWARD,
        mail=Policy.DENY,
        aws=Policy.SHADOW,
        documents=Policy.ALLOW,
        rules=(Rule(sink=Sink.EGRESS, operation="POST sms.example/*", policy=Policy.ALLOW, quota=3),),
        shadow_prefix="tb_",
        shadow_schema="shadow",
        net=Net.DENY,
        testers=("t-*", "17"),
        stubs=(Stub(method="POST", url="https://pay/*", status=201, json={"id": 1}, headers=(("x", "y"),)),),
        redirects=(("pay.example", "https://sandbox.example"),),
        system_hosts=("*.svc", "127.0.0.1:8080"),
        linger_s=1.5,
        hold_s=30.0,
    )


def test_the_defaults_are_the_safe_ones() -> None:
    found = config_from_environment({**LEAST, "TRACER_BULLET_SQL": "", "UNRELATED": "x"})
    assert (found.sql, found.egress, found.stubs, found.system_hosts) == (
        Policy.ROLLBACK,
        Policy.STUB,
        (),
        (),
    )
    assert (found.linger_s, found.hold_s) == (5.0, 0.0)


@pytest.mark.parametrize(
    ("environ", "service"),
    [
        ({"OTEL_SERVICE_NAME": "cart"}, "cart"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "team=a, service.name = cart ,x=y"}, "cart"),
        ({"OTEL_SERVICE_NAME": "cart", "OTEL_RESOURCE_ATTRIBUTES": "service.name=other"}, "cart"),
        ({"OTEL_SERVICE_NAME": "other", "TRACER_BULLET_SERVICE": "cart"}, "cart"),
    ],
)
def test_the_services_name_is_opentelemetrys_unless_given(environ: dict[str, str], service: str) -> None:
    assert config_from_environment({**environ, "TRACER_BULLET_KEYS": "x"}).service == service


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"TRACER_BULLET_SERVICE": ""}, "TB601", "OTEL_SERVICE_NAME"),
        ({"TRACER_BULLET_KEYS": ""}, "TB602", "TRACER_BULLET_KEYS"),
        ({"TRACER_BULLET_LINGER_S": "soon"}, "TB603", "TRACER_BULLET_LINGER_S"),
        ({"TRACER_BULLET_STUBS": "{"}, "TB603", "TRACER_BULLET_STUBS"),
        ({"TRACER_BULLET_STUBS": '[{"url": "x", "stauts": 200}]'}, "TB603", "stauts"),
        ({"TRACER_BULLET_STUBS": '["https://pay"]'}, "TB603", "TRACER_BULLET_STUBS"),
        ({"TRACER_BULLET_STUBS": '[{"url": "x", "headers": [1]}]'}, "TB603", "TRACER_BULLET_STUBS"),
        ({"TRACER_BULLET_REDIRECTS": '["https://pay"]'}, "TB603", "TRACER_BULLET_REDIRECTS"),
        ({"TRACER_BULLET_SQL": "rolback"}, "TB604", "rollback, noop, shadow, deny, allow"),
        ({"TRACER_BULLET_EGRESS": "Stub"}, "TB604", "stub, redirect, deny, allow"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_cure(change: dict[str, str], code: str, says: str) -> None:
    with pytest.raises(GuardError) as caught:
        config_from_environment({**LEAST, **change})
    assert caught.value.code == code
    assert says in str(caught.value)
    assert caught.value.cure


@given(
    text=st.text(st.characters(exclude_characters="\0"), max_size=40),
    name=st.sampled_from(["STUBS", "REDIRECTS", "RULES"]),
)
def test_any_text_in_a_variable_is_read_or_refused(text: str, name: str) -> None:
    with contextlib.suppress(GuardError):  # and no other error
        config_from_environment({**LEAST, f"TRACER_BULLET_{name}": text})


@pytest.mark.parametrize(
    ("version", "ranges", "expected"),
    [
        ("2.0.40", ">=2.0.40,<2.2", True),
        ("2.1.9", ">=2.0.40,<2.2", True),
        ("2.0.39", ">=2.0.40,<2.2", False),
        ("2.2", ">=2.0.40,<2.2", False),
        ("2.2.0", "<2.2", False),
        ("2.10.0", ">=2.9", True),
        ("1.0", ">=1.0.0", True),
        ("1.0.0", "==1", True),
        ("1.0.1", "==1.0", False),
        ("1.0.1", "<=1.0.1", True),
        ("1.0.1", ">1.0", True),
        ("2.1.0b1", ">=2.1", True),
        ("", ">=1", False),
        ("unknown", ">=1", False),
    ],
)
def test_version_ranges(version: str, ranges: str, expected: bool) -> None:
    assert satisfies(version, ranges) is expected


@given(st.tuples(*[st.integers(0, 30)] * 3), st.tuples(*[st.integers(0, 30)] * 3))
def test_versions_are_ordered_by_number(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    left, right = (".".join(map(str, release)) for release in (one, other))
    assert satisfies(left, f">={right}") is (one >= other)
    assert satisfies(left, f"<{right}") is (one < other)


@pytest.mark.parametrize("ranges", ["~=2.0", "2.0", "", ">=2.0;<3", "!=2"])
def test_a_range_that_is_none_is_a_mistake_of_ours(ranges: str) -> None:
    with pytest.raises(ValueError, match="not a version range"):
        satisfies("2.0", ranges)


def refuse(armed: Armed, headers: dict[str, str]) -> str:
    """Why a bullet is refused; empty when it is admitted."""
    admission = armed.admit(read_claim([headers["baggage"]], [headers["tracestate"]], [headers["x-tracer-bullet"]]))
    assert (admission.state is FlagState.VALID) is (admission.reason == "")
    return f"{admission.reason}: {admission.detail}" if admission.reason else ""


def broken(guard: Guard) -> Guard:
    def patch() -> None:
        raise AttributeError("the library has no such method any more")

    return replace(guard, patch=patch)


@pytest.mark.parametrize("module", [sqlalchemy_guard, httpx_guard], ids=["sqlalchemy", "httpx"])
@pytest.mark.parametrize(
    ("change", "detail"),
    [
        (lambda guard: replace(guard, versions=">=0.1,<0.2"), "outside the tested range >=0.1,<0.2"),
        (broken, "no such method any more"),
    ],
    ids=["outside the range", "patching fails"],
)
def test_a_library_that_cannot_be_guarded_makes_the_service_refuse_bullets(
    module: Any,
    change: Callable[[Guard], Guard],
    detail: str,
    arm_service: Callable[..., Armed],
    flag_headers: Callable[..., dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for guard in (sqlalchemy_guard.GUARD, httpx_guard.GUARD):
        importlib.import_module(guard.module)
    before = arm_service()
    assert refuse(before, flag_headers()) == ""
    before.disarm()

    monkeypatch.setattr(module, "GUARD", change(module.GUARD))
    armed = arm_service()
    why = refuse(armed, flag_headers())
    assert why.startswith(f"unarmed: the guard for {module.GUARD.name} is not armed")
    assert detail in why
    states = {g.name: g.state for g in census()}
    assert states.pop(module.GUARD.name) == "failed"
    assert "failed" not in states.values(), "the others are guarded all the same"
    assert states["httpx" if module is sqlalchemy_guard else "sqlalchemy"] == "armed"


def test_a_library_that_is_not_installed_is_absent_and_no_reason_to_refuse(
    arm_service: Callable[..., Armed], flag_headers: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(httpx_guard, "GUARD", replace(httpx_guard.GUARD, module="no_such_library"))
    importlib.import_module("sqlalchemy")
    armed = arm_service()
    states = {g.name: g.state for g in census()}
    assert (states["sqlalchemy"], states["httpx"]) == ("armed", "absent")
    assert refuse(armed, flag_headers()) == ""


@pytest.mark.parametrize("in_bullet", [True, False])
def test_a_library_first_imported_by_a_request(in_bullet: bool, jwks: str) -> None:
    """A customer gets it, whatever becomes of the guard; a bullet that was admitted before gets an error."""
    program = f"""
from dataclasses import replace
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.errors import GuardError
from tracer_bullet.guards import arm, census
from tracer_bullet.guards.http import httpx
from tracer_bullet.model import Context

httpx.GUARD = replace(httpx.GUARD, versions="<0.1")
armed = arm(service="cart", keys={jwks!r})
assert armed.problem == ""
with entered(Scope(Context(run_id="r", token="t"), armed) if {in_bullet} else None):
    try:
        import httpcore
    except GuardError as error:
        print(error.code)
    else:
        print(httpcore.ConnectionPool.__name__)
assert "outside the tested range" in armed.problem
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ("TB606" if in_bullet else "ConnectionPool")


@pytest.fixture
def nonsense_url() -> Iterator[str]:
    """A server that answers, but not with HTTP."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            self.request.sendall(b"220 mail.example ready\r\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/jwks.json"
        server.shutdown()
        thread.join()


def test_a_key_server_that_answers_nonsense(nonsense_url: str) -> None:
    with pytest.raises(KeyFileError) as caught:
        load_key_set(nonsense_url)
    assert caught.value.code == "TB205"


def test_arming_reads_the_environment(clean_environment: pytest.MonkeyPatch, jwks: str) -> None:
    clean_environment.setenv("OTEL_SERVICE_NAME", "cart")
    clean_environment.setenv("TRACER_BULLET_KEYS", jwks)
    armed = arm()
    try:
        assert armed.config == GuardConfig(service="cart", keys=jwks)
    finally:
        armed.disarm()


def test_a_service_that_could_not_be_armed_leaves_nothing_half_armed(
    arm_service: Callable[..., Armed], jwks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next `arm` would find it there, and take bullets without the guards that were missed."""
    broken = (httpx_guard.__name__, "tracer_bullet.guards.no_such_guard", sqlalchemy_guard.__name__)
    with monkeypatch.context() as patched:
        patched.setattr(registry, "_GUARD_MODULES", broken)
        with pytest.raises(ModuleNotFoundError):
            arm(service="cart", keys=jwks)
    assert (registry.default(), census()) == (None, ())
    arm_service()
    assert {g.name: g.state for g in census()}["sqlalchemy"] == "armed"
