"""The plug-in of one Locust process: terms, gate, traces, and what is told to the conductor."""

from __future__ import annotations

import os
import random
import time
from dataclasses import replace
from typing import Any, Final

import gevent
from gevent.event import Event

from tracer_bullet.errors import StoppedError, UnreachableError
from tracer_bullet.load.locustfile.conductor import Conductor
from tracer_bullet.load.locustfile.endpoints import endpoint_of
from tracer_bullet.load.locustfile.gate import Gate
from tracer_bullet.load.locustfile.headers import flag_headers
from tracer_bullet.load.locustfile.hosts import Hosts, Standing, refuse
from tracer_bullet.load.locustfile.link import Link, RelayLink, SocketLink
from tracer_bullet.load.locustfile.net import Net
from tracer_bullet.load.locustfile.protocol import LINK, LINK_SECRET, Terms, parse_link
from tracer_bullet.load.locustfile.rows import Rows
from tracer_bullet.load.locustfile.traces import Exchange, Hit, Sampler, Traces, hit, make_clock, task_run, unclaimed

# A trace may take `settle_s` (an hour at most) to be judged, and others may be before it; the conductor bounds it.
_ARM_WAIT_S: Final = 4_000.0
_WELCOME_S: Final = 60.0
_FLUSH_S: Final = 0.25
_MOST_UNCLAIMED: Final = 16


