"""Claim: a suppressed MongoDB command answers what the server would have; what writes is told by name and arguments."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterator
from typing import Any

import bson
import gridfs
import pytest
from bson import ObjectId
from pymongo import (
    AsyncMongoClient,
    DeleteOne,
    InsertOne,
    MongoClient,
    ReturnDocument,
    UpdateOne,
    WriteConcern,
)
from pymongo.errors import OperationFailure

from tests.servers.mongo import MongoServer
from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.mongo_service import bullet, fill, run_server
from tracer_bullet.guards import Armed, WriteRefused
from tracer_bullet.guards.documents.commands import is_write, operation_of
from tracer_bullet.guards.documents.message import OP_MSG, read, write


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


def outcome(result: Any) -> Any:
    """What calling code sees of a result, without generated ids."""
    if hasattr(result, "bulk_api_result"):
        return {k: v for k, v in result.bulk_api_result.items() if not isinstance(v, list)}
    names = ("inserted_ids", "matched_count", "modified_count", "deleted_count", "upserted_id", "acknowledged")
    shown = {n: getattr(result, n) for n in names if hasattr(result, n)}
    if isinstance(shown.get("upserted_id"), ObjectId):
        shown["upserted_id"] = "an id"
    return shown or result


Call = Callable[[Any], Any]
EXACT: dict[str, Call] = {
    "insert_many": lambda c: c.insert_many([{"_id": 8}, {"_id": 9}]),
    "update_one": lambda c: c.update_one({"n": 2}, {"$set": {"n": 7}}),
    "update_many": lambda c: c.update_many({"n": 2}, {"$set": {"n": 7}}),
    "update nothing": lambda c: c.update_many({"n": 99}, {"$set": {"n": 7}}),
    "upsert new": lambda c: c.update_one({"_id": 77}, {"$set": {"n": 7}}, upsert=True),
    "upsert generated": lambda c: c.update_one({"n": 77}, {"$set": {"x": 7}}, upsert=True),
    "upsert there": lambda c: c.update_one({"_id": 1}, {"$set": {"n": 7}}, upsert=True),
    "replace_one": lambda c: c.replace_one({"_id": 1}, {"n": 7}),
    "delete_one": lambda c: c.delete_one({"n": 2}),
    "delete_many": lambda c: c.delete_many({"n": 2}),
    "delete nothing": lambda c: c.delete_many({"n": 99}),
    "bulk": lambda c: c.bulk_write(
        [InsertOne({"_id": 10}), UpdateOne({"_id": 1}, {"$set": {"n": 9}}), DeleteOne({"n": 2})], ordered=False
    ),
    "find and update": lambda c: c.find_one_and_update({"n": 2}, {"$set": {"n": 7}}, sort=[("_id", -1)]),
    "find and update after": lambda c: c.find_one_and_update(
        {"_id": 1}, {"$inc": {"n": 5, "a.b": 1}, "$unset": {"s": 1}}, return_document=ReturnDocument.AFTER
    ),
    "find and upsert after": lambda c: c.find_one_and_update(
        {"_id": 50, "k": "x"}, {"$inc": {"n": 5}}, upsert=True, return_document=ReturnDocument.AFTER
    ),
    "find and update projected": lambda c: c.find_one_and_update({"_id": 1}, {"$set": {"n": 7}}, {"s": 1, "_id": 0}),
    "find and update excluded": lambda c: c.find_one_and_update({"_id": 1}, {"$set": {"n": 7}}, {"s": 0}),
    "find and replace": lambda c: c.find_one_and_replace({"_id": 1}, {"x": 1}, return_document=ReturnDocument.AFTER),
    "find and update nothing": lambda c: c.find_one_and_update({"_id": 99}, {"$set": {"n": 7}}),
    "find and delete": lambda c: c.find_one_and_delete({"_id": 1}),
    "find and delete nothing": lambda c: c.find_one_and_delete({"_id": 99}),
    "create_index": lambda c: c.create_index([("n", 1), ("s", -1)]),
    "drop_index": lambda c: c.drop_index("s_1"),
    "drop": lambda c: c.drop(),
    "aggregate out": lambda c: c.aggregate([{"$match": {"n": 2}}, {"$out": "copy"}]).to_list(),
    "aggregate merge": lambda c: c.aggregate([{"$merge": {"into": "copy"}}]).to_list(),
    "create": lambda c: c.database.create_collection("fresh").name,
}


class TestAnswers:
    @pytest.mark.parametrize("name", EXACT)
    def test_they_are_what_the_server_would_have_said(
        self,
        name: str,
        server: MongoServer,
        client: MongoClient[Any],
        arm_service: Callable[..., Armed],
        telemetry: Telemetry,
    ) -> None:
        fill(client)
        before = server.dump()
        armed = arm_service()
        with bullet(armed):
            guarded = outcome(EXACT[name](client.shop.orders))
        assert server.dump() == before
        assert {decision for decision, _ in telemetry.decisions} == {"suppressed"}
        real = outcome(EXACT[name](client.shop.orders))
        assert guarded == real

    def test_an_unacknowledged_write_is_not_sent_and_not_waited_for(
        self, server: MongoServer, client: MongoClient[Any], arm_service: Callable[..., Armed], telemetry: Telemetry
    ) -> None:
        fill(client)
        before = server.dump()
        orders = client.shop.get_collection("orders", write_concern=WriteConcern(w=0))
        with bullet(arm_service()):
            assert not orders.insert_one({"_id": 9}).acknowledged
            assert not orders.delete_many({}).acknowledged
            orders.bulk_write([InsertOne({"_id": 10})])
            assert client.shop.orders.count_documents({}) == 3
        pools = [one.pool for one in client._topology._servers.values()]
        assert all("receive_message" not in vars(connection) for pool in pools for connection in pool.conns)
        assert server.dump() == before
        assert [operation for _, operation in telemetry.decisions] == [
            "INSERT orders",
            "DELETE orders",
            "INSERT orders",
        ]

    def test_gridfs(self, server: MongoServer, client: MongoClient[Any], arm_service: Callable[..., Armed]) -> None:
        with bullet(arm_service()):
            gridfs.GridFS(client.shop).put(b"x" * 500_000, filename="big")
        assert server.dump() == {}

    def test_a_servers_error_is_the_clients(self, client: MongoClient[Any], arm_service: Callable[..., Armed]) -> None:
        fill(client)
        with bullet(arm_service()), pytest.raises(OperationFailure):
            client.shop.orders.delete_many({"n": {"$nonsense": 1}})

    def test_a_batch_counts_its_writes(
        self, client: MongoClient[Any], arm_service: Callable[..., Armed], telemetry: Telemetry
    ) -> None:
        with bullet(arm_service()):
            client.shop.orders.insert_many([{} for _ in range(5)])
        (span,) = telemetry.having("tb.guard.decision")
        assert (span.attributes or {})["tb.guard.count"] == 5
        assert (span.attributes or {})["db.collection.name"] == "orders"

    def test_cursors_of_several_batches(
        self, server: MongoServer, client: MongoClient[Any], arm_service: Callable[..., Armed], telemetry: Telemetry
    ) -> None:
        client.shop.orders.insert_many([{"_id": i} for i in range(250)])
        for policy in ("noop", "shadow"):
            with bullet(arm_service(documents=policy)):
                assert len(client.shop.orders.find(batch_size=20).to_list()) == 250
                assert len(client.shop.orders.aggregate([{"$match": {}}], batchSize=20).to_list()) == 250
        assert telemetry.decisions == []

    @pytest.mark.parametrize("compressor", ["zlib"])
    def test_a_compressed_message(
        self, compressor: str, server: MongoServer, arm_service: Callable[..., Armed]
    ) -> None:
        with server.client(compressors=compressor) as client, bullet(arm_service()):
            client.shop.orders.insert_one({"_id": 1})
        assert server.dump() == {}

    def test_the_async_client(
        self, server: MongoServer, client: MongoClient[Any], arm_service: Callable[..., Armed]
    ) -> None:
        fill(client)
        before = server.dump()

        async def run() -> None:
            async with AsyncMongoClient(server.url) as found:
                orders = found.shop.orders
                assert (await orders.update_many({"n": 2}, {"$inc": {"n": 1}})).modified_count == 2
                assert (await orders.delete_one({"n": 2})).deleted_count == 1
                assert (await orders.find_one_and_delete({"_id": 1}))["n"] == 1
                await orders.with_options(write_concern=WriteConcern(w=0)).delete_many({})
                assert (await orders.bulk_write([InsertOne({}), InsertOne({})])).inserted_count == 2
                assert await orders.count_documents({}) == 3
                with pytest.raises(WriteRefused):
                    await found.drop_database("shop")
                assert len(await orders.find(batch_size=2).to_list()) == 3

        with bullet(arm_service()):
            asyncio.run(run())
        assert server.dump() == before


class TestClassification:
    @pytest.mark.parametrize(
        ("command", "writes"),
        [
            ({"find": "orders"}, None),
            ({"getMore": 5, "collection": "orders"}, None),
            ({"aggregate": "orders", "pipeline": [{"$match": {}}]}, None),
            ({"aggregate": 1, "pipeline": [{"$currentOp": {}}]}, None),
            ({"aggregate": "orders", "pipeline": [{"$out": "x"}]}, "AGGREGATE orders"),
            ({"aggregate": "orders", "pipeline": [{"$merge": {"into": "x"}}]}, "AGGREGATE orders"),
            ({"mapReduce": "orders", "out": {"inline": 1}}, None),
            ({"mapReduce": "orders", "out": "x"}, "MAPREDUCE orders"),
            ({"explain": {"delete": "orders"}}, None),
            ({"insert": "orders"}, "INSERT orders"),
            ({"findAndModify": "orders"}, "FINDANDMODIFY orders"),
            ({"bulkWrite": 1, "nsInfo": [{"ns": "shop.orders"}]}, "BULKWRITE orders"),
            ({"dropDatabase": 1}, "DROPDATABASE"),
            ({"whatever": 1}, "WHATEVER"),
            ({"commitTransaction": 1}, None),
        ],
    )
    def test_by_name_and_arguments(self, command: dict[str, Any], writes: str | None) -> None:
        body = bson.encode({**command, "$db": "shop"})
        data = struct.pack("<iiiiIB", 21 + len(body), 7, 0, OP_MSG, 0, 0) + body
        message = read(data)
        assert message is not None
        assert (operation_of(message) if is_write(message) else None) == writes
        assert write(message) == data

    def test_a_message_is_written_as_it_was_read(self) -> None:
        """Also one that nobody waits for, which this test's server cannot take."""
        documents = b"".join(bson.encode({"_id": i, "at": {"x": [i, None, b"z"]}}) for i in range(3))
        sequence = b"documents\0" + documents
        body = bson.encode({"insert": "orders", "writeConcern": {"w": 0}, "$db": "shop"})
        content = struct.pack("<IB", 2, 0) + body + struct.pack("<Bi", 1, len(sequence) + 4) + sequence
        data = struct.pack("<iiii", 16 + len(content), 7, 0, OP_MSG) + content
        message = read(data)
        assert message is not None
        assert message.unacknowledged
        assert len(message.field("documents")) == 3
        assert write(message) == data
