"""Claim: what a bullet hands to a pool is the bullet's, or is told; what customers hand to it stays theirs."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.pool import Pool, ThreadPool
from typing import Any

import pytest
import requests

from tests.unit.guards.conftest import Telemetry
from tests.unit.guards.peers import Peer, bullet, serving
from tracer_bullet.guards import Armed, WriteRefused

Arm = Callable[..., Armed]
_FORK = multiprocessing.get_context("fork")
_WAYS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "apply": lambda pool, function, value: pool.apply(function, (value,)),
    "apply_async": lambda pool, function, value: pool.apply_async(func=function, args=(value,)).get(60),
    "map": lambda pool, function, value: pool.map(function, [value]),
    "starmap": lambda pool, function, value: pool.starmap(function, [(value,)]),
    "imap": lambda pool, function, value: list(pool.imap(function, [value])),
    "imap in chunks": lambda pool, function, value: list(pool.imap(function, [value], chunksize=2)),
    "imap_unordered": lambda pool, function, value: list(pool.imap_unordered(function, [value])),
}


@pytest.fixture
def peer() -> Iterator[Peer]:
    with serving() as found:
        yield found


def _post(url: str) -> None:
    requests.post(url, data=b"written", timeout=60)


@pytest.mark.parametrize("way", _WAYS)
def test_a_thread_pool_works_for_whoever_asked(way: str, peer: Peer, arm_service: Arm) -> None:
    armed = arm_service()
    with ThreadPool(1) as pool:
        with bullet(armed), pytest.raises(WriteRefused):
            _WAYS[way](pool, _post, peer.url + "/bullet")
        assert peer.requests == []
        _WAYS[way](pool, _post, peer.url + "/customer")
        assert [r.path for r in peer.requests] == ["/customer"]


def test_a_thread_pool_that_a_bullet_made_serves_customers(peer: Peer, arm_service: Arm) -> None:
    with bullet(arm_service()):  # its scope never ends here
        pool = ThreadPool(1)
    with pool:
        pool.apply(_post, (peer.url + "/customer",))
    assert [r.path for r in peer.requests] == ["/customer"]


def _start(_pools: Any) -> None:
    process = _FORK.Process(target=int)
    process.start()
    process.join(60)


def _fork(_pools: Any) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _submit(pools: tuple[Any, Any]) -> None:
    assert pools[0].submit(int).result(60) == 0


def _apply(pools: tuple[Any, Any]) -> None:
    assert pools[1].apply(int) == 0


@pytest.fixture(scope="module")
def pools() -> Iterator[tuple[ProcessPoolExecutor, Pool]]:
    with ProcessPoolExecutor(1, mp_context=_FORK) as executor, _FORK.Pool(1) as pool:
        executor.submit(int).result(60)
        yield executor, pool


@pytest.mark.parametrize("act", [_start, _fork, _submit, _apply])
def test_work_in_another_process_is_told_or_refused(
    act: Callable[[Any], None], pools: Any, arm_service: Arm, telemetry: Telemetry
) -> None:
    with bullet(arm_service()):
        act(pools)
    assert telemetry.decisions == [("unguarded", "RUN process")]
    armed = arm_service(net="deny")
    with bullet(armed), pytest.raises(WriteRefused, match="no guard stands"):
        act(pools)
    act(pools)
    assert len(telemetry.decisions) == 2, "a customer's is nobody's business"


def test_disarming_gives_back_the_originals(arm_service: Arm) -> None:
    def found() -> list[int]:
        return [id(vars(Pool)[name]) for name in ("apply_async", "_map_async", "imap", "imap_unordered")]

    before = found()
    armed = arm_service()
    assert not set(found()) & set(before)
    armed.disarm()
    assert found() == before
