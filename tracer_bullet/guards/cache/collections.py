"""What suppressed commands on lists, sets, sorted sets, places and streams answer; see `redis_answers.py`."""

from __future__ import annotations

import time
from typing import Any, Final

from tracer_bullet.guards.cache.commands import Command
from tracer_bullet.guards.cache.steps import (
    Answer,
    constant,
    count_missing,
    count_present,
    distinct,
    ok,
    options_of,
    raise_error,
    size,
)
from tracer_bullet.guards.cache.wire import Step, Wire


def _pushx(command: Command) -> Step:
    return Step(((b"LLEN", command[1]),), lambda r, _: r[0] + len(command) - 2 if r[0] else 0)


def _pop(*, left: bool) -> Answer:
    def make(command: Command) -> Step:
        if len(command) < 3:
            return Step(((b"LINDEX", command[1], b"0" if left else b"-1"),))
        return Step(
            (_list_end(command[1], int(command[2]), left=left),), lambda r, _: (r[0] if left else r[0][::-1]) or None
        )

    return make


def _list_end(key: bytes, count: int, *, left: bool) -> Command:
    if count < 1:
        return (b"LRANGE", key, b"1", b"0")  # nothing
    return (b"LRANGE", key, b"0", b"%d" % (count - 1)) if left else (b"LRANGE", key, b"%d" % -count, b"-1")


def _lrem(command: Command) -> Step:
    count = int(command[2])
    rank = (b"RANK", b"-1") if count < 0 else ()
    return Step(((b"LPOS", command[1], command[3], *rank, b"COUNT", b"%d" % abs(count)),), size)


def _lset(command: Command) -> Step:
    def finish(replies: list[Any], wire: Wire) -> Any:
        if replies[1] is None:
            raise_error("index out of range" if replies[0] else "no such key")
        return wire.text(b"OK")

    return Step(((b"LLEN", command[1]), (b"LINDEX", command[1], command[2])), finish)


def _linsert(command: Command) -> Step:
    def finish(replies: list[Any], _wire: Wire) -> int:
        length, found = replies
        return length + 1 if found is not None else (-1 if length else 0)

    return Step(((b"LLEN", command[1]), (b"LPOS", command[1], command[3])), finish)


def _move(command: Command) -> Step:
    """LMOVE and its blocking form: source, destination, which end it is taken from."""
    return Step(((b"LINDEX", command[1], b"0" if command[3].upper() == b"LEFT" else b"-1"),))


def _blocking_pop(*, left: bool) -> Answer:
    """The first list that has something; none is waited for."""

    def make(command: Command) -> Step:
        keys = command[1:-1]

        def finish(replies: list[Any], wire: Wire) -> Any:
            return next(([wire.text(k), r] for k, r in zip(keys, replies, strict=True) if r is not None), None)

        return Step(tuple((b"LINDEX", key, b"0" if left else b"-1") for key in keys), finish)

    return make


def _many(command: Command, first: int) -> tuple[Command, bytes, int]:
    """Keys, direction and count of `numkeys key … WHERE [COUNT n]`, whose numkeys is at `first`."""
    keys = command[first + 1 : first + 1 + int(command[first])]
    rest = command[first + 1 + len(keys) :]
    return keys, rest[0].upper(), int(rest[2]) if len(rest) > 2 else 1


def _list_pops(first: int) -> Answer:
    def make(command: Command) -> Step:
        keys, where, count = _many(command, first)
        left = where == b"LEFT"

        def finish(replies: list[Any], wire: Wire) -> Any:
            found = next(((k, r) for k, r in zip(keys, replies, strict=True) if r), None)
            return found and [wire.text(found[0]), found[1] if left else found[1][::-1]]

        return Step(tuple(_list_end(key, count, left=left) for key in keys), finish)

    return make


def _spop(command: Command) -> Step:
    return Step(((b"SRANDMEMBER", *command[1:3]),))


def _ones(replies: list[Any], _wire: Wire) -> int:
    return int(sum(replies[0]))


def _zeros(replies: list[Any], _wire: Wire) -> int:
    return sum(one == 0 for one in replies[0])


def _store(read: bytes) -> Answer:
    """`…STORE destination rest…`: the size of what the reading form finds."""
    return lambda command: Step(((read, *command[2:]),), size)


