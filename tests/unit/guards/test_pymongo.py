"""Claim: nothing that a bullet sends to MongoDB changes it, and the driver gets answers that it can parse.

The server is not MongoDB (see tests/servers/mongo.py): transactions and the commands of MongoDB 8
never reach one here.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

import bson
import gridfs
import pytest
from opentelemetry.instrumentation.pymongo import PymongoInstrumentor
from pymongo import (
    AsyncMongoClient,
    MongoClient,
    ReturnDocument,
    monitoring,
)
from pymongo.asynchronous.pool import AsyncConnection
from pymongo.synchronous.pool import Connection

from tests.servers.mongo import MongoServer
from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.contract import GuardContract
from tests.unit.guards.mongo_service import bullet, fill, run_server
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.guards import Armed, Policy, Rule, Sink, WriteRefused
from tracer_bullet.guards.documents.message import OP_MSG, read
from tracer_bullet.model import Context, RequestType


@pytest.fixture(scope="module")
def server() -> Iterator[MongoServer]:
    with run_server() as found:
        yield found


@pytest.fixture(autouse=True)
def empty(server: MongoServer) -> None:
    with server.client() as client:
        for name in client.list_database_names():
            client.drop_database(name)


@pytest.fixture
def client(server: MongoServer) -> Iterator[MongoClient[Any]]:
    with server.client() as found:
        found.admin.command("ping")
        yield found


class Instrumentor:
    """OpenTelemetry's, whose listener otherwise keeps the provider that it was first given."""

    def instrument(self, tracer_provider: Any) -> None:
        PymongoInstrumentor().instrument(tracer_provider=tracer_provider)

    def uninstrument(self) -> None:
        theirs = PymongoInstrumentor()
        theirs.uninstrument()
        monitoring._LISTENERS.command_listeners.remove(theirs._commandtracer_instance)
        theirs._commandtracer_instance = None


@dataclass
class Subject:
    """Sync. A client for each call, since listeners are taken over when a client is made."""

    server: MongoServer
    name: str = "pymongo"
    sink: Sink = Sink.DOCUMENTS
    operation: str = "INSERT orders"
    policies: tuple[Policy, ...] = (Policy.NOOP, Policy.SHADOW, Policy.DENY, Policy.ALLOW)
    patched: tuple[tuple[Any, str], ...] = ((Connection, "send_message"), (AsyncConnection, "send_message"))
    settings: dict[str, Any] = field(default_factory=dict)
    instrumentor: Any = field(default_factory=Instrumentor)

    def write(self, value: str) -> Any:
        with self.server.client() as client:
            return client.shop.orders.insert_one({"_id": value})

    def read(self) -> Any:
        with self.server.client() as client:
            return [list(client.shop.orders.find()), client.shop.orders.count_documents({})]

    def check(self, answer: Any) -> None:
        assert answer.acknowledged
        assert answer.inserted_id in ("bullet", "customer")

    def stored(self) -> list[str]:
        with self.server.client() as stranger:
            return sorted(d["_id"] for d in stranger.shop.orders.find())

    def shadowed(self) -> list[str]:
        with self.server.client() as stranger:
            return sorted(d["_id"] for d in stranger.shop.shadow_orders.find())


class AsyncSubject(Subject):
    """The same by AsyncMongoClient."""

    def write(self, value: str) -> Any:
        return self._run(lambda client: client.shop.orders.insert_one({"_id": value}))

    def read(self) -> Any:
        return self._run(lambda client: client.shop.orders.find().to_list())

    def _run(self, call: Callable[[AsyncMongoClient[Any]], Coroutine[Any, Any, Any]]) -> Any:
        async def run() -> Any:
            async with AsyncMongoClient(self.server.url) as client:
                return await call(client)

        return asyncio.run(run())


class TestSync(GuardContract):
    @pytest.fixture
    def subject(self, server: MongoServer) -> Subject:
        return Subject(server)


class TestAsync(GuardContract):
    @pytest.fixture
    def subject(self, server: MongoServer) -> AsyncSubject:
        return AsyncSubject(server)


Call = Callable[[Any], Any]


