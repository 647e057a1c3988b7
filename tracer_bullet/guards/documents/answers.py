"""What a suppressed MongoDB command answers: counts from a read of what it would have changed, else plain success.

Each answer is a generator: it yields commands to read by, takes the server's replies, and returns
the reply to give. Nothing is applied, so a bullet does not find later what it wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, Final

from tracer_bullet.guards.documents.commands import collection_of, last_stage, operation_of
from tracer_bullet.guards.documents.message import Message, plain
from tracer_bullet.guards.policy import WriteRefused

Document = dict[str, Any]
Answering = Generator[Document, Mapping[str, Any], Document]
"""Yields commands that only read, takes their replies, returns the reply to the client."""

_CARRIED: Final = ("collation", "hint")


class ServerError(Exception):
    """The server's own error to a read; the client gets it as the reply to its command. `reply` is that."""

    def __init__(self, reply: Mapping[str, Any]) -> None:
        super().__init__(str(reply.get("errmsg", "")))
        self.reply = dict(reply)


def answer(message: Message) -> Answering:
    """The reply to a write that is not sent. Raises WriteRefused when none can be inferred."""
    make = _ANSWERS.get(message.name.lower())
    if make is None:
        raise WriteRefused(operation_of(message), "no answer can be inferred for a command that is not sent")
    try:
        return (yield from make(message))
    except ServerError as error:
        return error.reply


def _ask(command: Document) -> Answering:
    reply = yield command
    if not reply.get("ok"):
        raise ServerError(reply)
    return dict(reply)


def _insert(message: Message) -> Answering:
    yield from ()
    return {"n": len(message.field("documents") or ()), "ok": 1.0}


def _count(message: Message, change: Mapping[str, Any], *, one: bool) -> Generator[Document, Mapping[str, Any], int]:
    command: Document = {"count": collection_of(message), "query": change["q"]}
    command.update({name: change[name] for name in _CARRIED if name in change})
    if one:
        command["limit"] = 1
    found = yield from _ask(command)
    return int(found["n"])


def _update(message: Message) -> Answering:
    matched, modified, upserted = 0, 0, []
    for index, raw in enumerate(message.field("updates") or ()):
        change = plain(raw)
        found = yield from _count(message, change, one=not change.get("multi"))
        matched += found
        modified += found
        if not found and change.get("upsert"):
            matched += 1
            upserted.append({"index": index, "_id": _new_id(change["q"], change["u"])})
    reply: Document = {"n": matched, "nModified": modified, "ok": 1.0}
    return {**reply, "upserted": upserted} if upserted else reply


def _delete(message: Message) -> Answering:
    deleted = 0
    for raw in message.field("deletes") or ():
        change = plain(raw)
        deleted += yield from _count(message, change, one=change.get("limit") == 1)
    return {"n": deleted, "ok": 1.0}


def _find_and_modify(message: Message) -> Answering:
    body = {name: plain(value) for name, value in message.body.items()}
    query = body.get("query") or {}
    command: Document = {"find": collection_of(message), "filter": query, "limit": 1, "singleBatch": True}
    command.update({name: body[name] for name in ("sort", *_CARRIED, "let") if name in body})
    reply = yield from _ask(command)
    batch = reply["cursor"]["firstBatch"]
    found: Document | None = dict(batch[0]) if batch else None
    if body.get("remove"):
        return _modified(found, _projected(found, body), {"n": int(found is not None)})
    update = body.get("update") or {}
    if found is None and not body.get("upsert"):
        return _modified(None, None, {"n": 0, "updatedExisting": False})
    state: Document = {"n": 1, "updatedExisting": found is not None}
    before = found
    if before is None:
        state["upserted"] = _new_id(query, update)
        before = {"_id": state["upserted"], **{k: v for k, v in query.items() if _is_equality(k, v)}}
    after = _applied(message, before, update, inserting=found is None) if body.get("new") else found
    return _modified(found, _projected(after, body), state)


def _modified(_found: Document | None, value: Document | None, state: Document) -> Document:
    return {"lastErrorObject": state, "value": value, "ok": 1.0}