def _zadd(command: Command) -> Step:
    at = 2
    while command[at].upper() in (b"NX", b"XX", b"GT", b"LT", b"CH", b"INCR"):
        at += 1
    options = options_of(command[2:at])
    wanted = {member: float(score) for score, member in zip(command[at::2], command[at + 1 :: 2], strict=True)}

    def score_after(old: float | None, new: float) -> float | None:
        """None: it stays as it is, or away."""
        if (old is None and b"XX" in options) or (old is not None and b"NX" in options):
            return None
        if b"INCR" in options:
            new += old or 0.0
        if old is not None and ((b"GT" in options and new <= old) or (b"LT" in options and new >= old)):
            return None
        return new

    def finish(replies: list[Any], wire: Wire) -> Any:
        old = [None if score is None else float(score) for score in replies[0]]
        after = [score_after(o, n) for o, n in zip(old, wanted.values(), strict=True)]
        if b"INCR" in options:
            return None if after[0] is None else wire.double(after[0])
        added = sum(o is None and n is not None for o, n in zip(old, after, strict=True))
        changed = sum(n is not None and o is not None and o != n for o, n in zip(old, after, strict=True))
        return added + changed if b"CH" in options else added

    return Step(((b"ZMSCORE", command[1], *wanted),), finish)


def _zincrby(command: Command) -> Step:
    step = float(command[2])
    return Step(((b"ZSCORE", command[1], command[3]),), lambda r, wire: wire.double(float(r[0] or 0) + step))


def _range_of(key: bytes, count: int, *, smallest: bool) -> Command:
    if count < 1:
        return (b"ZRANGE", key, b"1", b"0", b"WITHSCORES")
    return (b"ZRANGE", key, b"0", b"%d" % (count - 1), *(() if smallest else (b"REV",)), b"WITHSCORES")


def _zpop(*, smallest: bool) -> Answer:
    def make(command: Command) -> Step:
        read = _range_of(command[1], int(command[2]) if len(command) > 2 else 1, smallest=smallest)
        if len(command) > 2:
            return Step((read,))
        # Without a count RESP3 has one flat pair, while a range is a list of pairs.
        return Step((read,), lambda r, wire: r[0][0] if wire.resp3 and r[0] else r[0])

    return make


def _blocking_zpop(*, smallest: bool) -> Answer:
    def make(command: Command) -> Step:
        keys = command[1:-1]

        def finish(replies: list[Any], wire: Wire) -> Any:
            found = next(((k, r) for k, r in zip(keys, replies, strict=True) if r), None)
            return found and [wire.text(found[0]), *(found[1][0] if wire.resp3 else found[1])]

        return Step(tuple(_range_of(key, 1, smallest=smallest) for key in keys), finish)

    return make


def _zpops(first: int) -> Answer:
    def make(command: Command) -> Step:
        keys, where, count = _many(command, first)

        def finish(replies: list[Any], wire: Wire) -> Any:
            found = next(((k, r) for k, r in zip(keys, replies, strict=True) if r), None)
            if found is None:
                return None
            members = found[1] if wire.resp3 else [list(p) for p in zip(found[1][::2], found[1][1::2], strict=True)]
            return [wire.text(found[0]), members]

        return Step(tuple(_range_of(key, count, smallest=where == b"MIN") for key in keys), finish)

    return make


def _geoadd(command: Command) -> Step:
    at = 2
    while command[at].upper() in (b"NX", b"XX", b"CH"):
        at += 1
    if b"XX" in options_of(command[2:at]):
        return Step(((b"ZCARD", command[1]),), lambda _r, _w: 0)
    return Step(((b"ZMSCORE", command[1], *distinct(command[at + 2 :: 3])),), count_missing)


def _georadius(read: bytes, options_at: int) -> Answer:
    """STORE and STOREDIST answer how many were stored."""

    def make(command: Command) -> Step:
        words, kept, stored = command[options_at:], list(command[1:options_at]), False
        at = 0
        while at < len(words):
            if words[at].upper() in (b"STORE", b"STOREDIST"):
                stored = True
                at += 2
            else:
                kept.append(words[at])
                at += 1
        return Step(((read, *kept),), size if stored else None)

    return make


def _geosearchstore(command: Command) -> Step:
    kept = tuple(word for word in command[2:] if word.upper() != b"STOREDIST")
    return Step(((b"GEOSEARCH", *kept),), size)


def _sort(command: Command) -> Step:
    words = [word.upper() for word in command]
    if b"STORE" not in words[2:]:
        return Step(((b"SORT_RO", *command[1:]),))
    at = words.index(b"STORE", 2)
    return Step(((b"SORT_RO", *command[1:at], *command[at + 2 :]),), size)


def _xadd(command: Command) -> Step:
    at, nomkstream = 2, False
    while True:
        word = command[at].upper()
        if word == b"NOMKSTREAM":
            nomkstream, at = True, at + 1
        elif word in (b"MAXLEN", b"MINID"):
            at += 3 if command[at + 1] in (b"=", b"~") else 2
        elif word == b"LIMIT":
            at += 2
        else:
            break
    given = command[at]

    def finish(replies: list[Any], wire: Wire) -> Any:
        there, last = replies
        if nomkstream and not there:
            return None
        if given != b"*" and not given.endswith(b"-*"):
            return wire.text(given if b"-" in given else given + b"-0")
        newest = _stream_id(last[0][0]) if last else (0, -1)
        wanted = int(time.time() * 1000) if given == b"*" else int(given[:-2])
        return wire.text(b"%d-%d" % ((wanted, 0) if wanted > newest[0] else (newest[0], newest[1] + 1)))

    return Step(((b"EXISTS", command[1]), (b"XREVRANGE", command[1], b"+", b"-", b"COUNT", b"1")), finish)