class TestRefusals:
    @pytest.mark.parametrize(
        ("call", "operation"),
        [
            (lambda c: c.drop_database("shop"), "DROPDATABASE"),
            (lambda c: c.admin.command("shutdown"), "SHUTDOWN"),
            (lambda c: c.admin.command("setParameter", 1, logLevel=1), "SETPARAMETER"),
            (lambda c: c.shop.command("createUser", "eve", pwd="x", roles=[]), "CREATEUSER eve"),
            (lambda c: c.shop.command("newCommand", "orders"), "NEWCOMMAND orders"),
            (
                lambda c: c.shop.command("mapReduce", "orders", map="m", reduce="r", out="copy"),
                "MAPREDUCE orders",
            ),
            (
                lambda c: c.shop.orders.find_one_and_update(
                    {"_id": 1}, {"$push": {"a": 1}}, return_document=ReturnDocument.AFTER
                ),
                "FINDANDMODIFY orders",
            ),
        ],
    )
    def test_what_cannot_be_answered_is_refused_and_said_to_be(
        self,
        call: Call,
        operation: str,
        server: MongoServer,
        client: MongoClient[Any],
        arm_service: Callable[..., Armed],
        telemetry: Telemetry,
    ) -> None:
        fill(client)
        before = server.dump()
        with bullet(arm_service()):
            with pytest.raises(WriteRefused):
                call(client)
            assert client.shop.orders.count_documents({}) == 3, "the pool goes on"
        assert server.dump() == before
        assert telemetry.decisions == [("denied", operation)]

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"short",
            struct.pack("<iiii", 16, 1, 0, 2002),
            struct.pack("<iiii", 16, 1, 0, OP_MSG),
            struct.pack("<iiiiI", 20, 1, 0, OP_MSG, 0),
            struct.pack("<iiiiI", 0, 1, 0, 2004, 0) + b"shop.orders\0" + bytes(8) + bson.encode({"insert": "x"}),
            struct.pack("<iiiiI", 0, 1, 0, 2004, 0) + b"admin.$cmd\0" + bytes(8) + bson.encode({"drop": "x"}),
        ],
    )
    def test_a_message_that_cannot_be_read_is_not_sent(self, data: bytes) -> None:
        with pytest.raises(WriteRefused):
            read(data)

    def test_a_greeting_in_the_old_form_is_read(self) -> None:
        greeting = b"admin.$cmd\0" + bytes(8) + bson.encode({"ismaster": 1})
        assert read(struct.pack("<iiiiI", 0, 1, 0, 2004, 0) + greeting) is None


class TestTransactions:
    def test_a_transaction_never_begins(
        self, server: MongoServer, client: MongoClient[Any], arm_service: Callable[..., Armed], telemetry: Telemetry
    ) -> None:
        fill(client)
        before = server.dump()
        with bullet(arm_service()), client.start_session() as session:
            with session.start_transaction():
                client.shop.orders.insert_one({"_id": 9}, session=session)
                assert client.shop.orders.find_one({"_id": 1}, session=session)["n"] == 1
                assert (
                    client.shop.orders.update_one({"_id": 1}, {"$set": {"n": 3}}, session=session).modified_count == 1
                )
            session.start_transaction()
            client.shop.orders.delete_many({}, session=session)
            session.abort_transaction()
        assert server.dump() == before
        assert [operation for _, operation in telemetry.decisions] == [
            "INSERT orders",
            "UPDATE orders",
            "DELETE orders",
        ]

    def test_a_rule_cannot_let_one_write_of_it_through(
        self, server: MongoServer, client: MongoClient[Any], arm_service: Callable[..., Armed]
    ) -> None:
        armed = arm_service(rules=(Rule(sink="documents", operation="INSERT log", policy="allow"),))
        with bullet(armed), client.start_session() as session:
            client.shop.log.insert_one({"_id": 1})
            session.start_transaction()
            with pytest.raises(WriteRefused, match="writes of its transaction"):
                client.shop.log.insert_one({"_id": 2}, session=session)
            session.abort_transaction()
        with server.client() as stranger:
            assert stranger.shop.log.count_documents({}) == 1


