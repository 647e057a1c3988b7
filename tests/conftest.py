"""Fixtures shared by all tests: keys, tokens, and OpenTelemetry providers that do not leak."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.servers.postgres import PostgresServer, PostgresUnavailableError
from tracer_bullet.context.carriers import write_baggage
from tracer_bullet.context.keys import SigningKey, create_keys, public_jwk
from tracer_bullet.context.token import mint
from tracer_bullet.model import Context

# No verdict of a test may hang on how fast the machine is.
hypothesis.settings.register_profile(
    "here",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large],
)
hypothesis.settings.load_profile("here")


# A shell's background jobs ignore Ctrl-C, and so would the programs that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

NO_SKIPS = "TRACER_BULLET_NO_SKIPS"


def _skipped(terminal: Any) -> list[str]:
    """Each reason why something was skipped, once, with how many tests it cost."""
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in terminal.stats.get("skipped", ()))
    return [f"{count} × {reason}" for reason, count in sorted(reasons.items())]


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The closing line names what did not run."""
    skipped = _skipped(terminalreporter)
    terminalreporter.write_line(f"not run here: {'; '.join(skipped) if skipped else 'nothing'}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where everything must run, a skip is a failure."""
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get(NO_SKIPS, "") not in ("", "0") and terminal is not None and _skipped(terminal):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def signing_key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return create_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def jwks(tmp_path_factory: pytest.TempPathFactory, signing_key: SigningKey) -> str:
    path = tmp_path_factory.mktemp("jwks") / "jwks.json"
    path.write_text(json.dumps({"keys": [public_jwk(signing_key.private.public_key())]}))
    return str(path)


@pytest.fixture
def make_token(signing_key: SigningKey) -> Callable[..., str]:
    def make(*, scope: tuple[str, ...] = ("*",), run_id: str = "run-1", **changes: object) -> str:
        settings = {"now_s": int(time.time()), "lifetime_s": 600, "issuer": "tests", **changes}
        return mint(signing_key, run_id=run_id, scope=scope, **settings)  # type: ignore[arg-type]

    return make


@pytest.fixture
def flag_headers(make_token: Callable[..., str]) -> Callable[..., dict[str, str]]:
    """Headers of a bullet: the three carriers and a traceparent."""

    def make(trace_id: str = "0af7651916cd43dd8448eb211c80319c", **token: object) -> dict[str, str]:
        context = Context(run_id=str(token.get("run_id", "run-1")), token=make_token(**token), user_id="tester-1")
        return {
            "traceparent": f"00-{trace_id}-b7ad6b7169203331-01",
            "baggage": write_baggage(context),
            "tracestate": "tb=t",
            "x-tracer-bullet": context.token,
        }

    return make


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in list(os.environ):
        if name.startswith(("TRACER_BULLET_", "OTEL_")):
            monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL cluster of this test process's own; without PostgreSQL its tests are skipped."""
    try:
        server = PostgresServer()
    except PostgresUnavailableError as error:
        pytest.skip(str(error))
    with server:
        yield server
