"""Starting, addressing and stopping simulated systems."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tracer_bullet.errors import KeyFileError, UnreachableError
from tracer_bullet.sim import Simulation, Topology

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def small() -> Topology:
    """Two services; the second fails half of the time."""
    return Topology.model_validate(
        {
            "version": 1,
            "name": "small",
            "entry": "front",
            "services": {
                "front": {
                    "operations": {
                        "get": {
                            "http": "GET /it",
                            "steps": [{"call": "back.get", "save": "it"}],
                            "respond": {"json": "${it}"},
                        }
                    }
                },
                "back": {
                    "tables": {"hits": {"columns": {"n": "integer"}}},
                    "operations": {
                        "get": {
                            "http": "GET /back",
                            "error_rate": 0.5,
                            "steps": [{"write": [{"insert": "hits", "row": {"n": 1}, "save": "hit"}]}],
                            "respond": {"json": {"id": "${hit.id}"}},
                        }
                    },
                },
            },
        }
    )


def statuses(simulation: Simulation, count: int = 24) -> list[int]:
    with httpx.Client(base_url=simulation.url, trust_env=False, timeout=120) as client:
        return [client.get("/it").status_code for _ in range(count)]


def test_a_seed_repeats_a_run_in_both_modes(small: Topology, run: Any) -> None:
    first = statuses(run(small, seed=7))
    assert set(first) == {200, 502}
    assert statuses(run(small, seed=7)) == first
    assert statuses(run(small, seed=7, mode="processes")) == first
    assert statuses(run(small, seed=8)) != first


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def free_row(length: int) -> int:
    """The first of a row of free ports, below those that the system gives out by itself."""
    for first in range(20_000 + os.getpid() % 5_000, 30_000, length):
        with contextlib.ExitStack() as probes:
            try:
                for port in range(first, first + length):
                    probes.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise AssertionError("no free ports")


def test_ports_are_those_of_the_topology_or_a_row(small: Topology, run: Any) -> None:
    first = free_row(2)
    row = run(small, ports=first)
    assert [port_of(url) for url in row.addresses.values()] == [first, first + 1]
    row.stop()
    document = small.model_dump(mode="json", by_alias=True)
    document["services"]["back"]["port"] = first
    assert port_of(run(Topology.model_validate(document), ports=None).addresses["back"]) == first


def test_a_port_in_use_is_told_and_all_others_are_given_back(small: Topology, tmp_path: Path) -> None:
    port = free_row(2) + 1
    with socket.create_server(("127.0.0.1", port)), pytest.raises(UnreachableError) as caught:
        Simulation(small, data_dir=tmp_path, ports=port - 1).start()
    assert caught.value.code == "TB701"
    assert (caught.value.what, caught.value.where) == ("back cannot listen", f"127.0.0.1:{port}")
    with Simulation(small, data_dir=tmp_path, ports=port - 1) as simulation:
        assert port_of(simulation.url) == port - 1


def test_two_simulations_live_side_by_side(shop: Topology, run: Any, buy: Any, dumps: Any) -> None:
    one, other = run(shop), run(shop)
    assert buy(one).status_code == 201
    assert len(dumps(one)["checkout"]["orders"]) == 2
    assert len(dumps(other)["checkout"]["orders"]) == 1
    assert other.third_party_calls == ()


def test_data_stay_and_spans_are_exported_when_it_stops(shop: Topology, buy: Any, sink: Any, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"data_dir": tmp_path, "ports": "free", "otlp_endpoint": sink.endpoint}
    settings["careless"] = {"cart": ["writes_from_pool_thread"]}
    before = set(threading.enumerate())
    with Simulation(shop, **settings) as simulation:
        assert buy(simulation).json()["order_id"] == 2
    assert {s.service for s in sink.spans} == set(shop.services) - {"accounts", "cart", "orders"}
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not any(name.startswith(("Otel", "simulation", "cart-writer")) for name in left), left
    simulation.stop()
    with Simulation(shop, **settings) as simulation:
        assert buy(simulation).json()["order_id"] == 3
    with pytest.raises(httpx.ConnectError):
        buy(simulation)


def test_a_collector_that_is_away_breaks_nothing(shop: Topology, run: Any, buy: Any) -> None:
    simulation = run(shop, otlp_endpoint="http://127.0.0.1:1/v1/traces")
    assert buy(simulation).status_code == 201


def test_what_the_harness_is_told(shop: Topology, run: Any) -> None:
    simulation = run(shop, external={"cart": "http://127.0.0.1:9"})
    system = simulation.system()
    assert set(system.services) == set(shop.services) - {"cart"}
    assert system.forwarders == ("cart",)
    third_party = urlsplit(simulation.addresses["payment-api"])
    assert system.is_third_party("127.0.0.1", third_party.port)
    assert not system.is_third_party("127.0.0.1", port_of(simulation.url))
    assert simulation.addresses["cart"] == "http://127.0.0.1:9"
    assert set(simulation.database_urls) == {
        "accounts",
        "orders",
        "catalog",
        "checkout",
        "inventory",
        "payment",
        "notifications",
    }


def test_a_service_run_by_somebody_else_is_called(small: Topology, run: Any) -> None:
    theirs = run(small, seed=3)
    document = small.model_dump(mode="json", by_alias=True)
    document["services"]["back"]["external"] = theirs.addresses["back"]
    ours = run(Topology.model_validate(document))
    assert set(ours.addresses) == {"front", "back"}
    found = statuses(ours)
    assert set(found) == {200, 502}
    assert found == statuses(run(small, seed=3))


@pytest.mark.parametrize("mode", ["thread", "processes"])
def test_guards_that_cannot_be_armed_stop_the_start(small: Topology, tmp_path: Path, mode: Any) -> None:
    simulation = Simulation(small, data_dir=tmp_path, ports="free", keys=tmp_path / "none.json", mode=mode)
    with pytest.raises(UnreachableError if mode == "processes" else KeyFileError, match=r"none\.json") as caught:
        simulation.start()
    assert mode == "thread" or caught.value.code == "TB702"
    for url in simulation.addresses.values():
        with pytest.raises(httpx.ConnectError):
            httpx.get(url, trust_env=False, timeout=120)


CHILD_OF_OURS = """
    import json, sys
    from pathlib import Path
    from tracer_bullet.sim import Simulation, Topology
    topology = Topology.model_validate_json(Path(sys.argv[1]).read_text())
    simulation = Simulation(topology, data_dir=Path(sys.argv[2]), ports="free", mode="processes").start()
    print(json.dumps([child.pid for child in simulation._children]), flush=True)
    sys.stdin.read()
