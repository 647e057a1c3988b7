"""Servers that tests of traces share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.jaeger import Jaeger, run_jaeger
from tests.servers.zipkin import run_zipkin


@pytest.fixture(scope="session")
def zipkin_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with run_zipkin(tmp_path_factory.mktemp("zipkin") / "server.log") as url:
        yield url


@pytest.fixture(scope="session")
def jaeger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jaeger]:
    with run_jaeger(tmp_path_factory.mktemp("jaeger") / "server.log") as running:
        yield running
