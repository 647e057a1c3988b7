"""A real Prometheus that scrapes one address each second; without the Debian package its tests are skipped."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx


class PrometheusUnavailableError(Exception):
    """There is no prometheus here."""


class PrometheusServer:
    """Prometheus with a configuration of its own; `url` once it is ready."""

    def __init__(self, folder: Path, *, scrapes: str) -> None:
        program = shutil.which("prometheus")
        if program is None:
            raise PrometheusUnavailableError("prometheus is not installed (tests/setup.sh)")
        self._program = program
        self._folder = folder
        self._scrapes = scrapes
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        config = self._folder / "prometheus.yml"
        config.write_text(
            "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
            f"scrape_configs: [{{job_name: shop, static_configs: [{{targets: ['{self._scrapes}']}}]}}]\n"
        )
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        log = (self._folder / "prometheus.log").open("wb")
        self._process = subprocess.Popen(
            [
                self._program,
                f"--config.file={config}",
                f"--storage.tsdb.path={self._folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        log.close()
        try:
            self._wait(lambda: httpx.get(f"{self.url}/-/ready", timeout=2).status_code == 200)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)

    def wait_for(self, query: str, value: str) -> None:
        """Until the query gives this value."""
        self._wait(lambda: self._value(query) == value)

    def _value(self, query: str) -> Any:
        document = httpx.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=2).json()
        result = document["data"]["result"]
        return result[0]["value"][1] if result else None

    def _wait(self, ready: Any) -> None:
        until_s = time.monotonic() + 60
        while time.monotonic() < until_s:
            try:
                if ready():
                    return
            except httpx.HTTPError:
                pass
            if self._process is not None and self._process.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError((self._folder / "prometheus.log").read_text()[-2000:])