"""


def python(code: str, *arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_services_die_with_their_parent(small: Topology, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(small.model_dump_json(by_alias=True), encoding="utf-8")
    with python(CHILD_OF_OURS, tmp_path / "t.json", tmp_path / "data") as parent:
        assert parent.stdout is not None
        children = [os.pidfd_open(pid) for pid in json.loads(parent.stdout.readline())]
        assert len(children) == 2
        parent.kill()
    for child in children:
        ended, _, _ = select.select([child], [], [], 20)  # readable when the process has ended
        os.close(child)
        assert ended


ONE_SERVICE = """
    import sys
    from pathlib import Path
    from tracer_bullet.sim import Settings, Topology, run_service
    topology = Topology.model_validate_json(Path(sys.argv[1]).read_text())
    port = int(sys.argv[2])
    run_service(
        Settings(
            topology=topology,
            name="back",
            addresses={"front": "http://front:80", "back": f"http://127.0.0.1:{port}"},
            database_url=sys.argv[3],
            otlp_endpoint=sys.argv[4],
            alone=True,
        ),
        port=port,
    )
"""


def test_one_service_runs_in_the_foreground_until_it_is_told_to_end(small: Topology, tmp_path: Path, sink: Any) -> None:
    (tmp_path / "t.json").write_text(small.model_dump_json(by_alias=True), encoding="utf-8")
    port = free_row(1)
    database = f"sqlite:///{tmp_path / 'back.db'}"
    with python(ONE_SERVICE, tmp_path / "t.json", port, database, sink.endpoint) as process:
        transport = httpx.HTTPTransport(retries=20)  # connects again, later and later, until the service listens
        with httpx.Client(transport=transport, trust_env=False, timeout=120) as client:
            assert client.get(f"http://127.0.0.1:{port}/healthz").json() == {"service": "back"}
            assert client.get(f"http://127.0.0.1:{port}/back").status_code in (200, 503)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert "GET /back" in {s.name for s in sink.of("back")}
    assert not any("healthz" in s.name for s in sink.spans)
