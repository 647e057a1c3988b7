"""Claim: a bullet's tasks are not sent, or run as the bullet's in a real worker, whatever its pool; nothing hangs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import celery
import celery.result
import kombu
import pytest
import sqlalchemy as sa
from celery.backends.database.models import ResultModelBase
from celery.exceptions import TaskRevokedError
from opentelemetry.instrumentation.celery import CeleryInstrumentor

from tests.servers.rabbitmq import RabbitServer
from tests.unit.guards.amqp import Broker
from tests.unit.guards.celery_app import WORKER, add_tasks, make_app
from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.contract import GuardContract
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.guards import Armed, Policy, Sink, WriteRefused
from tracer_bullet.model import Context

WAIT_S = 90.0
ROOT = Path(__file__).parents[3]


class Tasks:
    """Tasks that nobody works on, in a queue of their own. What is stored is the first argument of each."""

    name = "celery"
    sink = Sink.MESSAGES
    operation = "PUBLISH orders.write"
    policies = (Policy.NOOP, Policy.SHADOW, Policy.FORWARD, Policy.DENY, Policy.ALLOW)
    patched = ((kombu.Producer, "publish"), (celery.result.AsyncResult, "get"))
    instrumentor = CeleryInstrumentor()

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.settings: dict[str, Any] = {}
        self.queue = broker.queue(durable=True)
        self.app = make_app(broker.url, "cache+memory://", self.queue)
        self._engine = sa.create_engine("sqlite://")
        add_tasks(self.app, self._engine)
        self.app.set_current()  # OpenTelemetry looks for the task there, and makes no span for one it does not find

    def write(self, value: str) -> Any:
        return self.app.tasks["orders.write"].delay(value)

    def read(self) -> Any:
        return None

    def check(self, answer: Any) -> None:
        assert isinstance(answer, celery.result.AsyncResult)
        assert answer.id

    def stored(self) -> list[str]:
        return self._arguments(self.queue)

    def shadowed(self) -> list[str]:
        return self._arguments(f"shadow_{self.queue}")

    def _arguments(self, queue: str) -> list[str]:
        return sorted(json.loads(body)[0][0] for body in self._broker.bodies(queue))

    def close(self) -> None:
        self.app.close()
        self._engine.dispose()


class TestContract(GuardContract):
    @pytest.fixture
    def subject(self, broker: Broker) -> Iterator[Tasks]:
        found = Tasks(broker)
        yield found
        found.close()


def bullet(armed: Armed, token: str = "t", run_id: str = "run-1") -> AbstractContextManager[None]:
    return entered(Scope(Context(run_id=run_id, token=token), armed, linger_s=0.0, trace_id="a" * 32))


@dataclass
class Worker:
    """A real worker process, and its callers' view of it."""

    app: celery.Celery
    engine: sa.Engine
    queue: str
    spans_file: Path
    log: Path

    @property
    def spans(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.spans_file.read_text().splitlines()]

    def having(self, attribute: str) -> list[dict[str, Any]]:
        return [span for span in self.spans if attribute in span["attributes"]]

    def stored(self) -> list[str]:
        with self.engine.connect() as connection:
            return [value for (value,) in connection.execute(sa.text("SELECT value FROM orders ORDER BY value"))]


