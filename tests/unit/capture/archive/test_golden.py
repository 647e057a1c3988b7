"""Old archives stay readable: golden/ has files of every version that there ever was."""

from __future__ import annotations

import shutil
from pathlib import Path

from tracer_bullet.capture.archive import ArchiveWriter, open_archive
from tracer_bullet.model.exchange import Answer, Exchange, Lack, Request

GOLDEN = Path(__file__).parent / "golden"
START = 1_763_712_000_000_000_000

GET = Request(
    method="GET", scheme="https", authority="shop.example", target="/orders?page=2", headers=(("accept", "*/*"),)
)
POST = Request(
    method="POST",
    scheme="http",
    authority="shop:8080",
    target="/orders/%C3%BC",
    http_version="2",
    headers=(("Cookie", "a=1"), ("cookie", "b=2"), ("x-name", "caf\xe9")),
    body=b'{"item": "\xc3\xa4pfel", "n": 3}',
    trailers=(("x-checksum", "7"),),
)
OK = Answer(status=200, headers=(("content-type", "application/json"),), body=b'{"ok":true}\n', trailers=(("t", ""),))
BYTES = Answer(status=206, body=bytes(range(256)))
UNKNOWN = Answer(status=304, body=None)
EXCHANGES = [
    Exchange(
        id=f"g-{number}",
        session=("tbp_aaaaaaaaaaaaaaaaaaaaaaaa", "")[number % 2],
        source=("envoy-tap", "nginx")[number % 2],
        started_ns=START + (number - number % 3 * 2) * 10_000_000,
        request=(GET, POST)[number % 2],
        answer=(OK, BYTES, UNKNOWN, None)[number % 4],
        first_byte_ns=(None, START + number)[number % 2],
        ended_ns=(START + number + 5, None)[number % 2],
        lacks=(frozenset(), frozenset(Lack))[number % 2],
        redacted=((), ("header:cookie", "json:$.card"))[number % 2],
    )
    for number in range(10)
] + [Exchange(id="half", session="", source="har", started_ns=0, request=Request(
    method="GET", scheme="http", authority="a", target="/", headers=(("h", "\ud83d"),), body=None))]  # fmt: skip


def in_order(exchanges: list[Exchange]) -> list[Exchange]:
    return sorted(exchanges, key=lambda exchange: exchange.started_ns)


def test_version_1() -> None:
    archive = open_archive(GOLDEN / "v1.tba")
    assert list(archive.exchanges()) == in_order(EXCHANGES)
    info = archive.info
    assert (info.count, info.frames, info.sessions, info.indexed, info.problems) == (11, 4, 2, True, ())
    assert info.hosts == {"shop.example": 5, "shop:8080": 5, "a": 1}
    assert (info.created_by, info.rules, info.created_ns) == (("tracer-bullet 0.1",), ("0123456789abcdef",), 1)
    assert archive.verify() == ()


def test_version_1_whose_writer_was_killed() -> None:
    archive = open_archive(GOLDEN / "v1-killed.tba")
    assert list(archive.exchanges()) == in_order(EXCHANGES[:9])
    (problem,) = archive.info.problems
    assert (problem.kind, problem.lost) == ("torn", 2)


def test_version_1_is_gone_on_with(tmp_path: Path) -> None:
    for name in ("v1.tba", "v1-killed.tba"):
        shutil.copy(GOLDEN / name, tmp_path)
        before = list(open_archive(tmp_path / name).exchanges())
        with ArchiveWriter(tmp_path / name, created_by="now") as writer:
            writer.append(EXCHANGES[10])
        assert list(open_archive(tmp_path / name).exchanges()) == in_order([*before, EXCHANGES[10]])


def test_every_golden_file_is_used() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {"README.md", "v1.tba", "v1-killed.tba"}
