"""The real Apache httpd, Debian's package `apache2-bin`: one process in the foreground, a free port, its own folder."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

_MODULES = Path("/usr/lib/apache2/modules")
_ATTEMPTS = 5
_START_S = 30.0
_STOP_S = 10.0

_CONFIG = """\
ServerRoot "{folder}"
PidFile "{folder}/httpd.pid"
Listen 127.0.0.1:{port}
ServerName localhost
{modules}
User nobody
Group nogroup
ErrorLog "{folder}/error.log"
LogLevel warn
DocumentRoot "{folder}/htdocs"
<Directory "{folder}/htdocs">
  Require all granted
</Directory>
{extra}
"""
# What is not compiled in; each `-X` run is one process and one worker.
_WANTED = ("mpm_event", "authz_core", "alias", "rewrite", "headers", "logio", "proxy", "proxy_http")


class ApacheUnavailableError(Exception):
    """No Apache httpd is here: tests skip."""


class ApacheServer:
    """httpd with `extra` in its configuration, where `@FOLDER@` is `folder` and `@PORT@` its port.

    A context manager: inside, it accepts connections; it runs with `-X`, a single process that ends with its logs
    written.
    """

    def __init__(self, extra: str, folder: Path) -> None:
        found = shutil.which("apache2") or shutil.which("apache2", path="/usr/sbin") or shutil.which("httpd")
        if found is None or not _MODULES.is_dir():
            raise ApacheUnavailableError("no Apache httpd on this machine (Debian's package is `apache2-bin`)")
        self._program = found
        self._extra = extra
        self._process: subprocess.Popen[bytes] | None = None
        self.folder = folder
        self.port = 0

    def __enter__(self) -> Self:
        (self.folder / "htdocs").mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        (self.folder / "htdocs" / "index.html").write_text("hello")
        try:
            for _ in range(_ATTEMPTS):  # a free port may be taken before it binds it
                if self._start():
                    return self
            raise RuntimeError(f"Apache httpd did not start\n{self.log}")
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What it had to complain about so far."""
        parts = [self.folder / "stderr.log", self.folder / "error.log"]
        return "".join(part.read_text(errors="replace") for part in parts if part.exists())

    def stop(self) -> None:
        """End it."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _start(self) -> bool:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        modules = "\n".join(
            f"LoadModule {name}_module {path}" for name in _WANTED if (path := _MODULES / f"mod_{name}.so").exists()
        )
        extra = self._extra.replace("@FOLDER@", str(self.folder)).replace("@PORT@", str(self.port))
        place = self.folder / "httpd.conf"
        place.write_text(_CONFIG.format(folder=self.folder, port=self.port, modules=modules, extra=extra))
        with (self.folder / "stderr.log").open("wb") as told:
            command = [self._program, "-X", "-f", place]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=told, stderr=told)
        deadline_s = time.monotonic() + _START_S
        while time.monotonic() < deadline_s:
            if self._process.poll() is not None:
                self._process = None
                if "Address already in use" in self.log:
                    return False
                raise RuntimeError(f"Apache httpd did not start\n{self.log}")
            try:
                # Its worker is what answers; the file of its id is written before.
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    return True
            except OSError:
                time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"Apache httpd did not start within {_START_S:.0f} s\n{self.log}")
