"""The shop, a receiver and a workspace: what the whole-program tests start from."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.servers.axe import AxeUnavailableError, axe_source
from tests.unit.report.browser import chromium
from tracer_bullet.cli.init import write_workspace
from tracer_bullet.context.keys import create_keys
from tracer_bullet.model import RunEnded, Verdict
from tracer_bullet.runs.fire import fire
from tracer_bullet.runs.job import prepare_fire
from tracer_bullet.sim import Simulation, shop_topology
from tracer_bullet.traces import Receiver
from tracer_bullet.workspace.runs import RunFolder

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@dataclass
class Range:
    """A firing range: the shop under guard, a receiver for its spans, and a workspace."""

    workspace: Path
    shop: Simulation
    receiver: Receiver

    def fire(self, scenario: Path | None = None, **settings: Any) -> tuple[Verdict, RunFolder]:
        """Fire through the recipe that the command line uses."""
        quick = settings.pop("settle_s", 20.0)
        job = prepare_fire(
            scenario or self.workspace / "scenarios" / "checkout.yaml",
            environ=os.environ,
            target=self.shop.url,
            system=self.shop.system(),
            **settings,
        )
        job = replace(job, traces=job.traces.model_copy(update={"settle_s": quick, "quiet_s": 0.3}))

        async def main() -> RunEnded:
            events = [event async for event in fire(job, self.receiver)]
            assert isinstance(events[-1], RunEnded)
            return events[-1]

        ended = asyncio.run(main())
        return ended.verdict, RunFolder(path=ended.folder)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def axe() -> str:
    try:
        return axe_source()
    except AxeUnavailableError as error:
        pytest.skip(f"axe-core is missing: {error}")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    write_workspace(folder, overwrite=False)
    create_keys(folder / ".tracer-bullet" / "keys")
    return folder


@pytest.fixture
def firing_range(workspace: Path, tmp_path: Path) -> Callable[..., Any]:
    """Starts a shop: `with firing_range(careless={"checkout": ("drops_baggage",)}) as r: r.fire()`."""

    @contextmanager
    def start(
        *, careless: Mapping[str, Sequence[str]] | None = None, keys: bool = True, topology: Any = None, **settings: Any
    ) -> Iterator[Range]:
        jwks = str(workspace / ".tracer-bullet" / "keys" / "jwks.json") if keys else None
        with Receiver("127.0.0.1", 0) as receiver:
            shop = Simulation(
                topology or shop_topology(),
                data_dir=tmp_path / "data",
                otlp_endpoint=f"{receiver.url}/v1/traces",
                keys=jwks,
                careless=careless,
                ports="free",
                **settings,
            )
            with shop:
                yield Range(workspace, shop, receiver)

    return start


def run_cli(
    *arguments: str, cwd: Path | None = None, timeout_s: float = 120, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command line as a user runs it: output and exit code."""
    return subprocess.run(
        [sys.executable, "-m", "tracer_bullet", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "100", **(env or {})},
    )
