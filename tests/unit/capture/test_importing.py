"""Recordings become an archive: redacted, in sessions, with stable ids, and with everything accounted for."""

from __future__ import annotations

import gzip
import io
import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.unit.capture.archive.exchanges import small
from tests.unit.capture.archive.test_survival import room_for
from tracer_bullet.capture.archive import ArchiveError, ArchiveWriter, open_archive
from tracer_bullet.capture.importing import ImportOptions, ImportSummary, import_files
from tracer_bullet.capture.redaction.pseudonyms import Pseudonyms
from tracer_bullet.capture.redaction.redactor import Redactor
from tracer_bullet.capture.redaction.rules import Rules
from tracer_bullet.capture.selection import Selection
from tracer_bullet.errors import UsageError
from tracer_bullet.model.exchange import Exchange

KEY = Pseudonyms(b"0123456789abcdef")
SECRET = "c29tZS12ZXJ5LXNlY3JldA"
START_S = 1_700_000_000


def entry(
    number: int, *, at_ms: int | None = None, headers: dict[str, str] | None = None, answer: str = "ok"
) -> dict[str, Any]:
    start = datetime.fromtimestamp(START_S + (number if at_ms is None else at_ms) / 1_000, UTC)
    lines = {"Host": "shop:8080", "Cookie": f"sid={SECRET}{number % 3}"} | (headers or {})
    return {
        "startedDateTime": start.isoformat(timespec="milliseconds"),
        "time": 5,
        "request": {
            "method": "GET",
            "url": f"http://shop:8080/orders/{number}",
            "httpVersion": "HTTP/1.1",
            "headers": [{"name": name, "value": value} for name, value in lines.items()],
            "queryString": [], "cookies": [], "headersSize": -1, "bodySize": 0,
        },
        "response": {
            "status": 200, "statusText": "OK", "httpVersion": "HTTP/1.1",
            "headers": [{"name": "Content-Type", "value": "text/plain"}], "cookies": [],
            "content": {"size": len(answer), "mimeType": "text/plain", "text": answer},
            "redirectURL": "", "headersSize": -1, "bodySize": -1,
        },
        "timings": {"send": 1, "wait": 3, "receive": 1}, "cache": {},
    }  # fmt: skip


def har(*entries: dict[str, Any]) -> bytes:
    return json.dumps(
        {"log": {"version": "1.2", "creator": {"name": "t", "version": "1"}, "entries": entries}}
    ).encode()


def run(to: Path, *sources: Path | io.BytesIO, redactor: Any = None, **changes: Any) -> ImportSummary:
    options = ImportOptions(pseudonym=KEY.plain, rules="r1", **changes)
    return import_files(sources, to, redactor or Redactor(Rules(), KEY), options)


def targets(path: Path) -> list[str]:
    return [exchange.request.target for exchange in open_archive(path).exchanges()]


def test_recordings_come_in_redacted_and_in_order(tmp_path: Path) -> None:
    (tmp_path / "b.har").write_bytes(har(*(entry(number) for number in range(10, 20))))
    (tmp_path / "a.har.gz").write_bytes(gzip.compress(har(*(entry(number) for number in reversed(range(10))))))
    summary = run(tmp_path / "out.tba", tmp_path / "b.har", tmp_path / "a.har.gz")
    assert (summary.read, summary.written, summary.left_out) == (20, 20, {})
    assert [(one.format, one.read, one.problem) for one in summary.inputs] == [("HAR", 10, ""), ("HAR", 10, "")]
    assert summary.first_ns == START_S * 10**9
    assert summary.last_ns == START_S * 10**9 + 19_000_000
    assert (summary.sessions, summary.disordered, summary.disorder_ns) == (3, 10, 19_000_000)
    archive = open_archive(tmp_path / "out.tba")
    assert archive.info.rules == ("r1",)
    exchanges = list(archive.exchanges())
    assert [exchange.request.target for exchange in exchanges] == [f"/orders/{number}" for number in range(20)]
    assert len({exchange.id for exchange in exchanges}) == 20
    assert all(exchange.redacted for exchange in exchanges)
    assert SECRET not in repr(exchanges)


def test_the_same_input_has_the_same_ids(tmp_path: Path) -> None:
    data = har(*(entry(number) for number in range(5)))
    (tmp_path / "a.har").write_bytes(data)
    run(tmp_path / "1.tba", tmp_path / "a.har")
    run(tmp_path / "2.tba", io.BytesIO(data))
    run(tmp_path / "3.tba", tmp_path / "a.har", tmp_path / "a.har")
    first, second, third = (list(open_archive(tmp_path / f"{number}.tba").exchanges()) for number in (1, 2, 3))
    assert first == second
    assert len({exchange.id for exchange in third}) == 10
    assert {exchange.id for exchange in first} < {exchange.id for exchange in third}


def test_what_must_not_come_in_stays_out(tmp_path: Path, flag_headers: Callable[..., dict[str, str]]) -> None:
    data = har(
        entry(1), entry(2, headers=flag_headers()), entry(3, headers={"X-Replay": "1"}), entry(44), entry(5)
    )  # fmt: skip
    unwanted = KEY.plain(f"cookie:sid={SECRET}{5 % 3}")
    selection = Selection(
        marks=("X-Replay",), exclude_paths=("*/44",), sample=0.5, share=lambda session: float(session == unwanted)
    )
    summary = run(tmp_path / "a.tba", io.BytesIO(data), selection=selection)
    assert (summary.read, summary.written) == (5, 1)
    assert summary.left_out == {"bullet": 1, "replay": 1, "excluded": 1, "not-sampled": 1}
    assert targets(tmp_path / "a.tba") == ["/orders/1"]


