"""Locust's events: the end of each request, the beginning and the end of tests and of the process."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any, Final

import gevent
from locust import events

from tracer_bullet.errors import TracerBulletError, UsageError
from tracer_bullet.load.locustfile.hosts import Hosts, Standing, origin_of
from tracer_bullet.load.locustfile.link import Relay, SocketLink
from tracer_bullet.load.locustfile.plugin import Plugin
from tracer_bullet.load.locustfile.protocol import LINK, LINK_SECRET, Terms, parse_link
from tracer_bullet.load.locustfile.traces import Hit, hit, task_run, unclaimed
from tracer_bullet.model.shots import SHOT_ERRORS

# Where a response keeps the hit that it answers, until Locust's event comes.
HIT: Final = "_tracer_bullet_hit"
_UNEXPECTED: Final = SHOT_ERRORS.index("unexpected")
_RESET: Final = SHOT_ERRORS.index("reset")
_CONNECT: Final = SHOT_ERRORS.index("connect")
_TIMEOUT: Final = SHOT_ERRORS.index("answer-timeout")
# Between what a custom client measures and what is seen here.
_SLACK_NS: Final = 2_000_000


def listen(plugin: Plugin) -> None:
    """Add the listeners; what `quitting` does comes last, since Locust fires it in reverse."""
    ours = _Listeners(plugin)
    for name in ("init", "request", "test_start", "test_stop", "quitting"):
        getattr(events, name).add_listener(getattr(ours, name))


class _Listeners:
    def __init__(self, plugin: Plugin) -> None:
        self._plugin = plugin
        self._relay: Relay | None = None

    def init(self, environment: Any, runner: Any, **_: Any) -> None:
        """Locust is set up; nothing has been sent."""
        plugin = self._plugin
        plugin.environment = environment
        if type(runner).__name__ == "MasterRunner":
            self._relay = Relay(runner, _relayed)
        if type(runner).__name__ == "WorkerRunner" and not _has_link():
            gevent.spawn(self._open_later)  # its master answers only once this event is over
            return
        try:
            _check_hosts(environment, plugin.terms)
            if self._relay is not None:
                self._relay.ready = True
        except TracerBulletError as error:
            sys.stderr.write(f"{error}\n")
            sys.exit(int(error.exit_code))

    def _open_later(self) -> None:
        try:
            _check_hosts(self._plugin.environment, self._plugin.terms)
        except TracerBulletError as error:
            self._plugin.stop(int(error.exit_code), str(error))

    def request(
        self,
        request_type: str,
        name: str,
        response_time: float,
        response_length: int,
        exception: BaseException | None = None,
        response: Any = None,
        **_: Any,
    ) -> None:
        """A request as Locust counts it has ended."""
        plugin, now_ns = self._plugin, self._plugin.now_ns()
        took_ns = int((response_time or 0) * 1_000_000)
        found = _claim(response, now_ns - took_ns - _SLACK_NS)
        if found is None:
            if took_ns and _newest_ns() >= now_ns - took_ns:
                return  # it measures requests that are counted by themselves
            plugin.rows.unflagged[f"{request_type} {name}"] += 1
            plugin.rows.add(
                f"{request_type} {name}",
                None,
                sent_ns=now_ns - took_ns,
                ended_ns=now_ns,
                error=_UNEXPECTED if exception is not None else 0,
                answer_bytes=int(response_length or 0),
            )
            return
        found.reported = True
        if found.trace is None:
            plugin.rows.strangers[found.endpoint] += 1
            return
        plugin.rows.add(
            found.endpoint,
            found,
            sent_ns=found.sent_ns,
            ended_ns=found.ended_ns or now_ns,
            error=_error(found, exception),
            answer_bytes=int(response_length or 0),
        )

    def test_start(self, environment: Any, **_: Any) -> None:
        """Also of the second test in one process, which goes on with what is armed."""
        self._plugin.tell({"t": "test", "what": "started", "host": environment.host or ""})

    def test_stop(self, **_: Any) -> None:
        """The figures so far."""
        if self._plugin.is_open():
            self._plugin.flush()
        self._plugin.tell({"t": "test", "what": "stopped"})

    def quitting(self, environment: Any, **_: Any) -> None:
        """Nothing more comes of this process."""
        if environment.runner is not None and type(environment.runner).__name__ != "WorkerRunner":
            environment.runner.quit()  # Locust does so right after this event; here, what users do last is still told
        if self._relay is not None:
            self._relay.close()
        self._plugin.close()
        self._plugin.conclude()


def _claim(response: Any, began_ns: int) -> Hit | None:
    """The hit that an event is about: of its response, of the request under way, or of what a custom client has sent
    since `began_ns`."""
    # A property of a response may reach for the network: its dictionary does not.
    found: Hit | None = getattr(response, "__dict__", {}).get(HIT) or hit.get()
    if found is not None and not found.reported:
        return found
    waiting = [h for h in unclaimed.get() if not h.reported and h.sent_ns >= began_ns]
    unclaimed.set(())
    for other in waiting:
        other.reported = True
    return waiting[-1] if waiting else None


def _newest_ns() -> int:
    """When the task that runs in this greenlet sent a flagged request last."""
    run = task_run.get()
    return run.last_sent_ns if run is not None else 0


def _error(found: Hit, exception: BaseException | None) -> int:
    if exception is None:
        return 0
    if found.last is not None and found.last.status:
        return _UNEXPECTED
    text = f"{type(exception).__name__} {exception}".lower()
    if isinstance(exception, (TimeoutError, socket.timeout)) or "timed out" in text or "timeout" in text:
        return _TIMEOUT
    return _CONNECT if "refused" in text or "resolve" in text or "newconnection" in text else _RESET


def _has_link() -> bool:
    return bool(os.environ.get(LINK))


def _relayed(hello: dict[str, Any], hear: Any) -> SocketLink:
    return SocketLink(*parse_link(os.environ[LINK]), {**hello, "secret": os.environ.get(LINK_SECRET, "")}, hear)


def _check_hosts(environment: Any, terms: Terms) -> None:
    """A host that would be refused is told before anything is sent."""
    hosts = Hosts(terms.flagged, terms.allowed)
    for user in environment.user_classes:
        url = environment.host or user.host or terms.target
        host, port = origin_of(url) if isinstance(url, str) and "://" in url else ("", None)
        if host and hosts.standing(host, port) is Standing.REFUSED:
            raise UsageError(
                "TB1057",
                f"{user.__name__} is for {url}, which is not the target",
                why=f"the target is {terms.target}",
                cure="--target, or --host with its address; --flag-host for what belongs to it",
            )