class Plugin:
    """What the patches ask. Opens its link when it is first needed, once in each process: Locust forks its workers."""

    def __init__(self) -> None:
        self.now_ns = make_clock()
        self.environment: Any = None
        self.rows = Rows()
        self.net = Net(self._refused)
        self._pid = 0
        self._link: Link | None = None
        self._terms: Terms | None = None
        self._hosts = Hosts((), ())
        self._gate: Gate | None = None
        self._traces: Traces | None = None
        self._welcome: Event | None = None
        self._flusher: Any = None
        self._conductor: Conductor | None = None

    @property
    def terms(self) -> Terms:
        """On what terms this process sends. Raises StoppedError or UnreachableError when there are none."""
        self.open()
        assert self._terms is not None  # noqa: S101
        return self._terms

    @property
    def gate(self) -> Gate:
        """Where requests wait."""
        self.open()
        assert self._gate is not None  # noqa: S101
        return self._gate

    @property
    def traces(self) -> Traces:
        """Where traces begin and end."""
        self.open()
        assert self._traces is not None  # noqa: S101
        return self._traces

    def open(self) -> None:
        """Greet the conductor and wait for its terms. Raises UnreachableError TB1055, StoppedError TB1056."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self.rows, self._terms, self._gate, self._flusher = Rows(), None, None, None
            self._welcome = Event()
            self._link = self._open_link()
        assert self._welcome is not None  # noqa: S101
        if self._terms is None and not self._welcome.wait(timeout=_WELCOME_S):
            raise UnreachableError("TB1055", "the conductor of this run does not answer", cure="see its own output")
        if self._terms is None:
            raise StoppedError("TB1053", "the run was stopped; nothing is sent")

    def is_open(self) -> bool:
        """Whether the terms are known in this process."""
        return self._pid == os.getpid() and self._terms is not None

    def tell(self, message: dict[str, Any]) -> None:
        """To the conductor."""
        if self._link is not None:
            self._link.tell(message)

    def flush(self) -> None:
        """Tell what has been counted."""
        for message in self.rows.take():
            self.tell(message)

    def close(self) -> None:
        """Tell the rest, and that nothing more comes."""
        if self._pid != os.getpid() or self._link is None:
            return
        if self._flusher is not None:
            self._flusher.kill()
        self.flush()
        self.tell({"t": "bye", "code": self._code()})
        self._link.close()
        self._link = None

    def conclude(self) -> None:
        """After `close`, of a plain `locust`: let the conductor judge, and end with its exit code."""
        if self._conductor is not None:
            code = self._conductor.conclude()
            self._conductor = None
            if code:
                self.environment.process_exit_code = code

    def _code(self) -> int:
        """The exit code with which Locust is about to end, by its own rule (locust.main.shutdown)."""
        runner = getattr(self.environment, "runner", None)
        if runner is None:
            return 0
        if self.environment.process_exit_code is not None:
            return int(self.environment.process_exit_code)
        options = self.environment.parsed_options
        failed = bool(runner.errors or runner.exceptions)
        return int(getattr(options, "exit_code_on_error", 1)) if failed else 0

    def judge(self, host: str, port: int | None) -> Standing:
        """How requests to a host are treated. Raises RefusedHostError TB1052."""
        self.open()
        standing = self._hosts.standing(host, port)
        if standing is Standing.REFUSED:
            self._refused(f"{host}:{port}" if port else host)
            raise refuse(host, port)
        return standing

    def enter(self, method: str, url: str, name: str | None) -> Hit:
        """A request to the target begins; waits at the gate. Raises StoppedError."""
        endpoint = endpoint_of(method, url, name)
        if not self.gate.knows(endpoint):
            self.traces.end_waited_for(endpoint)
        arms = self.gate.enter(endpoint)
        trace = self.traces.begin_request(endpoint, arms=arms)
        return Hit(endpoint=endpoint, trace=trace, sent_ns=self.now_ns())

    def arms(self, entered: Hit) -> bool:
        """Whether an endpoint waits for this request."""
        return entered.trace is not None and entered.endpoint in entered.trace.arms

    def leave(self, entered: Hit) -> None:
        """Its answer is whole, or there is none."""
        entered.ended_ns = self.now_ns()
        if entered.last is not None and not entered.last.error:
            entered.last.ended_ns = entered.ended_ns
        if entered.trace is not None:
            self.traces.end_request(entered.trace)

    def begin_exchange(
        self, method: str, url: str, own: list[tuple[str, str]]
    ) -> tuple[Exchange, dict[str, str], Hit | None]:
        """One request on the wire: what to remember, its carriers, and the hit that was made for it alone.

        `own`: its header lines that may be carriers, names in lower case.
        """
        current, alone = hit.get(), None
        if current is None or current.trace is None or current.trace.closed:
            self.gate.check()
            current = alone = self.enter(method, url, None)
        assert current.trace is not None  # noqa: S101
        terms = self.terms
        exchange = Exchange(
            span_id=self.traces.span_id(),
            method=method,
            url=url.partition("?")[0],
            endpoint=current.endpoint,
            sent_ns=self.now_ns(),
        )
        current.trace.exchanges.append(exchange)
        current.last = exchange
        if (run := task_run.get()) is not None:
            run.last_sent_ns = exchange.sent_ns
        if alone is not None:
            self.custom(alone)
        carriers = flag_headers(
            current.trace.trace_id,
            exchange.span_id,
            token=terms.token,
            baggage=terms.baggage,
            tracestate=terms.tracestate,
            own=own,
        )
        return exchange, carriers, alone

    def end_exchange(self, exchange: Exchange, alone: Hit | None, *, status: int = 0, error: str = "") -> None:
        """Its answer's head came, or it failed."""
        exchange.ended_ns, exchange.status, exchange.error = self.now_ns(), status, error
        if alone is not None:
            self.leave(alone)

    def custom(self, entered: Hit) -> None:
        """A custom client has sent a request; Locust's event for it is still to come."""
        unclaimed.set((*unclaimed.get()[1 - _MOST_UNCLAIMED :], entered))

    def stranger(self, name: str) -> None:
        """A request of a custom client to a host that is allowed: it goes without the flag."""
        self.custom(Hit(endpoint=name, trace=None, sent_ns=self.now_ns()))

    def stop(self, code: int, why: str) -> None:
        """Refuse all requests from now on, and end Locust with this exit code."""
        if self._gate is not None:
            self._gate.stop(why)
        if self._welcome is not None:
            self._welcome.set()
        environment = self.environment
        if environment is None or environment.runner is None:
            return
        environment.process_exit_code = code
        gevent.spawn(_quit, environment)

    def _open_link(self) -> Link:
        hello = {
            "t": "hello",
            "secret": os.environ.get(LINK_SECRET, ""),
            "pid": self._pid,
            "who": _who(self.environment),
        }
        text = os.environ.get(LINK, "")
        if text:
            return SocketLink(*parse_link(text), hello, self._hear)
        runner = getattr(self.environment, "runner", None)
        if _who(self.environment) == "worker":
            return RelayLink(runner, hello, self._hear)
        if _who(self.environment) in ("master", "local"):
            self._conductor = Conductor(self.environment)
            return SocketLink(*parse_link(os.environ[LINK]), {**hello, "secret": os.environ[LINK_SECRET]}, self._hear)
        raise StoppedError(
            "TB1056",
            "no conductor is there that could prove a request harmless, so none is sent",
            why=f"{LINK} is not set",
            cure="start it with `tracer-bullet load -f`, or send no requests while the locustfile is imported",
        )

    def _hear(self, message: dict[str, Any]) -> None:
        kind = message["t"]
        if kind == "welcome":
            self._begin(Terms.of(message))
        elif kind in ("go", "armed") and self._gate is not None:
            self._gate.hear(message)
        elif kind == "rate" and self._traces is not None:
            self._traces.sampler.rate = float(message["rate"])
        elif kind == "token" and self._terms is not None:
            self._terms = replace(self._terms, token=message["token"], baggage=message["baggage"])
        elif kind == "stop":
            self.stop(int(message["code"]), str(message["why"]))

    def _begin(self, terms: Terms) -> None:
        self._hosts = Hosts(terms.flagged, terms.allowed)
        self.net.allow(self._hosts)
        self._gate = Gate(self.tell, armed=terms.armed, wait_s=_ARM_WAIT_S)
        self._traces = Traces(
            Sampler(terms.rate, time.monotonic),
            random.SystemRandom(),
            self.tell,
            mode=terms.trace,
            now_ns=self.now_ns,
        )
        self._terms = terms
        self._flusher = gevent.spawn(self._keep_flushing)
        if self._welcome is not None:
            self._welcome.set()

    def _keep_flushing(self) -> None:
        while True:
            gevent.sleep(_FLUSH_S)
            self.flush()
            if self._traces is not None:
                self._traces.end_idle()

    def _refused(self, where: str) -> None:
        self.rows.refused[where] += 1


def _who(environment: Any) -> str:
    """`master`, `worker`, `local`, or `` while nobody knows."""
    runner = getattr(environment, "runner", None)
    name = type(runner).__name__.removesuffix("Runner").lower()
    return name if name in ("master", "worker", "local") else ""


def _quit(environment: Any) -> None:
    environment.runner.quit()
    if environment.web_ui is not None:
        environment.web_ui.stop()


_plugin: Plugin | None = None


def plugin() -> Plugin:
    """The one of this process. Raises AssertionError before `install`."""
    assert _plugin is not None, "the plug-in is not installed"  # noqa: S101
    return _plugin


def install() -> Plugin:
    """Patch Locust and its HTTP clients, and listen to its events; a second call does nothing."""
    global _plugin  # noqa: PLW0603  # Locust has one of its kind a process, too
    if _plugin is None:
        from tracer_bullet.load.locustfile.listeners import listen  # noqa: PLC0415
        from tracer_bullet.load.locustfile.patches import patch_all  # noqa: PLC0415

        _plugin = Plugin()
        patch_all(_plugin)
        listen(_plugin)
    return _plugin