def _stream_id(value: Any) -> tuple[int, int]:
    text = value.decode() if isinstance(value, bytes) else str(value)
    milliseconds, _, number = text.partition("-")
    return int(milliseconds), int(number)


def _xdel(command: Command) -> Step:
    reads = tuple((b"XRANGE", command[1], one, one) for one in distinct(command[2:]))
    return Step(reads, lambda r, _: sum(len(found) for found in r))


def _xtrim(command: Command) -> Step:
    """By length it is known; by id it is not, and nothing counts as trimmed."""
    exact = command[3] if command[3] not in (b"=", b"~") else command[4]
    keep = int(exact) if command[2].upper() == b"MAXLEN" else None
    return Step(((b"XLEN", command[1]),), lambda r, _: 0 if keep is None else max(0, r[0] - keep))


COLLECTIONS: Final[dict[str, Answer]] = {
    "LPUSH": lambda c: Step(((b"LLEN", c[1]),), lambda r, _: r[0] + len(c) - 2),
    "RPUSH": lambda c: Step(((b"LLEN", c[1]),), lambda r, _: r[0] + len(c) - 2),
    "LPUSHX": _pushx,
    "RPUSHX": _pushx,
    "LPOP": _pop(left=True),
    "RPOP": _pop(left=False),
    "LREM": _lrem,
    "LSET": _lset,
    "LINSERT": _linsert,
    "LTRIM": ok,
    "LMOVE": _move,
    "BLMOVE": _move,
    "RPOPLPUSH": lambda c: Step(((b"LINDEX", c[1], b"-1"),)),
    "BRPOPLPUSH": lambda c: Step(((b"LINDEX", c[1], b"-1"),)),
    "BLPOP": _blocking_pop(left=True),
    "BRPOP": _blocking_pop(left=False),
    "LMPOP": _list_pops(1),
    "BLMPOP": _list_pops(2),
    "SADD": lambda c: Step(((b"SMISMEMBER", c[1], *distinct(c[2:])),), _zeros),
    "SREM": lambda c: Step(((b"SMISMEMBER", c[1], *distinct(c[2:])),), _ones),
    "SPOP": _spop,
    "SMOVE": lambda c: Step(((b"SISMEMBER", c[1], c[3]),)),
    "SINTERSTORE": _store(b"SINTER"),
    "SUNIONSTORE": _store(b"SUNION"),
    "SDIFFSTORE": _store(b"SDIFF"),
    "ZADD": _zadd,
    "ZINCRBY": _zincrby,
    "ZREM": lambda c: Step(((b"ZMSCORE", c[1], *distinct(c[2:])),), count_present),
    "ZREMRANGEBYSCORE": lambda c: Step(((b"ZCOUNT", *c[1:]),)),
    "ZREMRANGEBYLEX": lambda c: Step(((b"ZLEXCOUNT", *c[1:]),)),
    "ZREMRANGEBYRANK": lambda c: Step(((b"ZRANGE", *c[1:]),), size),
    "ZPOPMIN": _zpop(smallest=True),
    "ZPOPMAX": _zpop(smallest=False),
    "BZPOPMIN": _blocking_zpop(smallest=True),
    "BZPOPMAX": _blocking_zpop(smallest=False),
    "ZMPOP": _zpops(1),
    "BZMPOP": _zpops(2),
    "ZRANGESTORE": _store(b"ZRANGE"),
    "ZUNIONSTORE": _store(b"ZUNION"),
    "ZINTERSTORE": _store(b"ZINTER"),
    "ZDIFFSTORE": _store(b"ZDIFF"),
    "GEOADD": _geoadd,
    "GEOSEARCHSTORE": _geosearchstore,
    "GEORADIUS": _georadius(b"GEORADIUS_RO", 6),
    "GEORADIUSBYMEMBER": _georadius(b"GEORADIUSBYMEMBER_RO", 5),
    "SORT": _sort,
    "XADD": _xadd,
    "XDEL": _xdel,
    "XTRIM": _xtrim,
    "XACK": lambda c: constant(len(c) - 3),
    "XGROUP CREATE": ok,
    "XGROUP SETID": ok,
    "XGROUP CREATECONSUMER": lambda _: constant(1),
    "XGROUP DELCONSUMER": lambda _: constant(0),
    "XGROUP DESTROY": lambda _: constant(1),
    "XSETID": ok,
    "XREADGROUP": lambda _: constant(None),
    "XCLAIM": lambda _: Step((), lambda _r, _w: []),
    "XAUTOCLAIM": lambda _: Step((), lambda _r, wire: [wire.text(b"0-0"), [], []]),
}
