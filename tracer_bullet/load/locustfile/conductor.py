"""A conductor for a plain `locust`: a child process that arms, audits and judges, as `tracer-bullet load -f` does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, Final

from tracer_bullet.errors import ExitCode, StoppedError
from tracer_bullet.load.locustfile.protocol import ALLOW_HOSTS, FLAG_HOSTS, LINK, LINK_SECRET, TARGET, TRACE

_ATTACHED: Final = "tracer_bullet.runs.load.locustfile.attached"
# The longest that traces may be awaited, and judging takes some time too.
_CONCLUDE_S: Final = 3_900.0


class Conductor:
    """Starts it, and leaves its address in the environment, for the links of this process."""

    def __init__(self, environment: Any) -> None:
        """Raises StoppedError TB1056 with what it says when it cannot be."""
        told = json.dumps({"arguments": _arguments(environment), "options": _options(os.environ)})
        command = [sys.executable, "-m", _ATTACHED, told]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603
        assert self._process.stdout is not None  # noqa: S101
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"error": "it ended at once"}
        if "link" not in answer:
            self._process.wait()
            raise StoppedError("TB1056", "the conductor of this run cannot begin", why=str(answer["error"]))
        os.environ[LINK], os.environ[LINK_SECRET] = answer["link"], answer["secret"]

    def conclude(self) -> int:
        """Wait for the verdict, which it prints; the run's exit code."""
        try:
            return self._process.wait(timeout=_CONCLUDE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return int(ExitCode.INCONCLUSIVE)
        finally:
            if self._process.stdout is not None:
                self._process.stdout.close()
            os.environ.pop(LINK, None)


def _arguments(environment: Any) -> list[str]:
    """What the conductor must know of Locust's own settings, wherever they came from."""
    options = environment.parsed_options
    found = ["-f", str((environment.parsed_locustfiles or [environment.locustfile or "locustfile.py"])[0])]
    if environment.host:
        found += ["--host", str(environment.host)]
    if getattr(options, "run_time", None):
        found += ["--run-time", str(int(options.run_time))]
    if getattr(options, "num_users", None):
        found += ["--users", str(int(options.num_users))]
    return found


def _options(environ: Any) -> list[str]:
    found = [f"--target={environ[TARGET]}"] if environ.get(TARGET) else []
    found += [f"--trace={environ[TRACE]}"] if environ.get(TRACE) else []
    for name, option in ((ALLOW_HOSTS, "--allow-host"), (FLAG_HOSTS, "--flag-host")):
        found += [f"{option}={host.strip()}" for host in environ.get(name, "").split(",") if host.strip()]
    return found
