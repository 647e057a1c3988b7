"""What the snippet for nginx makes the real nginx write is read back."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest

from tests.servers.nginx import NginxServer, NginxUnavailableError
from tracer_bullet.capture.config import nginx_log
from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.detect import open_recording
from tracer_bullet.capture.selection import why_never
from tracer_bullet.errors import UsageError
from tracer_bullet.model.exchange import Exchange, Lack
from tracer_bullet.model.losses import Losses


def _logged(folder: Path, requests: list[tuple[str, str, dict[str, str]]]) -> list[Exchange]:
    log = folder / "json.log"
    try:
        server = NginxServer(
            f"{nginx_log(str(log))}\nserver {{ listen 127.0.0.1:@PORT@; location / {{ return 200 ok; }} }}",
            folder / "n",
        )
    except NginxUnavailableError as error:
        pytest.skip(f"nginx: {error}")
    with server:
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        for method, path, headers in requests:
            client.request(method, path, headers=headers)
            assert client.getresponse().read() == b"ok"
        client.close()
    assert "secret" not in log.read_text()
    losses = Losses()
    reader, stream = open_recording(log)
    with stream:
        found = list(reader.read(stream, losses, ReadOptions()))
    assert not losses.lost, losses
    return found


def test_the_log_is_read_back(tmp_path: Path) -> None:
    odd = {"user-agent": 'a "quoted" \\ ü'.encode().decode("latin-1"), "accept": "text/html"}
    first, second, bullet, flagged = _logged(
        tmp_path,
        [
            ("GET", "/a%20b?c=%22d%22&e", odd),
            ("POST", "/write", {"content-length": "0", "cookie": "secret=1", "authorization": "secret"}),
            ("GET", "/bullet", {"x-tracer-bullet": "secret"}),
            ("GET", "/flagged", {"tracestate": "a=b,tb=t"}),
        ],
    )
    request = first.request
    assert (request.method, request.target, request.scheme) == ("GET", "/a%20b?c=%22d%22&e", "http")
    assert request.authority.startswith("127.0.0.1:")
    assert request.values("user-agent") == [odd["user-agent"]]
    assert request.values("accept") == ["text/html"]
    assert request.values("referer") == []
    assert first.answer is not None
    assert first.answer.status == 200
    assert first.ended_ns is not None
    assert first.started_ns <= first.ended_ns <= second.ended_ns  # type: ignore[operator]
    assert not {Lack.START, Lack.SUBSECOND, Lack.DURATION} & first.lacks
    assert [why_never(e) for e in (first, second, bullet, flagged)] == ["", "", "bullet", "bullet"]


@pytest.mark.parametrize("path", ["", "a b", "a;b", "$a", "a'b", "a{b", "a#b"])
def test_what_makes_no_log(path: str) -> None:
    with pytest.raises(UsageError) as caught:
        nginx_log(path)
    assert caught.value.code == "TB946"
