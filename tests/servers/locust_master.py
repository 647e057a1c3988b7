"""A Locust master as it is installed, as a process of its own: headless, or with its page."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

# The documented one is the tested one.
LOCUSTFILE = re.search(
    r"```python\n(.*?)```", (Path(__file__).parents[2] / "docs" / "locust.md").read_text(encoding="utf-8"), re.DOTALL
)[1]  # type: ignore[index]
PLAIN_LOCUSTFILE = LOCUSTFILE.partition("@events")[0].replace(
    "from tracer_bullet.engine.locust_worker import ExactStatistics\n", ""
)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class LocustMaster:
    """`locust --master` in a folder of its own; `folder/stats.json` and `folder/exact.json` are written at its end."""

    def __init__(self, folder: Path, *options: str, headless: bool, locustfile: str = LOCUSTFILE) -> None:
        self.folder = folder
        self.port, self.web_port = _free_port(), _free_port()
        (folder / "locustfile.py").write_text(locustfile, encoding="utf-8")
        where = [f"--master-bind-port={self.port}", "--master-bind-host=127.0.0.1", "-f", str(folder / "locustfile.py")]
        shown = ["--headless"] if headless else [f"--web-port={self.web_port}", "--web-host=127.0.0.1"]
        self._log = (folder / "master.log").open("wb")
        # Whatever the pytest plug-in of Locust, or this test process, has set for gevent must not reach it.
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("LOCUST", "COV"))}
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "locust",
                "--master",
                *where,
                *shown,
                "--json-file",
                str(folder / "stats"),
                *options,
            ],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._log.close()

    @property
    def log(self) -> str:
        return (self.folder / "master.log").read_text(encoding="utf-8")

    def wait(self, timeout_s: float = 30) -> int:
        return self.process.wait(timeout_s)

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def exact(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "exact.json").read_text(encoding="utf-8"))
        return found

    def final_stats(self) -> dict[tuple[str, str], dict[str, Any]]:
        entries = json.loads((self.folder / "stats.json").read_text(encoding="utf-8"))
        return {(entry["method"], entry["name"]): entry for entry in entries}

    def page(self, path: str, **form: object) -> Any:
        """GET of the page's JSON, or POST of a form."""
        body = urllib.parse.urlencode(form).encode() if form else None
        with urllib.request.urlopen(f"http://127.0.0.1:{self.web_port}{path}", body, timeout=10) as answer:
            return json.loads(answer.read())

    def wait_until_served(self, timeout_s: float = 30) -> None:
        until = time.monotonic() + timeout_s
        while time.monotonic() < until and self.process.poll() is None:
            try:
                self.page("/stats/requests")
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.05)
            else:
                return
        raise AssertionError(f"the master's page did not come up: {self.log}")