def _projected(document: Document | None, body: Mapping[str, Any]) -> Document | None:
    """Plain inclusions and exclusions of top-level fields; other projections show the whole document."""
    fields = body.get("fields") or {}
    if document is None or not fields or any("." in f or not isinstance(v, (bool, int)) for f, v in fields.items()):
        return document
    with_id = bool(fields.get("_id", True))
    rest = {name: bool(wanted) for name, wanted in fields.items() if name != "_id"}
    if any(rest.values()):
        return {k: v for k, v in document.items() if rest.get(k) or (k == "_id" and with_id)}
    return {k: v for k, v in document.items() if k not in rest and (k != "_id" or with_id)}


def _is_equality(field: str, value: Any) -> bool:
    compares = isinstance(value, dict) and any(name.startswith("$") for name in value)
    return not field.startswith("$") and "." not in field and not compares


def _new_id(query: Mapping[str, Any], update: Any) -> Any:
    from bson import ObjectId  # noqa: PLC0415  # only where the service uses it

    if "_id" in query and _is_equality("_id", query["_id"]):
        return query["_id"]
    sources = [update, update.get("$setOnInsert") or {}, update.get("$set") or {}] if isinstance(update, dict) else []
    return next((source["_id"] for source in sources if "_id" in source), ObjectId())


def _applied(message: Message, document: Document, update: Any, *, inserting: bool) -> Document:
    """What a document would have become, where that is plain to see."""
    if isinstance(update, dict) and not any(name.startswith("$") for name in update):
        return {"_id": document["_id"], **update}
    known = {"$set": _set, "$inc": _inc, "$unset": _unset, "$setOnInsert": _set if inserting else None}
    if not isinstance(update, dict) or not set(update) <= set(known):
        raise WriteRefused(operation_of(message), "what the document would have become cannot be inferred")
    after: Document = _copy(document)
    for operator, fields in update.items():
        apply = known[operator]
        for path, value in (fields or {}).items():
            if "$" in path:
                raise WriteRefused(operation_of(message), "what the document would have become cannot be inferred")
            if apply is not None:
                apply(message, *_parent(message, after, path), value)
    return after


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _copy(v) for k, v in value.items()}
    return [_copy(v) for v in value] if isinstance(value, list) else value


def _parent(message: Message, document: Document, path: str) -> tuple[Document, str]:
    *way, last = path.split(".")
    at = document
    for name in way:
        at = at.setdefault(name, {})
        if not isinstance(at, dict):
            raise WriteRefused(operation_of(message), "what the document would have become cannot be inferred")
    return at, last


def _set(_message: Message, at: Document, name: str, value: Any) -> None:
    at[name] = value


def _inc(message: Message, at: Document, name: str, value: Any) -> None:
    old = at.get(name, 0)
    if not isinstance(old, (int, float)) or not isinstance(value, (int, float)):
        raise WriteRefused(operation_of(message), "what the document would have become cannot be inferred")
    at[name] = old + value


def _unset(_message: Message, at: Document, name: str, _value: Any) -> None:
    at.pop(name, None)


def _aggregate(message: Message) -> Answering:
    assert last_stage(message) is not None  # noqa: S101  # only writing ones come here
    yield from ()
    space = f"{message.body.get('$db', '')}.{collection_of(message)}"
    return {"cursor": {"id": 0, "ns": space, "firstBatch": []}, "ok": 1.0}


def _create_indexes(message: Message) -> Answering:
    yield from ()
    wanted = len(message.field("indexes") or ())
    return {"numIndexesBefore": 1, "numIndexesAfter": 1 + wanted, "createdCollectionAutomatically": False, "ok": 1.0}


def _drop_indexes(_message: Message) -> Answering:
    yield from ()
    return {"nIndexesWas": 1, "ok": 1.0}


def _drop(message: Message) -> Answering:
    yield from ()
    return {"ns": f"{message.body.get('$db', '')}.{collection_of(message)}", "nIndexesWas": 1, "ok": 1.0}


def _done(_message: Message) -> Answering:
    yield from ()
    return {"ok": 1.0}


_ANSWERS: Final[dict[str, Callable[[Message], Answering]]] = {
    "insert": _insert,
    "update": _update,
    "delete": _delete,
    "findandmodify": _find_and_modify,
    "aggregate": _aggregate,
    "create": _done,
    "collmod": _done,
    "createindexes": _create_indexes,
    "dropindexes": _drop_indexes,
    "drop": _drop,
    "renamecollection": _done,
}
