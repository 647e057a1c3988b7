"""mitmproxy's dumps: every layout since 0.11, what is no HTTP, and the real mitmproxy as the judge."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers.mitmproxy import convert, run_mitmdump
from tests.unit.capture.formats.old_flows import layouts
from tests.unit.capture.formats.samples import golden
from tests.unit.capture.formats.shop import VISIT, shop, visit
from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.mitmproxy import reader
from tracer_bullet.capture.formats.mitmproxy.reader import Mitmproxy
from tracer_bullet.capture.formats.mitmproxy.tnetstring import CUT, NO_FLOW, dump, load, values
from tracer_bullet.capture.formats.mitmproxy.writer import MitmproxyWriter
from tracer_bullet.model.exchange import Exchange, Lack
from tracer_bullet.model.losses import Losses

(DUMP,) = golden("mitmproxy/mitmproxy-11.0.2.mitm")
FLOWS = list(values(io.BytesIO(DUMP), Losses()))
SCALARS = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.binary(max_size=9) | st.text(max_size=9)


def read(content: bytes, losses: Losses | None = None) -> list[Exchange]:
    return list(Mitmproxy().read(io.BytesIO(content), losses or Losses(), ReadOptions()))


def bare(exchange: Exchange) -> Exchange:
    """But for what old layouts do not have, or number anew."""
    request = replace(exchange.request, trailers=())
    return replace(exchange, id="", session="", request=request, lacks=exchange.lacks - {Lack.SESSION})


@given(
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    )
)
def test_tnetstrings_come_back(value: object) -> None:
    assert load(dump(value)) == value


@pytest.mark.parametrize(
    "broken", [b"", b"5:abc,", b"3:abc", b"3:abc?", b"1:x#", b"9:nan,inf,1^", b"3:yes!", b"1:x~",
               b"3:0:~}", b"04:0:~]0:~",                b"8:" * 99 + b"0:~", b"6:0:]0:~}"]
)  # fmt: skip
def test_what_is_no_tnetstring_is_refused(broken: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        load(broken)


def test_deep_nesting_is_refused() -> None:
    deep = b"0:~"
    for _ in range(3_000):
        deep = b"%d:%s]" % (len(deep), deep)
    with pytest.raises(ValueError, match="deep"):
        load(deep)


@pytest.mark.parametrize("place", range(11))
def test_old_layouts_read_as_new_ones_do(place: int) -> None:
    old = [layouts(flow)[place][1] for flow in FLOWS]
    assert [bare(one) for one in read(b"".join(map(dump, old)))] == [bare(one) for one in read(DUMP)]


@pytest.mark.slow
def test_mitmproxy_agrees_on_what_the_old_layouts_mean(tmp_path: Path) -> None:
    """The real one migrates what old_flows.py made; what it writes reads as what we read before."""
    old = b"".join(dump(flow) for one in FLOWS for _, flow in layouts(one))
    (tmp_path / "old.mitm").write_bytes(old)
    convert(tmp_path / "old.mitm", tmp_path / "new.mitm", option="save_stream_file")
    migrated = list(values(io.BytesIO((tmp_path / "new.mitm").read_bytes()), Losses()))
    assert {flow["version"] for flow in migrated} == {21}
    assert [bare(e) for e in read(b"".join(map(dump, migrated)))] == [bare(e) for e in read(old)]


def test_a_flow_that_is_broken_costs_itself_alone() -> None:
    parts = [dump(flow) for flow in FLOWS]
    for number in range(len(parts)):
        losses = Losses()
        damaged = [*parts]
        damaged[number] = damaged[number].replace(b"7:request;", b"7:request?")
        found = read(b"".join(damaged), losses)
        assert len(found) == len(parts) - 1
        assert losses.lost.total() >= 1
    losses = Losses()
    assert len(read(b"".join(parts)[:-9], losses)) == len(parts) - 1
    assert losses.lost[CUT] == 1
    losses = Losses()
    assert len(read(b"noise" + b"".join(parts), losses)) == len(parts)
    assert losses.lost[NO_FLOW] == 1


def test_other_flows_are_counted() -> None:
    losses = Losses()
    web = {**FLOWS[0], "websocket": {"messages": [[1, True, b"a"]]}}
    flows = [{**FLOWS[0], "type": "tcp", "messages": []}, {"type": "dns"}, {**FLOWS[0], "request": None}, web]
    (found,) = read(b"".join(map(dump, flows)), losses)
    assert found.request.method == "POST"
    assert losses.lost == {reader.NO_HTTP: 2, reader.NO_REQUEST: 1, reader.WEBSOCKET: 1}


def test_what_a_flow_lacks_is_marked() -> None:
    request, answer = FLOWS[0]["request"], FLOWS[0]["response"]
    (found,) = read(
        dump({**FLOWS[0], "request": {**request, "content": None}, "response": {**answer, "content": None}})
    )
    assert found.lacks == {Lack.REQUEST_BODY, Lack.ANSWER_BODY}
    (failed,) = read(dump({**FLOWS[0], "response": None, "error": {"msg": "refused", "timestamp": 1_800_000_000}}))
    assert (failed.answer, failed.ended_ns, failed.lacks) == (None, 1_800_000_000 * 10**9, frozenset())
    (open_,) = read(dump({**FLOWS[0], "response": None}))
    assert open_.lacks == {Lack.ANSWER, Lack.DURATION}


def test_a_newer_version_is_read_as_far_as_it_is_known() -> None:
    losses = Losses()
    assert len(read(dump({**FLOWS[0], "version": 99, "new": {}}), losses)) == 1
    assert losses.repaired[reader.NEWER] == 1


@pytest.mark.slow
def test_mitmdump_records_what_was_sent_and_reads_what_we_write(tmp_path: Path) -> None:
    with shop() as port, run_mitmdump(tmp_path, mode=f"reverse:http://127.0.0.1:{port}") as proxy:
        visit(proxy.port)
    recorded = read(proxy.dump.read_bytes())
    assert [(e.request.method, e.request.target, e.request.body) for e in recorded] == [
        (method, target, body if isinstance(body, bytes) else b"".join(body)) for method, target, _, body in VISIT
    ]
    with (tmp_path / "ours.mitm").open("wb") as ours:
        assert MitmproxyWriter().write(recorded, ours, Losses()) == len(recorded)
    convert(tmp_path / "ours.mitm", tmp_path / "theirs.mitm", option="save_stream_file")
    assert [bare(e) for e in read((tmp_path / "theirs.mitm").read_bytes())] == [bare(e) for e in recorded]
