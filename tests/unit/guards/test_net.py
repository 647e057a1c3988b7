"""Claim: what a bullet does through unguarded code of Python's is seen, or refused; customers pay a look."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.guards.conftest import Telemetry
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.guards import Armed, WriteRefused, net, unguarded
from tracer_bullet.guards.registry import guards_in_force
from tracer_bullet.model import Context

Act = Callable[[Path, int], Any]


def connect(_: Path, port: int) -> None:
    with socket.socket() as own:
        own.connect(("127.0.0.1", port))


def connect_in_asyncio(_: Path, port: int) -> None:
    async def main() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()

    asyncio.run(main())


def send_a_datagram(_: Path, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.sendto(b"x", ("127.0.0.1", port))


def write_a_file(folder: Path, _: int) -> None:
    (folder / "orders.csv").write_text("order")


def write_by_descriptor(folder: Path, _: int) -> None:
    os.close(os.open(folder / "orders.csv", os.O_WRONLY | os.O_CREAT))


def run_a_program(_: Path, __: int) -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)


def remove_a_tree(folder: Path, _: int) -> None:
    shutil.rmtree(folder / "old")


def in_a_thread(folder: Path, port: int) -> None:
    thread = threading.Thread(target=write_a_file, args=(folder, port))
    thread.start()
    thread.join()


ACTS = [
    (connect, "CONNECT 127.0.0.1:{port}"),
    (connect_in_asyncio, "CONNECT 127.0.0.1:{port}"),
    (send_a_datagram, "SEND 127.0.0.1:{port}"),
    (write_a_file, "WRITE {folder}/*.csv"),
    (write_by_descriptor, "WRITE {folder}/*.csv"),
    (run_a_program, "RUN python{version}"),
    (remove_a_tree, "REMOVE {folder}/*"),
    (in_a_thread, "WRITE {folder}/*.csv"),
]


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "old").mkdir()
    return tmp_path


def bullet(armed: Armed) -> Any:
    return entered(Scope(Context(run_id="run-1", token="t"), armed, trace_id="a" * 32))


def named(operation: str, folder: Path, port: int) -> str:
    return operation.format(port=port, folder=folder, version=Path(sys.executable).name.removeprefix("python"))


@pytest.mark.parametrize(("act", "operation"), ACTS, ids=lambda x: getattr(x, "__name__", ""))
def test_a_bullets_unguarded_act_is_on_its_trace(
    act: Act, operation: str, folder: Path, port: int, arm_service: Callable[..., Armed], telemetry: Telemetry
) -> None:
    with bullet(arm_service()):
        act(folder, port)
    assert ("unguarded", named(operation, folder, port)) in telemetry.decisions


@pytest.mark.parametrize(("act", "operation"), ACTS, ids=lambda x: getattr(x, "__name__", ""))
def test_deny_refuses_it_before_it_happens(
    act: Act,
    operation: str,
    folder: Path,
    port: int,
    arm_service: Callable[..., Armed],
    telemetry: Telemetry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    before = sorted(folder.rglob("*"))
    with bullet(arm_service(net="deny")):
        if act is in_a_thread:
            act(folder, port)  # the error is the thread's
        else:
            with pytest.raises(WriteRefused, match="net is deny"):
                act(folder, port)
    assert sorted(folder.rglob("*")) == before
    assert ("denied", named(operation, folder, port)) in telemetry.decisions


@pytest.mark.parametrize(("act", "operation"), ACTS, ids=lambda x: getattr(x, "__name__", ""))
def test_customers_and_a_net_that_is_off_see_nothing(
    act: Act, operation: str, folder: Path, port: int, arm_service: Callable[..., Armed], telemetry: Telemetry
) -> None:
    arm_service(net="deny")
    act(folder, port)
    assert telemetry.spans == []
    (folder / "old").mkdir(exist_ok=True)
    with bullet(arm_service(net="off")):
        act(folder, port)
    assert telemetry.decisions == []


def test_the_same_act_is_told_once_a_request(
    folder: Path, port: int, arm_service: Callable[..., Armed], telemetry: Telemetry
) -> None:
    armed = arm_service()
    for _ in range(2):
        with bullet(armed):
            for _ in range(3):
                write_a_file(folder, port)
    assert len(telemetry.decisions) == 2


def test_what_guards_logs_imports_and_temporary_files_do_is_theirs(
    folder: Path, port: int, arm_service: Callable[..., Armed], telemetry: Telemetry
) -> None:
    handler = logging.FileHandler(folder / "service.log", delay=True)
    (folder / "module_of_the_net_test.py").write_text("x = 1")
    armed = arm_service(net="deny", system_hosts=("127.0.0.1",))
    with bullet(armed):
        with pytest.raises(httpx.ReadTimeout), httpx.Client(timeout=0.01) as client:  # through its guard
            client.get(f"http://127.0.0.1:{port}")
        handler.emit(logging.makeLogRecord({"msg": "a line"}))
        handler.close()
        with tempfile.TemporaryFile() as spool:
            spool.write(b"x")
        sys.path.insert(0, str(folder))
        try:
            __import__("module_of_the_net_test")
        finally:
            sys.path.remove(str(folder))
        assert (folder / "service.log").read_text() == "a line\n"
    assert telemetry.decisions == []


def test_disarming_folds_the_net(
    folder: Path, port: int, arm_service: Callable[..., Armed], telemetry: Telemetry
) -> None:
    armed = arm_service()
    armed.disarm()
    with bullet(armed):
        write_a_file(folder, port)
    assert telemetry.decisions == []


def test_the_census_names_what_no_guard_stands_for(
    arm_service: Callable[..., Armed], monkeypatch: pytest.MonkeyPatch
) -> None:
    armed = arm_service(net="deny")
    assert unguarded.imported() == tuple(n for n in unguarded.KNOWN if n in sys.modules)
    monkeypatch.setitem(sys.modules, "psycopg2", sys)
    monkeypatch.setitem(sys.modules, "nats", sys)
    said = guards_in_force(armed.config).split(",")
    assert {"net=deny", "psycopg2=unguarded", "nats=unguarded"} <= set(said)
    assert "psycopg2=blind" in said
    assert "psycopg2" in net.blind_spots()
