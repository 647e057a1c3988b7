"""Claim: the kit says yes to a service that honours the protocol, and names what each careless service breaks."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers.reference import SERVICE, ReferenceServices
from tracer_bullet.conformance import CHECKS, Level, Outcome, Report, ServiceUnderTest, check_service
from tracer_bullet.context.keys import SigningKey, create_keys
from tracer_bullet.errors import UnreachableError, UsageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("conformance")


@pytest.fixture(scope="module")
def key(folder: Path) -> SigningKey:
    return create_keys(folder)


@pytest.fixture(scope="module")
def services(folder: Path, key: SigningKey) -> Iterator[ReferenceServices]:
    with ReferenceServices(folder / "jwks.json", folder) as running:
        yield running


@pytest.fixture
def check(services: ReferenceServices, key: SigningKey) -> Callable[..., Report]:
    def run(name: str, **settings: str | Level) -> Report:
        return check_service(ServiceUnderTest(url=services.urls[name], **settings), key)  # type: ignore[arg-type]

    return run


def test_the_reference_service_honours_everything(
    check: Callable[..., Report], folder: Path, key: SigningKey, tmp_path: Path
) -> None:
    with ReferenceServices(folder / "jwks.json", tmp_path, TRACER_BULLET_DISABLED="1") as switched_off:
        report = check("reference", service=SERVICE, disabled_url=switched_off.urls["reference"])
    assert report.broken == ()
    assert {r.outcome for r in report.results} == {Outcome.HONOURED}
    assert report.conforms
    assert len(report.results) == len([c for c in CHECKS if c.required or Level.PARTICIPANT in c.optional]) + 1


CARELESS = {
    "serves_no_token": {"refuses-no-token"},
    "serves_flag_lost": {"refuses-flag-lost"},
    "serves_expired": {"refuses-expired"},
    "serves_out_of_scope": {"refuses-out-of-scope"},
    "reads_first_line": {"several-baggage-lines"},
    "drops_vendor_state": {"keeps-others"},
    "starts_new_trace": {"keeps-trace"},
    "forwards_no_header": {"forwards-header"},
    "forwards_no_tracestate": {"forwards-tracestate", "keeps-others"},
    "writes_for_bullets": {"bullet-writes-nothing"},
    "mixes_requests": {"flags-do-not-mix"},
    "answers_plain_text": {"problem-json"},
    "refuses_by_substring": {"customer-baggage"},
}


@pytest.mark.parametrize("name", CARELESS)
def test_a_careless_service_breaks_its_check_and_no_other(name: str, check: Callable[..., Report]) -> None:
    report = check(name)
    assert set(report.broken) == CARELESS[name], [r for r in report.results if r.detail]
    assert not report.conforms
    assert all(r.detail for r in report.results if r.outcome is not Outcome.HONOURED)


def test_the_kill_switch_is_checked_where_it_is_thrown(
    check: Callable[..., Report], services: ReferenceServices
) -> None:
    report = check("reference", disabled_url=services.urls["reference"])
    assert report.broken == ("kill-switch",)
    assert report.conforms, "it is optional"


def test_a_forwarder_needs_to_forward_only(check: Callable[..., Report]) -> None:
    report = check("serves_no_token", level=Level.FORWARDER)
    assert report.conforms
    assert not [r for r in report.results if r.name.startswith("refuses")]
    report = check("forwards_no_header", level=Level.FORWARDER)
    assert (report.broken, report.conforms) == (("forwards-header",), True)
    assert not check("is_not_there", level=Level.FORWARDER).conforms


def test_what_has_no_endpoint_is_no_verdict(check: Callable[..., Report], key: SigningKey) -> None:
    with pytest.raises(UnreachableError) as caught:
        check("is_not_there")
    assert caught.value.code == "TB811"
    for level in Level:
        with pytest.raises(UnreachableError) as caught:
            check_service(ServiceUnderTest(url="http://127.0.0.1:1", level=level), key)
        assert caught.value.code == "TB810"


def test_a_taken_callback_port_is_told(key: SigningKey) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UsageError) as caught:
            check_service(ServiceUnderTest(url="http://127.0.0.1:1", callback=address), key)
    assert caught.value.code == "TB812"


def run_cli(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tracer_bullet", "conformance", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


def test_the_command(services: ReferenceServices, folder: Path, tmp_path: Path) -> None:
    key = ["--key", str(folder / "private.pem")]
    done = run_cli(services.urls["reference"], "--service", SERVICE, *key, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "yes  bullet-writes-nothing" in done.stdout
    assert "conforms: 34 of 35 honoured" in done.stdout

    done = run_cli(services.urls["writes_for_bullets"], "--json", *key, cwd=tmp_path)
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["conforms"] is False
    assert [r["name"] for r in told["results"] if r["outcome"] == "broken"] == ["bullet-writes-nothing"]

    assert run_cli("http://127.0.0.1:1", *key, cwd=tmp_path).returncode == 3
    assert run_cli(services.urls["is_not_there"], *key, cwd=tmp_path).returncode == 3
    assert run_cli("nonsense", *key, cwd=tmp_path).returncode == 2
    done = run_cli(services.urls["reference"], cwd=tmp_path)
    assert done.returncode == 2
    assert "TB201" in done.stderr