@pytest.fixture(scope="module", params=["solo", "prefork", "threads"])
def worker(
    request: pytest.FixtureRequest, rabbitmq: RabbitServer, jwks: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("celery")
    database = f"sqlite:///{folder / 'orders.db'}"
    engine = sa.create_engine(database)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE orders (value TEXT)"))
    queue = rabbitmq.new_name(f"tasks-{request.param}")
    broker, backend = rabbitmq.url.replace("amqp://", "pyamqp://"), f"db+sqlite:///{folder / 'results.db'}"
    app = make_app(broker, backend, queue)
    add_tasks(app, engine)
    results = sa.create_engine(f"sqlite:///{folder / 'results.db'}")
    ResultModelBase.metadata.create_all(results)  # two processes that begin at once may both try to
    results.dispose()
    settings = {
        "broker": broker,
        "backend": backend,
        "queue": queue,
        "database": database,
        "spans": str(folder / "spans"),
        "guards": {"keys": jwks, "messages": "forward"},
    }
    found = Worker(app, engine, queue, folder / "spans", folder / "log")
    command = [sys.executable, "-m", "celery", "-A", "tests.unit.guards.celery_app", "worker"]
    # One at a time: a second attempt that overtakes the first has its result overwritten, by Celery itself.
    options = ["-P", request.param, "-c", "1", "-l", "INFO", "--without-gossip", "--without-mingle"]
    with found.log.open("wb") as log:
        process = subprocess.Popen(
            [*command, *options, "-n", f"{queue}@localhost"],
            cwd=ROOT,
            env={**os.environ, WORKER: json.dumps(settings)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield found
    finally:
        sys.stderr.write(found.log.read_text(errors="replace")[-6000:])
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20.0)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        app.close()
        engine.dispose()


@pytest.fixture
def send(worker: Worker, arm_service: Callable[..., Armed], make_token: Callable[..., str]) -> Callable[..., Any]:
    """Sends a task or a canvas as a bullet's, by a service that forwards; its result, fetched by a stranger."""
    armed = arm_service(messages="forward")

    def run(what: Any, *, run_id: str = "run-1", token: str = "", **options: Any) -> Any:
        with bullet(armed, token or make_token(run_id=run_id), run_id):
            return what.apply_async(**options)

    return run


def test_a_forwarded_task_is_the_bullets_in_the_worker(worker: Worker, send: Callable[..., Any]) -> None:
    assert send(worker.app.tasks["orders.whoami"]).get(timeout=WAIT_S) == "run-1"
    assert worker.app.tasks["orders.whoami"].delay().get(timeout=WAIT_S) is None, "a customer's is a customer's"


def test_its_writes_are_rolled_back_and_a_customers_are_kept(worker: Worker, send: Callable[..., Any]) -> None:
    task = worker.app.tasks["orders.write"]
    before = worker.stored()
    assert send(task, args=("bullet",)).get(timeout=WAIT_S) == "run-1"
    assert task.delay("customer").get(timeout=WAIT_S) is None
    assert worker.stored() == sorted([*before, "customer"])
    decided = [span["attributes"] for span in worker.having("tb.guard.decision")]
    assert ("rolled_back", "INSERT orders") in [(a["tb.guard.decision"], a["tb.guard.operation"]) for a in decided]


def test_a_chain_carries_the_flag_on(worker: Worker, send: Callable[..., Any]) -> None:
    tasks = worker.app.tasks
    canvas = celery.chain(tasks["orders.follow"].s([]), tasks["orders.follow"].s(), tasks["orders.follow"].s())
    assert send(canvas).get(timeout=WAIT_S) == ["run-1"] * 3


def test_a_group_does(worker: Worker, send: Callable[..., Any]) -> None:
    canvas = celery.group(worker.app.tasks["orders.whoami"].s() for _ in range(3))
    assert send(canvas).get(timeout=WAIT_S) == ["run-1"] * 3


def test_a_retry_keeps_it(worker: Worker, send: Callable[..., Any]) -> None:
    assert send(worker.app.tasks["orders.flaky"]).get(timeout=WAIT_S) == [1, "run-1"]


def test_a_task_without_proof_is_revoked_and_not_run(worker: Worker, send: Callable[..., Any]) -> None:
    before = worker.stored()
    result = send(worker.app.tasks["orders.write"], args=("forged",), token="forged")
    with pytest.raises(TaskRevokedError, match="tracer bullet refused"):
        result.get(timeout=WAIT_S)
    assert worker.stored() == before
    assert any(span["attributes"]["tb.refused"] for span in worker.having("tb.refused"))


def test_a_task_whose_token_expires_before_its_time_is_refused(
    worker: Worker, send: Callable[..., Any], make_token: Callable[..., str]
) -> None:
    # Verification allows a skew of 60 s: what was minted long ago expires two seconds from now.
    token = make_token(now_s=int(time.time()) - 100, lifetime_s=100 - 60 + 2)
    result = send(worker.app.tasks["orders.whoami"], token=token, countdown=4)
    with pytest.raises(TaskRevokedError, match="expired"):
        result.get(timeout=WAIT_S)


def test_a_failing_task_tells_its_caller(worker: Worker, send: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="as it should"):
        send(worker.app.tasks["orders.fails"]).get(timeout=WAIT_S)


def test_the_trace_goes_through_the_worker(worker: Worker, send: Callable[..., Any], telemetry: Telemetry) -> None:
    send(worker.app.tasks["orders.whoami"], run_id="run-trace").get(timeout=WAIT_S)
    (published,) = telemetry.having("tb.guard.decision", "forwarded")
    trace_id = f"0x{published.context.trace_id:032x}"
    deadline = time.monotonic() + WAIT_S
    while True:  # the seal comes after the result
        found = [s for s in worker.spans if s["attributes"].get("tb.run") == "run-trace"]
        if any("tb.sealed_spans" in s["attributes"] for s in found) or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    assert {s["context"]["trace_id"] for s in found} == {trace_id}
    (seal,) = [s for s in found if "tb.sealed_spans" in s["attributes"]]
    scope = seal["attributes"]["tb.scope"]
    inside = [s for s in found if s is not seal and s["attributes"].get("tb.scope") == scope]
    assert seal["attributes"]["tb.sealed_spans"] == len(inside) > 0


@pytest.fixture
def tasks(broker: Broker) -> Iterator[celery.Celery]:
    """Tasks that no worker takes."""
    app = make_app(broker.url, "rpc://", broker.queue(durable=True))
    engine = sa.create_engine("sqlite://")
    add_tasks(app, engine)
    yield app
    with contextlib.suppress(AttributeError):  # it was never started
        app.backend.result_consumer.stop()
    app.close()
    engine.dispose()


def test_results_of_what_was_not_sent_do_not_hang(
    tasks: celery.Celery, arm_service: Callable[..., Armed], telemetry: Telemetry
) -> None:
    whoami, follow = tasks.tasks["orders.whoami"], tasks.tasks["orders.follow"]
    with bullet(arm_service()):
        result = whoami.delay()
        assert (result.get(), result.state, result.ready(), result.successful()) == (None, "SUCCESS", True, True)
        assert celery.chain(follow.s([]), follow.s(), follow.s()).delay().get() is None
        assert celery.group(whoami.s(), whoami.s()).delay().get() == [None, None]
    assert {decision for decision, _ in telemetry.decisions} == {"suppressed"}
    assert telemetry.decisions.count(("suppressed", "PUBLISH orders.whoami")) == 3
    assert telemetry.decisions.count(("suppressed", "PUBLISH orders.follow")) == 1


def test_an_eager_task_is_part_of_its_caller(tasks: celery.Celery, arm_service: Callable[..., Armed]) -> None:
    with bullet(arm_service()):
        assert tasks.tasks["orders.whoami"].apply().get() == "run-1"


def test_what_kombu_does_to_queues_is_refused(broker: Broker, arm_service: Callable[..., Armed]) -> None:
    armed = arm_service()
    with kombu.Connection(broker.url) as connection:
        queue = kombu.Queue(broker.name(), kombu.Exchange(""), channel=connection.channel())
        with bullet(armed):
            for call in (queue.declare, queue.purge, queue.delete, queue.get):
                with pytest.raises(WriteRefused):
                    call()
        assert not broker.exists(queue.name)
        queue.declare()
        with bullet(armed):
            queue.declare()  # known now: nothing changes
        queue.delete()


def test_kombu_messages_that_are_no_tasks(
    broker: Broker, arm_service: Callable[..., Armed], telemetry: Telemetry
) -> None:
    queue = broker.queue()
    armed = arm_service()
    with kombu.Connection(broker.url) as connection, bullet(armed):
        connection.Producer().publish({"id": 1}, routing_key=queue, exchange="")
    assert broker.peek(queue) == []
    assert telemetry.decisions == [("suppressed", f"PUBLISH {queue}")]
