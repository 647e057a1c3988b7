"""A mitmproxy addon that records into an archive of tracer-bullet.

    mitmdump -s "$(tracer-bullet capture addon)" --set tb_archive=morning.tba

Runs inside mitmproxy, and imports nothing but it and the standard library. Each flow goes, in mitmproxy's own dump
format, through a pipe to a process of tracer-bullet (`PYTHON -m tracer_bullet.capture.mitm`), which redacts it and
writes it. What does not fit into the queue, because that process is slow, is dropped and counted.
"""

from __future__ import annotations

import json
import logging
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

from mitmproxy import ctx, exceptions
from mitmproxy.io import tnetstring

# The Python in which tracer-bullet is installed; `tracer-bullet capture addon` fills it in.
PYTHON = ""
_QUEUE_BYTES = 256 * 1024 * 1024
_END_S = 30.0

log = logging.getLogger("tracer-bullet")


class TracerBullet:
    """The addon: options, hooks, and the thread that feeds the pipe."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._queue: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._room = _QUEUE_BYTES
        self._dropped = 0
        self._broken = False

    def load(self, loader: Any) -> None:
        """mitmproxy's hook: our options."""
        loader.add_option("tb_archive", str, "", "The archive that tracer-bullet records into.")
        loader.add_option("tb_body_limit", int, 1_048_576, "How many bytes of each body are kept.")
        loader.add_option("tb_workspace", str, "", "The folder of tracer-bullet.yaml, whose redaction rules count.")
        loader.add_option("tb_python", str, PYTHON or sys.executable, "The Python that has tracer-bullet.")

    def configure(self, updated: Any) -> None:
        """mitmproxy's hook: start recording once it is known where to."""
        if "tb_archive" in updated and ctx.options.tb_archive and self._process is None:
            self._start()

    def response(self, flow: Any) -> None:
        """mitmproxy's hook: an answer is complete."""
        self._take(flow)

    def error(self, flow: Any) -> None:
        """mitmproxy's hook: it went wrong instead."""
        self._take(flow)

    def done(self) -> None:
        """mitmproxy's hook: the end. Everything queued is recorded before."""
        if self._process is None:
            return
        process, self._process = self._process, None
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join(_END_S)
        try:
            said, _ = process.communicate(timeout=_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
        self._report(said, process.returncode)

    def _start(self) -> None:
        options = ctx.options
        command: Sequence[str] = (options.tb_python, "-m", "tracer_bullet.capture.mitm", options.tb_archive)
        command = (*command, "--body-limit", str(options.tb_body_limit))
        if options.tb_workspace:
            command = (*command, "--workspace", options.tb_workspace)
        try:
            # A session of its own: Ctrl-C is mitmproxy's, and the process ends when its pipe does.
            self._process = subprocess.Popen(  # noqa: S603
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            raise exceptions.OptionsError(f"tracer-bullet does not start: {error}; give --set tb_python=…") from error
        if not self._is_ready():
            code = self._process.wait()
            self._process.communicate()
            self._process = None
            raise exceptions.OptionsError(f"tracer-bullet does not record (exit status {code}); what it says is above")
        self._thread = threading.Thread(target=self._feed, name="tracer-bullet", daemon=True)
        self._thread.start()

    def _is_ready(self) -> bool:
        """Its first line says that the archive is open."""
        return bool(self._process and self._process.stdout and self._process.stdout.readline() == b"ready\n")

    def _take(self, flow: Any) -> None:
        if self._process is None or flow.type != "http" or flow.is_replay is not None:
            return
        state = flow.get_state()
        size = _size(state)
        with self._lock:
            if self._broken or size > self._room:
                self._dropped += 1
                return
            self._room -= size
        self._queue.put(state)

    def _feed(self) -> None:
        process = self._process
        if process is None or process.stdin is None:
            return
        while (state := self._queue.get()) is not None:
            with self._lock:
                self._room += _size(state)
                if self._broken:
                    self._dropped += 1
                    continue
            try:
                process.stdin.write(tnetstring.dumps(state))
                process.stdin.flush()
            except (OSError, ValueError) as error:
                with self._lock:
                    self._broken = True
                    self._dropped += 1
                log.error("tracer-bullet has ended, nothing more is recorded: %s", error)

    def _report(self, said: bytes, code: int) -> None:
        try:
            found = json.loads(said.decode().strip().splitlines()[-1])
        except (ValueError, IndexError):
            found = {}
        kept, left_out = found.get("kept", 0), found.get("left_out", 0)
        how = "" if code == 0 else f", and tracer-bullet ended with status {code}"
        log.warning("tracer-bullet: %s recorded, %s left out, %s dropped%s", kept, left_out, self._dropped, how)


def _size(state: dict[str, Any]) -> int:
    """About: its bodies, and something for the rest."""
    parts = (state.get("request"), state.get("response"))
    return 4096 + sum(len((part or {}).get("content") or b"") for part in parts)


addons = [TracerBullet()]
