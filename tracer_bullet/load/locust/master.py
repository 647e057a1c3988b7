"""The Locust master's own process: gevent stays here.

Locust's runner is used as it is: its sockets, its list of workers and their heartbeats, its statistics, its page. Two
things are ours. Nothing is spawned: users of the one class are never run, and workers get their job by message. And the
page's Start starts nothing, since a run begins where its safety is.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any, Final

# Before Locust looks at it: how long its receiving loop may stand still for a report.
os.environ.setdefault("LOCUST_WAIT_FOR_WORKERS_REPORT_AFTER_RAMP_UP", "0.1")

import gevent
from gevent.event import Event
from gevent.queue import Queue
from locust import User, __version__
from locust.env import Environment
from locust.runners import STATE_MISSING, STATE_RUNNING, STATE_STOPPED, MasterRunner

from tracer_bullet.load.locust import frames

_LOOK_S: Final = 0.25
_NO_START: Final = "A run is started by `tracer-bullet load`, which arms and guards it. Stop works here."
_QUANTILES: Final = (0.5, 0.9, 0.95, 0.99, 0.999)


class TracerBullet(User):
    """Stands for the senders on the page; never run."""


class Relay:
    """One master, and the conductor's socket. `options`: `host`, `port`, `web_host`, `web_port` (null: no page)."""

    def __init__(self, conductor: socket.socket, options: dict[str, Any]) -> None:
        self._conductor = conductor
        self._options = options
        self._out: Queue[bytes | None] = Queue()
        self._seen: dict[str, str] = {}
        self._silent_beats = 0
        self._users: dict[str, int] = {}
        self._environment = Environment(user_classes=[TracerBullet], host=None)
        self._runner: MasterRunner
        self._over = Event()

    def run(self) -> None:
        """Until the conductor says so, is gone, or is silent."""
        writer = gevent.spawn(self._write)
        try:
            port, web_port = self._open()
        # Locust ends the process where the port is taken, and ZeroMQ has errors of its own.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            self._tell(frames.FAILED, repr(error))
            self._out.put(None)
            writer.join(1)
            return
        self._tell(frames.BOUND, port, web_port, __version__)
        for work in (self._read, self._beat, self._look):
            gevent.spawn(work).link_exception(self._failed)
        self._over.wait()
        # `quit` tells the workers, and waits half a second for their last figures.
        with gevent.Timeout(3, exception=False):
            self._runner.quit()
        self._out.put(None)
        writer.join(1)

    def _open(self) -> tuple[int, int]:
        events: Any = self._environment.events
        self._runner = self._environment.create_master_runner(self._options["host"], self._options["port"])
        for kind in frames.WORKER_KINDS:
            self._runner.register_message(kind, self._relay)
        events.worker_connect.add_listener(lambda client_id, **_: self._joined(client_id))
        events.worker_report.add_listener(self._count_users)
        web_port = self._options["web_port"]
        return self._runner.server.port, 0 if web_port is None else self._open_page(web_port)

    def _open_page(self, port: int) -> int:
        page: Any = self._environment.create_web_ui(self._options["web_host"], port, delayed_start=True)
        views = page.app.view_functions
        views["locust.swarm"] = lambda: {"success": False, "message": _NO_START}
        # Locust's own would make the workers leave and come again.
        views["locust.stop"] = self._stop_asked
        page.start()
        while page.greenlet is not None and not page.greenlet.dead:
            if page.server is not None and page.server.started:
                return int(page.server.server_port)
            gevent.sleep(0.01)
        raise OSError(f"the page cannot listen on {self._options['web_host']}:{port}")

    def _stop_asked(self) -> dict[str, Any]:
        self._tell(frames.STOP)
        return {"success": True, "message": "Test stopped"}

    # The conductor's socket

    def _tell(self, *members: Any) -> None:
        self._out.put(frames.pack(*members))

    def _write(self) -> None:
        try:
            while (frame := self._out.get()) is not None:
                self._conductor.sendall(frame)
        except OSError:
            self._over.set()

    def _read(self) -> None:
        cut = frames.Frames()
        try:
            while data := self._conductor.recv(262_144):
                cut.feed(data)
                for kind, *members in cut:
                    self._silent_beats = 0
                    self._obey(kind, members)
        except OSError:
            pass
        self._over.set()

    def _beat(self) -> None:
        while True:
            gevent.sleep(frames.BEAT_S)
            self._tell(frames.BEAT)
            self._silent_beats += 1
            if self._silent_beats > frames.SILENT_BEATS:
                self._over.set()

    def _obey(self, kind: str, members: list[Any]) -> None:
        match kind, members:
            case frames.SEND, [client, what, data]:
                if client is None or client in self._runner.clients:
                    self._runner.send_message(what, data, client_id=client)
            case frames.RUNNING, [host]:
                self._environment.host = host
                self._runner.stats.clear_all()
                self._runner.exceptions = {}
                self._runner.update_state(STATE_RUNNING)
            case frames.IDLE, []:
                self._runner.update_state(STATE_STOPPED)
            case frames.FORGET, [client]:
                # Left there, the runner would want to spread its users anew a minute later.
                if client in self._runner.clients:
                    del self._runner.clients[client]
                self._seen.pop(client, None)
            case frames.ASK_TABLE, []:
                self._tell(frames.TABLE, *_table(self._runner.stats))
            case frames.END, []:
                self._over.set()
            case _:
                pass

    def _failed(self, greenlet: Any) -> None:
        self._tell(frames.FAILED, repr(greenlet.exception))
        self._over.set()

    # Workers

    def _relay(self, environment: Environment, msg: Any) -> None:  # noqa: ARG002  (Locust names its arguments)
        if msg.type == frames.EVENTS and isinstance(msg.data, dict):
            self._users[msg.node_id] = msg.data.get("users", 0)
            self._count_users(msg.node_id)
        self._tell(frames.MESSAGE, msg.node_id, msg.type, msg.data)

    def _joined(self, client: str) -> None:
        self._seen[client] = ""
        self._tell(frames.JOINED, client)

    def _count_users(self, client_id: str, **_: Any) -> None:
        """Show our users; a worker's own reports say none, since none of Locust's were spawned."""
        if client_id in self._runner.clients:
            self._runner.clients[client_id].user_classes_count = {TracerBullet.__name__: self._users.get(client_id, 0)}

    def _look(self) -> None:
        """Locust has no event for workers that go: its list is looked at."""
        while True:
            gevent.sleep(_LOOK_S)
            clients = self._runner.clients
            now = {client: clients[client].state for client in clients}
            for client in [c for c in self._seen if c not in now]:
                del self._seen[client]
                self._tell(frames.LEFT, client)
            for client, state in now.items():
                before, self._seen[client] = self._seen.get(client), state
                if state == STATE_MISSING != before:
                    self._tell(frames.MISSING, client)


def _table(stats: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Locust's own statistics: a row for each entry, and one for all; its errors. Times are milliseconds."""
    entries = [*sorted(stats.entries.values(), key=lambda e: (e.name, e.method)), stats.total]
    rows = [
        {
            "name": entry.name,
            "method": entry.method,
            "requests": entry.num_requests,
            "failures": entry.num_failures,
            "mean_ms": float(entry.avg_response_time),
            "max_ms": float(entry.max_response_time),
            "percentiles_ms": {str(q): float(entry.get_response_time_percentile(q)) for q in _QUANTILES},
            "bytes": entry.total_content_length,
        }
        for entry in entries
    ]
    return rows, [
        {"method": e.method, "name": e.name, "error": str(e.error), "count": e.occurrences}
        for e in stats.errors.values()
    ]


def main(fd: int, options: str) -> None:
    """Serve the conductor at the other end of the inherited socket. `options`: JSON, see Relay."""
    with socket.socket(fileno=fd) as conductor:
        Relay(conductor, json.loads(options)).run()
    sys.stdout.flush()
    # Greenlets of Locust's own would be waited for.
    os._exit(0)