class Passes:
    """Has nothing to redact, and takes no time."""

    def apply(self, exchange: Exchange) -> Exchange:
        return exchange


class Refuses:
    """Cannot look into every second exchange."""

    def apply(self, exchange: Exchange) -> Exchange:
        if exchange.request.target[-1] in "13579":
            raise RuntimeError
        return exchange


def test_what_cannot_be_redacted_is_left_out(tmp_path: Path) -> None:
    summary = run(tmp_path / "a.tba", io.BytesIO(har(*(entry(n) for n in range(10)))), redactor=Refuses())
    assert (summary.written, summary.left_out) == (5, {"redaction": 5})
    nothing = run(tmp_path / "b.tba", io.BytesIO(har(entry(1))), redactor=Refuses())
    assert (nothing.read, nothing.written, nothing.first_ns) == (1, 0, None)
    assert not (tmp_path / "b.tba").exists()


def test_what_a_reader_loses_is_in_the_losses(tmp_path: Path) -> None:
    broken = entry(2) | {"startedDateTime": "yesterday"}
    summary = run(tmp_path / "a.tba", io.BytesIO(har(entry(1), broken)))
    assert summary.written == 1
    assert summary.losses.lost.total() == 1


def test_a_bad_input_does_not_keep_the_others_out(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("Dear Ann,\nnothing to see here\n")
    (tmp_path / "a.har").write_bytes(har(entry(1)))
    sources = (tmp_path / "letters.txt", tmp_path / "missing.har", tmp_path / "a.har")
    summary = run(tmp_path / "a.tba", *sources)
    assert summary.written == 1
    assert [bool(one.problem) for one in summary.inputs] == [True, True, False]
    with pytest.raises(UsageError):
        run(tmp_path / "b.tba", *sources[:2])
    assert not (tmp_path / "b.tba").exists()


def test_nothing_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.tba").write_bytes(b"mine")
    with pytest.raises(ArchiveError) as caught:
        run(tmp_path / "a.tba", io.BytesIO(har(entry(1))))
    assert caught.value.code == "TB925"
    assert (tmp_path / "a.tba").read_bytes() == b"mine"


def test_archives_are_imported_too(tmp_path: Path) -> None:
    """With the ids and sessions that they have; of several, ids may be the same, so they get fresh ones."""
    for name in ("a", "b"):
        with ArchiveWriter(tmp_path / f"{name}.tba", created_by="t") as writer:
            for number in range(4):
                writer.append(replace(small(number), session="tbp_" + "a" * 24))
    one = run(tmp_path / "one.tba", tmp_path / "a.tba")
    assert (one.written, one.inputs[0].format) == (4, "archive")
    exchanges = list(open_archive(tmp_path / "one.tba").exchanges())
    assert [exchange.id for exchange in exchanges] == [f"x-{number}" for number in range(4)]
    assert {exchange.session for exchange in exchanges} == {"tbp_" + "a" * 24}
    run(tmp_path / "two.tba", tmp_path / "a.tba", tmp_path / "b.tba")
    assert len({exchange.id for exchange in open_archive(tmp_path / "two.tba").exchanges()}) == 8


def test_damage_of_an_imported_archive_is_told(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a.tba", created_by="t", flush_bytes=1) as writer:
        for number in range(4):
            writer.append(small(number))
    data = bytearray((tmp_path / "a.tba").read_bytes())
    data[500] ^= 1
    (tmp_path / "a.tba").write_bytes(data)
    summary = run(tmp_path / "b.tba", tmp_path / "a.tba")
    assert (summary.written, summary.losses.lost) == (3, {"damaged parts of an archive": 1})


def test_wildly_disordered_input_is_sorted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracer_bullet.capture.importing._OVERLAP_BYTES", 3 << 20)
    moments = list(range(3_000))
    random.Random(1).shuffle(moments)
    text = random.Random(2).randbytes(1_000).hex()
    data = har(*(entry(number, at_ms=at, answer=text) for number, at in enumerate(moments)))
    summary = run(tmp_path / "a.tba", io.BytesIO(data), redactor=Passes())
    assert summary.is_sorted
    assert summary.disordered > 2_500
    archive = open_archive(tmp_path / "a.tba")
    starts = [exchange.started_ns for exchange in archive.exchanges(ordered=False)]
    assert starts == sorted(starts)
    assert len(starts) == 3_000
    assert archive.info.overlap_bytes < 2 << 20


def test_a_full_disk_is_said_and_what_came_in_is_readable(tmp_path: Path) -> None:
    noise = random.Random(4)
    data = har(*(entry(number, answer=noise.randbytes(5_000).hex()) for number in range(1_500)))
    after = io.BytesIO(har(entry(1)))
    with room_for(3_000_000), pytest.raises(ArchiveError) as caught:
        run(tmp_path / "a.tba", io.BytesIO(data), after, redactor=Passes())
    assert after.tell() == 0
    assert caught.value.code == "TB923"
    found = targets(tmp_path / "a.tba")
    assert found == [f"/orders/{number}" for number in range(len(found))]
    assert 0 < len(found) < 1_500


def test_a_format_may_be_given(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.har").write_bytes(har(entry(1)))
    (tmp_path / "folder" / "b.har").write_bytes(har(entry(2)))
    told: list[int] = []
    summary = run(tmp_path / "a.tba", tmp_path / "folder", io.BytesIO(har(entry(3))), format="har", tell=told.append)
    assert (summary.written, told) == (3, [])
    assert targets(tmp_path / "a.tba") == ["/orders/1", "/orders/2", "/orders/3"]
    with pytest.raises(UsageError, match="no format"):
        run(tmp_path / "b.tba", io.BytesIO(har(entry(3))), format="hat")