class TestShadow:
    @pytest.fixture
    def armed(self, arm_service: Callable[..., Armed]) -> Armed:
        return arm_service(documents="shadow")

    def test_a_bullet_reads_what_it_wrote(
        self, server: MongoServer, client: MongoClient[Any], armed: Armed, telemetry: Telemetry
    ) -> None:
        fill(client)
        before = server.dump()
        with bullet(armed):
            assert client.shop.orders.find_one({"_id": 1})["n"] == 1, "nothing is shadowed yet"
            client.shop.orders.insert_many([{"_id": i, "n": 5} for i in range(100, 300)])
            assert client.shop.orders.update_many({"n": 5}, {"$set": {"n": 6}}).modified_count == 200
            assert len(client.shop.orders.find({"n": 6}, batch_size=20).to_list()) == 200
            assert client.shop.orders.distinct("n") == [6]
            assert client.shop.orders.aggregate([{"$count": "n"}]).to_list() == [{"n": 200}]
            client.shop.orders.create_index("x")
            assert "x_1" in client.shop.orders.index_information()
        with bullet(armed):
            assert client.shop.orders.count_documents({}) == 200, "the shadow is there for other requests"
            assert list(client.shop.orders.aggregate([{"$limit": 1}, {"$out": "copy"}])) == []
            assert client.shop.copy.count_documents({}) == 1
            assert list(client.shop.orders.aggregate([{"$limit": 1}, {"$merge": {"into": "merged"}}])) == []
            client.shop.orders.drop()
            assert client.shop.orders.count_documents({}) == 0, "for this request it is empty"
        with bullet(armed):
            assert client.shop.orders.count_documents({}) == 3, "and then it is not"
        after = {name: found for name, found in server.dump().items() if ".shadow_" not in name}
        assert after == before
        assert sorted(n for n in server.dump() if ".shadow_" in n) == ["shop.shadow_copy", "shop.shadow_merged"]
        assert {decision for decision, _ in telemetry.decisions} == {"shadowed"}

    def test_gridfs(self, server: MongoServer, client: MongoClient[Any], armed: Armed) -> None:
        with bullet(armed):
            files = gridfs.GridFS(client.shop)
            assert files.get(files.put(b"x" * 500_000)).read() == b"x" * 500_000
        assert sorted(server.dump()) == ["shop.shadow_fs.chunks", "shop.shadow_fs.files"]

    @pytest.mark.parametrize(
        "call",
        [
            lambda c: c.drop_database("shop"),
            lambda c: c.shop.orders.rename("other"),
            lambda c: c.shop.command("mapReduce", "orders", map="m", reduce="r", out="copy"),
            lambda c: c.shop.command("newCommand", "orders"),
        ],
    )
    def test_what_has_no_shadow_is_refused(
        self, call: Call, server: MongoServer, client: MongoClient[Any], armed: Armed, telemetry: Telemetry
    ) -> None:
        fill(client)
        before = server.dump()
        with bullet(armed), pytest.raises(WriteRefused):
            call(client)
        assert server.dump() == before
        assert [decision for decision, _ in telemetry.decisions] == ["denied"]


class TestConnections:
    def test_one_client_of_bullets_and_customers(
        self, server: MongoServer, client: MongoClient[Any], arm_service: Callable[..., Armed]
    ) -> None:
        armed = arm_service()
        errors: list[BaseException] = []

        def work(name: str, *, as_bullet: bool) -> None:
            try:
                for i in range(30):
                    with bullet(armed) if as_bullet else contextlib.nullcontext():
                        client.shop.orders.insert_one({"_id": f"{name}-{i}"})
                        assert client.shop.orders.count_documents({"_id": f"{name}-{i}"}) == (0 if as_bullet else 1)
            except BaseException as error:  # noqa: BLE001  # told by the main thread
                errors.append(error)

        threads = [threading.Thread(target=work, args=(f"k{n}",), kwargs={"as_bullet": n < 3}) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert client.shop.orders.count_documents({}) == 90

    def test_a_tester_without_the_flag_reads_and_is_refused_writes(
        self, client: MongoClient[Any], arm_service: Callable[..., Armed]
    ) -> None:
        client.shop.orders.insert_one({"_id": 1})
        client.shop.shadow_orders.insert_many([{}, {}])
        armed = arm_service(documents="shadow", testers=("tester-1",))
        context = Context(run_id="", token="", request_type=RequestType.STANDARD, user_id="tester-1")
        with entered(Scope(context, armed, linger_s=0.0)):
            assert client.shop.orders.count_documents({}) == 1
            with pytest.raises(WriteRefused, match="tester account"):
                client.shop.orders.insert_one({"_id": 2})
        assert client.shop.orders.count_documents({}) == 1
